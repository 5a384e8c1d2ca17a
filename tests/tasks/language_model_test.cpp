#include "ssa/tasks/language_model.h"

#include <map>

#include "ssa/data/lm_batch.h"

#include "train/word_run.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("training reads the samples of any step, evaluation each token once") {
  const TinyRun run;
  const Config config = run.config();
  const auto data = make_task(config)->open_data();
  const auto training = data->training(config);
  CHECK(training->examples_per_epoch() == 167);  // 5400 bytes in blocks of 32, less the offset's
  const Batch batch = training->batch(5, 3);
  CHECK(batch.examples() == 3);
  CHECK(batch.field(kIdsField).shape() == Shape{3, 32});
  CHECK(training->batch(6, 1).field(kTargetsField).values<int32_t>()[0] ==
        batch.field(kTargetsField).values<int32_t>()[32]);

  const auto set = data->evaluation(config, Split::valid, 0);
  int64_t terms = 0;
  for (int64_t item = 0; item < set->items(); ++item) terms += set->terms(item);
  CHECK(terms == 300);
  CHECK(set->total_terms() == 300);
  CHECK(data->evaluation(config, Split::valid, 100)->total_terms() == 100);
  CHECK(contains(data->description().front(), "6000 bytes"));
}

TEST_CASE("a window's prediction are the log-probabilities of the tokens that it scores") {
  const TinyRun run;
  const Config config = run.config();
  const auto set = make_task(config)->open_data()->evaluation(config, Split::valid, 0);
  std::vector<double> losses(32);
  for (size_t i = 0; i < losses.size(); ++i) losses[i] = static_cast<double>(i);
  CHECK(set->prediction(0, losses).size() == 32);
  const std::vector<double> later = set->prediction(1, losses);  // overlap 16: the second half
  REQUIRE(later.size() == 16);
  CHECK(later[0] == -16);
  CHECK(later[15] == -31);
  CHECK(set->score(1, later).loss == (16 + 31) * 8.0);
  CHECK(set->score(1, later).counted.empty());
}

TEST_CASE("plans are those of the layers that sample, for training's length or evaluation's") {
  const TinyRun run;
  const LanguageModelTask task(run.config({"eval.length=64", "eval.overlap=0"}));
  CHECK(task.terms_per_example() == 32);
  const auto training = task.plan_specs(Sources::sampled, Use::training);
  REQUIRE(training.size() == 2);
  CHECK(training[0].kind == PlanKind::local_1d);
  CHECK(training[0].positions == 32);
  CHECK(task.plan_specs(Sources::sampled, Use::evaluation)[0].positions == 64);
  CHECK(task.plan_specs(Sources::all, Use::training)[1].kind == PlanKind::dense);
}

TEST_CASE("a window longer than the text is cut to it, plans included") {
  const TinyRun run;  // 300 tokens to validate
  const auto length_of = [&](const Overrides& overrides, int64_t most_terms) {
    const LanguageModelTask task(run.config(overrides));
    const auto data = task.open_data();
    std::vector<Batch> batch = {
        data->evaluation(task.config(), Split::valid, most_terms)->batch(0, 1)};
    const int64_t length = batch.front().field(kIdsField).shape()[1];
    for (const Sources sources : {Sources::all, Sources::sampled}) {
      for (const SourcePlan& plan : task.draw(batch, sources, Use::evaluation, RngKey{})) {
        CHECK(plan.windows * plan.targets_per_window == length);
      }
    }
    return length;
  };
  CHECK(length_of({"eval.length=2000000"}, 0) == 300);
  CHECK(length_of({"eval.length=2000000"}, 101) == 104);  // 4 windows
  CHECK(length_of({"eval.length=2000000"}, 7) == 32);     // data.length
  CHECK(length_of({"eval.length=64"}, 0) == 64);
  CHECK(length_of({}, 7) == 32);
}

TEST_CASE("a text that does not fit the task is refused, and the data set the vocabulary") {
  const WordRun run;
  const auto data = make_task(run.config())->open_data();
  CHECK(data->settled(run.config()).data.vocabulary == WordRun::kVocabulary);
  Config bytes = run.config();
  bytes.task = TaskKind::byte_lm;
  CHECK(contains(message_of<ConfigError>([&] { data->settled(bytes); }), "can have task: word_lm"));
  CHECK(contains(message_of<ConfigError>([&] { data->settled(run.config({"data.vocabulary=9"})); }),
                 "has 14 tokens"));
}

