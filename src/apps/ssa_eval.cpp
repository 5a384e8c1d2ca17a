// ssa-eval: scores a trained model, either dense or as an ensemble of randomly drawn sub-models.

#include <cmath>
#include <filesystem>
#include <iostream>
#include <optional>
#include <system_error>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "ssa/core/version.h"
#include "ssa/dist/agreement.h"
#include "ssa/eval/evaluate.h"
#include "ssa/storage/tensorboard.h"
#include "ssa/tasks/analysis_json.h"
#include "ssa/tasks/load.h"
#include "ssa/train/checkpoint_config.h"
#include "ssa/train/device_ranks.h"
#include "ssa/train/model_session.h"
#include "ssa/train/progress.h"
#include "ssa/train/run_state.h"
#include "ssa/train/stop_signal.h"

#include "apps/app.h"
#include "apps/early_config.h"
#include "apps/prediction_file.h"
#include "apps/score_record.h"

namespace ssa {
namespace {

struct Options {
  std::string run, checkpoint, config;
  std::string mode;
  int64_t samples = 0;
  std::string split = "test";
  std::vector<std::string> set;
  std::string device = "auto";
  int64_t max_tokens = 0;
  std::string weights;
  bool curve = false;
  std::string json;
  std::string predictions;

  /// Standard output holds text, or what is written there.
  bool print_text() const { return json != "-" && predictions != "-"; }
};

/// What becomes of the predictions, on rank 0.
struct Predictions {
  std::unique_ptr<Analysis> analysis;  ///< null: the task has none
  std::optional<PredictionFile> file;
};

/// Items of a split, such as molecules, that have no target.
struct WithoutTarget {
  int64_t items = 0, of = 0;
};

struct Scored {
  EvalMode mode;
  ScoreSubject subject;
  int ranks;
  std::string device;
  EvalResult result;
  std::vector<EvalTable> tables;
  WithoutTarget without_target;

