#include <catch2/catch.hpp>

#include "ssa/core/error.h"
#include "ssa/report/report.h"
#include "ssa/report/run_data.h"
#include "ssa/storage/file_io.h"

#include "report/report_test_support.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// The cell after a heading in the summary of a single run.
std::string cell(const std::string& page, const std::string& heading) {
  const std::string before = ">" + heading + "</th><td>";
  const size_t begin = page.find(before);
  if (begin == std::string::npos) return "(no such row)";
  const size_t value = begin + before.size();
  return page.substr(value, page.find("</td>", value) - value);
}

}  // namespace

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

TEST_CASE("the ensemble curve has a band and the renorm line") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  CHECK(part(render_report({dir}), "ensemble").empty());
  add_evaluations(dir);
  const std::string ensemble = part(render_report({dir}), "ensemble");
  CHECK(count(ensemble, "class=\"dot c0\"") == 4);  // one in the legend
  CHECK(count(ensemble, "class=\"band c0\"") == 1);
  CHECK(count(ensemble, "class=\"mark c0\"") == 1);
  CHECK(contains(ensemble, ">renorm</text>"));
  CHECK(contains(ensemble, "bits per byte"));
}

TEST_CASE("an ensemble that knows renorm on its items has that line and the paired band") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  write_bytes(dir + "/eval-ensemble-valid.json",
              R"({"mode":"ensemble","split":"valid","samples":2,"step":100,"tokens":500,)"
              R"("loss":2.0625,"bits_per_byte":3.0,"renorm":{"loss":2.1,"bits_per_byte":3.0625},)"
              R"("difference":{"value":-0.0625,"stderr":0.015625},"curve":[)"
              R"({"samples":1,"value":3.1,"stderr":0.5,"difference":0.0375,)"
              R"("difference_stderr":0.03125},)"
              R"({"samples":2,"value":3.0,"stderr":0.5,"difference":-0.0625,)"
              R"("difference_stderr":0.015625}]})");
  const report::Run run = report::load_runs({dir}).front();
  const report::Evaluation* read = run.evaluation("ensemble", "valid");
  REQUIRE(read);
  CHECK(read->curve[1].paired_error == 0.015625);
  CHECK(read->difference == -0.0625);
  const std::string ensemble = part(render_report({dir}), "ensemble");
  CHECK(contains(ensemble, ">renorm</text>"));
  CHECK(contains(ensemble, "; one dense pass 3.06"));
  CHECK(contains(ensemble, ": the ensemble less renorm is -0.0625"));
  CHECK(contains(ensemble, " ± 0.0156"));
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

TEST_CASE("a run of pictures is told in its own words") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", picture_config(4));
  const std::string page = render_report({dir});
  CHECK(cell(page, "validation bits per dimension") == "3.030");
  CHECK(cell(page, "sub-pixels per second, median") == "640");
  CHECK(contains(part(page, "loss"), "Bits per dimension against steps"));
  CHECK(contains(part(page, "speed"), "sub-pixels per second"));
  const std::string maps = part(page, "sources");
  CHECK(count(maps, "<figure>") == 2);  // of all targets, and around one
  CHECK(contains(maps, "Layer 2: 2 bands, σ\u00a00.25<"));
  CHECK(contains(maps, "Layer 2: around one target<"));
  CHECK(contains(maps, ">target row</text>"));
  CHECK(contains(maps, ">source column</text>"));
  CHECK(contains(maps, "row 3, column 2 may attend"));
  CHECK(part(page, "pictures").empty());
  check_self_contained(page);
}

TEST_CASE("plans of pictures of other sizes are shown apart") {
  const TempDir folder;
  const std::string small = make_run(folder, "a", picture_config(4));
  const std::string large = make_run(folder, "b", picture_config(8));
  CHECK(count(part(render_report({small, large}), "sources"), "<figure>") == 4);
  CHECK(contains(render_report({small, large}), "validated on different data"));
}

