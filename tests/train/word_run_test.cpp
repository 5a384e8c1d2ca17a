#include "train/word_run.h"

#include <cmath>

#include <spdlog/spdlog.h>

#include "ssa/eval/evaluate.h"
#include "ssa/tasks/language_model.h"
#include "ssa/train/trainer.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

TrainOutcome train(const Config& config, const std::string& folder,
                   const std::string& resume = "none") {
  spdlog::set_level(spdlog::level::off);
  Trainer trainer(config, {folder, resume, Device::cpu});
  return trainer.train();
}

double value_of(const MetricsEvent& event, const std::string& key) {
  for (const auto& [name, value] : event.metrics) {
    if (name == key) return value;
  }
  FAIL("no " << key);
  return 0;
}

std::string config_error(const Config& config, const std::string& folder) {
  return message_of<ConfigError>([&] { train(config, folder); });
}

}  // namespace

TEST_CASE("a model of words trains, reports perplexity and takes the vocabulary from the data") {
  const WordRun run;
  const std::string folder = run.dir / "run";
  REQUIRE(train(run.config({"train.eval_tokens=0"}), folder) == TrainOutcome::finished);
  const std::vector<MetricsEvent> metrics = read_metrics(folder + "/metrics.jsonl");
  REQUIRE(metrics.size() == 8 + 3);
  for (const MetricsEvent& event : metrics) {
    REQUIRE(event.metrics.size() == 1);
    CHECK(value_of(event, "perplexity") == Approx(std::exp(event.loss.value())));
  }
  // It learns, beginning with the loss of a uniform guess among few words, not among thousands.
  CHECK(value_of(metrics.front(), "perplexity") < 5 * WordRun::kVocabulary);
  CHECK(value_of(metrics.back(), "perplexity") < value_of(metrics.front(), "perplexity"));

  const Config written = load_config(folder + "/config.yaml", {});
  CHECK(written.data.vocabulary == WordRun::kVocabulary);
  const LoadedCheckpoint checkpoint = latest_checkpoint_of(folder);
  const LanguageModelTask task(written);
  ModelSession session(task, Device::cpu);
  session.load(checkpoint.model);
  CHECK(session.parameters().all().front().variable.value().shape() ==
        Shape{WordRun::kVocabulary, 16});

  // What ssa-eval computes from the folder is what training reported.
  const TokenDataset dataset = TokenDataset::open(written.data.path);
  const auto set = LanguageModelData(dataset).evaluation(written, Split::valid, 0);
  const EvalResult result = evaluate(session.model(), task, *set, {}, Device::cpu);
  CHECK(result.terms == dataset.split_size(Split::valid));
  CHECK(std::exp(result.loss) == Approx(value_of(metrics.back(), "perplexity")).epsilon(1e-5));
}

TEST_CASE("a run of words that is resumed ends as one that was not stopped") {
  const WordRun run;
  const Config config = run.config();
  REQUIRE(train(config, run.dir / "whole") == TrainOutcome::finished);
  const std::string middle = run.dir / "whole/checkpoints/step-4";
  REQUIRE(train(config, run.dir / "branch", middle) == TrainOutcome::finished);
  const auto model = [&](const std::string& name) {
    return read_bytes(run.dir / (name + "/checkpoints/step-8/model.safetensors"));
  };
  REQUIRE(model("whole").size() > 5000);
  CHECK((model("whole") == model("branch")));

  // Other words of the same number are other data.
  const std::string text = sample_text(4000, 9);
  write_bytes(run.dir / "train.txt", text.substr(0, text.find_last_of(" \n")) + "\n");
  PrepareOptions options;
  options.name = "words";
  options.output = run.words_path;
  options.inputs = {run.dir / "train.txt", run.dir / "valid.txt", run.dir / "test.txt"};
  options.replace = true;
  prepare_dataset(options);
  const std::string message =
      message_of<ConfigError>([&] { train(config, run.dir / "third", middle); });
  CHECK(contains(message, "other data"));
}

TEST_CASE("task and data that do not fit are refused, and leave no run folder") {
  const WordRun run;
  const std::string folder = run.dir / "run";
  const std::string words = config_error(run.config({"task=byte_lm"}), folder);
  CHECK(contains(words, "task is byte_lm"));
  CHECK(contains(words, run.words_path));
  CHECK(contains(words, "holds words"));
  const std::string bytes = config_error(run.config({"data.path=" + run.text_path}), folder);
  CHECK(contains(bytes, "task is word_lm"));
  CHECK(contains(bytes, "holds bytes"));
  CHECK(contains(bytes, "ssa-data prepare words"));
  const std::string other = config_error(run.config({"data.vocabulary=15"}), folder);
  CHECK(contains(other, "data.vocabulary is 15"));
  CHECK(contains(other, "has 14 tokens"));
  CHECK_FALSE(path_exists(folder));
}
