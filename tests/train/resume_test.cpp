#include <csignal>
#include <filesystem>
#include <map>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "ssa/data/lm_sampler.h"
#include "ssa/train/stop_signal.h"
#include "ssa/train/trainer.h"

#include "train/captured_log.h"
#include "train/signal_self.h"
#include "train/tiny_run.h"
#include "train/train_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// Trains, and sends the process a signal when line number `line` of metrics.jsonl is written.
TrainOutcome train_until_line(const Config& config, const std::string& folder, int line) {
  int seen = 0;
  const HookGuard guard([&](FileOp op, const std::string& path) {
    if (op == FileOp::write && path.ends_with("metrics.jsonl") && ++seen == line) {
      signal_self(SIGUSR1);
    }
    return FileFault{};
  });
  return train(config, folder);
}

/// The files of a finished run, without what depends on the clock and the process's memory.
struct Result {
  std::string model, optimizer;
  nlohmann::json state;
  std::vector<MetricsEvent> metrics;
};

Result result_of(const std::string& folder, int64_t first_step = 0) {
  const std::string checkpoint = folder + "/checkpoints/step-8/";
  Result result{read_bytes(checkpoint + "model.safetensors"),
                read_bytes(checkpoint + "optimizer.safetensors"),
                nlohmann::json::parse(read_bytes(checkpoint + "state.json")),
                {}};
  result.state.erase("elapsed_seconds");
  for (MetricsEvent& event : read_metrics(folder + "/metrics.jsonl")) {
    if (event.step <= first_step) continue;
    event.tokens_per_second.reset();
    event.elapsed_seconds.reset();
    event.peak_memory_bytes.reset();
    event.data_wait_seconds.reset();
    result.metrics.push_back(event);
  }
  return result;
}

void require_equal(const Result& got, const Result& expected) {
  REQUIRE(got.model.size() > 10000);
  REQUIRE(got.optimizer.size() > 20000);
  CHECK((got.model == expected.model));
  CHECK((got.optimizer == expected.optimizer));
  CHECK(got.state == expected.state);
  REQUIRE(got.metrics.size() == expected.metrics.size());
  for (size_t i = 0; i < got.metrics.size(); ++i) {
    CHECK(to_json_line(got.metrics[i]) == to_json_line(expected.metrics[i]));
  }
}

/// The uninterrupted run, saved after every step.
struct Uninterrupted : TinyRun {
  Uninterrupted() {
    spdlog::set_level(spdlog::level::off);
    REQUIRE(train(config(), dir / "whole") == TrainOutcome::finished);
    expected = result_of(dir / "whole");
  }
  Result expected;
};

}  // namespace

TEST_CASE("a run has a line for every step and every evaluation, and a checkpoint for each step") {
  const Uninterrupted run;
  std::string lines;
  for (const MetricsEvent& event : run.expected.metrics) {
    lines += std::to_string(event.step) + (event.split == "valid" ? "v " : " ");
  }
  CHECK(lines == "1 2 3 3v 4 5 6 6v 7 8 8v ");
  CHECK(run.expected.metrics.front().tokens == 4 * 32);
  CHECK(run.expected.metrics.back().loss < run.expected.metrics.front().loss);
  for (int step = 1; step <= 8; ++step) {
    CHECK(path_exists(run.dir / ("whole/checkpoints/step-" + std::to_string(step))));
  }
  REQUIRE(train(run.config(), run.dir / "again") == TrainOutcome::finished);
  require_equal(result_of(run.dir / "again"), run.expected);
}

TEST_CASE("a run ends with its best validation beside the last one, resumed or not") {
  const TinyRun run;
  const auto log_of = [&](const Overrides& overrides, const std::string& resume) {
    const Log log;
    spdlog::set_level(spdlog::level::info);
    REQUIRE(train(run.config(overrides), run.dir / "run", resume) == TrainOutcome::finished);
    spdlog::set_level(spdlog::level::off);
    return log.text();
  };
  const auto line_of = [](int64_t step, double best, double last) {
    return fmt::format("best validation: {:.4f} bits/byte at step {}; last: {:.4f} bits/byte", best,
                       step, last);
  };
  std::map<int64_t, double> scores;
  const auto read_scores = [&] {
    for (const MetricsEvent& event : read_metrics(run.dir / "run/metrics.jsonl")) {
      if (event.split == "valid") scores[event.step] = event.metrics.front().second;
    }
  };
  const std::string first = log_of({"train.steps=6"}, "none");
  CAPTURE(first);
  read_scores();
  REQUIRE(scores.at(6) < scores.at(3));
  CHECK(contains(first, line_of(6, scores.at(6), scores.at(6))));
  // What follows ruins the weights: the best score is of before the stop.
  const std::string then =
      log_of({"train.steps=8", "train.optimizer.lr=3", "train.schedule.decay=constant"}, "auto");
  CAPTURE(then);
  read_scores();
  REQUIRE(scores.at(8) > scores.at(6));
  CHECK(contains(then, line_of(6, scores.at(6), scores.at(8))));
}