TEST_CASE("the last of the drawn pictures is shown large, some of those before small") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", picture_config(4));
  std::filesystem::create_directories(dir + "/samples");
  for (int step = 1; step <= 20; ++step) {
    write_bytes(fmt::format("{}/samples/step-{}.png", dir, 100 * step),
                "\x89PNG\r\n\x1a\n" + fmt::format("picture {}", step) + "IEND\xae\x42\x60\x82");
  }
  write_bytes(dir + "/samples/step-3000.png.partial", "being written");
  write_bytes(dir + "/samples/notes.txt", "no sample");
  const std::string page = render_report({dir});
  const std::string pictures = part(page, "pictures");
  const size_t strip = pictures.find("class=\"strip\"");
  CHECK(count(pictures, "<img") == 9);
  CHECK(count(pictures.substr(0, strip), "<img") == 1);
  CHECK(contains(pictures.substr(0, strip),
                 "base64,iVBORw0KGgpwaWN0dXJlIDIwSUVORK5CYII=\"><figcaption>step 2,000<"));
  CHECK(contains(pictures.substr(strip), "<figcaption>step 200<"));
  CHECK_FALSE(contains(pictures, "3,000"));
  check_self_contained(page);
}

TEST_CASE("drawn texts are shown, those of earlier steps folded") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  std::filesystem::create_directories(dir + "/samples");
  write_bytes(dir + "/samples/step-50.txt", "an early <text>\xff");
  write_bytes(dir + "/samples/step-1000.txt", "a late text");
  const std::string page = render_report({dir});
  const std::string samples = part(page, "pictures");
  CAPTURE(samples);
  CHECK(contains(samples, "Continued by the model during training"));
  const size_t folded = samples.find("<details><summary>step 50</summary>");
  REQUIRE(folded != std::string::npos);
  CHECK(contains(samples.substr(0, folded), "<h4>step 1,000</h4>"));
  CHECK(contains(samples.substr(0, folded), "a late text"));
  CHECK(contains(samples.substr(folded), "an early &lt;text&gt;\uFFFD"));
  check_self_contained(page);
}

TEST_CASE("training pictures are shown as such") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", classification_config());
  const std::string drawn = make_run(folder, "drawn", picture_config(4));
  for (const std::string& run : {dir, drawn}) {
    std::filesystem::create_directories(run + "/samples");
    write_bytes(run + "/samples/step-50.png", "\x89PNG\r\n\x1a\n one IEND\xae\x42\x60\x82");
  }
  const std::string seen = "Training pictures as the model sees them", own = "Drawn by the model";
  const std::string alone = part(render_report({dir}), "pictures");
  CHECK((contains(alone, seen) && !contains(alone, own)));
  CHECK(count(alone, "<img") == 1);
  const std::string both = part(render_report({dir, drawn}), "pictures");
  CHECK((contains(both, seen) && contains(both, own)));
  CHECK(count(both, "<img") == 2);
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

TEST_CASE("a damaged picture is named, and hides no other") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", picture_config(4));
  std::filesystem::create_directories(dir + "/samples/step-1.png");  // no file
  const std::string whole = "\x89PNG\r\n\x1a\n picture IEND\xae\x42\x60\x82";
  write_bytes(dir + "/samples/step-2.png", whole.substr(0, whole.size() - 1));
  write_bytes(dir + "/samples/step-3.png", "");
  write_bytes(dir + "/samples/step-4.png", whole);
  const std::string page = render_report({dir});
  CHECK(contains(page, "samples/step-1.png cannot be read"));
  CHECK(contains(page, "samples/step-2.png is damaged or no PNG"));
  CHECK(contains(page, "samples/step-3.png is damaged or no PNG"));
  CHECK(count(part(page, "pictures"), "<img") == 1);
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

TEST_CASE("runs stand beside the paper's row of their data set and scheme") {
  const TempDir folder;
  const std::string published = folder.path() + "/published.json";
  write_bytes(published,
              R"({"source":"<A paper>","data":{"tiny":{"layers":4,"width":64,"length":128,"rows":{)"
              R"("S0":{"valid":1.5,"test":1.25,"C":1,"M":1,"S":1},)"
              R"("S2-L4":{"valid":1.625,"test":1.375,"C":0.5,"M":0.25,"S":1.75,)"
              R"("ensemble":{"test":1.314}}}}}})");
  const std::string dense = make_run(folder, "dense", tiny_config("kind: none"));
  const std::string local = make_run(folder, "local", tiny_config(kLocal));
  const std::string tuned =
      make_run(folder, "tuned", tiny_config(kLocal + ", finetune_fraction: 1"));
  add_evaluations(local);
  CHECK(part(render_report({dense, local}), "paper").empty());
  const std::string page = render_report({dense, local, tuned}, published);
  const std::string paper = part(page, "paper");
  CHECK(contains(paper,
                 "paper <b>S2-L4</b></th><td>1.625</td><td>1.375</td><td>1.314</td>"
                 "<td>0.500</td><td>0.250</td><td>1.75</td>"
                 "<td>4 layers, width 64, length 128</td>"));
  // Renorm as scored by ssa-eval; of the dense run the last validation, 2.1 nats.
  CHECK(contains(paper, "local</span></th><td>3.066</td><td>–</td><td>–</td><td>0.812</td>"));
  CHECK(contains(paper, "dense</span></th><td>3.030</td><td>–</td><td>–</td><td>1.00</td>"));
  // A validation of part of the split is not the paper's.
  std::string partly = tiny_config("kind: none");
  partly.replace(partly.find("steps: 100"), 10, "steps: 100, eval_tokens: 64");
  make_run(folder, "dense", partly);
  CHECK(contains(part(render_report({dense, local}, published), "paper"),
                 "dense</span></th><td>–</td>"));
  CHECK(count(paper, "class=\"set-off\"") == 2);
  CHECK(contains(paper, "Scores of models of another size do not compare"));
  CHECK(contains(paper, "For 1 of the runs nothing is published"));
  CHECK(contains(paper, "&lt;A paper&gt;"));
  check_self_contained(page);
  CHECK_THROWS_AS(render_report({dense}, folder.path() + "/none.json"), ConfigError);
}