  /// A mean over the few items that have a target would pass for the split's.
  bool has_score() const { return without_target.items == 0; }
};

/// Standard deviation of the single sub-models' scores, taken at the first one's score. If the
/// metric does not follow from the loss, the standard deviation of their losses.
double spread(const EvalResult& result, const Metric& metric) {
  if (!metric.deviation) return result.spread;
  return metric.deviation(result.curve.front().loss, result.spread);
}

nlohmann::json to_json(const PartitionScores& of) {
  nlohmann::json list = nlohmann::json::array();
  for (size_t k = 0; k < of.scores.size(); ++k) {
    list.push_back({{"part", of.partition.parts[k]},
                    {"value", of.scores[k].value},
                    {"stderr", of.scores[k].stderr_}});
  }
  return list;
}

nlohmann::json to_json(const Scored& scored, const TaskTraits& traits) {
  const EvalResult& result = scored.result;
  nlohmann::json json = to_json(scored.subject);
  json["seconds"] = result.seconds;
  json["ranks"] = scored.ranks;
  json["device"] = scored.device;
  json["engine"] = {{"version", version()}, {"commit", git_commit()}};
  if (!scored.has_score()) {
    json["predicted"] = scored.without_target.of;
    json["without_target"] = scored.without_target.items;
    return json;
  }
  json["loss"] = result.loss;
  for (size_t i = 0; i < traits.metrics.size(); ++i) {
    json[std::string(traits.metrics[i].key)] = result.metrics[i];
    json["stderr"][std::string(traits.metrics[i].key)] = result.errors[i];
  }
  for (const PartitionScores& one : result.partitions) {
    json["parts"][one.partition.key] = to_json(one);
  }
  json["curve"] = nlohmann::json::array();
  for (const CurvePoint& point : result.curve) {
    const MetricValue& metric = point.metrics.front();
    json["curve"].push_back(
        {{"samples", point.samples}, {"value", metric.value}, {"stderr", metric.stderr_}});
  }
  if (scored.mode == EvalMode::ensemble) json["spread"] = spread(result, traits.metric());
  if (!scored.tables.empty()) json["analysis"] = to_json(scored.tables);
  return json;
}

void print(const Scored& scored, const Options& options, const TaskTraits& traits) {
  const EvalResult& result = scored.result;
  const std::string what = fmt::format("{} {} of step {}", options.split,
                                       scored.mode == EvalMode::renorm
                                           ? std::string("renorm")
                                           : fmt::format("ensemble of {}", scored.subject.samples),
                                       scored.subject.step);
  if (!scored.has_score()) {
    std::cout << fmt::format("{}: {} {} predicted, {}. No score: {} of them have no target\n", what,
                             scored.without_target.of, traits.examples,
                             format_duration(result.seconds), scored.without_target.items);
    return;
  }
  std::string metrics;
  for (size_t i = 0; i < traits.metrics.size(); ++i) {
    metrics += traits.metrics[i].text(result.metrics[i]) + ", ";
  }
  std::cout << fmt::format("{}: {}loss {:.4f}{}, {} {}, {}\n", what, metrics, result.loss,
                           traits.loss_unit, result.terms, traits.terms,
                           format_duration(result.seconds));
  const std::string_view label = traits.metric().label;
  if (scored.mode == EvalMode::ensemble) {
    std::cout << fmt::format("single sub-models spread by {:.4f} {}; {:.2f} s a sample\n",
                             spread(result, traits.metric()),
                             traits.metric().deviation ? label : "nats",
                             result.seconds / static_cast<double>(scored.subject.samples));
  }
  for (const std::string& one : differences(scored.subject)) {
    std::cout << fmt::format("not what the run itself is scored on: {}\n", one);
  }
  if (!options.curve) return;
  std::cout << fmt::format("samples  {:>10}  stderr\n", label);
  for (const CurvePoint& point : result.curve) {
    std::cout << fmt::format("{:7}  {:10.4f}  {:.4f}\n", point.samples, point.metrics.front().value,
                             point.metrics.front().stderr_);
  }
}

/// Warns if the data is not the run's: scoring other data is allowed, mistaking it is not.
void warn_of_other_data(const LoadedCheckpoint& checkpoint, const TaskData& data) {
  const std::string difference = data_difference(run_state_of(checkpoint).data, data.identity());
  if (difference.empty()) return;
  spdlog::warn("{} is not what {} was trained on: it has {}", data.path(), checkpoint.path,
               difference);
}

/// Sub-models of a model that samples no sources are all the same.
void warn_of_nothing_to_draw(EvalMode mode, const Config& config) {
  if (mode == EvalMode::ensemble && config.ssa.kind == SsaKind::none) {
    spdlog::warn("ssa.kind is none: the sub-models of the ensemble are all the same dense model");
  }
}

/// The checkpoint to score. Rank 0 chooses it, because the newest one of an active run changes.
LoadedCheckpoint checkpoint_for(Communicator& ranks, const Options& options) {
  std::optional<LoadedCheckpoint> chosen;
  if (ranks.rank() == 0) {
    const std::string& name = options.checkpoint;
    chosen = options.run.empty() ? open_checkpoint(name)
                                 : checkpoint_of(options.run, name.empty() ? "latest" : name);
  }
  const std::string path = ranks.broadcast(chosen ? chosen->path : "", "the checkpoint to score");
  return chosen ? std::move(*chosen) : open_checkpoint(path);
}

EvalMode mode_for(const Options& options, const Config& config) {
  if (options.mode.empty()) return config.eval.mode;
  return options.mode == "ensemble" ? EvalMode::ensemble : EvalMode::renorm;
}

int64_t samples_for(const Options& options, const Config& config) {
  if (mode_for(options, config) == EvalMode::renorm) return 1;
  return options.samples > 0 ? options.samples : config.eval.samples;
}

EvalWeights weights_for(const Options& options, const Config& config) {
  if (options.weights.empty()) return config.eval.weights;
  return options.weights == "trained" ? EvalWeights::trained : EvalWeights::average;
}

/// Throws ConfigError for --weights average of a checkpoint without one.
const SafetensorsFile& weights_of(const LoadedCheckpoint& checkpoint, const Options& options,
                                  const Config& config) {
  if (options.weights == "average" && !checkpoint.average) {
    throw ConfigError(
        "--weights average: {} has the trained weights only, because its run had train.ema_decay "
        "= 0",
        checkpoint.path);
  }
  const bool trained = weights_for(options, config) == EvalWeights::trained;
  return trained ? checkpoint.model : best_weights(checkpoint);
}

/// Ranks that differ would each score something else.
void require_same_command(Communicator& ranks, const Options& options, const Config& config) {
  Statements own = flatten_config(config);
  own.insert(own.end(), {{"--run", stated_path(options.run)},
                         {"--checkpoint", stated_path(options.checkpoint)},
                         {"mode", std::string(name(mode_for(options, config)))},
                         {"samples", std::to_string(samples_for(options, config))},
                         {"split", options.split},
                         {"--predictions", options.predictions.empty() ? "not given" : "given"},
                         {"--weights", options.weights},
                         {"--max-tokens", std::to_string(options.max_tokens)}});
  require_agreement(ranks, own);
}

/// The same command may find other files on other machines.
void require_same_files(Communicator& ranks, const LoadedCheckpoint& checkpoint,
                        const DataIdentity& data) {
  require_agreement(ranks, {{"step", std::to_string(checkpoint.step)},
                            {"size of the data", fmt::format("{} bytes", data.bytes)},
                            {"checksum of the data", data.checksum}});
}

/// Counts the items without a target. Throws DataError if they would be computed for nothing: a
/// split that has some cannot be scored.
WithoutTarget find_items_without_target(const EvalSet& set, const TaskData& data,
                                        const Options& options, const TaskTraits& traits) {
  WithoutTarget found{0, set.items()};
  for (int64_t item = 0; item < found.of; ++item) {
    if (set.terms(item) == 0) ++found.items;
  }
  if (found.items > 0 && options.predictions.empty()) {
    throw DataError(
        "data.path '{}': {} of the {} {} of the {} split have no target, so that it cannot be "
        "scored. Score another split (--split valid), or predict without a score: --predictions "
        "FILE",
        data.path(), found.items, found.of, traits.examples, options.split);
  }
  return found;
}

EvalResult evaluate(Communicator& ranks, const ModelSession& session, const Task& task,
                    const EvalSet& set, const Options& options, Predictions& predictions) {
  const Config& config = task.config();
  const TaskTraits& traits = task.traits();
  Progress progress(std::string(traits.terms), set.total_terms());
  EvalOptions how{
      .mode = mode_for(options, config),
      .samples = samples_for(options, config),
      .batch_size = config.eval.batch_size > 0 ? config.eval.batch_size
                                               : std::max<int64_t>(1, config.train.micro_batch),
      .ranks = &ranks,
      .progress = [&](const EvalProgress& now) {
        if (ranks.rank() == 0) {
          progress.update(now.done,
                          fmt::format("{} {}", options.split, traits.metric().text(now.value)),
                          false);
        }
        return !StopSignal::requested();
      }};
  if (predictions.analysis || !options.predictions.empty()) {
    how.on_prediction = [&](const ItemPrediction& one) {
      if (ranks.rank() != 0) return;
      if (predictions.analysis) predictions.analysis->add(one);
      if (predictions.file) predictions.file->add(set.prediction_line(one));
    };
  }
  const EvalResult result = ssa::evaluate(session.model(), task, set, how, session.device());
  progress.clear();
  return result;
}

/// What will be scored, before it is.
ScoreSubject subject_of(const LoadedCheckpoint& checkpoint, const Config& run_config,
                        const TaskData& data, const Config& config, const Options& options) {
  ScoreSubject subject;
  subject.mode = name(mode_for(options, config));
  subject.split = options.split;
  subject.samples = samples_for(options, config);
  subject.step = checkpoint.step;
  subject.newest_step = checkpoint.newest_step;
  subject.has_average = checkpoint.average.has_value();
  subject.uses_average =
      subject.has_average && weights_for(options, config) == EvalWeights::average;
  subject.data = data.identity();
  subject.run_data = run_state_of(checkpoint).data;
  subject.config = config;
  subject.run_config = run_config;
  subject.overrides = options.set;
  return subject;
}

bool can_be_written(const std::string& folder) {
  return ::faccessat(AT_FDCWD, folder.c_str(), W_OK, AT_EACCESS) == 0;
}

/// A long evaluation should not end with this.
void warn_of_read_only(const std::string& run) {
  if (run.empty() || can_be_written(run)) return;
  spdlog::warn("{}: cannot be written ({}): the score is printed, but not stored there", run,
               std::error_code(errno, std::generic_category()).message());
}

/// The run's own score as TensorBoard shows it: a run of its own below that of the training, so
/// that the training's event file stays the newest of its folder.
void add_to_tensorboard(const Scored& scored, const std::string& run, const TaskTraits& traits) {
  const ScoreSubject& subject = scored.subject;
  const std::string prefix =
      subject.split + "/" +
      (scored.mode == EvalMode::renorm ? "renorm" : fmt::format("ensemble_{}", subject.samples));
  try {
    make_directories(run + "/scores");
    EventWriter events(run + "/scores", std::nullopt);
    events.scalar(prefix + "/loss", subject.step, scored.result.loss);
    for (size_t i = 0; i < traits.metrics.size(); ++i) {
      events.scalar(fmt::format("{}/{}", prefix, traits.metrics[i].key), subject.step,
                    scored.result.metrics[i]);
    }
  } catch (const CheckpointError& error) {
    spdlog::warn("{}: TensorBoard will not show this score", error.what());
  }
}

void write(const Scored& scored, Predictions& predictions, const Options& options,
           const TaskTraits& traits) {
  const nlohmann::json json = to_json(scored, traits);
  // Into the run first: a long evaluation is not lost because its result cannot go elsewhere.
  if (scored.has_score() && !options.run.empty() && can_be_written(options.run)) {
    const std::string path = options.run + "/" + file_name(scored.subject);
    write_json(path, json);
    if (differences(scored.subject).empty()) {
      add_to_tensorboard(scored, options.run, traits);
    } else {
      spdlog::info("stored in {}", path);
    }
  }
  if (options.print_text()) print(scored, options, traits);
  if (predictions.file) predictions.file->finish();
  if (!options.json.empty()) write_json(options.json, json);
}

/// The config that the weights were trained under: the checkpoint's own; of an older one, what
/// config.yaml says without --set.
Config config_of_training(const LoadedCheckpoint& checkpoint, const std::string& config_path,
                          const TaskData& data) {
  if (const auto config = config_of(checkpoint)) return *config;
  return data.settled(load_task_config(config_path));
}

Config given_config(const Options& options) {
  const bool of_run = !options.run.empty();
  if (of_run ? !options.config.empty() : options.checkpoint.empty() || options.config.empty()) {
    throw ConfigError(
        "give either --run DIR, with --checkpoint best or step-N for another than its newest, or "
        "--checkpoint DIR with --config FILE");
  }
  if (options.json == "-" && options.predictions == "-") {
    throw ConfigError("--json - and --predictions -: only one of them fits on standard output");
  }
  return load_task_config(options.run.empty() ? options.config : config_of_run(options.run),
                          options.set);
}

int run(Communicator& ranks, const Config& given, const Options& options) {
  require_same_command(ranks, options, given);
  const bool first = ranks.rank() == 0;
  const std::string config_path =
      options.run.empty() ? options.config : options.run + "/config.yaml";
  const LoadedCheckpoint checkpoint = checkpoint_for(ranks, options);
  const std::unique_ptr<TaskData> data = open_data(make_task, given, [&] { return &checkpoint; });
  const std::unique_ptr<Task> task = make_task(data->settled(given));
  const Config& config = task->config();
  const Config run_config = config_of_training(checkpoint, config_path, *data);
  require_same_function(run_config, config, checkpoint.path);
  require_same_vocabulary(checkpoint, data->identity());
  ModelSession session(*task, device_of_rank(options.device, ranks));
  session.load(weights_of(checkpoint, options, config));
  session.require_finite(checkpoint.path);
  require_same_files(ranks, checkpoint, data->identity());
  if (first) {
    warn_of_other_data(checkpoint, *data);
    warn_of_nothing_to_draw(mode_for(options, config), config);
    warn_of_read_only(options.run);
  }

  const Split split = split_from_name(options.split);
  const auto set = data->evaluation(config, split, options.max_tokens);
  const WithoutTarget without_target =
      find_items_without_target(*set, *data, options, task->traits());
  ScoreSubject subject = subject_of(checkpoint, run_config, *data, config, options);
  subject.terms = set->total_terms();
  subject.split_terms =
      options.max_tokens == 0 ? subject.terms : data->evaluation(config, split, 0)->total_terms();
  Predictions predictions{set->analysis(), std::nullopt};
  if (first && !options.predictions.empty()) predictions.file.emplace(options.predictions);
  Scored scored{mode_for(options, config),
                std::move(subject),
                ranks.size(),
                backend(session.device()).description(),
                evaluate(ranks, session, *task, *set, options, predictions),
                {},
                without_target};
  if (!scored.result.complete) {
    if (first) {
      spdlog::warn("stopped after {} {}; nothing was written", scored.result.terms,
                   task->traits().terms);
    }
    return static_cast<int>(ExitCode::interrupted);
  }
  if (!std::isfinite(scored.result.loss)) {
    throw DivergedError(
        "{}: the loss over the {} split is {}, though all weights are finite: the run has "
        "diverged, and this is no score. Name an earlier checkpoint",
        checkpoint.path, options.split, scored.result.loss);
  }
  if (predictions.analysis) scored.tables = predictions.analysis->tables();
  if (first) write(scored, predictions, options, task->traits());
  ranks.barrier("the result");  // all ranks succeed, or none
  return 0;
}

}  // namespace
}  // namespace ssa

