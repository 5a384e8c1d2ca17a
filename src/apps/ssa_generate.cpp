// ssa-generate: continues a text with a trained model.

#include <fstream>
#include <iostream>

#include "ssa/data/lm_batch.h"
#include "ssa/eval/generate.h"
#include "ssa/train/lm_session.h"
#include "ssa/train/stop_signal.h"

#include "apps/app.h"

namespace ssa {
namespace {

struct Options {
  std::string run;
  std::string prompt;
  int64_t length = 0;
  SamplingOptions sampling;
  std::string device = "auto";
  std::string output;
};

int run(const Options& options) {
  const Config config = load_config(options.run + "/config.yaml");
  LmSession session(config, device_from_name(options.device));
  session.load(latest_checkpoint_of(options.run).model);

  std::ofstream file;
  if (!options.output.empty()) {
    file.open(options.output, std::ios::binary);
    if (!file) throw ConfigError("--output {}: cannot be written", options.output);
  }
  std::ostream& out = options.output.empty() ? std::cout : file;
  // As in training: the start symbol stands before the first byte of a text.
  std::vector<int32_t> prompt = {kStartByte};
  for (const char c : options.prompt) prompt.push_back(static_cast<unsigned char>(c));
  out << options.prompt;
  const auto emit = [&](int32_t token) {
    out.put(static_cast<char>(token));
    out.flush();
    return !StopSignal::requested();
  };
  generate(session.model(), config.model.layers, prompt, options.length, config.data.length,
           options.sampling, session.device(), emit);
  out << '\n';
  out.flush();
  if (!out)
    throw ConfigError("the text could not be written to {}",
                      options.output.empty() ? "standard output" : options.output);
  return StopSignal::requested() ? static_cast<int>(ExitCode::interrupted) : 0;
}

}  // namespace
}  // namespace ssa

int main(int argc, char** argv) {
  const ssa::AppInfo info{
      "ssa-generate", "Continue a text with a trained model",
      "  ssa-generate --run runs/enwik8_mini_s6_l4_ft --prompt '== History ==' --length 300\n"
      "  ssa-generate --run runs/a --length 500 --temperature 0.8 --top-p 0.95 --seed 7"};
  return ssa::run_app(argc, argv, info, [](CLI::App& app) -> std::function<int()> {
    auto options = std::make_shared<ssa::Options>();
    app.add_option("--run", options->run, "Run folder; its newest valid checkpoint is used")
        ->required();
    app.add_option("--prompt", options->prompt, "Text to continue");
    app.add_option("--length", options->length, "Tokens (bytes) to add")
        ->required()
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
    app.add_option("--temperature", options->sampling.temperature,
                   "Below 1 sharper, above 1 flatter, 0 always the likeliest")
        ->capture_default_str();
    app.add_option("--top-k", options->sampling.top_k, "Draw among the k likeliest (0: all)")
        ->capture_default_str();
    app.add_option("--top-p", options->sampling.top_p,
                   "Draw among the likeliest that together reach this probability")
        ->capture_default_str();
    app.add_option("--seed", options->sampling.seed, "Another seed, another text")
        ->capture_default_str();
    app.add_option("--device", options->device, "auto, cpu, cuda or reference")
        ->capture_default_str();
    app.add_option("--output", options->output, "File for the text (default: standard output)");
    return [options] { return ssa::run(*options); };
  });
}
