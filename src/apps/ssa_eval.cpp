// ssa-eval: scores a trained model, dense or as an ensemble of randomly drawn sub-models.

#include <iostream>

#include <spdlog/spdlog.h>

#include "ssa/eval/evaluate_lm.h"
#include "ssa/train/lm_session.h"
#include "ssa/train/progress.h"
#include "ssa/train/run_state.h"
#include "ssa/train/stop_signal.h"

#include "apps/app.h"

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
  bool curve = false;
  std::string json;
};

struct Scored {
  EvalMode mode;
  int64_t samples;
  int64_t step;
  EvalResult result;
};

/// Standard deviation of the single sub-models' scores; the first one's stands for where they lie.
double spread(const EvalResult& result, const LmMetric& metric) {
  return metric.deviation(result.curve.front().loss, result.spread);
}

nlohmann::json to_json(const Scored& scored, const Options& options, const LmMetric& metric) {
  const EvalResult& result = scored.result;
  nlohmann::json json{{"mode", scored.mode == EvalMode::renorm ? "renorm" : "ensemble"},
                      {"split", options.split},
                      {"samples", scored.samples},
                      {"step", scored.step},
                      {"tokens", result.tokens},
                      {"loss", result.loss},
                      {metric.key(), metric.value(result.loss)},
                      {"seconds", result.seconds}};
  json["curve"] = nlohmann::json::array();
  for (const CurvePoint& point : result.curve) {
    json["curve"].push_back({{"samples", point.samples},
                             {"value", metric.value(point.loss)},
                             {"stderr", metric.deviation(point.loss, point.stderr_)}});
  }
  if (scored.mode == EvalMode::ensemble) json["spread"] = spread(result, metric);
  return json;
}

void print(const Scored& scored, const Options& options, const LmMetric& metric) {
  const EvalResult& result = scored.result;
  std::cout << fmt::format("{} {} of step {}: {}, loss {:.4f} nats, {} {}, {}\n", options.split,
                           scored.mode == EvalMode::renorm
                               ? std::string("renorm")
                               : fmt::format("ensemble of {}", scored.samples),
                           scored.step, metric.text(result.loss), result.loss, result.tokens,
                           metric.tokens(), format_duration(result.seconds));
  if (scored.mode == EvalMode::ensemble) {
    std::cout << fmt::format("single sub-models spread by {:.4f} {}; {:.2f} s a sample\n",
                             spread(result, metric), metric.label(),
                             result.seconds / static_cast<double>(scored.samples));
  }
  if (!options.curve) return;
  std::cout << fmt::format("samples  {:>10}  stderr\n", metric.label());
  for (const CurvePoint& point : result.curve) {
    std::cout << fmt::format("{:7}  {:10.4f}  {:.4f}\n", point.samples, metric.value(point.loss),
                             metric.deviation(point.loss, point.stderr_));
  }
}

EvalMode mode_of(const std::string& text, EvalMode configured) {
  if (text.empty()) return configured;
  return text == "ensemble" ? EvalMode::ensemble : EvalMode::renorm;
}

/// Scoring another text is fine, as long as nobody takes it for the run's.
void warn_of_other_data(const LoadedCheckpoint& checkpoint, const TokenDataset& dataset) {
  const std::string difference =
      data_difference(run_state_from_json(checkpoint.state_json, checkpoint.path), dataset.info());
  if (difference.empty()) return;
  spdlog::warn("{} is not what {} was trained on: it has {}", dataset.path(), checkpoint.path,
               difference);
}

