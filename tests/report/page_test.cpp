#include <catch2/catch.hpp>

#include "ssa/core/error.h"
#include "ssa/report/report.h"
#include "ssa/storage/file_io.h"

#include "report/report_test_support.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("the summary of a run says its numbers") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal + ", finetune_fraction: 0.1"));
  add_evaluations(dir);
  const std::string page = render_report({dir});
  CHECK(contains(page, "<h1>S1-L4+FT on tiny</h1>"));
  CHECK(cell(page, "training loss, nats (last 10 logs)") == "2.045");
  CHECK(cell(page, "validation loss, nats") == "2.100");
  CHECK(cell(page, "validation bits per byte") == "3.030");
  CHECK(cell(page, "valid: bits per byte, renorm") == "3.066");
  CHECK(cell(page, "valid: bits per byte, ensemble") == "2.976 (of 3)");
  CHECK(cell(page, "valid: spread of sub-models") == "0.0125");
  CHECK(cell(page, "test: bits per byte, renorm") == "(no such row)");
  CHECK(cell(page, "steps") == "100 of 100");
  CHECK(cell(page, "step time, median") == "100 ms");
  CHECK(cell(page, "tokens per second, median") == "640");
  CHECK(cell(page, "training time") == "10.0 s");
  CHECK(cell(page, "peak memory") == "1.00 MiB");
  // Per layer 8·64 + 4·8·16 = 1024 and attention 4·8·32 = 1024, in one of two layers a quarter.
  CHECK(cell(page, "C: compute against dense") == "0.831");  // 0.9·(3328/4096) + 0.1
  check_self_contained(page);
}

TEST_CASE("sampled sources are shown for the plans there are") {
  const TempDir folder;
  const std::string dense = make_run(folder, "dense", tiny_config("kind: none"));
  const std::string local = make_run(
      folder, "local", tiny_config("kind: local, windows: 4, sigma: {first: 0.0, last: 0.2}"));
  const std::string tuned = make_run(
      folder, "tuned",
      tiny_config(
          "kind: local, windows: 4, sigma: {first: 0.0, last: 0.2}, finetune_fraction: 0.5"));
  const std::string unbiased = make_run(folder, "u", tiny_config("kind: unbiased, drop: 0.5"));
  CHECK(part(render_report({dense}), "sources").empty());
  const std::string maps = part(render_report({dense, local, tuned, unbiased}), "sources");
  CHECK(count(maps, "<figure>") == 3);  // two layers of `local` and `tuned` together, one of `u`
  CHECK_FALSE(contains(maps, "<details>"));
  CHECK(contains(maps, "Layer 1: 4 windows, σ\u00a00<"));
  CHECK(contains(maps, "Layer 2: 4 windows, σ\u00a00.2<"));
  CHECK(contains(maps, "Layer 2: 50% dropped"));
}

TEST_CASE("pathways have a line for each plan and dense as reference") {
  const TempDir folder;
  const std::string dense = make_run(folder, "dense", tiny_config("kind: none"));
  const std::string local =
      make_run(folder, "local", tiny_config("kind: local, windows: 4, sigma: 0"));
  const std::string tuned = make_run(
      folder, "tuned", tiny_config("kind: local, windows: 4, sigma: 0, finetune_fraction: 0.5"));
  const std::string unbiased = make_run(folder, "u", tiny_config("kind: unbiased, drop: 0.5"));
  CHECK(part(render_report({dense}), "pathways").empty());
  const std::string page = render_report({dense, local, tuned, unbiased});
  const std::string pathways = part(page, "pathways");
  CHECK(count(pathways, "<path class=\"line c1\"") == 2);  // in the legend and in the chart
  CHECK(count(pathways, "<path class=\"line c2\"") == 1);  // draws as `local` does
  CHECK(contains(pathways, "class=\"mark none\""));
  CHECK(contains(pathways, ">dense</text>"));
  // Windows of 8 in 32 positions: the mean of (t mod 8 + 1) / (t + 1) is 0.4248.
  CHECK(contains(pathways, "S2-L4 local: 42.48 at 2"));
  CHECK(contains(pathways, "one layer connects a position with 42.5% of what it may see"));
  check_self_contained(page);
}

TEST_CASE("configs are compared key by key") {
  const TempDir folder;
  const std::string a = make_run(folder, "a", tiny_config("kind: none"));
  const std::string b = make_run(folder, "b", tiny_config(kLocal));
  const std::string config = part(render_report({a, b}), "config");
  CHECK(contains(config, "<code>ssa.kind</code></th><td>none</td><td>local</td>"));
  CHECK_FALSE(contains(config, "<code>model.width</code>"));
  CHECK(count(config, "<details>") == 2);
  const std::string c = make_run(folder, "c", tiny_config("kind: none"));
  CHECK(contains(part(render_report({a, c}), "config"), "all the same"));
  CHECK(contains(part(render_report({a, b, c}), "config"),
                 "<td>none</td><td>local</td><td>none</td>"));
}

