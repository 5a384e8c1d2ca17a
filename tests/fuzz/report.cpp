// Makes the page about a run whose metrics.jsonl may be anything, and so may its scores, config
// changes and sample text ("=== NAME").

#include "ssa/report/report.h"

#include "ssa/core/error.h"

#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

constexpr const char* kConfig =
    "task: byte_lm\n"
    "model: {layers: 2, width: 8, heads: 2, ffn_width: 8}\n"
    "ssa: {kind: local, windows: 2}\n"
    "data: {name: enwik8, path: d, length: 16}\n"
    "train: {steps: 20, batch_size: 2}\n";

/// The run's folder, with its config.
const std::string& run_folder() {
  static const std::string path = [] {
    std::string made = folder() / "run";
    std::filesystem::create_directories(made);
    testing::write_bytes(made + "/config.yaml", kConfig);
    return made;
  }();
  return path;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
  return found;
}

void check_page(const std::string& page) {
  require(count(page, "<script") == 0, "what a file says is text on the page");
  require(count(page, "<svg") == count(page, "</svg>"), "plots are whole");
  require(page.ends_with("</html>\n"), "the page is whole");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Parts parts = parts_of(text_of(data, size), "metrics.jsonl");
  write_parts(parts, run_folder(),
              {"metrics.jsonl", "eval-renorm-test.json", "eval-ensemble-valid.json",
               "config-changes.json", "sample.txt"});
  check_page(render_report({run_folder()}));
  return 0;
}
