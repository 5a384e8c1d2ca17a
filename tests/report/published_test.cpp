#include "ssa/report/published.h"

#include <filesystem>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"
#include "ssa/report/report.h"
#include "ssa/tasks/cost.h"

#include "report/report_test_support.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

const std::string kConfigs = std::string(SSA_SOURCE_DIR) + "/configs/";

Config full_size(const std::string& name) { return load_config(kConfigs + name + ".yaml"); }

}  // namespace

TEST_CASE("every row of the paper's text tables has a config, whose C is the paper's") {
  const PublishedResults paper = PublishedResults::load(kConfigs + "published_results.json");
  const auto data = GENERATE(Catch::Generators::values<std::string>({"wikitext103", "enwik8"}));
  std::vector<std::string> schemes = {"s16_l2", "s16_l4", "s12_l4", "u50", "u75"};
  if (data == "wikitext103") schemes.insert(schemes.end(), {"s16_l6", "s16_l8"});
  std::vector<std::string> names = {data + "_s0"};
  for (const std::string& scheme : schemes) {
    names.push_back(data + "_" + scheme);
    names.push_back(data + "_" + scheme + "_ft");
  }
  size_t with_cost = 0;
  for (const std::string& name : names) {
    CAPTURE(name);
    const Config config = full_size(name);
    const PublishedRow* row = paper.find(config);
    REQUIRE(row != nullptr);
    CHECK(row->valid);
    CHECK(row->test);
    if (!row->compute) continue;  // the paper gives none for U
    ++with_cost;
    // Printed with two digits; 0.775 became 0.78.
    CHECK(training_cost(config).compute_ratio == Approx(*row->compute).margin(0.00501));
  }
  CHECK(with_cost == (data == "wikitext103" ? 11 : 7));
}

TEST_CASE("every row of the paper's table of pictures has a config, whose C is the paper's") {
  const PublishedResults paper = PublishedResults::load(kConfigs + "published_results.json");
  const auto [name, score] = GENERATE(Catch::Generators::table<std::string, double>(
      {{"cifar10_s0", 2.789}, {"cifar10_s16_l4", 2.796}, {"cifar10_s16_l4_ft", 2.774}}));
  CAPTURE(name);
  const Config config = full_size(name);
  const PublishedRow* row = paper.find(config);
  REQUIRE(row != nullptr);
  CHECK(row->valid == score);
  CHECK_FALSE(row->test);
  // Ours of +FT is 0.775, of which the paper printed 0.77.
  CHECK(training_cost(config).compute_ratio == Approx(*row->compute).margin(0.00501));
}

TEST_CASE("every row of the paper's table of molecules has a config, whose C is the paper's") {
  const PublishedResults paper = PublishedResults::load(kConfigs + "published_results.json");
  std::vector<std::string> names = {"pcqm4mv2_s0"};
  for (const int drop : {10, 20, 30, 40, 50}) {
    for (const char* tuned : {"", "_ft"}) {
      names.push_back(fmt::format("pcqm4mv2_s6_u{}{}", drop, tuned));
    }
  }
  for (const std::string& name : names) {
    CAPTURE(name);
    const Config config = full_size(name);
    const PublishedRow* row = paper.find(config);
    REQUIRE(row != nullptr);
    CHECK(row->valid);
    CHECK(row->ensemble_valid.has_value() == (name != "pcqm4mv2_s0"));
    CHECK(training_cost(config).compute_ratio == Approx(*row->compute).margin(0.00501));
  }
  CHECK(paper.find(full_size("qm9_mini_s0")) == nullptr);
}

TEST_CASE("a small model of pictures is not of the published size") {
  const PublishedResults paper = PublishedResults::load(kConfigs + "published_results.json");
  Config config = full_size("cifar10_s16_l4");
  config.data.image_size = 16;
  CHECK(paper.find(config) == nullptr);          // 768 sub-pixels, where the paper has 3,072
  config.task = TaskKind::image_classification;  // another metric
  CHECK(paper.find(config) == nullptr);
  CHECK(paper.find(full_size("cifar10_mini_s6_l4")) == nullptr);
  const auto match = paper.nearest(full_size("cifar10_mini_s6_l4_ft"));
  REQUIRE(match);
  CHECK(match->scheme == "S16-L4+FT");
  CHECK(match->length == 3072);
  CHECK_FALSE(match->same_size);
}

TEST_CASE("the cost of full-size runs is the paper's") {
  CHECK(training_cost(full_size("wikitext103_s0")).train_exaflop == Approx(7.6).margin(0.05));
  CHECK(training_cost(full_size("wikitext103_s0")).forward_flop_per_token ==
        Approx(604e6).epsilon(0.001));
  CHECK(training_cost(full_size("wikitext103_s16_l4")).compute_ratio == Approx(0.75).epsilon(1e-9));
  CHECK(training_cost(full_size("wikitext103_s16_l4_ft")).compute_ratio ==
        Approx(0.775).epsilon(1e-9));
  CHECK(training_cost(full_size("enwik8_s0")).train_exaflop == Approx(1.76).margin(0.005));
}

TEST_CASE("published rows belong to a data set, a scheme and a size") {
  const PublishedResults paper = PublishedResults::load(kConfigs + "published_results.json");
  Config config = full_size("enwik8_s16_l4_ft");
  const PublishedRow* row = paper.find(config);
  REQUIRE(row != nullptr);
  CHECK(row->test == 1.029);
  CHECK(row->ensemble_test == 1.035);
  CHECK(row->speed == 1.55);
  config.ssa.windows = 16;
  CHECK(paper.find(config) == nullptr);
  config.ssa.windows = 4;
  config.model.width = 512;
  CHECK(paper.find(config) == nullptr);
  CHECK(paper.find(load_config(kConfigs + "enwik8_mini_s6_l4.yaml")) == nullptr);
  config = full_size("enwik8_s0");
  config.data.name = "text";
  CHECK(paper.find(config) == nullptr);
  CHECK(PublishedResults().find(full_size("enwik8_s0")) == nullptr);
}

