// What ends a run before its last step, which checkpoints stay, and what evaluation does beyond a
// score: train.keep_best, keep_every, patience, evaluate_first, max_hours, eval.weights.

#include <cmath>
#include <csignal>
#include <limits>
#include <map>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "dist/thread_ranks.h"
#include "train/captured_log.h"
#include "train/signal_self.h"
#include "train/tiny_run.h"
#include "train/train_run.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

/// Scored after every step; the last steps ruin the weights, so that the best score is an early
/// one.
const Overrides kOverfits = {"train.eval_every=1",
                             "train.optimizer.lr=2",
                             "train.schedule.decay=constant",
                             "train.schedule.warmup_steps=8",
                             "ssa.finetune_fraction=0",
                             "train.checkpoint_every=0",
                             "train.keep_checkpoints=1"};

/// The bits of a validation by its step.
std::map<int64_t, double> scores(const std::string& folder) {
  std::map<int64_t, double> result;
  for (const MetricsEvent& event : read_metrics(folder + "/metrics.jsonl")) {
    if (event.split == "valid") result[event.step] = event.metrics.front().second;
  }
  return result;
}

int64_t best_step(const std::map<int64_t, double>& scores) {
  int64_t best = -1;
  double lowest = std::numeric_limits<double>::infinity();
  for (const auto& [step, score] : scores) {
    if (score < lowest) best = step;
    lowest = std::min(lowest, score);
  }
  return best;
}

json state_of(const std::string& folder, const std::string& name = "latest") {
  json state = json::parse(open_checkpoint(folder, name).state_json);
  state.erase("elapsed_seconds");
  return state;
}

std::string model_of(const std::string& folder, const std::string& name = "latest") {
  return read_bytes(open_checkpoint(folder, name).path + "/model.safetensors");
}

/// Trains until a signal comes in this step, before it is scored.
TrainOutcome train_until(const Config& config, const std::string& folder, int64_t step) {
  int64_t lines = 0;
  const HookGuard guard([&](FileOp op, const std::string& path) {
    // Each step has a line, and one for its score.
    if (op == FileOp::write && path.ends_with("metrics.jsonl") && ++lines == 2 * step - 1) {
      signal_self(SIGUSR1);
    }
    return FileFault{};
  });
  return train(config, folder);
}

/// Trains, and says what it has logged.
std::string log_of(const Config& config, const std::string& folder, TrainOutcome expected,
                   const std::string& resume = "none") {
  const Log log;
  spdlog::set_level(spdlog::level::info);
  const TrainOutcome outcome = train(config, folder, resume);
  spdlog::set_level(spdlog::level::off);
  INFO(log.text());
  CHECK(outcome == expected);
  return log.text();
}

}  // namespace

TEST_CASE("the best checkpoint stays beside the newest, whatever the run does") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const Config config = run.config(kOverfits + Overrides{"train.keep_best=true"});
  const std::string whole = run.dir / "whole";
  REQUIRE(train(config, whole) == TrainOutcome::finished);
  const auto scored = scores(whole);
  const int64_t best = best_step(scored);
  CAPTURE(best);
  REQUIRE((best > 1 && best < 8));  // otherwise this test shows nothing
  CHECK(open_checkpoint(whole, "best").step == best);
  CHECK(state_of(whole)["best"] == json{{"step", best}, {"value", scored.at(best)}});
  CHECK(list_directory(whole + "/checkpoints") ==
        std::vector<std::string>{"best", "latest", fmt::format("step-{}", best), "step-8"});

  // Stopped and resumed at any step it ends in the same bits, with the same best one.
  for (const int64_t stop : {int64_t{1}, best, best + 1, int64_t{7}}) {
    CAPTURE(stop);
    const std::string parts = run.dir / fmt::format("parts-{}", stop);
    REQUIRE(train_until(config, parts, stop) == TrainOutcome::interrupted);
    REQUIRE(train(config, parts, "auto") == TrainOutcome::finished);
    CHECK(scores(parts) == scored);
    CHECK((model_of(parts) == model_of(whole)));
    CHECK((model_of(parts, "best") == model_of(whole, "best")));
    CHECK(state_of(parts)["best"] == state_of(whole)["best"]);
  }
  CHECK(checkpoint_of(whole, "best").newest_step == 8);
  CHECK(checkpoint_of(whole, "latest").step == 8);
}

