#include <catch2/catch.hpp>

#include "ssa/report/report.h"
#include "ssa/report/run_data.h"

#include "report/report_test_support.h"

using namespace ssa;
using namespace ssa::testing;

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

TEST_CASE("the curve of a single item has no band") {
  const TempDir folder;
  const std::string dir = make_run(folder, "a", tiny_config(kLocal));
  write_bytes(dir + "/eval-ensemble-valid.json",
              R"({"mode":"ensemble","split":"valid","samples":2,"step":100,"tokens":32,"loss":2,)"
              R"("bits_per_byte":3.0,"curve":[{"samples":1,"value":3.1,"stderr":null,)"
              R"("difference_stderr":null},{"samples":2,"value":3.0,"stderr":null}]})");
  const std::string ensemble = part(render_report({dir}), "ensemble");
  CHECK(contains(ensemble, "<path class=\"dot c0\""));
  CHECK(count(ensemble, "class=\"band") == 0);
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