TEST_CASE("a table may tell its models apart by keys of the config") {
  const PublishedResults paper = PublishedResults::load(kConfigs + "published_results.json");
  const auto config = [](int window, const std::string& ssa) {
    return parse_config(fmt::format("task: image_classification\nmodel: {{swin: {{window: {}}}}}\n"
                                    "ssa: {{{}}}\n"
                                    "data: {{name: imagenet, path: d, image_size: 224}}\n",
                                    window, ssa),
                        "swin.yaml");
  };
  const std::string local = "kind: local, windows: 4, sigma: 0.75, layers: ";
  const std::string unbiased = "kind: unbiased, drop: 0.75, layers: ";
  const auto [window, ssa, scheme, score] =
      GENERATE_COPY(Catch::Generators::table<int, std::string, std::string, double>(
          {{7, "kind: none", "W7-S0", 81.19},
           {14, "kind: none", "W14-S0", 81.89},
           {14, local + "10", "W14-S10-L4", 80.56},
           {14, local + "10, finetune_fraction: 0.1", "W14-S10-L4+FT", 81.15},
           {14, local + "6", "W14-S6-L4", 81.23},
           {14, local + "6, finetune_fraction: 0.1", "W14-S6-L4+FT", 81.6},
           {14, unbiased + "10", "W14-S10-U75", 80.21},
           {14, unbiased + "10, finetune_fraction: 0.1", "W14-S10-U75+FT", 80.8},
           {14, unbiased + "6", "W14-S6-U75", 81.21},
           {14, unbiased + "6, finetune_fraction: 0.1", "W14-S6-U75+FT", 81.36}}));
  CAPTURE(scheme);
  Config own = config(window, ssa);
  CHECK(scheme_name(own) == scheme);
  const PublishedRow* row = paper.find(own);
  REQUIRE(row != nullptr);
  CHECK(row->valid == score);
  CHECK_FALSE(row->test);
  CHECK(contains(paper.nearest(own)->note, "50,000 validation pictures"));

  own.data.image_size = 64;
  CHECK(paper.find(own) == nullptr);
  const auto match = paper.nearest(own);
  REQUIRE(match);
  CHECK(match->scheme == scheme);
  CHECK_FALSE(match->same_size);
  own.data.name = "cifar10";  // whose table is of another metric
  CHECK_FALSE(paper.nearest(own));
}

TEST_CASE("the published results are found from the config and from the programs") {
  const TempDir folder;
  const std::string dir = folder.path() + "/";
  const std::string bin = dir + "build/release/bin";
  std::filesystem::create_directories(bin);
  std::filesystem::create_directories(dir + "share/ssa/configs");
  CHECK(find_published_results("/nowhere/c.yaml", bin).empty());
  write_bytes(dir + "share/ssa/configs/published_results.json", "{}");
  CHECK(find_published_results("/nowhere/c.yaml", bin) ==
        dir + "share/ssa/configs/published_results.json");
  write_bytes(bin + "/published_results.json", "{}");
  CHECK(find_published_results(bin + "/c.yaml", bin) == bin + "/published_results.json");
}

TEST_CASE("a damaged table of published results is named") {
  const TempDir folder;
  const std::string dir = folder.path() + "/";
  const auto text = GENERATE(Catch::Generators::values<std::string>(
      {"", "[]", "{\"source\": 1}",
       "{\"source\": \"a\", \"data\": {\"x\": {\"layers\": \"1\"}}}"}));
  write_bytes(dir + "p.json", text);
  CHECK_THROWS_AS(PublishedResults::load(dir + "p.json"), ConfigError);
  CHECK_THROWS_WITH(PublishedResults::load(dir + "p.json"), Catch::Contains("p.json"));
  CHECK_THROWS_AS(PublishedResults::load(dir + "none.json"), ConfigError);
}

TEST_CASE("a model of another size has the row of the scheme that samples as many of its layers") {
  const PublishedResults paper = PublishedResults::load(kConfigs + "published_results.json");
  Config config = full_size("enwik8_mini_s6_l4_ft");
  auto match = paper.nearest(config);
  REQUIRE(match);
  CHECK(match->scheme == "S16-L4+FT");
  CHECK(match->row->test == 1.029);
  CHECK(match->layers == 16);
  CHECK(match->width == 1024);
  CHECK(match->length == 4096);
  CHECK_FALSE(match->same_size);

  config.ssa.finetune_fraction = 0;
  config.model.layers = 8;
  config.ssa.layers = 6;  // three quarters
  match = paper.nearest(config);
  REQUIRE(match);
  CHECK(match->scheme == "S12-L4");
  config.ssa.layers = 5;  // ten of sixteen: not published
  CHECK_FALSE(paper.nearest(config));
  config.model.layers = 6;  // 13.3 of sixteen
  CHECK_FALSE(paper.nearest(config));

  match = paper.nearest(full_size("enwik8_s12_l4"));
  REQUIRE(match);
  CHECK(match->same_size);
  config.data.name = "text";
  CHECK_FALSE(paper.nearest(config));
  CHECK_FALSE(PublishedResults().nearest(full_size("enwik8_s0")));
}