TEST_CASE("text from files is shown, never interpreted as markup") {
  const TempDir folder;
  const std::string hostile = "<script src=x>alert(1)</script>";
  const std::string dir =
      make_run(folder, "<img onerror=a>&", tiny_config(kLocal, hostile + "\" onload=\""));
  write_bytes(dir + "/sample.txt", "</pre><svg onload=a>\xff]]>-->" + hostile);
  write_bytes(dir + "/eval-<b>.json",
              R"({"mode":"<i>","split":"\"><u>","loss":1,"curve":[{"samples":1,"value":1}]})");
  write_bytes(dir + "/eval-<i>.json", "no JSON");
  write_bytes(dir + "/metrics.jsonl",
              metrics_line(1, "train", 3) + R"({"step":2,"split":"<b>","loss":1,"<b>":2})" + "\n");
  const std::string page = render_report({dir});
  CHECK(nesting_problem(page).empty());
  for (const char* tag : {"<script", "<img", "<svg onload", "<i>", "<u>"}) {
    INFO(tag);
    CHECK_FALSE(contains(page, tag));
  }
  CHECK(contains(part(page, "sample"), "&lt;/pre&gt;&lt;svg onload=a&gt;\uFFFD]]&gt;"));
  CHECK(contains(page, "&lt;img onerror=a&gt;&amp;"));
}

TEST_CASE("a run that has only just begun has a page") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  std::filesystem::remove(dir + "/metrics.jsonl");
  const std::string page = render_report({dir});
  CHECK(contains(page, "no metrics.jsonl"));
  CHECK(part(page, "loss").empty());
  CHECK(part(page, "speed").empty());
  CHECK(cell(page, "validation loss, nats") == "–");
  CHECK(contains(part(page, "commands"), "ssa-train --config "));
  check_self_contained(page);
}

TEST_CASE("a page about many long runs stays below a megabyte") {
  const TempDir folder;
  std::vector<std::string> dirs;
  for (int run = 0; run < 12; ++run) {
    dirs.push_back(make_run(folder, fmt::format("run{}", run),
                            tiny_config(fmt::format("{}, finetune_fraction: 0.{}", kLocal, run))));
    add_evaluations(dirs.back());
    std::string metrics;
    for (int step = 1; step <= 2000; ++step) {
      metrics += metrics_line(step, step % 4 == 0 ? "valid" : "train", 2 + 1.0 / step);
    }
    write_bytes(dirs.back() + "/metrics.jsonl", metrics);
    write_bytes(dirs.back() + "/sample.txt", std::string(200000, '<'));
  }
  const std::string page = render_report(dirs);
  CHECK(page.size() < 1'000'000);
  CHECK(count(part(page, "summary"), "<tr>") == 13);  // one row per run
  CHECK(count(part(page, "config"), "<tr>") == 13);
  CHECK(contains(part(page, "config"), "<details><summary>The configs in full</summary>"));
  check_self_contained(page);
}

TEST_CASE("the page is written to a file as a whole") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  write_report({dir}, dir + "/report.html");
  CHECK(read_text_file(dir + "/report.html", 1 << 20) == render_report({dir}));
  CHECK_FALSE(path_exists(dir + "/report.html.partial"));
  CHECK_THROWS_AS(write_report({dir}, dir + "/nowhere/report.html"), CheckpointError);
}

TEST_CASE("what a run's config was before is told with the step at which it changed") {
  const TempDir folder;
  const std::string dir = make_run(folder, "run", tiny_config(kLocal));
  CHECK_FALSE(contains(render_report({dir}, ""), "Changed on the way"));
  write_bytes(dir + "/config-changes.json",
              R"([{"after_step":1050,"key":"train.optimizer.lr","there":"0.01","now":"0.001"}])");
  const std::string page = render_report({dir}, "");
  CHECK(contains(page, "Changed on the way"));
  CHECK(contains(page, "1,050"));
  CHECK(contains(page, "<code>train.optimizer.lr</code>"));
  CHECK(nesting_problem(page).empty());
  write_bytes(dir + "/config-changes.json", "[{");
  CHECK(contains(render_report({dir}, ""), "config-changes.json is damaged"));
}

