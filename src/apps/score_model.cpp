// Scores an open model: one split, all of them, a text, or two models on the same terms.

#include "apps/score_model.h"

#include <cmath>
#include <filesystem>
#include <iostream>
#include <optional>
#include <system_error>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "ssa/eval/coverage.h"
#include "ssa/eval/evaluate.h"
#include "ssa/storage/tensorboard.h"
#include "ssa/tasks/language_model.h"
#include "ssa/train/progress.h"
#include "ssa/train/run_state.h"
#include "ssa/train/run_vocabulary.h"
#include "ssa/train/stop_signal.h"

#include "apps/app.h"
#include "apps/compare_scores.h"
#include "apps/prediction_file.h"
#include "apps/score_text.h"
#include "apps/scored.h"
#include "apps/term_losses.h"

namespace ssa {

namespace {

/// What it is scored on.
struct Target {
  std::string split;  ///< "test", or "text"
  std::unique_ptr<EvalSet> set;
  DataIdentity data;
  int64_t split_terms = 0;
  std::optional<GivenText> text = {};  ///< of --text
};

/// What becomes of the predictions, on rank 0. The files are opened before anything is computed, so
/// that a path that cannot be written is known in time.
struct Outputs {
  std::unique_ptr<Analysis> analysis;  ///< null: the task has none, or it is not wanted
  std::optional<PredictionFile> predictions;
  std::optional<TermLossFile> loss_file;
  std::optional<TermLosses> losses;  ///< if they are wanted and the task has them

