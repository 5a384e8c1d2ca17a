// Which options of ssa-eval go together. A file that would not be written is refused: nobody should
// wait for it.

#include "apps/eval_options.h"

#include <array>
#include <tuple>
#include <utility>

#include <spdlog/spdlog.h>

#include "ssa/config/eval_length.h"
#include "ssa/core/error.h"

namespace ssa {

namespace {

using Given = std::pair<const char*, bool>;
/// An option, whether it is given, whether it changes nothing then, and why.
using Idle = std::tuple<const char*, bool, bool, const char*>;

/// What takes one split only.
void check_one_split(const Options& options) {
  if (options.split != "all") return;
  for (const auto& [option, given] :
       std::array{Given("--predictions", !options.predictions.empty()),
                  Given("--per-token", !options.per_token.empty()),
                  Given("--coverage", !options.coverage.empty()),
                  Given("--compare", !options.compare.empty())}) {
    if (given) throw ConfigError("{} takes one split: --split train, valid or test", option);
  }
}

void check_text(const Options& options) {
  if (options.text.empty()) {
    if (options.per_line) throw ConfigError("--per-line is for a text: --text FILE");
    return;
  }
  if (!options.coverage.empty()) throw ConfigError("--coverage is for a split, not for --text");
  if (options.max_tokens > 0) throw ConfigError("--text is scored whole, without --max-tokens");
}

/// Coverage and a comparison print what others do not, and nothing else.
void check_alone(const Options& options) {
  const Given curve("--curve", options.curve), per_line("--per-line", options.per_line);
  if (!options.coverage.empty()) {
    for (const auto& [option, given] :
         std::array{curve, Given("--predictions", !options.predictions.empty()),
                    Given("--per-token", !options.per_token.empty()),
                    Given("--compare", !options.compare.empty()),
                    Given("--mode renorm", options.mode == "renorm")}) {
      if (given) {
        throw ConfigError("--coverage does not go with {}: give them in two commands", option);
      }
    }
  }
  if (options.compare.empty()) return;
  for (const auto& [option, given] : std::array{curve, per_line}) {
    if (given) throw ConfigError("--compare does not go with {}: give it without", option);
  }
}

}  // namespace

void check_options(const Options& options) {
  if (options.json == "-" && options.predictions == "-") {
    throw ConfigError("--json - and --predictions -: only one of them fits on standard output");
  }
  check_one_split(options);
  check_text(options);
  check_alone(options);
}

void check_strongest(const Options& options, const Config& config) {
  if (options.coverage.empty()) return;
  const int64_t length = eval_length(config).tokens;
  if (options.strongest <= length) return;
  throw ConfigError("--strongest {}: a target has {} sources at most", options.strongest, length);
}

void warn_of_idle_options(const Options& options, const Config& config) {
  const bool of_coverage = !options.coverage.empty(), of_text = !options.text.empty();
  const bool dense = !of_coverage && mode_for(options, config) == EvalMode::renorm;
  for (const auto& [option, given, idle, why] : std::array{
           Idle("--samples", options.samples > 0, dense, "renorm is one dense pass"),
           Idle("--curve", options.curve, dense, "renorm is one dense pass"),
           Idle("--curve", options.curve, !dense && of_text, "a text has no curve"),
           Idle("--no-analysis", options.no_analysis, of_coverage, "--coverage has no analysis")}) {
    if (given && idle) spdlog::warn("{} changes nothing: {}", option, why);
  }
}

}  // namespace ssa
