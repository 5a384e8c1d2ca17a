// What ssa-eval can be asked beyond one score: all splits, the loss of each token, a comparison
// with another model, another text.

#include <cmath>

#include <nlohmann/json.hpp>

#include "ssa/storage/safetensors.h"

#include "apps/child_process.h"
#include "train/word_run.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

/// Two runs of the same text that differ in their seeds.
struct TwoRuns : AppRun {
  std::string a = dir / "a", b = dir / "b";

  TwoRuns() {
    REQUIRE(train("a", {"--quiet", "--set", "train.steps=2"}).code == 0);
    REQUIRE(train("b", {"--quiet", "--set", "train.steps=6", "train.seed=2"}).code == 0);
  }
  Finished score(const std::string& run, const Overrides& more) const {
    return run_program("ssa-eval", Overrides{"--run", run} + more);
  }
  /// The JSON that a command prints.
  json printed(const std::string& run, const Overrides& more) const {
    const Finished done = score(run, more + Overrides{"--json", "-"});
    CAPTURE(done.err);
    REQUIRE(done.code == 0);
    return json::parse(done.out);
  }
  void check_refused(const Overrides& more, int code, const std::string& message) const {
    const Finished done = score(a, more);
    CAPTURE(more, done.err);
    CHECK(done.code == code);
    CHECK(contains(done.err, message));
  }
};

std::vector<double> loss_tensor(const std::string& path) {
  const Tensor loss = SafetensorsFile(path).load("loss", Device::cpu, MemoryCategory::data);
  return {loss.data<double>(), loss.data<double>() + loss.numel()};
}

}  // namespace

TEST_CASE("ssa-eval --split all scores each split, as one table and one JSON") {
  const TwoRuns runs;
  const json all = runs.printed(runs.a, {"--split", "all", "--max-tokens", "500"});
  CHECK(all["split"] == "all");
  REQUIRE(all["splits"].size() == 3);
  for (const json& one : all["splits"]) {
    const std::string split = one["split"];
    json alone = runs.printed(runs.a, {"--split", split, "--max-tokens", "500"});
    alone.erase("seconds");
    json without_seconds = one;
    without_seconds.erase("seconds");
    CHECK(without_seconds == alone);
  }
  CHECK(path_exists(runs.a + "/eval-renorm-train.first-500.json"));
  CHECK(path_exists(runs.a + "/eval-renorm-test.json"));  // all of its 300
  const Finished shown = runs.score(runs.a, {"--split", "all", "--mode", "ensemble", "--samples",
                                             "2", "--max-tokens", "64", "--curve"});
  CHECK(contains(shown.out,
                 "split          bytes      loss   bits/byte  stderr   to renorm  stderr\n"));
  CHECK(contains(shown.out, "\ntrain "));
  CHECK(contains(shown.out, "\nvalid\nsamples "));
  runs.check_refused({"--split", "all", "--predictions", "x"}, 2, "--predictions takes one split");
  runs.check_refused({"--split", "al"}, 2, "--split");
}

TEST_CASE("ssa-eval --per-token writes the loss of each token with what it is of") {
  const TwoRuns runs;
  const std::string file = runs.dir / "losses.safetensors";
  for (const std::string mode : {"renorm", "ensemble"}) {
    CAPTURE(mode);
    const json score =
        runs.printed(runs.a, {"--mode", mode, "--samples", "2", "--per-token", file});
    const SafetensorsFile stored(file);
    const std::vector<double> losses = loss_tensor(file);
    REQUIRE(std::ssize(losses) == score["tokens"]);
    double sum = 0;
    for (const double loss : losses) sum += loss;
    CHECK(sum / static_cast<double>(losses.size()) ==
          Approx(score["loss"].get<double>()).epsilon(1e-12));
    CHECK(stored.contains("spread") == (mode == "ensemble"));
    const Tensor token = stored.load("token", Device::cpu, MemoryCategory::data);
    const Tensor window = stored.load("window", Device::cpu, MemoryCategory::data);
    const std::string text = read_bytes(runs.text_path).substr(5700);  // the test split
    for (size_t i = 0; i < losses.size(); ++i) {
      CHECK(token.data<int32_t>()[i] == text[i]);
      // The first window scores 32 bytes, each later one 16.
      CHECK(window.data<int32_t>()[i] == (i < 32 ? 0 : static_cast<int32_t>(i) / 16 - 1));
    }
    CHECK(stored.metadata().at("mode") == mode);
    CHECK(stored.metadata().at("data_bytes") == "6000");
  }
  runs.check_refused({"--per-token", "-"}, 2, "name a file");
  runs.check_refused({"--per-token", runs.dir / "no/such"}, 2, "no/such: cannot be written");
}