  Outputs(Communicator& ranks, const OpenModel& model, const Target& target,
          const Options& options);
  void add(const EvalSet& set, const ItemPrediction& prediction);
  void finish(const Scored& scored, TaskKind task);
};

Outputs::Outputs(Communicator& ranks, const OpenModel& model, const Target& target,
                 const Options& options)
    : analysis(options.no_analysis ? nullptr : target.set->analysis()) {
  if (!options.per_token.empty()) {
    require_term_losses(*target.set, "--per-token", model.task->config().task);
  }
  if (ranks.rank() != 0) return;
  if (!options.predictions.empty()) predictions.emplace(options.predictions);
  if (!options.per_token.empty()) loss_file.emplace(options.per_token);
  if (options.wants_term_losses() && has_term_losses(*target.set)) losses.emplace();
}

void Outputs::add(const EvalSet& set, const ItemPrediction& prediction) {
  if (analysis) analysis->add(prediction);
  if (predictions) predictions->add(set.prediction_line(prediction));
  if (losses) losses->add(set, prediction);
}

void Outputs::finish(const Scored& scored, TaskKind task) {
  if (predictions) predictions->finish();
  if (loss_file) loss_file->finish(*losses, scored.subject, task);
}

WithoutTarget count_without_target(const EvalSet& set) {
  WithoutTarget found{0, set.items()};
  for (int64_t item = 0; item < found.of; ++item) {
    if (set.terms(item) == 0) ++found.items;
  }
  return found;
}

/// Throws DataError if items would be computed for nothing: a split of which some have no target
/// cannot be scored.
void require_targets(const WithoutTarget& found, const OpenModel& model, const Options& options) {
  if (found.items == 0 || !options.predictions.empty()) return;
  throw DataError(
      "data.path '{}': {} of the {} {} of the {} split have no target, so that it cannot be "
      "scored. Score another split (--split valid), or predict without a score: --predictions "
      "FILE",
      model.data->path(), found.items, found.of, model.task->traits().examples, options.split);
}

EvalResult evaluate(Communicator& ranks, const OpenModel& model, const Target& target,
                    const Options& options, Outputs& outputs) {
  const Config& config = model.task->config();
  const TaskTraits& traits = model.task->traits();
  const EvalSet& set = *target.set;
  Progress progress(std::string(traits.terms), set.total_terms());
  EvalOptions how{
      .mode = mode_for(options, config),
      .samples = samples_for(options, config),
      .batch_size = config.eval.batch_size > 0 ? config.eval.batch_size
                                               : std::max<int64_t>(1, config.train.micro_batch),
      .ranks = &ranks,
      .progress =
          [&](const EvalProgress& now) {
            if (ranks.rank() == 0) {
              progress.update(now.done,
                              fmt::format("{} {}", target.split, traits.metric().text(now.value)),
                              false);
            }
            return !StopSignal::requested();
          },
      .likeliest = outputs.analysis != nullptr};
  if (outputs.analysis || !options.predictions.empty() || options.wants_term_losses()) {
    how.on_prediction = [&](const ItemPrediction& one) {
      if (ranks.rank() == 0) outputs.add(set, one);
    };
  }
  const EvalResult result =
      ssa::evaluate(model.session.model(), *model.task, set, how, model.session.device());
  progress.clear();
  return result;
}

/// What will be scored, before it is.
ScoreSubject subject_of(const OpenModel& model, const Target& target, const Options& options) {
  ScoreSubject subject;
  const Config& config = model.task->config();
  const LoadedCheckpoint& checkpoint = model.checkpoint;
  subject.mode = name(mode_for(options, config));
  subject.split = target.split;
  subject.samples = samples_for(options, config);
  subject.step = checkpoint.step;
  subject.newest_step = checkpoint.newest_step;
  subject.has_average = checkpoint.average.has_value();
  subject.uses_average =
      subject.has_average && weights_for(options, config) == EvalWeights::average;
  subject.in_int8 = options.in_int8();
  subject.terms = target.set->total_terms();
  subject.split_terms = target.split_terms;
  subject.data = target.data;
  subject.run_data = run_state_of(checkpoint).data;
  subject.config = config;
  subject.run_config = model.run_config;
  subject.overrides = options.set;
  return subject;
}

bool can_be_written(const std::string& folder) {
  return ::faccessat(AT_FDCWD, folder.c_str(), W_OK, AT_EACCESS) == 0;
}

/// The run's own score as TensorBoard shows it: a run of its own below that of the training, so
/// that the training's event file stays the newest of its folder.
void add_to_tensorboard(const Scored& scored, const std::string& run) {
  const ScoreSubject& subject = scored.subject;
  const TaskTraits& traits = traits_of(subject.config.task);
  const std::string prefix =
      subject.split + "/" +
      (subject.mode == "ensemble" ? fmt::format("ensemble_{}", subject.samples) : subject.mode);
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

/// Into the run first: a long evaluation is not lost because its result cannot go elsewhere.
void store(const Scored& scored, const Options& options) {
  if (!scored.has_score() || options.run.empty() || !can_be_written(options.run)) return;
  const std::string path = options.run + "/" + file_name(scored.subject);
  write_json(path, to_json(scored));
  if (differences(scored.subject).empty()) {
    add_to_tensorboard(scored, options.run);
  } else {
    spdlog::info("stored in {}", path);
  }
}

Vocabulary vocabulary_of(const OpenModel& model) {
  return vocabulary_of_run(model.task->config(), model.checkpoint);
}

Target text_target(const OpenModel& model, GivenText text) {
  const Vocabulary vocabulary = vocabulary_of(model);
  const std::string vocabulary_checksum = run_state_of(model.checkpoint).data.vocabulary_checksum;
  encode(text, vocabulary);
  return {"text", text_evaluation(model.task->config(), vocabulary, text.tokens),
          text.identity(vocabulary_checksum), std::ssize(text.tokens), std::move(text)};
}

Target open_split(const OpenModel& model, const std::string& split, const Options& options) {
  const Config& config = model.task->config();
  const Split which = split_from_name(split);
  Target target{split, model.data->evaluation(config, which, options.max_tokens),
                model.data->identity(), 0};
  target.split_terms = options.max_tokens == 0
                           ? target.set->total_terms()
                           : model.data->evaluation(config, which, 0)->total_terms();
  return target;
}

/// Evaluates a target. Throws DivergedError for a loss that is not finite.
Scored score(Communicator& ranks, const OpenModel& model, const Target& target,
             const Options& options, Outputs& outputs) {
  Scored scored{subject_of(model, target, options),
                &model.task->traits(),
                ranks.size(),
                backend(model.session.device()).description(),
                evaluate(ranks, model, target, options, outputs),
                {},
                count_without_target(*target.set)};
  if (scored.result.complete && !std::isfinite(scored.result.loss)) {
    throw DivergedError(
        "{}: the loss over the {} split is {}, though all weights are finite: the run has "
        "diverged, and this is no score. Name an earlier checkpoint",
        model.checkpoint.path, target.split, scored.result.loss);
  }
  if (outputs.analysis) scored.tables = outputs.analysis->tables();
  return scored;
}

int stopped(Communicator& ranks, const Scored& scored) {
  if (ranks.rank() == 0) {
    spdlog::warn("stopped after {} {}; nothing was written", scored.result.terms,
                 scored.traits->terms);
  }
  return static_cast<int>(ExitCode::interrupted);
}

/// B of --compare before it is scored: a file of losses, which rank 0 reads, or a model.
struct Other {
  bool is_stored = false;
  std::optional<StoredLosses> stored;
  Options options;
  std::optional<OpenModel> model;
  std::optional<Target> target;
};

ComparedTerms terms_of(const OpenModel& model, const Target& target) {
  return {std::string(name(model.task->config().task)), target.split, target.data,
          target.set->total_terms(), has_term_losses(*target.set) ? 0 : target.set->items()};
}

Config config_of_other(const Options& options) {
  try {
    return given_config(options);
  } catch (const ConfigError& error) {
    throw ConfigError("--compare: {}", error.what());
  }
}

/// Opens B. Throws ConfigError if it is no score of the same terms, before A is scored.
Other open_other(Communicator& ranks, const OpenModel& model, const Target& target,
                 const Options& options) {
  Other other;
  std::error_code ignored;
  const bool is_file = std::filesystem::is_regular_file(options.compare, ignored);
  other.is_stored = ranks.broadcast(is_file ? "file" : "run", "what --compare names") == "file";
  const ComparedTerms own = terms_of(model, target);
  if (other.is_stored) {
    if (ranks.rank() != 0) return other;
    other.stored = read_term_losses(options.compare);
    require_comparable(own, terms_of(*other.stored), options.compare);
    return other;
  }
  other.options = options;
  other.options.run = options.compare;
  other.options.checkpoint = other.options.config = "";
  other.options.predictions = other.options.per_token = "";
  other.options.no_analysis = true;
  other.model.emplace(open_model(ranks, config_of_other(other.options), other.options));
  other.target.emplace(target.text ? text_target(*other.model, *target.text)
                                   : open_split(*other.model, options.split, options));
  require_comparable(own, terms_of(*other.model, *other.target), options.compare);
  return other;
}

/// Nothing if the evaluation was stopped.
std::optional<OtherScore> score_other(Communicator& ranks, const Other& other) {
  if (other.is_stored) return ranks.rank() == 0 ? score_of(*other.stored) : OtherScore{};
  Outputs outputs(ranks, *other.model, *other.target, other.options);
  const Scored scored = score(ranks, *other.model, *other.target, other.options, outputs);
  if (!scored.result.complete) return std::nullopt;
  return OtherScore{.name = other.options.run,
                    .what = name_of(scored),
                    .losses = outputs.losses ? outputs.losses->loss : std::vector<double>{},
                    .means = scored.result.means,
                    .json = to_json(scored)};
}

/// On rank 0.
void write_comparison(const Scored& scored, const OtherScore& other, const Target& target,
                      const Options& options) {
  const Comparison comparison = compare(scored, other, *target.set);
  if (options.print_text()) {
    print(scored, options.run.empty() ? options.checkpoint : options.run, other, comparison);
  }
  if (!options.json.empty()) write_json(options.json, to_json(scored, other, comparison));
}

/// On rank 0.
void write_score(const Scored& scored, const Outputs& outputs, const OpenModel& model,
                 const Target& target, const Options& options) {
  if (!target.text) {
    if (options.print_text()) print(scored, options.curve);
    if (!options.json.empty()) write_json(options.json, to_json(scored));
    return;
  }
  std::vector<LineScore> lines;
  if (options.per_line) {
    lines = scores_of_lines(*target.text, *outputs.losses, vocabulary_of(model));
  }
  if (options.print_text()) print(*target.text, scored, lines);
  if (!options.json.empty()) write_json(options.json, to_json(*target.text, scored, lines));
}

}  // namespace

int score_all_splits(Communicator& ranks, const OpenModel& model, const Options& options) {
  std::vector<Scored> all;
  for (const Split split : kSplits) {
    const std::string split_name(name(split));
    if (!model.data->has_split(model.task->config(), split)) {
      if (ranks.rank() == 0) spdlog::info("{} has no {} split", model.data->path(), split_name);
      continue;
    }
    const Target target = open_split(model, split_name, options);
    if (const WithoutTarget without = count_without_target(*target.set); without.items > 0) {
      if (ranks.rank() == 0) {
        spdlog::warn("the {} split is left out: {} of its {} {} have no target", split_name,
                     without.items, without.of, model.task->traits().examples);
      }
      continue;
    }
    Outputs outputs(ranks, model, target, options);
    all.push_back(score(ranks, model, target, options, outputs));
    if (!all.back().result.complete) return stopped(ranks, all.back());
    if (ranks.rank() == 0) store(all.back(), options);
  }
  if (ranks.rank() != 0 || all.empty()) return 0;
  if (options.print_text()) print_table(all, options.curve);
  nlohmann::json json{{"split", "all"}, {"splits", nlohmann::json::array()}};
  for (const Scored& scored : all) json["splits"].push_back(to_json(scored));
  if (!options.json.empty()) write_json(options.json, json);
  return 0;
}

int score_one(Communicator& ranks, const OpenModel& model, const Options& options) {
  const Target target = options.text.empty() ? open_split(model, options.split, options)
                                             : text_target(model, read_text(ranks, options.text));
  require_targets(count_without_target(*target.set), model, options);
  std::optional<Other> other;
  if (!options.compare.empty()) other = open_other(ranks, model, target, options);
  Outputs outputs(ranks, model, target, options);
  const Scored scored = score(ranks, model, target, options, outputs);
  if (!scored.result.complete) return stopped(ranks, scored);
  const bool first = ranks.rank() == 0;
  if (first && !target.text) store(scored, options);
  if (!other) {
    if (first) write_score(scored, outputs, model, target, options);
  } else {
    const std::optional<OtherScore> other_score = score_other(ranks, *other);
    if (!other_score) return stopped(ranks, scored);
    if (first) write_comparison(scored, *other_score, target, options);
  }
  outputs.finish(scored, model.task->config().task);
  return 0;
}

namespace {

std::string line_of(const CoveredWindow& one) {
  return nlohmann::ordered_json{{"window", one.item},
                                {"sample", one.sample},
                                {"loss", one.loss},
                                {"renorm_loss", one.renorm_loss},
                                {"coverage", one.coverage}}
      .dump();
}

nlohmann::json to_json(const Correlation& correlation) {
  return {{"value", correlation.value}, {"stderr", correlation.stderr_}};
}

void print(const CoverageResult& result, const Options& options) {
  std::cout << fmt::format(
      "sub-models sample {:.1f}% of the {} strongest connections of each target\n",
      100 * result.coverage, options.strongest);
  if (result.windows == 0) {
    std::cout << "no correlation of that with their loss: it takes a window in which sub-models "
                 "differ in both\n";
    return;
  }
  std::cout << fmt::format(
      "correlation of that with their loss, within windows: Pearson {:+.3f} (standard error {}), "
      "Spearman {:+.3f} ({}), mean of {} {}\n",
      result.pearson.value, error_text(result.pearson.stderr_), result.spearman.value,
      error_text(result.spearman.stderr_), result.windows,
      result.windows == 1 ? "window" : "windows");
}

}  // namespace

int study_coverage(Communicator& ranks, const OpenModel& model, const Options& options) {
  const Target target = open_split(model, options.split, options);
  const bool first = ranks.rank() == 0;
  std::optional<PredictionFile> file;
  if (first) file.emplace(options.coverage, "--coverage");
  const int64_t samples = options.samples > 0 ? options.samples : model.task->config().eval.samples;
  Progress progress("windows", target.set->items());
  CoverageOptions how{.strongest = options.strongest, .samples = samples, .ranks = &ranks};
  how.on_window = [&](const CoveredWindow& one) {
    if (file) file->add(line_of(one));
  };
  how.progress = [&](int64_t done) {
    if (first) progress.update(done, "", false);
    return !StopSignal::requested();
  };
  const CoverageResult result = measure_coverage(model.session.model(), *model.task, *target.set,
                                                 how, model.session.device());
  progress.clear();
  if (!result.complete) {
    if (first) spdlog::warn("stopped; nothing was written");
    return static_cast<int>(ExitCode::interrupted);
  }
  if (!first) return 0;
  if (options.print_text()) print(result, options);
  file->finish();
  if (options.json.empty()) return 0;
  write_json(options.json, {{"strongest", options.strongest},
                            {"samples", samples},
                            {"split", options.split},
                            {"step", model.checkpoint.step},
                            {"tokens", target.set->total_terms()},
                            {"coverage", result.coverage},
                            {"windows", result.windows},
                            {"pearson", to_json(result.pearson)},
                            {"spearman", to_json(result.spearman)}});
  return 0;
}

/// A long evaluation should not end with this.
void warn_of_read_only(const std::string& run) {
  if (run.empty() || can_be_written(run)) return;
  spdlog::warn("{}: cannot be written ({}): the score is printed, but not stored there", run,
               std::error_code(errno, std::generic_category()).message());
}

}  // namespace ssa
