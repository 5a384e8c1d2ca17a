// What the page shows of the analysis of predictions, whatever the task.

#include <cmath>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "ssa/core/philox.h"
#include "ssa/report/report.h"
#include "ssa/tasks/analysis_json.h"
#include "ssa/tasks/classification_analysis.h"

#include "report/bar_chart.h"
#include "report/report_test_support.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// The analysis of a made-up classifier: its first classes are the hardest ones.
std::vector<EvalTable> classifier_tables(int64_t classes, bool ensemble) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < classes; ++i) names.push_back(fmt::format("class <{}>", i));
  ClassificationAnalysis analysis(names, [classes](int64_t item) { return item % classes; });
  const RngKey key{.seed = ensemble ? 2u : 1u, .purpose = RngPurpose::test};
  for (int64_t item = 0; item < 20 * classes; ++item) {
    const uint32_t word = key.word(static_cast<uint64_t>(item));
    const bool wrong = static_cast<int64_t>(word % 64) > 16 + 48 * (item % classes) / classes;
    const double confidence = wrong ? 0.4 + (word >> 8) % 32 / 80.0 : 0.5 + (word >> 8) % 32 / 66.0;
    std::vector<double> p(static_cast<size_t>(classes),
                          (1 - confidence) / static_cast<double>(classes - 1));
    p[static_cast<size_t>((item + (wrong ? 1 + word / 64 % 2 : 0)) % classes)] = confidence;
    for (double& one : p) one = std::log(one);
    const Spread spread{{}, {(1 - confidence) * (word >> 16) / 1e5}};
    analysis.add({item, p, ensemble ? &spread : nullptr});
  }
  return analysis.tables();
}

void add_score(const std::string& dir, const std::string& mode, const nlohmann::json& analysis) {
  nlohmann::json score = {{"mode", mode},
                          {"split", "test"},
                          {"step", 100},
                          {"loss", 2},
                          {"samples", mode == "renorm" ? 1 : 50}};
  score["analysis"] = analysis;
  write_bytes(dir + "/eval-" + mode + "-test.json", score.dump());
}

/// A run with a renorm and an ensemble score of a classifier.
std::string make_classifier(const TempDir& folder, const std::string& name, int64_t classes) {
  const std::string dir = make_run(folder, name, tiny_config(kLocal));
  add_score(dir, "renorm", to_json(classifier_tables(classes, false)));
  add_score(dir, "ensemble", to_json(classifier_tables(classes, true)));
  return dir;
}

/// The text between a heading and the next one.
std::string block(const std::string& section, const std::string& title) {
  const size_t begin = section.find(title + ", test split<");
  if (begin == std::string::npos) return {};
  return section.substr(begin, section.find("<h3>", begin) - begin);
}

}  // namespace

TEST_CASE("the analysis of predictions is drawn for renorm and ensemble side by side") {
  const TempDir folder;
  const std::string page = render_report({make_classifier(folder, "a", 10)});
  const std::string section = part(page, "analysis");
  CHECK(count(section, "<h3>") == 5);

  const std::string calibration = block(section, "Calibration");
  CHECK(count(calibration, "<tr>") == 3);  // headings, renorm, ensemble in one table
  CHECK(contains(calibration, ">Brier score</th>"));
  CHECK(contains(calibration, ">ensemble of 50</th>"));

  const std::string classes = block(section, "Accuracy of each class");
  CHECK(count(classes, "<figure>") == 2);
  CHECK(count(classes, "class=\"bar c0\"") == 20);
  CHECK(contains(classes, ">class &lt;0&gt;</text>"));
  CHECK(contains(classes, "items 20</title>"));

  const std::string confusions = block(section, "Most frequent confusions");
  CHECK(count(confusions, "<table") == 2);
  CHECK(contains(confusions, "<th scope=\"row\">class &lt;"));

  const std::string reliability = block(section, "Reliability");
  CHECK(count(reliability, "<path class=\"dashed none\"") == 2);
  CHECK(contains(reliability, ">mean confidence</text>"));

  const std::string spread = block(section, "Accuracy against the spread of sub-models");
  CHECK(count(spread, "<figure>") == 1);
  CHECK(count(spread, "class=\"dot ") == 10);
  CHECK_FALSE(contains(spread, "class=\"dashed"));
  check_self_contained(page);
}

TEST_CASE("the lowest of many classes are shown, the same ones for each score") {
  const TempDir folder;
  const std::string section = part(render_report({make_classifier(folder, "a", 100)}), "analysis");
  const std::string classes = block(section, "Accuracy of each class");
  CHECK(contains(classes, "The 30 lowest of 100."));
  CHECK(count(classes, "class=\"bar") == 60);
  CHECK(count(classes, ">class &lt;0&gt;</text>") == 2);
  CHECK(count(classes, ">class &lt;99&gt;</text>") == 0);
}

TEST_CASE("several runs are named, many are folded") {
  const TempDir folder;
  std::vector<std::string> runs;
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    runs.push_back(make_classifier(folder, name, 4));
  }
  const std::string two = part(render_report({runs[0], runs[1]}), "analysis");
  CHECK(contains(two, "S1-L4 b, ensemble of 50"));
  CHECK_FALSE(contains(two, "<details>"));
  const std::string page = render_report(runs);
  CHECK(count(part(page, "analysis"), "<details>") == 4);  // all but the single rows
  check_self_contained(page);
}

TEST_CASE("an analysis of another form is left out, and one without numbers draws nothing") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  add_score(dir, "renorm", nlohmann::json::parse(R"({"x": 3, "y": {"drawing": "pie"}})"));
  CHECK(part(render_report({dir}), "analysis").empty());
  add_score(
      dir, "renorm",
      nlohmann::json::parse(
          R"({"x": {"title": "X", "drawing": "curve", "columns": [{"key": "a"}, {"key": "b"}],)"
          R"( "rows": [{"a": null, "b": 1}]}})"));
  CHECK(part(render_report({dir}), "analysis").empty());
}

TEST_CASE("a bar is as long as its value") {
  const std::string html =
      report::render(report::BarChart{.title = "T <",
                                      .style = 3,
                                      .longest = 2,
                                      .bars = {{"half", 1, "about"},
                                               {"none", std::nan(""), ""},
                                               {"a very long name of a class", 3, ""}}});
  CHECK(contains(html, "<figcaption>T &lt;</figcaption>"));
  CHECK(contains(html, "class=\"bar c3\" x=\"136\" y=\"4.0\" width=\"110.0\""));
  CHECK(contains(html, "width=\"0.0\""));
  CHECK(contains(html, "width=\"220.0\""));
  CHECK(contains(html, ">a very long name of …<"));
  CHECK(nesting_problem(html).empty());
}
