#include <catch2/catch.hpp>

#include "ssa/report/report.h"

#include "report/report_test_support.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("losses that are no nats are not called so") {
  const TempDir folder;
  const std::string text = make_run(folder, "a", tiny_config(kLocal));
  const std::string molecules = make_run(folder, "b",
                                         "task: graph_regression\n"
                                         "model: {layers: 2, width: 8, ffn_width: 16, heads: 2}\n"
                                         "data: {name: molecules, path: d}\n"
                                         "train: {steps: 100, batch_size: 2}\n");
  using Runs = std::vector<std::string>;
  for (const Runs& runs : {Runs{molecules}, Runs{text, molecules}}) {
    const std::string page = render_report(runs);
    CHECK(contains(page, ">validation loss</th>"));
    CHECK(contains(page, ">loss</text>"));
    CHECK_FALSE(contains(page, "nats"));
  }
  CHECK(contains(render_report({text}), "nats"));
}

TEST_CASE("curves of all runs are drawn, with +FT where a run has it") {
  const TempDir folder;
  const std::string a = make_run(folder, "a", tiny_config("kind: none"));
  const std::string b = make_run(folder, "b", tiny_config(kLocal + ", finetune_fraction: 0.1"));
  const std::string page = render_report({a, b});
  const std::string loss = part(page, "loss");
  CHECK(contains(loss, "Loss against steps"));
  CHECK(contains(loss, "training time (s)"));
  CHECK(contains(loss, "forward compute (MFLOP)"));
  for (const char* run : {"c0", "c1"}) {
    CHECK(count(loss, fmt::format("<path class=\"thin {}\"", run)) == 3);
    CHECK(count(loss, fmt::format("<path class=\"dot {}\"", run)) == 9);  // one in the legend
  }
  CHECK(contains(loss, "Bits per byte against steps"));
  CHECK(contains(loss, "bits per byte against step. a ends at 3.030. b ends at 3.030."));
  CHECK(count(loss, "class=\"mark c0\"") == 0);
  CHECK(count(loss, "class=\"mark c1\"") == 4);
  CHECK(count(loss, ">+FT</text>") == 4);
  CHECK(contains(loss, "a ends at 2.100."));
  CHECK(count(part(page, "speed"), "<figure>") == 2);
  CHECK(contains(page, "validation loss against the first run"));
  check_self_contained(page);
}

TEST_CASE("the first validations do not set the axis of a metric of which less is better") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config("kind: none"));
  const auto page_of = [&](int validations) {
    std::string metrics;
    for (int i = 1; i <= validations; ++i) {
      metrics += metrics_line(10 * i, "valid", i < 3 ? 300 : 2 + 0.1 * i);
    }
    write_bytes(dir + "/metrics.jsonl", metrics);
    const std::string loss = part(render_report({dir}), "loss");
    return loss.substr(loss.find("Bits per byte against steps"));
  };
  const auto tick = [](const std::string& plot) { return contains(plot, ">400</text>"); };
  CHECK(tick(page_of(5)));  // too few to leave any out
  CHECK_FALSE(tick(page_of(8)));
  CHECK(contains(page_of(8), ">4.0</text>"));
}

TEST_CASE("an axis that is cut to equal values has labels") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config("kind: none"));
  std::string metrics;
  for (int i = 1; i <= 9; ++i) metrics += metrics_line(10 * i, "valid", i < 4 ? 300 : 2);
  write_bytes(dir + "/metrics.jsonl", metrics);
  const std::string loss = part(render_report({dir}), "loss");
  std::string plot = loss.substr(loss.find("Bits per byte against steps"));
  plot.resize(plot.find("class=\"axis\""));  // what comes before is the y axis
  CHECK(count(plot, "class=\"tick\"") >= 3);
}