TEST_CASE("a run that goes back to before its best checkpoint has none until it is better") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const Config config =
      run.config(kOverfits + Overrides{"train.keep_best=true", "train.keep_every=1"});
  const std::string folder = run.dir / "run";
  REQUIRE(train(config, folder) == TrainOutcome::finished);
  const int64_t best = open_checkpoint(folder, "best").step;
  REQUIRE(best > 1);
  REQUIRE(train(config, folder, folder + "/checkpoints/step-1") == TrainOutcome::finished);
  CHECK(open_checkpoint(folder, "best").step == best);
}

TEST_CASE("checkpoints of round steps are saved and stay for good") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const Overrides rounds = {"train.keep_every=3", "train.checkpoint_every=0",
                            "train.keep_checkpoints=1"};
  REQUIRE(train(run.config(rounds), run.dir / "run") == TrainOutcome::finished);
  CHECK(list_directory(run.dir / "run/checkpoints") ==
        std::vector<std::string>{"latest", "step-3", "step-6", "step-8"});
}

TEST_CASE("patience ends a run that no longer improves, and a resume says how to go on") {
  const TinyRun run;
  const Config config = run.config(kOverfits + Overrides{"train.patience=2"});
  const std::string folder = run.dir / "run";
  const std::string log = log_of(config, folder, TrainOutcome::finished);
  const int64_t best = best_step(scores(folder));
  const int64_t end = best + 2;
  REQUIRE(end < 8);  // otherwise this test shows nothing
  CHECK(scores(folder).rbegin()->first == end);
  CHECK(open_checkpoint(folder, "latest").step == end);
  CHECK(contains(log, "stopped early: 2 evaluations in a row"));
  CHECK(contains(log, fmt::format("of step {} (train.patience = 2)", best)));

  const std::string before = read_bytes(folder + "/metrics.jsonl");
  CHECK(contains(log_of(config, folder, TrainOutcome::finished, "auto"),
                 "resume with a higher train.patience"));
  CHECK(read_bytes(folder + "/metrics.jsonl") == before);

  // Without patience it goes on, to the bits of a run that never had any.
  CHECK(train(run.config(kOverfits), folder, "auto") == TrainOutcome::finished);
  REQUIRE(train(run.config(kOverfits), run.dir / "whole") == TrainOutcome::finished);
  CHECK((model_of(folder) == model_of(run.dir / "whole")));
}

TEST_CASE("a run is scored before its first step where it is asked to") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  REQUIRE(train(run.config({"train.evaluate_first=true"}), run.dir / "with") ==
          TrainOutcome::finished);
  REQUIRE(train(run.config(), run.dir / "without") == TrainOutcome::finished);
  auto with = scores(run.dir / "with");
  REQUIRE(with.size() == 4);
  CHECK(with.at(0) > with.at(8));
  with.erase(0);
  CHECK(with == scores(run.dir / "without"));
  CHECK((model_of(run.dir / "with") == model_of(run.dir / "without")));
  // A run with a checkpoint is not scored again.
  REQUIRE(train(run.config({"train.evaluate_first=true", "train.steps=9"}), run.dir / "without",
                "auto") == TrainOutcome::finished);
  CHECK_FALSE(scores(run.dir / "without").contains(0));
}