TEST_CASE("ssa-eval --compare gives the difference of two runs with its paired standard error") {
  const TwoRuns runs;
  const std::string of_a = runs.dir / "a.safetensors", of_b = runs.dir / "b.safetensors";
  const json a = runs.printed(runs.a, {"--per-token", of_a});
  const json b = runs.printed(runs.b, {"--per-token", of_b});
  const json both = runs.printed(runs.a, {"--compare", runs.b});
  CHECK(both["difference"]["bits_per_byte"].get<double>() ==
        Approx(a["bits_per_byte"].get<double>() - b["bits_per_byte"].get<double>()));
  CHECK(both["b"]["bits_per_byte"].get<double>() == Approx(b["bits_per_byte"].get<double>()));
  // By hand: windows of 32, then 16 bytes, the last one of 12.
  const std::vector<double> x = loss_tensor(of_a), y = loss_tensor(of_b);
  std::vector<std::pair<double, double>> windows = {{0, 0}};
  double mean = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (i >= 32 && i % 16 == 0) windows.push_back({0, 0});
    windows.back().first += x[i] - y[i];
    windows.back().second += 1;
    mean += (x[i] - y[i]) / 300;
  }
  double squares = 0;
  for (const auto& [sum, terms] : windows) squares += std::pow(sum - mean * terms, 2);
  const auto count = static_cast<double>(windows.size());
  const double error = std::sqrt(squares * count / (count - 1)) / 300 / std::log(2.0);
  CHECK(both["items"] == windows.size());
  CHECK(both["stderr"]["bits_per_byte"].get<double>() == Approx(error).epsilon(1e-9));
  CHECK(both["better"] == "b");  // it was trained for longer

  const json stored = runs.printed(runs.a, {"--compare", of_b});
  CHECK(stored["difference"] == both["difference"]);
  CHECK(stored["stderr"] == both["stderr"]);
  const Finished shown = runs.score(runs.a, {"--compare", of_b});
  CHECK(contains(shown.out, "B is better, by "));
  CHECK(contains(shown.out, "over 18 windows"));
  const Finished same = runs.score(runs.a, {"--compare", of_a});
  CHECK(contains(same.out, "A and B score the same"));
}

TEST_CASE("models of other windows are compared on the windows of the first") {
  const TwoRuns runs;
  const std::string file = runs.dir / "long.safetensors";
  const json longer =
      runs.printed(runs.b, {"--per-token", file, "--set", "eval.length=64", "eval.overlap=32"});
  const json both = runs.printed(runs.a, {"--compare", file});
  CHECK(both["a"]["bits_per_byte"].get<double>() - longer["bits_per_byte"].get<double>() ==
        Approx(both["difference"]["bits_per_byte"].get<double>()));
  CHECK(both["items"] == 18);
}

TEST_CASE("scores of other data, splits or tokens are not compared") {
  const TwoRuns runs;
  const std::string file = runs.dir / "b.safetensors";
  REQUIRE(runs.score(runs.b, {"--per-token", file, "--split", "valid"}).code == 0);
  runs.check_refused({"--compare", file}, 2, "it is of the valid split, not of test");
  runs.check_refused({"--split", "valid", "--max-tokens", "64", "--compare", file}, 2,
                     "it scores 300 terms, not 64");
  write_bytes(runs.dir / "other.txt", sample_text(6000, 4));
  runs.check_refused(
      {"--split", "valid", "--set", "data.path=" + (runs.dir / "other.txt"), "--compare", file}, 2,
      "its data differ: 6000 bytes with checksum ");
  runs.check_refused({"--compare", runs.dir / "nothing"}, 2, "nothing");
  runs.check_refused({"--compare", runs.text_path}, 2, "no valid safetensors file");
  runs.check_refused({"--compare", runs.a + "/checkpoints/step-2/model.safetensors"}, 2,
                     "not a file that `ssa-eval --per-token` has written");
}

