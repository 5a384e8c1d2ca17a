// ssa-report: one self-contained HTML page about one or more runs.

#include <iostream>
#include <memory>

#include "ssa/report/published.h"
#include "ssa/report/report.h"

#include "apps/app.h"

namespace ssa {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string output, published;
};

int run(const Options& options) {
  const std::string output =
      options.output.empty() ? options.runs.front() + "/report.html" : options.output;
  const std::string published = options.published.empty()
                                    ? find_published_results("configs/published_results.json")
                                    : options.published;
  if (options.output.empty()) {
    write_report(options.runs, output, published);
  } else {
    write_result(output, render_report(options.runs, published));
  }
  std::cout << output << '\n';
  return 0;
}

}  // namespace
}  // namespace ssa

int main(int argc, char** argv) {
  const ssa::AppInfo info{"ssa-report",
                          "Make one self-contained page about runs, to open in a browser",
                          "  ssa-report runs/enwik8_mini_s6_l4\n"
                          "  ssa-report runs/s0 runs/s6_l4 runs/s6_l4_ft --output compare.html\n"
                          "  ssa-report runs/enwik8_mini_s6_l4-sweep"};
  return ssa::run_app(argc, argv, info, [](CLI::App& app) -> std::function<int()> {
    auto options = std::make_shared<ssa::Options>();
    app.add_option("RUN", options->runs,
                   "Run folders, the one to compare with first; a sweep folder stands for its runs")
        ->required();
    app.add_option("-o,--output", options->output,
                   "File to write (default: report.html in the first folder)");
    app.add_option("--published", options->published,
                   "JSON table to compare with (default: configs/published_results.json)");
    return [options] { return ssa::run(*options); };
  });
}
