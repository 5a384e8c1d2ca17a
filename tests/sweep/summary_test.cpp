#include "ssa/sweep/summary.h"

#include <cmath>
#include <filesystem>

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

/// A sweep whose runs are written by hand.
struct WrittenSweep : TinyRun {
  std::string config_path = dir / "tiny.yaml";
  SweepOptions options;

  WrittenSweep() {
    write_bytes(config_path, tiny_yaml(text_path));
    options.run_root = dir / "sweep";
    options.config = config_path;
  }
  std::vector<SweepPoint> points(const std::vector<std::string>& vary) const {
    std::vector<Variation> variations;
    for (const std::string& text : vary) variations.push_back(parse_variation(text));
    return make_grid(config_path, {}, variations).points;
  }
  /// 8 steps of 128 tokens in `seconds`; peak memory as given.
  void write_run(const SweepPoint& point, double seconds, int64_t memory) const {
    const std::string path = options.run_dir(point);
    std::filesystem::create_directories(path + "/checkpoints/step-8");
    write_bytes(path + "/config.yaml", dump_config(point.config));
    write_bytes(path + "/checkpoints/step-8/manifest.json", "{}");
    write_bytes(path + "/metrics.jsonl",
                fmt::format("{{\"step\":4,\"split\":\"train\",\"loss\":3.0,\"tokens\":512,"
                            "\"elapsed_seconds\":0.001,\"peak_memory_bytes\":7}}\n"
                            "{{\"step\":8,\"split\":\"train\",\"loss\":2.5,\"tokens\":1024,"
                            "\"elapsed_seconds\":{},\"peak_memory_bytes\":{}}}\n"
                            "{{\"step\":8,\"split\":\"valid\",\"loss\":{}}}\n",
                            seconds, memory, 2 * std::log(2.0)));
    write_bytes(path + "/eval-renorm-test.json",
                fmt::format("{{\"mode\":\"renorm\",\"split\":\"test\",\"step\":8,\"samples\":1,"
                            "\"loss\":{}}}",
                            3 * std::log(2.0)));
  }
};

}  // namespace

TEST_CASE("the summary states results, exact C, and M and S against the dense point", "[sweep]") {
  const WrittenSweep sweep;
  const auto points = sweep.points({"ssa.kind=none,local", "ssa.windows=4,8"});
  REQUIRE(points.size() == 3);
  sweep.write_run(points[0], 4.0, 1000);
  sweep.write_run(points[1], 2.5, 600);
  const json table = to_json(summarize(sweep.options, points, {}));
  REQUIRE(table.size() == 3);

  const json& dense = table[0];
  CHECK(dense["point"] == "kind-none");
  CHECK(dense["ssa.windows"] == "");
  CHECK(dense["scheme"] == "S0");
  CHECK(dense["state"] == "finished");
  CHECK(dense["compute_ratio"] == 1.0);
  CHECK(dense["memory_ratio"] == 1.0);
  CHECK(dense["speed_ratio"] == 1.0);

  const json& local = table[1];
  CHECK(local["scheme"] == "S2-L4+FT");
  CHECK(local["steps_done"] == 8);
  CHECK(local["train_loss"] == 2.5);
  CHECK(local["valid_bits_per_byte"].is_null());  // train.eval_tokens is 100 of 300
  CHECK(local["valid_part_bits_per_byte"].get<double>() == Approx(2.0));
  CHECK(local["test_bits_per_byte"].get<double>() == Approx(3.0));
  CHECK(local["test_ensemble_bits_per_byte"].is_null());
  CHECK(local["tokens_per_second"].get<double>() == Approx(1024 / 2.5));
  CHECK(local["memory_ratio"].get<double>() == Approx(0.6));
  CHECK(local["speed_ratio"].get<double>() == Approx(1.6));
  // By hand: a layer is 8·16² + 4·16·32 = 4096 and 4·16·32 = 2048 for attention, of which a quarter
  // in the first half of the steps.
  CHECK(local["compute_ratio"].get<double>() ==
        Approx((0.5 * (4096 + 512) + 0.5 * 6144) / 6144).epsilon(1e-12));

  const json& waiting = table[2];
  CHECK(waiting["state"] == "waiting");
  CHECK(waiting["train_loss"].is_null());
  CHECK(waiting["speed_ratio"].is_null());
  CHECK(waiting["compute_ratio"].is_number());
  CHECK(waiting["parameters"] == local["parameters"]);
}

TEST_CASE("a validation score over the whole split stands beside the paper's, a part does not") {
  const WrittenSweep sweep;
  const auto row_with = [&](const std::string& eval_tokens) {
    const auto points = sweep.points({"train.eval_tokens=" + eval_tokens});
    sweep.write_run(points[0], 4.0, 1000);
    return to_json(summarize(sweep.options, points, {}))[0];
  };
  const json part = row_with("100"), whole = row_with("0");
  CHECK(part["valid_bits_per_byte"].is_null());
  CHECK(part["valid_part_bits_per_byte"].get<double>() == Approx(2.0));
  CHECK(whole["valid_bits_per_byte"].get<double>() == Approx(2.0));
  CHECK(whole["valid_part_bits_per_byte"].is_null());
}