int main(int argc, char** argv) {
  const ssa::AppInfo info{
      "ssa-eval", "Score a trained model: renorm (dense) or ensemble of sub-models",
      "  ssa-eval --run runs/enwik8_mini_s6_l4 --mode renorm\n"
      "  ssa-eval --run runs/enwik8_mini_s6_l4 --mode ensemble --samples 50 --split valid --curve\n"
      "  ssa-eval --run runs/enwik8_mini_s6_l4 --checkpoint best\n"
      "  ssa-eval --checkpoint runs/a/checkpoints/step-600 --config runs/a/config.yaml --json -\n"
      "  ssa-eval --run runs/enwik8_mini_s6_l4 --predictions losses.jsonl\n"
      "  mpirun -n 8 ssa-eval --run runs/enwik8_mini_s6_l4 --mode ensemble"};
  return ssa::run_app(argc, argv, info, [](CLI::App& app) -> std::function<int()> {
    auto options = std::make_shared<ssa::Options>();
    app.add_option("--run", options->run, "Run folder; its newest valid checkpoint is scored");
    app.add_option("--checkpoint", options->checkpoint,
                   "With --run: best, latest or step-N. With --config: a checkpoint folder");
    app.add_option("--config", options->config, "Config of the checkpoint");
    app.add_option("--mode", options->mode, "renorm or ensemble (default: eval.mode)")
        ->check(CLI::IsMember({"renorm", "ensemble"}));
    app.add_option("--samples", options->samples, "Sub-models drawn (default: eval.samples)")
        ->check(CLI::Range(int64_t{1}, ssa::kMostSamples));
    app.add_option("--split", options->split, "Part of the data to score")
        ->check(CLI::IsMember({"train", "valid", "test"}))
        ->capture_default_str();
    app.add_option("--max-tokens", options->max_tokens,
                   "Score only N tokens, images or graphs of the split (0: all)")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 60))
        ->capture_default_str();
    app.add_option("--set", options->set, "key=value …: override keys of the config");
    app.add_option("--device", options->device, "auto, cpu, cuda or reference")
        ->capture_default_str();
    app.add_option("--weights", options->weights,
                   "average or trained (default: eval.weights): the moving average of the weights "
                   "where train.ema_decay keeps one, or the weights themselves")
        ->check(CLI::IsMember({"average", "trained"}));
    app.add_flag("--curve", options->curve, "Print the score for 1, 2, … samples");
    app.add_option("--json", options->json, "Write the result to a file (- is standard output)");
    app.add_option("--predictions", options->predictions,
                   "Write a JSON line for each item to a file (- is standard output)");
    return [options] {
      const ssa::EarlyConfig config([&] { return ssa::given_config(*options); });
      return ssa::run_on_ranks("ssa-eval", config,
                               [&](ssa::Communicator& ranks, const ssa::Config& given) {
                                 return ssa::run(ranks, given, *options);
                               });
    };
  });
}