TEST_CASE("calibration of tokens stands in the score, unless it is not wanted") {
  const TwoRuns runs;
  const json score = runs.printed(runs.a, {"--mode", "ensemble", "--samples", "2"});
  CHECK(score["analysis"].contains("spread"));
  CHECK(score["analysis"]["calibration"]["rows"][0]["items"] == 300.0);
  CHECK(score["analysis"]["distance"]["rows"].size() == 16);
  CHECK(score["renorm"]["bits_per_byte"].get<double>() +
            score["difference"]["value"].get<double>() ==
        Approx(score["bits_per_byte"].get<double>()));
  const json without =
      runs.printed(runs.a, {"--mode", "ensemble", "--samples", "2", "--no-analysis"});
  CHECK_FALSE(without.contains("analysis"));
  CHECK(without["loss"] == score["loss"]);
}

TEST_CASE("another text is scored with a model of bytes, line by line, without the run's data") {
  const TwoRuns runs;
  const std::string text = read_bytes(runs.text_path).substr(5700);  // the test split
  write_bytes(runs.dir / "chapter.txt", text);
  const json test = runs.printed(runs.a, {});
  std::filesystem::rename(runs.text_path, runs.dir / "gone.txt");
  const json score = runs.printed(runs.a, {"--text", runs.dir / "chapter.txt", "--per-line"});
  CHECK(score["loss"] == test["loss"]);
  CHECK(score["split"] == "text");
  CHECK(score["nats"].get<double>() == Approx(300 * score["loss"].get<double>()));
  double nats = 0;
  int64_t tokens = 0;
  for (const json& line : score["lines"]) {
    nats += line["nats"].get<double>();
    tokens += line["tokens"].get<int64_t>();
    CHECK(line["bits_per_byte"].get<double>() ==
          Approx(line["nats"].get<double>() / line["tokens"].get<double>() / std::log(2.0)));
  }
  CHECK(tokens == 300);
  CHECK(nats == Approx(score["nats"].get<double>()));
  const std::string first_line = text.substr(0, text.find('\n'));
  CHECK(score["lines"][0]["tokens"] == first_line.size() + 1);
  CHECK_FALSE(path_exists(runs.a + "/eval-renorm-text.json"));  // no score of the run's data
  const Finished shown = runs.score(runs.a, {"--text", runs.dir / "chapter.txt", "--per-line"});
  CHECK(contains(shown.out, "chapter.txt, text renorm of step 2: "));
  CHECK(contains(shown.out, "  " + first_line.substr(0, 20)));
  const json both = runs.printed(runs.a, {"--text", runs.dir / "chapter.txt", "--compare", runs.b});
  CHECK(both["a"]["loss"] == score["loss"]);
  CHECK(both["better"] == "b");

  write_bytes(runs.dir / "empty.txt", "");
  runs.check_refused({"--text", runs.dir / "empty.txt"}, 3, "the text is empty");
  runs.check_refused({"--text", "-"}, 3, "the text is empty");  // the test gives no input
  runs.check_refused({"--text", runs.dir / "nothing.txt"}, 3, "there is no such file");
  runs.check_refused({"--text", runs.dir / "."}, 3, "is a folder");
  runs.check_refused({"--text", runs.text_path, "--split", "valid"}, 2, "--split");
  runs.check_refused({"--per-line"}, 2, "--per-line is for a text");
}

TEST_CASE("ssa-eval refuses or names what would change nothing, before it computes") {
  const TwoRuns runs;
  const std::string file = runs.dir / "x";
  const Finished idle = runs.score(runs.a, {"--mode", "renorm", "--samples", "3", "--curve"});
  CHECK(idle.code == 0);
  CHECK(contains(idle.err, "--samples changes nothing"));
  CHECK(contains(idle.err, "--curve changes nothing"));
  runs.check_refused({"--strongest", "4"}, 2, "requires --coverage");
  runs.check_refused({"--coverage", file, "--per-token", file + "2"}, 2, "go with --per-token");
  runs.check_refused({"--coverage", file, "--predictions", "-"}, 2, "go with --predictions");
  runs.check_refused({"--coverage", file, "--compare", runs.b}, 2, "go with --compare");
  runs.check_refused({"--coverage", file, "--curve"}, 2, "go with --curve");
  runs.check_refused({"--coverage", file, "--mode", "renorm"}, 2, "go with --mode renorm");
  runs.check_refused({"--coverage", file, "--strongest", "4000"}, 2, "32 sources at most");
  runs.check_refused({"--compare", runs.b, "--curve"}, 2, "go with --curve");
  runs.check_refused({"--json", runs.dir / "nowhere/x.json"}, 2, "nowhere/x.json: cannot be");
  runs.check_refused({"--json", runs.dir / "."}, 2, "cannot be written");
  CHECK(runs.score(runs.a, {"--max-tokens", "8", "--json", "/dev/null"}).code == 0);
  runs.check_refused({"--compare", runs.dir / "nothing"}, 2, "--compare: " + runs.dir / "nothing");
  write_bytes(file, "no losses");
  runs.check_refused({"--compare", file}, 2, "or a file of --per-token");
  runs.check_refused({"--samples", "ten"}, 2, "'ten' should be a whole number from 1 to 65536");
}