int run(const Options& options) {
  if (options.run.empty() == options.checkpoint.empty() ||
      options.checkpoint.empty() != options.config.empty()) {
    throw ConfigError("give either --run DIR, or --checkpoint DIR with --config FILE");
  }
  const std::string config_path =
      options.run.empty() ? options.config : options.run + "/config.yaml";
  const Config given = load_config(config_path, options.set);
  const Split split = split_from_name(options.split);
  const TokenDataset dataset = TokenDataset::open(given.data.path);
  const Config config = config_for_data(given, dataset);
  const LmMetric metric(config.task);
  LmSession session(config, device_from_name(options.device));
  const LoadedCheckpoint checkpoint =
      options.run.empty() ? open_checkpoint(options.checkpoint) : latest_checkpoint_of(options.run);
  session.load(checkpoint.model);
  warn_of_other_data(checkpoint, dataset);

  Scored scored;
  scored.mode = mode_of(options.mode, config.eval.mode);
  scored.step = checkpoint.step;
  scored.samples = scored.mode == EvalMode::renorm ? 1
                   : options.samples > 0           ? options.samples
                                                   : config.eval.samples;
  const int64_t tokens = dataset.split_size(split);
  Progress progress(std::string(metric.tokens()),
                    options.max_tokens > 0 ? std::min(options.max_tokens, tokens) : tokens);
  const EvalOptions how{
      .mode = scored.mode,
      .samples = scored.samples,
      .max_tokens = options.max_tokens,
      .batch_size = config.eval.batch_size > 0 ? config.eval.batch_size
                                               : std::max<int64_t>(1, config.train.micro_batch),
      .progress = [&](const EvalProgress& now) {
        progress.update(now.done, fmt::format("{} {}", options.split, metric.text(now.loss)),
                        false);
        return !StopSignal::requested();
      }};
  scored.result = evaluate_lm(session.model(), config, dataset, split, how, session.device());
  progress.clear();
  if (!scored.result.complete) {
    spdlog::warn("stopped after {} {}; nothing was written", scored.result.tokens, metric.tokens());
    return static_cast<int>(ExitCode::interrupted);
  }
  const nlohmann::json json = to_json(scored, options, metric);
  if (options.json != "-") print(scored, options, metric);  // standard output is for one of them
  if (!options.json.empty()) write_json(options.json, json);
  if (!options.run.empty()) {
    write_json(fmt::format("{}/eval-{}-{}.json", options.run, json["mode"].get<std::string>(),
                           options.split),
               json);
  }
  return 0;
}

}  // namespace
}  // namespace ssa

int main(int argc, char** argv) {
  const ssa::AppInfo info{
      "ssa-eval", "Score a trained model: renorm (dense) or ensemble of sub-models",
      "  ssa-eval --run runs/enwik8_mini_s6_l4 --mode renorm\n"
      "  ssa-eval --run runs/enwik8_mini_s6_l4 --mode ensemble --samples 50 --split valid --curve\n"
      "  ssa-eval --checkpoint runs/a/checkpoints/step-600 --config runs/a/config.yaml --json -"};
  return ssa::run_app(argc, argv, info, [](CLI::App& app) -> std::function<int()> {
    auto options = std::make_shared<ssa::Options>();
    app.add_option("--run", options->run, "Run folder; its newest valid checkpoint is scored");
    app.add_option("--checkpoint", options->checkpoint, "Checkpoint folder, with --config");
    app.add_option("--config", options->config, "Config of the checkpoint");
    app.add_option("--mode", options->mode, "renorm or ensemble (default: eval.mode)")
        ->check(CLI::IsMember({"renorm", "ensemble"}));
    app.add_option("--samples", options->samples, "Sub-models drawn (default: eval.samples)")
        ->check(CLI::Range(1, 65536));
    app.add_option("--split", options->split, "valid or test (train works too)")
        ->check(CLI::IsMember({"train", "valid", "test"}))
        ->capture_default_str();
    app.add_option("--max-tokens", options->max_tokens, "Score only the first this many (0: all)");
    app.add_option("--set", options->set, "key=value …: override keys of the config");
    app.add_option("--device", options->device, "auto, cpu, cuda or reference")
        ->capture_default_str();
    app.add_flag("--curve", options->curve, "Print the score for 1, 2, … samples");
    app.add_option("--json", options->json, "Write the result to a file (- is standard output)");
    return [options] { return ssa::run(*options); };
  });
}