TEST_CASE("M and S stand against the dense run on the page") {
  const TempDir folder;
  const std::string published = folder.path() + "/published.json";
  write_bytes(published,
              R"({"source":"A paper","data":{"tiny":{"layers":2,"width":8,"length":32,"rows":{)"
              R"("S0":{},"S1-L4":{"valid":1}}}}})");
  const auto with_costs = [&](const std::string& name, const std::string& ssa, int seconds,
                              int bytes) {
    std::string dir = make_run(folder, name, tiny_config(ssa));
    write_bytes(dir + "/metrics.jsonl",
                fmt::format("{{\"step\":1,\"split\":\"train\",\"tokens\":64,"
                            "\"elapsed_seconds\":{},\"peak_memory_bytes\":{}}}\n",
                            seconds, bytes));
    return dir;
  };
  const std::string dense = with_costs("dense", "kind: none", 5, 1000);
  const std::string local = with_costs("local", kLocal, 4, 750);
  const std::string paper = part(render_report({local, dense}, published), "paper");
  CHECK(contains(paper, "<td>0.750</td><td>1.25</td><td>2 layers, width 8, length 32</td>"));
  CHECK_FALSE(contains(paper, "another size"));
  const std::string alone = part(render_report({local}, published), "paper");
  CHECK(contains(alone, "<td>–</td><td>–</td><td>2 layers, width 8, length 32</td>"));
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

TEST_CASE("a score of something else is shown as such, and not as the run's") {
  const TempDir folder;
  const std::string dir = make_run(folder, "run", tiny_config(kLocal));
  add_evaluations(dir);
  write_bytes(
      dir + "/eval-renorm-valid.first-64.json",
      R"({"mode":"renorm","split":"valid","samples":1,"step":100,"tokens":64,"loss":7.5,)"
      R"("bits_per_byte":9.8765,"overrides":["eval.length=16"],)"
      R"("differences":["the first 64 of 500 in the split","eval.length: there 0, now 16"]})");
  const std::string page = render_report({dir}, "");
  const std::string others = page.substr(page.find("id=\"other-scores\""));
  CHECK(count(page, "9.877") + count(page, "9.876") == 1);
  CHECK(contains(others, "the first 64 of 500 in the split; eval.length: there 0, now 16"));
  CHECK(contains(page, "3.066"));  // the run's own
  CHECK(contains(page, "--split valid --set eval.length=16"));
  CHECK(nesting_problem(page).empty());
}

TEST_CASE("an ensemble stands beside a dense score of the same text only") {
  const TempDir folder;
  const std::string dir = make_run(folder, "run", tiny_config(kLocal));
  add_evaluations(dir);
  CHECK(contains(render_report({dir}, ""), "; one dense pass 3.066"));
  write_bytes(dir + "/eval-renorm-valid.json",
              R"({"mode":"renorm","split":"valid","samples":1,"step":100,"tokens":64,"loss":2.125,)"
              R"("bits_per_byte":3.0657,"curve":[],"seconds":1})");
  CHECK_FALSE(contains(render_report({dir}, ""), "one dense pass 3.066"));
}

TEST_CASE("without an ensemble of the run itself the curve of another is shown with its label") {
  const TempDir folder;
  const std::string dir = make_run(folder, "run", tiny_config(kLocal));
  const auto add = [&](const std::string& mode, const std::string& bits, const std::string& curve,
                       const std::string& tokens) {
    write_bytes(dir + "/eval-" + mode + "-test.first-" + tokens + ".json",
                R"({"mode":")" + mode + R"(","split":"test","samples":2,"step":100,"tokens":)" +
                    tokens + R"(,"split_tokens":500,"loss":2.5,"bits_per_byte":)" + bits +
                    R"(,"differences":["the first )" + tokens + R"( of 500 in the split"],)" +
                    R"("overrides":[],"curve":)" + curve + "}");
  };
  const std::string curve =
      R"([{"samples":1,"value":4.5,"stderr":0.1},{"samples":2,"value":4.25,"stderr":0.1}])";
  add("ensemble", "4.25", curve, "64");
  add("renorm", "4.125", "[]", "32");  // of another part: not beside it
  std::string ensemble = part(render_report({dir}, ""), "ensemble");
  CHECK(contains(ensemble, "test split; the first 64 of 500 in the split: 4.500 bits per byte"));
  CHECK_FALSE(contains(ensemble, ">renorm</text>"));
  add("renorm", "4.0625", "[]", "64");
  ensemble = part(render_report({dir}, ""), "ensemble");
  CHECK(contains(ensemble, "; one dense pass 4.06"));
  CHECK(contains(ensemble, ">renorm</text>"));

  write_bytes(dir + "/eval-ensemble-test.json",
              R"({"mode":"ensemble","split":"test","samples":2,"step":100,"tokens":500,"loss":2.5,)"
              R"("bits_per_byte":4.5,"differences":[],"curve":)" +
                  curve + "}");
  ensemble = part(render_report({dir}, ""), "ensemble");
  CHECK(count(ensemble, "<figure>") == 1);
  CHECK_FALSE(contains(ensemble, "the first"));
}

TEST_CASE("the commands score as much of a split as was scored") {
  const TempDir folder;
  const std::string dir = make_run(folder, "run", tiny_config(kLocal));
  write_bytes(dir + "/eval-renorm-test.first-64.json",
              R"({"mode":"renorm","split":"test","samples":1,"step":100,"tokens":64,)"
              R"("split_tokens":500,"loss":2.5,"bits_per_byte":3.6,"overrides":["eval.length=16"],)"
              R"("differences":["the first 64 of 500 in the split"]})");
  write_bytes(dir + "/eval-renorm-valid.json",
              R"({"mode":"renorm","split":"valid","samples":1,"step":100,"tokens":500,)"
              R"("split_tokens":500,"loss":2.5,"bits_per_byte":3.6,"differences":[]})");
  const std::string commands = part(render_report({dir}, ""), "commands");
  CHECK(contains(commands, "--split test --max-tokens 64 --set eval.length=16\n"));
  CHECK(contains(commands, "--split valid\n"));
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

TEST_CASE("a page about pictures speaks of pictures, and tells their sizes apart") {
  const TempDir folder;
  const auto pictures = [&](const std::string& name, int size) {
    return make_run(folder, name,
                    fmt::format("task: image_generation\n"
                                "model: {{layers: 1, width: 8, ffn_width: 16, heads: 2}}\n"
                                "data: {{name: tiny, path: d, image_size: {}}}\n"
                                "train: {{steps: 100, batch_size: 2}}\n",
                                size));
  };
  const std::string large = pictures("large", 8);
  CHECK(contains(render_report({large}, ""), "2 images of 192 sub-pixels per step, 100 steps"));
  const std::string text = make_run(folder, "text", tiny_config(kLocal));
  CHECK(contains(render_report({text}, ""), "2 sequences of 32 bytes per step, 100 steps"));
  CHECK(contains(render_report({large, pictures("same", 8)}, ""), "+0.00%"));
  CHECK(contains(render_report({large, pictures("small", 4)}, ""), "validated on different data"));
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

TEST_CASE("ensembles of several runs share a chart") {
  const TempDir folder;
  const std::string a = make_run(folder, "a", tiny_config(kLocal));
  const std::string b = make_run(folder, "b", tiny_config("kind: unbiased"));
  add_evaluations(a);
  add_evaluations(b);
  const std::string ensemble = part(render_report({a, b}), "ensemble");
  CHECK(count(ensemble, "<figure>") == 1);
  CHECK(count(ensemble, "class=\"band ") == 2);
  CHECK(contains(ensemble, "S1-L4 a ends at 2.976. S2-U50 b ends at 2.976."));
}