TEST_CASE("the head says what was run, how well it did, and on what") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal + ", finetune_fraction: 0.1"));
  std::string page = render_report({dir});
  std::string head = page.substr(0, page.find("</header>"));
  CHECK(contains(head, "the last of two layers, four local windows, σ 0.1; dense in the last 10%"));
  CHECK(contains(head, "best validation, step 100"));
  add_evaluations(dir);
  write_bytes(dir + "/start.json",
              R"({"date":"2026-11-29T10:00:00Z","device":"cpu, 2 threads","ranks":3,)"
              R"("data":{"bytes":1048576}})");
  page = render_report({dir});
  head = page.substr(0, page.find("</header>"));
  CHECK(contains(head, "byte_lm on tiny (1.00 MiB): 2 layers"));
  CHECK(contains(head, "<b>2.976</b> bits per byte"));  // of renorm and ensemble the better
  CHECK(contains(head, "valid split, ensemble of 3, 500 bytes"));
  CHECK(contains(head, "10.0 s"));
  CHECK(contains(head, "cpu, 2 threads, 3 ranks<br><span class=\"about\">started 2026-11-29<"));
  CHECK(contains(part(page, "commands"), "mpirun -n 3 ssa-train"));
  write_bytes(dir + "/start.json", "[");
  CHECK(contains(render_report({dir}), "start.json is damaged"));
}

TEST_CASE("curves come before details, and the contents lead to all sections") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  add_evaluations(dir);
  const std::string page = render_report({dir});
  size_t before = 0;
  for (const char* id : {"loss", "ensemble", "summary", "speed", "sources", "config", "commands"}) {
    CAPTURE(id);
    const size_t at = page.find(fmt::format("<section id=\"{}\">", id));
    REQUIRE(at != std::string::npos);
    CHECK(at > before);
    CHECK(count(page, fmt::format("href=\"#{}\"", id)) == 2);  // beside the page, or above it
    before = at;
  }
}

TEST_CASE("runs without metrics and scores are left out, with a note, unless there are no others") {
  const TempDir folder;
  const std::string whole = make_run(folder, "whole", tiny_config("kind: none"));
  const std::string begun = make_run(folder, "begun", tiny_config(kLocal));
  const std::string imported = make_run(folder, "imported", tiny_config(kLocal));
  std::filesystem::remove(begun + "/metrics.jsonl");
  std::filesystem::remove(imported + "/metrics.jsonl");
  add_evaluations(imported);
  const std::string page = render_report({whole, begun, imported});
  CHECK(contains(page, "<b>Left out</b>, without metrics and scores so far: begun<"));
  CHECK(contains(part(page, "summary"), "imported"));
  CHECK_FALSE(contains(part(page, "summary"), "begun"));
  CHECK_FALSE(contains(render_report({begun}), "Left out"));
}

TEST_CASE("the commands name folders that do not exist yet, and all options") {
  const TempDir folder;
  const std::string config = tiny_config(kLocal) + "eval: {weights: average}\n";
  std::string with_average = config;
  with_average.replace(with_average.find("steps: 100"), 10, "steps: 100, ema_decay: 0.9");
  const std::string dir = make_run(folder, "run", with_average);
  write_bytes(dir + "/eval-renorm-test.step-50.json",
              R"({"mode":"renorm","split":"test","step":50,"loss":2,"weights":"trained",)"
              R"("differences":["step 50, the newest is 100"]})");
  std::string commands = part(render_report({dir}), "commands");
  CHECK(contains(commands, "--config " + dir + "/config.yaml --run-dir " + dir + "-again\n"));
  CHECK(
      contains(commands, "--checkpoint " + dir + "-again/checkpoints/step-50 --config " + dir +
                             "-again/config.yaml --mode renorm --split test --weights trained\n"));
  std::filesystem::create_directories(dir + "-again");
  commands = part(render_report({dir + "/"}), "commands");
  CHECK(contains(commands, "--run-dir " + dir + "-again-2\n"));
}

TEST_CASE("long lists are folded in sight, never cut") {
  const TempDir folder;
  std::vector<std::string> dirs;
  for (int i = 1; i <= 30; ++i) {
    dirs.push_back(
        make_run(folder, fmt::format("run{}", i),
                 tiny_config(fmt::format("kind: local, windows: 4, sigma: 0.{:02}", i))));
  }
  const std::string page = render_report(dirs);
  const std::string head = page.substr(0, page.find("</header>"));
  CHECK(contains(head, "<details><summary>6 more</summary>"));
  CHECK(contains(head, "run30"));
  CHECK(contains(part(page, "sweep"), "Against ssa.sigma<"));
  check_self_contained(page);
}