TEST_CASE("ssa-eval gives no standard error of a single window, and no correlation of none") {
  const TwoRuns runs;
  const json score =
      runs.printed(runs.a, {"--mode", "ensemble", "--samples", "2", "--max-tokens", "8"});
  CHECK(score["stderr"]["bits_per_byte"].is_null());
  CHECK(score["difference"]["stderr"].is_null());
  const Finished shown =
      runs.score(runs.a, {"--mode", "ensemble", "--samples", "2", "--max-tokens", "8", "--curve"});
  CHECK(contains(shown.out, "standard error –"));
  const json coverage =
      runs.printed(runs.a, {"--coverage", runs.dir / "c", "--samples", "1", "--max-tokens", "8"});
  CHECK(coverage["windows"] == 0);
  CHECK(coverage["pearson"]["value"].is_null());
}

TEST_CASE("ssa-eval --coverage takes the length of training where eval.length is left at 0") {
  const TwoRuns runs;
  const json coverage =
      runs.printed(runs.a, {"--coverage", runs.dir / "c", "--samples", "2", "--max-tokens", "64",
                            "--set", "eval.length=0", "eval.overlap=0"});
  CHECK(coverage["strongest"] == 8);
}

TEST_CASE("ssa-eval --coverage writes a line for each window and sub-model") {
  const TwoRuns runs;
  const std::string file = runs.dir / "coverage.jsonl";
  const json result = runs.printed(runs.a, {"--coverage", file, "--samples", "3"});
  const std::string lines = read_bytes(file);
  CHECK(std::count(lines.begin(), lines.end(), '\n') == 18 * 3);
  const json first = json::parse(lines.substr(0, lines.find('\n')));
  CHECK(first["window"] == 0);
  CHECK(first["coverage"].get<double>() > 0);
  CHECK(first["coverage"].get<double>() < 1);
  CHECK(result["strongest"] == 8);
  CHECK(result["pearson"].contains("stderr"));
  const Finished shown = runs.score(runs.a, {"--coverage", file, "--samples", "3"});
  CHECK(contains(shown.out, "strongest connections of each target"));
  CHECK(contains(shown.out, "Spearman "));
  runs.check_refused({"--coverage", file, "--set", "ssa.kind=none"}, 2, "no layer samples");
}

TEST_CASE("another text is scored in the words of the run, and unknown words are said") {
  const WordRun words;
  write_bytes(words.dir / "words.yaml", words.yaml());
  const std::string run = words.dir / "run";
  REQUIRE(run_program("ssa-train", {"--config", words.dir / "words.yaml", "--run-dir", run,
                                    "--quiet", "--set", "train.steps=2"})
              .code == 0);
  write_bytes(words.dir / "t.txt", "the zebra of\nwindow <unk> giraffe\n");
  const Overrides command = {"--run", run, "--text", words.dir / "t.txt", "--per-line"};
  const Finished shown = run_program("ssa-eval", command);
  CAPTURE(shown.err);
  REQUIRE(shown.code == 0);
  CHECK(contains(shown.out, "2 words are not in the vocabulary"));
  const Finished done = run_program("ssa-eval", command + Overrides{"--json", "-"});
  const json score = json::parse(done.out);
  CHECK(score["tokens"] == 8);
  CHECK(score["unknown"] == 2);
  REQUIRE(score["lines"].size() == 2);
  CHECK(score["lines"][1]["tokens"] == 4);
  CHECK(score["perplexity"].get<double>() == Approx(std::exp(score["nats"].get<double>() / 8)));
  write_bytes(words.dir / "blank.txt", "  ");
  const Finished blank = run_program("ssa-eval", {"--run", run, "--text", words.dir / "blank.txt"});
  CHECK(blank.code == 3);
  CHECK(contains(blank.err, "there is no word in blank.txt"));
}
