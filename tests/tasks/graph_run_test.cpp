// Graph regression through the engine: learning, resuming, ranks, ensembles.

#include <spdlog/spdlog.h>

#include "ssa/eval/evaluate.h"
#include "ssa/tasks/model_input.h"
#include "ssa/train/model_session.h"
#include "ssa/train/trainer.h"

#include "dist/thread_ranks.h"
#include "tasks/made_molecules.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

struct MoleculeRun {
  TempDir dir;

  MoleculeRun() { omp_set_num_threads(1); }

  /// Trains and returns the folder.
  std::string train(const std::string& name, const Overrides& overrides, int ranks = 1,
                    const std::string& resume = "none") const {
    spdlog::set_level(spdlog::level::off);
    const std::string folder = dir / name;
    testing::on_ranks(ranks, [&](Communicator& communicator) {
      omp_set_num_threads(1);
      TrainOptions options{folder, resume, Device::cpu, &communicator};
      options.make_task = make_molecules_task;
      Trainer(molecules_config(overrides), options).train();
    });
    return folder;
  }
  static std::vector<double> losses(const std::string& folder, const char* split = "train") {
    std::vector<double> all;
    for (const MetricsEvent& event : read_metrics(folder + "/metrics.jsonl")) {
      if (event.split == split) all.push_back(event.loss.value());
    }
    return all;
  }
  static std::string weights(const std::string& folder, int64_t step = 8) {
    return read_bytes(fmt::format("{}/checkpoints/step-{}/model.safetensors", folder, step));
  }
};

/// A model with its initial weights, and molecules to score.
struct ScoredModel {
  Config config;
  MadeMoleculesTask task;
  ModelSession session;
  std::unique_ptr<EvalSet> set;

  explicit ScoredModel(const Overrides& overrides = {})
      : config(molecules_config(overrides)),
        task(config),
        session(task, Device::cpu),
        set(task.open_data()->evaluation(config, Split::valid, 0)) {
    omp_set_num_threads(1);
  }
  EvalResult evaluate(const EvalOptions& options) const {
    return ssa::evaluate(session.model(), task, *set, options, Device::cpu);
  }
};

bool same_scores(const EvalResult& a, const EvalResult& b) {
  if (a.terms != b.terms || a.loss != b.loss || a.metrics != b.metrics || a.spread != b.spread) {
    return false;
  }
  return std::ranges::equal(a.curve, b.curve, [](const CurvePoint& p, const CurvePoint& q) {
    return p.loss == q.loss && p.stderr_ == q.stderr_;
  });
}

}  // namespace

TEST_CASE("graph regression learns through the engine") {
  const MoleculeRun run;
  const std::string folder =
      run.train("run", {"train.steps=250", "train.batch_size=16", "train.micro_batch=16",
                        "ssa.finetune_fraction=0.2"});
  const std::vector<double> valid = run.losses(folder, "valid");
  REQUIRE(valid.size() == 1);
  // The mean of the targets is off by 0.35 in the mean.
  CHECK(valid.back() < 0.2);
  const std::vector<MetricsEvent> events = read_metrics(folder + "/metrics.jsonl");
  REQUIRE(events.back().metrics.front().first == "mae");
  CHECK(events.back().metrics.front().second == valid.back());
}

TEST_CASE("graph regression resumes to the bits of the uninterrupted run") {
  const MoleculeRun run;
  // 26 steps are more than two epochs.
  const Overrides whole = {"train.steps=26", "model.attention_dropout=0.1"};
  const std::string expected = run.weights(run.train("whole", whole), 26);
  const Overrides parts =
      whole + Overrides{"train.checkpoint_every=13", "train.keep_checkpoints=9"};
  run.train("parts", parts);
  const std::string branch = run.train("branch", parts, 1, run.dir / "parts/checkpoints/step-13");
  CHECK((run.weights(branch, 26) == expected));
}

TEST_CASE("graphs on several ranks draw the same sources, and have the same losses") {
  const MoleculeRun run;
  const Overrides overrides = {"train.micro_batch=2"};
  const std::vector<double> expected = run.losses(run.train("one", overrides));
  REQUIRE(expected.size() == 8);
  for (const int ranks : {2, 4}) {
    const std::vector<double> got =
        run.losses(run.train(fmt::format("on-{}", ranks), overrides, ranks));
    REQUIRE(got.size() == 8);
    for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i]).epsilon(1e-5));
  }
}

