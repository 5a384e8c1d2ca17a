// ssa-eval: scores a trained model, either dense or as an ensemble of randomly drawn sub-models.

#include <filesystem>
#include <optional>

#include <spdlog/spdlog.h>

#include "ssa/dist/agreement.h"
#include "ssa/ops/packed_weights.h"
#include "ssa/storage/file_io.h"
#include "ssa/storage/weights_file.h"
#include "ssa/tasks/load.h"
#include "ssa/train/checkpoint_config.h"
#include "ssa/train/device_ranks.h"
#include "ssa/train/model_session.h"
#include "ssa/train/run_state.h"

#include "apps/app.h"
#include "apps/early_config.h"
#include "apps/score_model.h"
#include "apps/whole_number.h"

namespace ssa {

EvalMode mode_for(const Options& options, const Config& config) {
  if (options.mode.empty()) return config.eval.mode;
  return options.mode == "ensemble" ? EvalMode::ensemble : EvalMode::renorm;
}

int64_t samples_for(const Options& options, const Config& config) {
  if (mode_for(options, config) == EvalMode::renorm) return 1;
  return options.samples > 0 ? options.samples : config.eval.samples;
}

EvalWeights weights_for(const Options& options, const Config& config) {
  if (options.weights.empty() || options.in_int8()) return config.eval.weights;
  return options.weights == "trained" ? EvalWeights::trained : EvalWeights::average;
}

namespace {

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

/// Throws ConfigError for --weights average of a checkpoint without one.
const SafetensorsFile& weights_of(const LoadedCheckpoint& checkpoint, const Options& options,
                                  const Config& config) {
  if (options.weights == "average" && !checkpoint.average) {
    throw ConfigError(
        "--weights average: {} has the trained weights only, because its run had train.ema_decay "
        "= 0",
        checkpoint.path);
  }
  if (options.weights == "trained" && checkpoint.only_average) {
    throw ConfigError("--weights trained: {} has the moving average of the weights only",
                      checkpoint.path);
  }
  const bool trained = weights_for(options, config) == EvalWeights::trained;
  return trained ? checkpoint.model : best_weights(checkpoint);
}

/// Ranks that differ would each score something else.
void require_same_command(Communicator& ranks, const Options& options, const Config& config) {
  Statements own = flatten_config(config);
  own.insert(own.end(),
             {{"--run", stated_path(options.run)},
              {"--checkpoint", stated_path(options.checkpoint)},
              {"mode", std::string(name(mode_for(options, config)))},
              {"samples", std::to_string(samples_for(options, config))},
              {"split", options.split},
              {"--predictions", options.predictions.empty() ? "not given" : "given"},
              {"--compare", stated_path(options.compare)},
              {"--text", stated_path(options.text)},
              {"losses of tokens", options.wants_term_losses() ? "wanted" : "not wanted"},
              {"analysis", options.no_analysis ? "not wanted" : "wanted"},
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

/// The config that the weights were trained under: the checkpoint's own; of an older one, what
/// config.yaml says without --set.
Config config_of_training(const LoadedCheckpoint& checkpoint, const std::string& config_path,
                          const TaskData* data) {
  if (const auto config = config_of(checkpoint)) return *config;
  const Config config = load_task_config(config_path);
  return data ? data->settled(config) : config;
}

bool is_language_model(TaskKind task) {
  return task == TaskKind::byte_lm || task == TaskKind::word_lm || task == TaskKind::token_lm;
}

}  // namespace

Config given_config(const Options& options) {
  const bool has_config =
      options.run.empty() && options.config.empty() && names_weights_file(options.checkpoint);
  const bool of_run = !options.run.empty() && options.config.empty();
  const bool of_checkpoint =
      options.run.empty() && !options.checkpoint.empty() && !options.config.empty();
  if (options.run.empty() && !options.checkpoint.empty() && !path_exists(options.checkpoint)) {
    throw CheckpointError("there is no checkpoint '{}'", options.checkpoint);
  }
  if (!has_config && !of_run && !of_checkpoint) {
    throw ConfigError(
        "give either --run DIR, with --checkpoint best or step-N for another than its newest; or "
        "--checkpoint DIR with --config FILE; or as --checkpoint a file that `ssa-convert export "
        "--layout ssa` has written");
  }
  check_options(options);
  if (has_config) return config_in_weights_file(options.checkpoint, options.set);
  return load_task_config(options.run.empty() ? options.config : config_of_run(options.run),
                          options.set);
}

OpenModel open_model(Communicator& ranks, const Config& given, const Options& options) {
  const std::string config_path =
      options.run.empty() ? options.config : options.run + "/config.yaml";
  LoadedCheckpoint checkpoint = checkpoint_for(ranks, options);
  std::unique_ptr<TaskData> data;
  if (options.text.empty()) data = open_data(make_task, given, [&] { return &checkpoint; });
  std::unique_ptr<Task> task = make_task(data ? data->settled(given) : given);
  Config run_config = config_of_training(checkpoint, config_path, data.get());
  require_same_function(run_config, task->config(), checkpoint.path);
  if (data) require_same_vocabulary(checkpoint, data->identity());
  ModelSession session(*task, device_of_rank(options.device, ranks));
  session.load(weights_of(checkpoint, options, task->config()));
  session.require_finite(checkpoint.path);
  require_same_files(ranks, checkpoint, data ? data->identity() : DataIdentity{});
  if (ranks.rank() == 0) {
    if (options.text.empty()) warn_of_other_data(checkpoint, *data);
    warn_of_nothing_to_draw(mode_for(options, task->config()), task->config());
  }
  return {std::move(checkpoint), std::move(data), std::move(task), std::move(run_config),
          std::move(session)};
}

namespace {

/// Coverage looks at attention weights, which fused attention does not store.
Config config_for(const Config& given, const Options& options) {
  Config config = given;
  if (!options.coverage.empty()) config.model.attention = AttentionKind::materialized;
  return config;
}

int scored(Communicator& ranks, const OpenModel& model, const Options& options) {
  std::optional<ops::UseInt8Weights> int8;
  if (options.in_int8()) int8.emplace();
  if (!options.coverage.empty()) return study_coverage(ranks, model, options);
  const bool all = options.text.empty() && options.split == "all";
  return all ? score_all_splits(ranks, model, options) : score_one(ranks, model, options);
}

int run(Communicator& ranks, const Config& given, const Options& options) {
  require_same_command(ranks, options, given);
  const std::string_view option = options.coverage.empty() ? "--text" : "--coverage";
  const bool needs_text = !options.text.empty() || !options.coverage.empty();
  if (needs_text && !is_language_model(given.task)) {
    throw ConfigError("{} is for models of texts; the task of this one is {}", option,
                      name(given.task));
  }
  check_strongest(options, given);
  if (ranks.rank() == 0) {
    check_result_path("--json", options.json);
    warn_of_idle_options(options, given);
  }
  const OpenModel model = open_model(ranks, config_for(given, options), options);
  if (ranks.rank() == 0 && !needs_text) warn_of_read_only(options.run);
  const int code = scored(ranks, model, options);
  if (code == 0) ranks.barrier("the result");  // all ranks succeed, or none
  return code;
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
      "  ssa-eval --run runs/enwik8_mini_s6_l4 --split all\n"
      "  ssa-eval --run runs/enwik8_mini_s6_l4 --compare runs/enwik8_mini_s0\n"
      "  ssa-eval --run runs/enwik8_mini_s6_l4 --text chapter.txt --per-line\n"
      "  ssa-eval --run runs/enwik8_mini_s6_l4 --predictions losses.jsonl\n"
      "  mpirun -n 8 ssa-eval --run runs/enwik8_mini_s6_l4 --mode ensemble"};
  return ssa::run_app(argc, argv, info, [](CLI::App& app) -> std::function<int()> {
    auto options = std::make_shared<ssa::Options>();
    app.add_option("--run", options->run, "Run folder; its newest valid checkpoint is scored");
    app.add_option("--checkpoint", options->checkpoint,
                   "With --run: best, latest or step-N. With --config: a checkpoint folder. Or a "
                   "file of ssa-convert, which has its own config");
    app.add_option("--config", options->config, "Config of the checkpoint");
    app.add_option("--mode", options->mode, "renorm or ensemble (default: eval.mode)")
        ->check(CLI::IsMember({"renorm", "ensemble"}));
    app.add_option("--samples", options->samples, "Sub-models drawn (default: eval.samples)")
        ->check(ssa::whole_number_between(1, ssa::kMostSamples));
    auto* const split =
        app.add_option("--split", options->split, "Part of the data to score; all: each of them")
            ->check(CLI::IsMember({"train", "valid", "test", "all"}))
            ->capture_default_str();
    app.add_option("--max-tokens", options->max_tokens,
                   "Score only N tokens, images or graphs of the split (0: all)")
        ->check(ssa::whole_number_between(0, int64_t{1} << 60))
        ->capture_default_str();
    app.add_option("--set", options->set, "key=value …: override keys of the config");
    app.add_option("--device", options->device, "auto, cpu, cuda or reference")
        ->capture_default_str();
    app.add_option("--weights", options->weights,
                   "average or trained (default: eval.weights): the moving average of the weights "
                   "where train.ema_decay keeps one, or the weights themselves; int8: the default "
                   "ones, rounded as for ssa-generate --weights int8")
        ->check(CLI::IsMember({"average", "trained", "int8"}));
    app.add_flag("--curve", options->curve, "Print the score for 1, 2, … samples");
    app.add_option("--json", options->json, "Write the result to a file (- is standard output)");
    app.add_flag("--no-analysis", options->no_analysis,
                 "Leave out calibration and the other tables about predictions");
    app.add_option("--predictions", options->predictions,
                   "Write a JSON line for each item to a file (- is standard output)");
    app.add_option("--per-token", options->per_token,
                   "Write the loss of each token to a safetensors file");
    app.add_option("--compare", options->compare,
                   "Score this run too, or take its file of --per-token: the difference with its "
                   "paired standard error");
    app.add_option("--text", options->text,
                   "Score this file of text in place of the data (- is standard input)")
        ->excludes(split);
    auto* const coverage = app.add_option(
        "--coverage", options->coverage,
        "Write a JSON line for each window and sub-model: its loss, and which part of "
        "the strongest connections its plans have sampled (- is standard output)");
    app.add_option("--strongest", options->strongest,
                   "Sources of each target that --coverage counts as strong")
        ->needs(coverage)
        ->check(ssa::whole_number_between(1, int64_t{1} << 20))
        ->capture_default_str();
    app.add_flag("--per-line", options->per_line, "The score of each line of --text");
    return [options] {
      const ssa::EarlyConfig config([&] { return ssa::given_config(*options); });
      return ssa::run_on_ranks("ssa-eval", config,
                               [&](ssa::Communicator& ranks, const ssa::Config& given) {
                                 return ssa::run(ranks, given, *options);
                               });
    };
  });
}