TEST_CASE("a run that is stopped in its first evaluation begins with it again") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const Config config = run.config({"train.evaluate_first=true", "train.steps=2"});
  {
    const StopSignal stop;
    StopSignal::requested();  // so that the signal does not end this program
    Trainer trainer(config, {run.dir / "run", "none", Device::cpu});
    signal_self(SIGUSR1);
    REQUIRE(trainer.train() == TrainOutcome::interrupted);
  }
  CHECK(open_checkpoint(run.dir / "run", "latest").step == 0);
  REQUIRE(train(config, run.dir / "run", "auto") == TrainOutcome::finished);
  CHECK(scores(run.dir / "run").contains(0));
}

TEST_CASE("a job whose hours are over saves and stops, and comes to its end with the same bits") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  REQUIRE(train(run.config(), run.dir / "whole") == TrainOutcome::finished);
  for (const int ranks : {1, 2}) {
    CAPTURE(ranks);
    const std::string folder = run.dir / fmt::format("on-{}", ranks);
    const Config config = run.config({"train.max_hours=1e-9", "train.checkpoint_every=0"});
    int starts = 0;
    std::vector<TrainOutcome> outcomes(static_cast<size_t>(ranks), TrainOutcome::interrupted);
    while (outcomes.front() == TrainOutcome::interrupted && ++starts < 20) {
      const StopSignal stop;
      on_ranks(ranks, [&](Communicator& communicator) {
        omp_set_num_threads(1);
        Trainer trainer(config, {folder, "auto", Device::cpu, &communicator});
        outcomes[static_cast<size_t>(communicator.rank())] = trainer.train();
      });
    }
    CHECK(starts == 9);  // a step each, and the last evaluation
    CHECK(outcomes.back() == TrainOutcome::finished);
    if (ranks > 1) continue;
    CHECK((model_of(folder) == model_of(run.dir / "whole")));
    CHECK(scores(folder) == scores(run.dir / "whole"));
  }
}

TEST_CASE("evaluation takes the weights that the config names") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const Overrides averaged = {"train.ema_decay=0.75"};
  REQUIRE(train(run.config(), run.dir / "plain") == TrainOutcome::finished);
  REQUIRE(train(run.config(averaged), run.dir / "average") == TrainOutcome::finished);
  REQUIRE(train(run.config(averaged + Overrides{"eval.weights=trained"}), run.dir / "trained") ==
          TrainOutcome::finished);
  CHECK(scores(run.dir / "trained") == scores(run.dir / "plain"));
  CHECK(scores(run.dir / "average") != scores(run.dir / "plain"));
}

TEST_CASE("a line has the mean loss since the last one, across a stop too") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const auto lines = [&](const std::string& folder) {
    std::vector<MetricsEvent> events = read_metrics(folder + "/metrics.jsonl");
    std::erase_if(events, [](const MetricsEvent& event) { return event.split != "train"; });
    return events;
  };
  REQUIRE(train(run.config(), run.dir / "each") == TrainOutcome::finished);
  const std::vector<MetricsEvent> each = lines(run.dir / "each");
  const Config seldom = run.config({"train.log_every=3"});
  REQUIRE(train(seldom, run.dir / "whole") == TrainOutcome::finished);
  const std::vector<MetricsEvent> whole = lines(run.dir / "whole");
  REQUIRE(whole.size() == 3);  // steps 3, 6 and 8
  const auto mean = [&](size_t first, size_t count) {
    double sum = 0;
    for (size_t i = first; i < first + count; ++i) sum += each[i].loss.value();
    return sum / static_cast<double>(count);
  };
  CHECK(whole[0].mean_loss.value() == mean(0, 3));
  CHECK(whole[1].mean_loss.value() == mean(3, 3));
  CHECK(whole[2].mean_loss.value() == mean(6, 2));
  CHECK(each[4].mean_loss == each[4].loss);

  REQUIRE(train(seldom, run.dir / "parts", run.dir / "whole/checkpoints/step-5") ==
          TrainOutcome::finished);
  const std::vector<MetricsEvent> parts = lines(run.dir / "parts");
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].mean_loss == whole[1].mean_loss);
}