TEST_CASE("accuracies have curves over steps and epochs, the best one beside the last") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", classification_config());
  std::string metrics;
  const std::vector<double> top1 = {10, 45.678, 44};
  for (size_t i = 0; i < top1.size(); ++i) {
    const size_t step = 30 * (i + 1);
    metrics += fmt::format(R"({{"step":{},"split":"train","loss":2.5,"elapsed_seconds":{}}})", step,
                           step) +
               "\n" +
               fmt::format(R"({{"step":{},"split":"valid","loss":{},"top1":{},"top5":{}}})", step,
                           2.0 - 0.1 * static_cast<double>(i), top1[i], top1[i] + 20) +
               "\n";
  }
  write_bytes(dir + "/metrics.jsonl", metrics);
  const std::string page =
      render_report({dir}, std::string(SSA_SOURCE_DIR) + "/configs/published_results.json");
  const std::string loss = part(page, "loss");
  for (const char* title :
       {"Top-1 accuracy (%) against steps", "Top-1 accuracy (%) against epochs",
        "Top-5 accuracy (%) against steps", "Top-5 accuracy (%) against epochs"}) {
    CAPTURE(title);
    CHECK(contains(loss, title));
  }
  CHECK(cell(page, "validation top-1 accuracy (%)") == "44.00");
  CHECK(cell(page, "best validation top-1 accuracy (%)") == "45.68 (epoch 6)");
  CHECK(contains(page, "<h1>W4-S0 on imagenet</h1>"));
  CHECK(contains(page, "100 steps (10 epochs)"));
  check_self_contained(page);
}

TEST_CASE("the best validation is given with its step where a run has no epochs") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  write_bytes(dir + "/metrics.jsonl", metrics_line(30, "valid", 2.1) +
                                          metrics_line(60, "valid", 2) +
                                          metrics_line(90, "valid", 2.2));
  const std::string page = render_report({dir});
  CHECK(cell(page, "best validation bits per byte") == "2.885 (step 60)");
  CHECK_FALSE(contains(page, "against epochs"));
}

TEST_CASE("time that steps wait for data is shown where it is more than a hundredth") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  const auto page_of = [&](double waited) {
    std::string metrics;
    for (int step = 10; step <= 30; step += 10) {
      metrics += fmt::format(
          "{{\"step\":{},\"split\":\"train\",\"loss\":2,\"elapsed_seconds\":{},"
          "\"data_wait_seconds\":{}}}\n",
          step, 2 * step, step == 20 ? waited : 0);
    }
    write_bytes(dir + "/metrics.jsonl", metrics);
    return part(render_report({dir}), "speed");
  };
  CHECK_FALSE(contains(page_of(0.2), "Time waiting for data"));
  const std::string shown = page_of(2.4);  // of the 20 seconds of ten steps
  CHECK(contains(shown, "Time waiting for data"));
  CHECK(contains(shown, "% of the step time"));
}

TEST_CASE("losses that are not finite leave gaps") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  std::string metrics;
  for (int step = 1; step <= 30; ++step) {
    metrics += step % 10 == 0
                   ? fmt::format("{{\"step\":{},\"split\":\"train\",\"loss\":null}}\n", step)
                   : metrics_line(step, "train", step == 5 ? 1e300 : 2);
  }
  write_bytes(dir + "/metrics.jsonl", metrics);
  check_self_contained(render_report({dir}));
}

TEST_CASE("losses on different data are not compared") {
  const TempDir folder;
  const std::string first = make_run(folder, "a", tiny_config(kLocal));
  const std::string same = make_run(folder, "b", tiny_config("kind: none"));
  CHECK(contains(render_report({first, same}, ""), "%"));
  const std::string part = tiny_config("kind: none") + "eval: {length: 16}\n";
  for (const std::string& config : {tiny_config("kind: none", "another text"), part}) {
    const std::string other = make_run(folder, "c", config);
    const std::string page = render_report({first, other}, "");
    CHECK(contains(page, "validated on different data"));
    CHECK_FALSE(contains(page, "% above"));
    CHECK_FALSE(contains(page, "+0.00%"));
  }
}
