#include <cmath>
#include <csignal>
#include <functional>

#include <spdlog/spdlog.h>

#include "ssa/train/stop_signal.h"
#include "ssa/train/trainer.h"

#include "train/signal_self.h"
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

/// Trains 12 steps, a checkpoint every 4; whenever `step` is logged, for the first `times` times,
/// the model is ruined. `then` is called with each line.
TrainOutcome train_ruined(
    const TinyRun& run, const std::string& folder, int times, int64_t step = 5,
    const Overrides& more = {}, const std::function<void(int64_t step)>& then = [](int64_t) {}) {
  const StopSignal stop;
  Trainer trainer(run.config(Overrides{"train.steps=12", "train.checkpoint_every=4",
                                       "train.eval_every=0", "train.max_skipped_steps=2"} +
                             more),
                  {folder, "none", Device::cpu});
  int lines = 0;
  const HookGuard guard([&](FileOp op, const std::string& path) {
    if (op != FileOp::write || !path.ends_with("metrics.jsonl")) return FileFault{};
    if (trainer.completed_steps() == step && ++lines <= times) {
      Tensor weight = trainer.session().parameters().all()[3].variable.value();
      weight.data<float>()[0] = NAN;
    }
    then(trainer.completed_steps());
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

TEST_CASE("a run that is ruined at its end goes back too, and ends sound") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const int64_t step = GENERATE(10, 11, 12);  // then only the last evaluation can tell
  CHECK(train_ruined(run, run.dir / "run", 1, step) == TrainOutcome::finished);
  const auto saved = find_latest_checkpoint(run.dir / "run", nullptr);
  CHECK(saved->step == 12);
  CHECK_FALSE(saved->in_trouble);
  CHECK(contains(saved->state_json, "\"skipped_samples\": 16"));
}

TEST_CASE(
    "a run that ends in trouble ends with code 5, and its sound checkpoint stays the newest") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const std::string folder = run.dir / "run";
  const auto [step, what] = GENERATE(
      std::pair<int64_t, std::string>{11, "step 12: the run ends in trouble: the last 1 updates"},
      std::pair<int64_t, std::string>{12, "the validation loss is not finite"});
  const Overrides last = {"train.max_rollbacks=0", "train.keep_checkpoints=1"};
  const std::string message =
      message_of<DivergedError>([&] { train_ruined(run, folder, 1, step, last); });
  CHECK(contains(message, what));
  CHECK(list_directory(folder + "/checkpoints") ==
        std::vector<std::string>{"latest", "step-12-in-trouble", "step-8"});
  const StopSignal stop;
  const std::string ruined = folder + "/checkpoints/step-12-in-trouble";
  const std::string refusal = message_of<DivergedError>([&] {
    Trainer named(run.config(Overrides{"train.steps=12"} + last), {folder, ruined, Device::cpu});
  });
  CHECK(contains(refusal, ruined + ": element 0 of "));
  CHECK_FALSE(path_exists(folder + "/checkpoints/step-12"));
  Trainer again(run.config({"train.steps=12"}), {folder, "auto", Device::cpu});
  CHECK(again.completed_steps() == 8);
  CHECK(again.train() == TrainOutcome::finished);
  CHECK_FALSE(path_exists(folder + "/checkpoints/step-12-in-trouble"));
}

TEST_CASE("a run that is stopped while it skips updates is resumed from before the trouble") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const std::string folder = run.dir / "run";
  CHECK(train_ruined(run, folder, 1, 5, {"train.keep_checkpoints=1"}, [](int64_t now) {
          if (now == 6) signal_self(SIGTERM);
        }) == TrainOutcome::interrupted);
  const std::vector<std::string> kept = list_directory(folder + "/checkpoints");
  REQUIRE(kept.size() == 3);
  CHECK((kept[1] == "step-4" && kept[2].ends_with("-in-trouble")));
  CHECK(Trainer(run.config({"train.steps=12"}), {folder, "auto", Device::cpu}).completed_steps() ==
        4);
}