TEST_CASE("M and S are left empty without a dense point of the same size", "[sweep]") {
  const WrittenSweep sweep;
  const auto alone = sweep.points({"ssa.windows=4,8"});
  for (const SweepPoint& point : alone) sweep.write_run(point, 2.0, 500);
  CHECK(to_json(summarize(sweep.options, alone, {}))[1]["memory_ratio"].is_null());

  const auto sizes = sweep.points({"ssa.kind=none,local", "model.ffn_width=32,48"});
  for (size_t i = 0; i < sizes.size(); ++i) {
    sweep.write_run(sizes[i], 2.0, 100 * static_cast<int64_t>(i + 1));
  }
  const json table = to_json(summarize(sweep.options, sizes, {}));
  CHECK(table[2]["memory_ratio"].get<double>() == Approx(3.0));  // 300 against 100
  CHECK(table[3]["memory_ratio"].get<double>() == Approx(2.0));  // 400 against 200

  const auto seeds = sweep.points({"ssa={kind: none},{kind: local}", "train.seed=1,2"});
  sweep.write_run(seeds[0], 2.0, 100);  // the dense run of seed 2 is not there yet
  sweep.write_run(seeds[2], 2.0, 50);
  CHECK(to_json(summarize(sweep.options, seeds, {}))[2]["memory_ratio"].get<double>() ==
        Approx(0.5));
}

TEST_CASE("points that differ in their seed only have their mean and spread in one row",
          "[sweep]") {
  const WrittenSweep sweep;
  CHECK(over_seeds(summarize(sweep.options, sweep.points({"ssa.windows=4,8"}), {}),
                   sweep.points({"ssa.windows=4,8"}))
            .empty());
  const auto points = sweep.points({"ssa.windows=4,8", "train.seed=1,2,3"});
  REQUIRE(points.size() == 6);
  for (size_t i = 0; i < 5; ++i) sweep.write_run(points[i], i == 0 ? 2.0 : 4.0, 100);
  const SummaryTable table = over_seeds(summarize(sweep.options, points, {}), points);
  const json rows = to_json(table);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0]["ssa.windows"] == "4");
  CHECK(rows[0]["seeds"] == 3);
  CHECK(rows[0]["state"] == "3/3 finished");
  CHECK(rows[0]["test_bits_per_byte"].get<double>() == Approx(3.0));
  CHECK(rows[0]["test_bits_per_byte_spread"] == 0.0);
  // 512, 256 and 256 tokens a second.
  CHECK(rows[0]["tokens_per_second"].get<double>() == Approx(1024.0 / 3));
  CHECK(rows[0]["tokens_per_second_spread"].get<double>() == Approx(256 / std::sqrt(3.0)));
  CHECK(rows[1]["state"] == "2/3 finished");
  CHECK(rows[1]["tokens_per_second"] == 256.0);
  CHECK_FALSE(rows[0].contains("point"));
  CHECK(contains(to_text(table), "341 ± 148"));
}

TEST_CASE("the paper's values stand beside the own ones", "[sweep]") {
  const WrittenSweep sweep;
  write_bytes(sweep.dir / "p.json",
              "{\"source\": \"s\", \"data\": {\"words\": {\"layers\": 2, \"width\": 16, "
              "\"length\": 32, \"rows\": {\"S2-L4+FT\": {\"valid\": 1.5, \"test\": 1.25, "
              "\"C\": 0.5, \"M\": 0.25, \"S\": 2, \"ensemble\": {\"test\": 1.125}}}}}}");
  const auto points = sweep.points({"ssa.windows=4,8"});
  const SummaryTable table =
      summarize(sweep.options, points, PublishedResults::load(sweep.dir / "p.json"));
  const json rows = to_json(table);
  CHECK(rows[0]["paper_valid_bits_per_byte"] == 1.5);
  CHECK(rows[0]["paper_test_bits_per_byte"] == 1.25);
  CHECK(rows[0]["paper_test_ensemble_bits_per_byte"] == 1.125);
  CHECK(rows[0]["paper_compute_ratio"] == 0.5);
  CHECK(rows[0]["paper_memory_ratio"] == 0.25);
  CHECK(rows[0]["paper_speed_ratio"] == 2.0);
  CHECK(rows[1]["paper_valid_bits_per_byte"].is_null());
  CHECK(contains(to_text(table), "paper"));
}

TEST_CASE("text is aligned and leaves out empty columns; CSV is quoted", "[sweep]") {
  const SummaryTable table = {
      {{"k", "key", "a,\"b\"", "a,\"b\""}, {"n", "loss", 1.5, "1.500"}, {"e", "none", {}, ""}},
      {{"k", "key", "σ", "σ"}, {"n", "loss", {}, ""}, {"e", "none", {}, ""}},
      {{"k", "key", "long text", "long text"},
       {"n", "loss", 10.25, "10.250"},
       {"e", "none", {}, ""}}};
  CHECK(to_text(table) ==
        "key          loss\n"
        "a,\"b\"       1.500\n"
        "σ\n"
        "long text  10.250\n");
  CHECK(to_csv(table) ==
        "k,n,e\r\n"
        "\"a,\"\"b\"\"\",1.5,\r\n"
        "σ,,\r\n"
        "long text,10.25,\r\n");
  CHECK(to_json(table)[1]["n"].is_null());
  CHECK(to_text(SummaryTable{}).empty());
}