TEST_CASE("resumed from each of its checkpoints, a run ends in the same bits") {
  const Uninterrupted run;
  for (int step = 1; step <= 7; ++step) {
    CAPTURE(step);
    const std::string number = std::to_string(step), folder = run.dir / ("from-" + number);
    REQUIRE(train(run.config(), folder, run.dir / ("whole/checkpoints/step-" + number)) ==
            TrainOutcome::finished);
    Result expected = run.expected;
    expected.metrics = result_of(run.dir / "whole", step).metrics;
    require_equal(result_of(folder), expected);
  }
}

TEST_CASE(
    "stopped by a signal at any line of its metrics and resumed, a run ends in the same bits") {
  const Uninterrupted run;
  const std::vector<std::string> seldom = {"train.checkpoint_every=0"};
  for (int line = 1; line <= 11; ++line) {
    CAPTURE(line);
    const std::string folder = run.dir / ("line-" + std::to_string(line));
    const TrainOutcome first = train_until_line(run.config(seldom), folder, line);
    CHECK(first == (line == 11 ? TrainOutcome::finished : TrainOutcome::interrupted));
    if (first == TrainOutcome::interrupted) {
      CHECK(train(run.config(seldom), folder, "auto") == TrainOutcome::finished);
    }
    require_equal(result_of(folder), run.expected);
  }
}

TEST_CASE("resuming a finished run changes nothing") {
  const Uninterrupted run;
  const std::string metrics = read_bytes(run.dir / "whole/metrics.jsonl");
  CHECK(train(run.config(), run.dir / "whole", "auto") == TrainOutcome::finished);
  require_equal(result_of(run.dir / "whole"), run.expected);
  CHECK(read_bytes(run.dir / "whole/metrics.jsonl") == metrics);
}

TEST_CASE("a damaged newest checkpoint is passed over with a warning, the bits stay the same") {
  const Uninterrupted run;
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    CAPTURE(file);
    const std::string folder = run.dir / file;
    REQUIRE(train_until_line(run.config(), folder, 7) == TrainOutcome::interrupted);
    const std::string newest = folder + "/checkpoints/step-6/" + file;
    flip_bit(newest);
    const Log log;
    CHECK(train(run.config(), folder, "auto") == TrainOutcome::finished);
    CAPTURE(log.text());
    CHECK(contains(log.text(), newest + " is damaged"));
    CHECK(contains(log.text(), folder + "/checkpoints/step-5 is used instead"));
    CHECK_FALSE(contains(log.text(), "+FT: dense attention"));  // on since step 4
    require_equal(result_of(folder), run.expected);
  }
}

TEST_CASE("with every checkpoint damaged nothing is trained") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  REQUIRE(train_until_line(run.config(), run.dir / "run", 2) == TrainOutcome::interrupted);
  const std::string metrics = read_bytes(run.dir / "run/metrics.jsonl");
  for (const char* step : {"step-1", "step-2"}) {
    flip_bit(run.dir / ("run/checkpoints/" + std::string(step) + "/model.safetensors"));
  }
  const std::string message =
      message_of<CheckpointError>([&] { train(run.config(), run.dir / "run", "auto"); });
  CHECK(contains(message, "step-1/model.safetensors"));
  CHECK(contains(message, "step-2/model.safetensors"));
  CHECK(read_bytes(run.dir / "run/metrics.jsonl") == metrics);
}

