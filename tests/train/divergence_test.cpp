#include <cmath>

#include <spdlog/spdlog.h>

#include "ssa/train/stop_signal.h"
#include "ssa/train/trainer.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("a diverged run ends after max_skipped_steps, with advice") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const StopSignal stop;
  // The first update sends the weights to 1e30; every product with them overflows.
  const Config config =
      run.config({"train.optimizer.lr=1e30", "train.schedule.warmup_steps=0",
                  "train.max_skipped_steps=2", "train.eval_every=0", "train.checkpoint_every=0"});
  Trainer trainer(config, {run.dir / "run", "none", Device::cpu});
  const std::string message = message_of<DivergedError>([&] { trainer.train(); });
  CAPTURE(message);
  CHECK(contains(message, "step 4: 3 updates in a row"));
  CHECK(contains(message, "train.optimizer.lr"));

  const std::vector<MetricsEvent> events = read_metrics(run.dir / "run/metrics.jsonl");
  REQUIRE(events.size() == 4);
  CHECK(std::isfinite(events[0].loss.value()));
  CHECK(std::isnan(events[3].loss.value()));
  CHECK(list_directory(run.dir / "run/checkpoints").empty());
  CHECK(contains(read_bytes(run.dir / "run/log.txt"), " error " + message));
}

namespace {

/// Trains 12 steps with a checkpoint every 4. The first `times` times that step 5 is logged, the
/// model is ruined.
TrainOutcome train_ruined(const TinyRun& run, const std::string& folder, int times) {
  const StopSignal stop;
  Trainer trainer(run.config({"train.steps=12", "train.checkpoint_every=4", "train.eval_every=0",
                              "train.max_skipped_steps=2"}),
                  {folder, "none", Device::cpu});
  int lines = 0;
  const HookGuard guard([&](FileOp op, const std::string& path) {
    if (op != FileOp::write || !path.ends_with("metrics.jsonl")) return FileFault{};
    if (trainer.completed_steps() == 5 && ++lines <= times) {
      Tensor weight = trainer.session().parameters().all()[3].variable.value();
      weight.data<float>()[0] = NAN;
    }
    return FileFault{};
  });
  return trainer.train();
}

}  // namespace

TEST_CASE("a diverged run rolls back to its checkpoint and continues with other data") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const std::string folder = run.dir / "run";
  CHECK(train_ruined(run, folder, 1) == TrainOutcome::finished);

  std::vector<double> losses;
  for (const MetricsEvent& event : read_metrics(folder + "/metrics.jsonl")) {
    if (event.split == "train") losses.push_back(event.loss.value());
  }
  REQUIRE(losses.size() == 12);  // what came after step 4 was recorded anew
  for (const double loss : losses) CHECK(std::isfinite(loss));

  const auto state = read_bytes(folder + "/checkpoints/step-12/state.json");
  CHECK(contains(state, "\"skipped_samples\": 16"));  // of steps 5 to 8

  // The same as a run that left them out from the start: resumed, it reads on from there too.
  const StopSignal stop;
  Trainer again(run.config({"train.steps=12", "train.checkpoint_every=4", "train.eval_every=0"}),
                {run.dir / "again", folder + "/checkpoints/step-8", Device::cpu});
  CHECK(again.train() == TrainOutcome::finished);
  CHECK((read_bytes(run.dir / "again/checkpoints/step-12/model.safetensors") ==
         read_bytes(folder + "/checkpoints/step-12/model.safetensors")));
}

TEST_CASE("a run rolls back at most train.max_rollbacks times") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const std::string message =
      message_of<DivergedError>([&] { train_ruined(run, run.dir / "run", 2); });
  CHECK(contains(message, "step 8: 3 updates in a row"));
  CHECK(path_exists(run.dir / "run/checkpoints/step-4"));
  CHECK_FALSE(path_exists(run.dir / "run/checkpoints/step-8"));
}