TEST_CASE("dropping nothing trains to the bits of dense attention") {
  const MoleculeRun run;
  const std::string dense = run.weights(run.train("dense", {"ssa={kind: none}"}));
  CHECK((run.weights(run.train("kept", {"ssa.drop=0"})) == dense));
  CHECK((run.weights(run.train("sampled", {})) != dense));
}

TEST_CASE("the mean absolute error is that of every molecule, once, on any number of ranks") {
  const ScoredModel scored;
  double sum = 0;
  for (int64_t item = 0; item < 22; ++item) {
    std::vector<Batch> batch = {scored.set->batch(item, 1)};
    const Tensor predicted = scored.session.model().predictions(
        to_input(batch.front(), {}, scored.session.model(), Device::cpu));
    sum += std::abs(values(predicted)[0] - made_molecule(96 + item).target);
  }
  const EvalResult alone = scored.evaluate({.batch_size = 5});
  CHECK(alone.terms == 22);
  CHECK(alone.metrics.front() == Approx(sum / 22).epsilon(1e-12));
  CHECK(same_scores(scored.evaluate({.batch_size = 22}), alone));
  for (const int ranks : {2, 3}) {  // of five batches, uneven shares
    testing::on_ranks(ranks, [&](Communicator& communicator) {
      omp_set_num_threads(1);
      const ScoredModel own;
      const EvalResult shared = own.evaluate({.batch_size = 5, .ranks = &communicator});
      if (!same_scores(shared, alone)) throw Error(ExitCode::usage, "another score");
    });
  }
}

TEST_CASE("a member of an ensemble predicts the same whatever the batch and the rank") {
  for (const char* scope : {"sample", "batch"}) {
    const std::string ssa = fmt::format("ssa.scope={}", scope);
    const ScoredModel small({ssa, "eval.batch_size=3"}), large({ssa, "eval.batch_size=50"});
    const EvalOptions options{.mode = EvalMode::ensemble, .samples = 4};
    const EvalResult expected = small.evaluate(options);
    REQUIRE(expected.curve.size() == 4);
    CHECK(expected.terms == 22);
    CHECK(expected.spread > 0);
    CHECK(expected.curve[0].loss != expected.curve[3].loss);
    CHECK(same_scores(large.evaluate(options), expected));
    testing::on_ranks(3, [&](Communicator& communicator) {
      omp_set_num_threads(1);
      EvalOptions shared = options;
      shared.ranks = &communicator;
      const ScoredModel own({ssa, "eval.batch_size=3"});
      if (!same_scores(own.evaluate(shared), expected)) throw Error(ExitCode::usage, "another");
    });
  }
}

TEST_CASE("an ensemble predicts the mean of its members") {
  const ScoredModel scored;
  const auto member = [&](int sample) {
    std::vector<Batch> batch = {scored.set->batch(0, 22)};
    scored.task.draw(
        batch, Sources::sampled, Use::evaluation,
        {.seed = 1, .purpose = RngPurpose::ensemble, .rank = static_cast<uint16_t>(sample)});
    return values(scored.session.model().predictions(
        to_input(batch.front(), {}, scored.session.model(), Device::cpu)));
  };
  const std::vector<double> first = member(0), second = member(1);
  double sum = 0;
  for (size_t i = 0; i < 22; ++i) {
    const double target = made_molecule(96 + static_cast<int64_t>(i)).target;
    sum += std::abs((first[i] + second[i]) / 2 - target);
  }
  CHECK(first != second);
  const EvalResult ensemble = scored.evaluate({.mode = EvalMode::ensemble, .samples = 2});
  CHECK(ensemble.metrics.front() == Approx(sum / 22).epsilon(1e-12));
}

TEST_CASE("local sampling trains graphs too") {
  const MoleculeRun run;
  const Overrides local = {"ssa={kind: local, windows: 3, sigma: 0.2, order: rcm}"};
  const std::vector<double> losses = run.losses(run.train("local", local));
  CHECK(losses.back() < losses.front());
}