TEST_CASE("a typical batch of words has frequent words often, and one of bytes has all bytes") {
  const WordRun run;
  const LanguageModelTask words(run.config({"data.vocabulary=10000", "data.length=2048"}));
  const Batch batch = words.typical_batch(4);
  CHECK(batch.examples() == 4);
  const auto ids = batch.field(kIdsField).values<int32_t>();
  const auto targets = batch.field(kTargetsField).values<int32_t>();
  CHECK(targets[0] == ids[1]);
  const auto frequent = std::count_if(ids.begin(), ids.end(), [](int32_t id) { return id < 100; });
  CHECK(frequent > 4096 - 400);  // half of 8192: ln 101 / ln 10001
  CHECK(frequent < 4096 + 400);
  CHECK(*std::max_element(ids.begin(), ids.end()) < 10000);

  const TinyRun text;
  const Batch bytes = LanguageModelTask(text.config({"data.length=4096"})).typical_batch(1);
  std::map<int32_t, int> counts;
  for (const int32_t id : bytes.field(kIdsField).values<int32_t>()) ++counts[id];
  CHECK(counts.size() == 256);
}

TEST_CASE("epochs are counted in steps of the data, the warm-up too") {
  const TinyRun run;  // 167 samples in an epoch, four in a step
  const Config config = counted_in_steps(
      run.config({"train.epochs=2", "train.schedule.warmup_epochs=0.5", "train.steps=7"}));
  CHECK(config.train.steps == 84);  // 2 · 167 / 4 = 83.5
  CHECK(config.train.schedule.warmup_steps == 21);
  CHECK(counted_in_steps(config) == config);  // as a run's config.yaml is read again
  CHECK(counted_in_steps(run.config()).train.steps == 8);
  CHECK(counted_in_steps(run.config({"train.epochs=0.001", "train.schedule.warmup_steps=0"}))
            .train.steps == 1);
  CHECK(
      contains(message_of<ConfigError>([&] {
                 counted_in_steps(run.config({"train.epochs=1", "train.schedule.warmup_epochs=2"}));
               }),
               "a warm-up of 84 steps is longer than the training of 42 steps"));
}

namespace {

/// So many examples that a million passes are more steps than a run can have.
struct HugeData : TaskData, TrainingSet {
  std::string where = "huge";
  const std::string& path() const override { return where; }
  DataIdentity identity() const override { return {}; }
  std::vector<std::string> description() const override { return {}; }
  Config settled(Config config) const override { return config; }
  std::unique_ptr<TrainingSet> training(const Config&) const override {
    return std::make_unique<HugeData>();
  }
  std::unique_ptr<EvalSet> evaluation(const Config&, Split, int64_t) const override { return {}; }
  int64_t examples_per_epoch() const override { return int64_t{1} << 40; }
  Batch batch(int64_t, int64_t count) const override { return Batch(count); }
};

}  // namespace

TEST_CASE("epochs of more steps than a run can have are refused by their key") {
  const TinyRun run;
  const auto refusal = [&](const Overrides& overrides) {
    return message_of<ConfigError>([&] { counted_in_steps(run.config(overrides), HugeData()); });
  };
  // An epoch has 2^38 steps: a run, at most 10^12, has three of them.
  CHECK(contains(refusal({"train.epochs=4"}), "train.epochs: 4 epochs of 274877906944.0 steps"));
  CHECK(contains(refusal({"train.epochs=4"}), "The most epochs of these data: 3"));
  CHECK(contains(refusal({"train.schedule.warmup_epochs=1e6"}), "train.schedule.warmup_epochs: "));
  CHECK(counted_in_steps(run.config({"train.epochs=3"}), HugeData()).train.steps ==
        3 * (int64_t{1} << 38));
}

TEST_CASE("without a valid split there is nothing to score, and that is said") {
  const TinyRun run;
  PrepareOptions options;
  options.name = "bytes";
  options.inputs = {run.text_path};
  options.output = run.dir / "all";
  options.texts.split = SplitShares::from_text("none");
  prepare_dataset(options);
  Config config = run.config({"data.path=" + options.output});
  config.data.name.clear();
  const auto data = make_task(config)->open_data();
  CHECK(data->has(Split::train));
  CHECK_FALSE(data->has(Split::valid));
  CHECK(contains(data->description().back(), "not validated"));
  CHECK(contains(message_of<DataError>([&] { data->evaluation(config, Split::valid, 0); }),
                 "has no valid split"));
  CHECK(data->training(config)->examples_per_epoch() > 180);
  CHECK(data->companions().empty());
  CHECK(data->settled(config).data.name == "all");
  CHECK(data->identity().name == "all");
}

TEST_CASE("the vocabulary of words is to stay with the weights") {
  const WordRun run;
  const auto files = make_task(run.config())->open_data()->companions();
  REQUIRE(files.size() == 1);
  CHECK(files[0].name == "vocab.txt");
  CHECK(files[0].content == read_bytes(run.words_path + "/vocab.txt"));
}

TEST_CASE("data that a config does not mean have their own name") {
  const TinyRun run;
  const auto name_with = [&](const std::string& name) {
    Config config = run.config();
    config.data.name = name;
    return make_task(config)->open_data()->settled(config).data.name;
  };
  CHECK(name_with("") == "text.txt");
  CHECK(name_with("enwik8") == "text.txt");
  CHECK(name_with("novel") == "novel");
}
