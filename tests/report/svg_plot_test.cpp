#include "report/svg_plot.h"

#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "report/report_test_support.h"

using namespace ssa::report;
using ssa::testing::contains;
using ssa::testing::count;
using ssa::testing::nesting_problem;

namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

Plot one_line(std::vector<Point> points, LineStyle style = LineStyle::spaced) {
  Plot plot;
  plot.title = "T";
  plot.series.push_back({"line", 2, style, std::move(points)});
  return plot;
}

}  // namespace

TEST_CASE("a plot has its axes' names, ticks and a line from corner to corner") {
  Plot plot = one_line({{0, 0}, {100, 10}});
  plot.x_label = "step";
  plot.y_label = "loss (nats)";
  plot.y_from_zero = true;
  const std::string svg = render(plot);
  CHECK(contains(svg, ">loss (nats)</text>"));
  CHECK(contains(svg, ">step</text>"));
  CHECK(contains(svg, ">100</text>"));
  CHECK(contains(svg, ">10</text>"));
  // From the axes' origin (46, 228) to the right edge, 5% below the top of the 202 high area.
  CHECK(contains(svg, R"(<path class="line c2" d="M46.0 228.0L386.0 35.6"><title>line</title>)"));
  CHECK(contains(svg, "<title>T</title><desc>loss (nats) against step. "));
  CHECK(contains(svg, "line ends at 10.00."));
  CHECK(nesting_problem(svg).empty());
}

TEST_CASE("a point that is not finite is a gap in the line") {
  const std::string svg = render(one_line({{0, 1}, {1, 2}, {2, kNan}, {3, 2}, {4, 1}}));
  const size_t begin = svg.find("<path class=\"line");
  const std::string path = svg.substr(begin, svg.find(">", begin) - begin);
  CHECK(count(path, "M") == 2);
  CHECK(count(path, "L") == 2);
  CHECK_FALSE(contains(svg, "nan"));
}

TEST_CASE("marked lines have a dot at each point that can be seen") {
  Plot plot = one_line({{0, 1}, {1, 2}, {2, kNan}, {3, 500}}, LineStyle::marked);
  plot.y_most = 3;
  const std::string svg = render(plot);
  CHECK(count(svg, "class=\"dot") == 2);
  CHECK(contains(svg, "<title>line: 2.000 at 1.00</title>"));
}

TEST_CASE("a line of a single point is a dot") {
  CHECK(count(render(one_line({{0, kNan}, {1, 2}})), "class=\"dot") == 1);
  Plot beside_a_marked_one = one_line({{1, 2}}, LineStyle::thin);
  CHECK(count(render(beside_a_marked_one), "class=\"dot") == 1);
  beside_a_marked_one.series.front().label.clear();
  CHECK(count(render(beside_a_marked_one), "class=\"dot") == 0);
}

TEST_CASE("a long line has a few markers, at other places for each style") {
  std::vector<Point> points;
  for (int i = 0; i < 300; ++i) points.push_back({static_cast<double>(i), 1});
  Plot plot = one_line(points);
  plot.series.push_back({"other", 3, LineStyle::spaced, points});
  const std::string svg = render(plot);
  CHECK(count(svg, "class=\"dot c2\"") == 4);
  CHECK(count(svg, "class=\"dot c3\"") == 4);
  CHECK(contains(svg, "<title>line: 1.000 at 28.0</title>"));  // 3/8 of the first quarter
  CHECK_FALSE(contains(svg, "<title>other: 1.000 at 28.0</title>"));
}

TEST_CASE("named values stand at equal distances, with whiskers and the best one marked") {
  Plot plot = one_line({{0, 5, 0.5}, {1, 4}, {2, 6}}, LineStyle::marked);
  plot.x_names = {"2", "4", "none"};
  plot.best = Point{1, 4};
  const std::string svg = render(plot);
  CHECK(contains(svg, ">none</text>"));
  CHECK(count(svg, "class=\"whisker c2\"") == 1);
  CHECK(count(svg, "class=\"best\"") == 1);
  CHECK(contains(svg, ">best</text>"));
  CHECK(contains(svg, "<title>line: 5.000 ± 0.50 at 2</title>"));
  CHECK(contains(svg, "<title>line: 6.000 at none</title>"));
  CHECK(nesting_problem(svg).empty());
}

TEST_CASE("a band goes along the upper curve and back along the lower one") {
  Plot plot = one_line({{0, 1}, {10, 1}});
  plot.bands.push_back({5, {0, 10}, {0.5, 0.5}, {1.5, 1.5}});
  const std::string svg = render(plot);
  const size_t begin = svg.find(R"(<path class="band c5" d="M46.0)");
  REQUIRE(begin != std::string::npos);
  const std::string path = svg.substr(begin, svg.find(">", begin) - begin);
  CHECK(count(path, "L") == 3);
  CHECK(contains(path, "Z\""));
}

TEST_CASE("marks are drawn and named once where they lie close together") {
  Plot plot = one_line({{0, 1}, {10, 2}});
  plot.vertical = {{5, 0, "+FT"}, {5.1, 1, "+FT"}};
  plot.horizontal = {{1.5, 0, "renorm"}};
  const std::string svg = render(plot);
  CHECK(count(svg, "class=\"mark ") == 3);
  CHECK(count(svg, ">+FT</text>") == 1);
  CHECK(count(svg, ">renorm</text>") == 1);
}

TEST_CASE("absurd values neither break the picture nor make it large") {
  const double most = std::numeric_limits<double>::max();
  for (const auto& points : std::vector<std::vector<Point>>{{},
                                                            {{0, kNan}},
                                                            {{1, 1}},
                                                            {{0, -most}, {1, most}},
                                                            {{-most, 0}, {most, 1}},
                                                            {{0, most}}}) {
    const std::string svg = render(one_line(points, LineStyle::marked));
    CHECK(svg.size() < 4000);
    CHECK_FALSE(contains(svg, "nan"));
    CHECK_FALSE(contains(svg, "inf"));
    CHECK(nesting_problem(svg).empty());
  }
  CHECK(is_empty(one_line({})));
  CHECK(is_empty(one_line({{0, kNan}})));
  CHECK_FALSE(is_empty(one_line({{0, 1}})));
}

TEST_CASE("texts of a plot are escaped") {
  Plot plot = one_line({{0, 1}, {1, 2}}, LineStyle::marked);
  const std::string hostile = "\"><script>x</script>";
  plot.title = plot.x_label = plot.y_label = plot.series.front().label = hostile;
  plot.vertical = {{0.5, 0, hostile}};
  const std::string svg = render(plot);
  CHECK_FALSE(contains(svg, "<script"));
  CHECK(nesting_problem(svg).empty());
}

TEST_CASE("a counted axis has whole numbers only") {
  Plot plot = one_line({{1, 5}, {2, 6}}, LineStyle::marked);
  plot.x_from_zero = false;
  plot.x_whole = true;
  const std::string svg = render(plot);
  CHECK(contains(svg, ">1</text>"));
  CHECK(contains(svg, ">2</text>"));
  CHECK_FALSE(contains(svg, ">1.2</text>"));
  CHECK_FALSE(contains(svg, ">1.0</text>"));
  CHECK(contains(svg, "<title>line: 6.000 at 2</title>"));
}
