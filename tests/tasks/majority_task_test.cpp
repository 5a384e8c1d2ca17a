// A task outside of the engine is trained, resumed, scored and averaged through the engine.

#include "tasks/majority_task.h"

#include "ssa/eval/evaluate.h"
#include "ssa/train/trainer.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

struct MajorityRun : TinyRun {
  Config config(const Overrides& more = {}) const {
    return TinyRun::config(
        Overrides{"data.length=9", "ssa={kind: unbiased, drop: 0.3}", "model.dropout=0",
                  "model.attention_dropout=0", "model.activation_dropout=0", "train.steps=150",
                  "train.batch_size=32", "train.micro_batch=16", "train.eval_every=0",
                  "eval.overlap=0", "eval.length=9", "train.checkpoint_every=50"} +
        more);
  }
  TrainOutcome train(const Config& config, const std::string& folder,
                     const std::string& resume = "none") const {
    TrainOptions options{folder, resume, Device::cpu};
    options.make_task = make_majority_task;
    return Trainer(config, options).train();
  }
  static double last(const std::string& folder, std::string_view key) {
    const std::vector<MetricsEvent> events = read_metrics(folder + "/metrics.jsonl");
    for (const auto& [name, value] : events.back().metrics) {
      if (name == key) return value;
    }
    return -1;
  }
};

}  // namespace

TEST_CASE("a task of its own learns through the engine, and is scored by what it counts") {
  const MajorityRun run;
  const Config config = run.config();
  REQUIRE(run.train(config, run.dir / "run") == TrainOutcome::finished);
  const auto events = read_metrics(run.dir / "run/metrics.jsonl");
  CHECK(events.front().metrics.empty());  // accuracy does not follow from the loss of a step
  CHECK(run.last(run.dir / "run", "accuracy") > 0.85);
  CHECK(events.back().loss.value() < 0.4);

  const MajorityTask task(config);
  ModelSession session(task, Device::cpu);
  session.load(latest_checkpoint_of(run.dir / "run").model);
  const auto set = task.open_data()->evaluation(config, Split::valid, 0);
  const EvalResult renorm = evaluate(session.model(), task, *set, {.batch_size = 7}, Device::cpu);
  CHECK(renorm.metrics.front() == run.last(run.dir / "run", "accuracy"));
  const EvalResult ensemble = evaluate(session.model(), task, *set,
                                       {.mode = EvalMode::ensemble, .samples = 6}, Device::cpu);
  REQUIRE(ensemble.curve.size() == 6);
  CHECK(ensemble.terms == 64);
  CHECK(ensemble.metrics.front() == ensemble.curve.back().metrics.front().value);
  CHECK(ensemble.metrics.front() > 0.7);
  CHECK(ensemble.curve.back().metrics.front().stderr_ > 0);
  CHECK(ensemble.curve.back().loss < ensemble.curve.front().loss);
}

TEST_CASE("a task of its own resumes to the bits of the uninterrupted run") {
  const MajorityRun run;
  REQUIRE(run.train(run.config({"train.steps=20"}), run.dir / "whole") == TrainOutcome::finished);
  const Overrides half = {"train.steps=20", "train.checkpoint_every=10",
                          "train.keep_checkpoints=9"};
  REQUIRE(run.train(run.config(half), run.dir / "parts") == TrainOutcome::finished);
  REQUIRE(run.train(run.config(half), run.dir / "branch", run.dir / "parts/checkpoints/step-10") ==
          TrainOutcome::finished);
  const auto model = [&](const char* name) {
    return read_bytes(run.dir / fmt::format("{}/checkpoints/step-20/model.safetensors", name));
  };
  CHECK(model("branch") == model("whole"));
}