TEST_CASE("an existing run is not overwritten, resume auto starts a new one") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const Config config = run.config({"train.steps=2", "train.eval_every=0"});
  CHECK(train(config, run.dir / "run", "auto") == TrainOutcome::finished);
  const std::string message = message_of<ConfigError>([&] { train(config, run.dir / "run"); });
  CHECK(contains(message, run.dir / "run"));
  CHECK(contains(message, "--resume auto"));
}

TEST_CASE("a run is not resumed under a config that reads other data or has another model") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  REQUIRE(train(run.config({"train.steps=2"}), run.dir / "run") == TrainOutcome::finished);
  const auto refusal = [&](const std::string& change) {
    return message_of<ConfigError>([&] { train(run.config({change}), run.dir / "run", "auto"); });
  };
  CHECK(contains(refusal("train.seed=2"), "train.seed = 1, the config now says 2"));
  CHECK(contains(refusal("train.batch_size=8"), "train.batch_size = 4"));
  CHECK(contains(refusal("data.length=16"), "data.length = 32"));
  CHECK(contains(refusal("model.layers=3"), "model.layers: there 2, now 3"));
  CHECK(contains(refusal("train.optimizer.kind=sgd"),
                 "train.optimizer.kind = adam, the config now says sgd"));
  write_bytes(run.dir / "other.txt", sample_text(6000, 4));  // as long as the run's text
  CHECK(contains(refusal("data.path=" + run.dir / "other.txt"), "6000 bytes with checksum"));
  // More steps than planned is how a run is prolonged.
  CHECK(train(run.config({"train.steps=3"}), run.dir / "run", "auto") == TrainOutcome::finished);
}

TEST_CASE("two trainers cannot have one folder, and a failed start leaves no folder") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const Trainer first(run.config(), {run.dir / "run", "none", Device::cpu});
  CHECK(contains(message_of<ConfigError>([&] {
                   Trainer second(run.config(), {run.dir / "run", "auto", Device::cpu});
                 }),
                 "in use by"));
  CHECK_FALSE(contains(message_of<ConfigError>([&] {
                         Trainer third(run.config({"train.precision=fp16"}),
                                       {run.dir / "other", "none", Device::cpu});
                       }),
                       "in use by"));
  CHECK_FALSE(path_exists(run.dir / "other"));
  message_of<DataError>([&] {
    Trainer fourth(run.config({"data.path=" + (run.dir / "nothing")}),
                   {run.dir / "other", "none", Device::cpu});
  });
  CHECK_FALSE(path_exists(run.dir / "other"));
}

TEST_CASE("a signal during an evaluation stops it, and the resumed run evaluates once") {
  const Uninterrupted run;
  // Line 3 is the training line of step 3, right before the evaluation.
  const std::string folder = run.dir / "stopped";
  REQUIRE(train_until_line(run.config(), folder, 3) == TrainOutcome::interrupted);
  const auto state = [&](int step) {
    return nlohmann::json::parse(
        read_bytes(folder + "/checkpoints/step-" + std::to_string(step) + "/state.json"));
  };
  CHECK(state(3)["evaluation_due"] == true);
  REQUIRE(train(run.config(), folder, "auto") == TrainOutcome::finished);
  CHECK(state(3)["evaluation_due"] == false);  // a run killed later does not evaluate again
  require_equal(result_of(folder), run.expected);
}

TEST_CASE("a step is finished and saved if the data of the next one cannot be read") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const Config config = run.config({"train.eval_every=0"});
  const TokenDataset dataset = TokenDataset::open(run.text_path);
  Trainer trainer(config, {run.dir / "run", "none", Device::cpu});
  std::filesystem::resize_file(run.text_path, 4800);  // of 6000, 5400 of them for training
  const LmSampler sampler(config.train.seed, dataset.split_size(Split::train), config.data.length);
  int64_t failing = 0;
  try {
    for (; failing < 8; ++failing) sampler.batch(dataset, Split::train, 4 * failing, 4);
  } catch (const DataError&) {
  }
  REQUIRE((failing > 0 && failing < 8));

  CHECK(contains(message_of<DataError>([&] { trainer.train(); }), "shrunk"));
  CHECK(read_metrics(run.dir / "run/metrics.jsonl").size() == static_cast<size_t>(failing));
  const auto saved = [&](int64_t step) {
    return std::filesystem::exists(run.dir / fmt::format("run/checkpoints/step-{}", step));
  };
  CHECK(saved(failing));
  CHECK_FALSE(saved(failing + 1));
}
