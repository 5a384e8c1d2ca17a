#include <filesystem>

#include <catch2/catch.hpp>

#include "config/config_test_support.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

const fs::path kConfigs = fs::path(SSA_SOURCE_DIR) / "configs";

Config published(const std::string& name) { return load_config((kConfigs / name).string()); }

}  // namespace

TEST_CASE("every file in configs/ loads and survives a round trip", "[config]") {
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(kConfigs)) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    CAPTURE(entry.path());
    const Config config = load_config(entry.path().string());
    CHECK(parse_config(dump_config(config), "dump") == config);
  }
  CHECK(files == 86);
}

TEST_CASE("the Enwik8 configs state the paper's set-up", "[config]") {
  const Config dense = published("enwik8_s0.yaml");
  CHECK(dense.model.layers == 16);
  CHECK(dense.model.width == 1024);
  CHECK(dense.model.ffn_width == 4096);
  CHECK(dense.model.heads == 8);
  CHECK(dense.data.length == 4096);
  CHECK(dense.train.batch_size == 64);
  CHECK(dense.train.steps == 10000);
  CHECK(dense.train.optimizer.lr == 0.001);
  CHECK(dense.train.schedule.warmup_steps == 4000);
  CHECK(dense.train.schedule.decay == DecayKind::linear);
  CHECK(dense.train.schedule.min_lr == 0.0005);
  CHECK(dense.eval.length == 4096);
  CHECK(dense.eval.overlap == 3072);
  CHECK(dense.ssa.kind == SsaKind::none);
}

TEST_CASE("the WikiText-103 configs state the paper's set-up", "[config]") {
  const Config dense = published("wikitext103_s0.yaml");
  CHECK(dense.task == TaskKind::word_lm);
  CHECK(dense.model.layers == 16);
  CHECK(dense.model.width == 1024);
  CHECK(dense.model.ffn_width == 4096);
  CHECK(dense.model.heads == 8);
  CHECK(dense.model.activation == ActivationKind::gelu);
  CHECK(dense.model.position == PositionKind::alibi);
  CHECK_FALSE(dense.model.final_norm);
  CHECK(dense.model.embedding.kind == EmbeddingKind::adaptive);
  CHECK(dense.model.embedding.cutoffs == std::vector<int64_t>{20000, 60000});
  CHECK(dense.model.embedding.factor == 4);
  CHECK(dense.model.embedding.tie_weights);
  CHECK(dense.model.embedding.tie_projections);
  CHECK(dense.model.dropout == 0.3);
  CHECK(dense.model.attention_dropout == 0.1);
  CHECK(dense.model.activation_dropout == 0.1);
  CHECK(dense.model.softmax_dropout == 0.2);
  CHECK(dense.data.length == 3072);
  CHECK(dense.train.batch_size == 64);
  CHECK(dense.train.steps == 64000);
  CHECK(dense.train.clip_norm == 0.1);
  CHECK(dense.train.schedule.warmup_steps == 16000);
  CHECK(dense.train.schedule.decay == DecayKind::cosine);
  CHECK(dense.eval.length == 3072);
  CHECK(dense.eval.overlap == 2048);
  CHECK(dense.eval.samples == 50);
  CHECK(dense.ssa.kind == SsaKind::none);
}

TEST_CASE("the ImageNet configs state the recipe of Swin", "[config]") {
  const Config w7 = published("imagenet_w7_s0.yaml");
  CHECK(w7.task == TaskKind::image_classification);
  CHECK(w7.model.swin == SwinConfig{});  // Swin-T
  CHECK(w7.data.image_size == 224);
  CHECK(w7.data.resize == 256);
  CHECK(w7.data.classes == 1000);
  const DataConfig recipe;  // the published values are the defaults
  CHECK(w7.data.crop == recipe.crop);
  CHECK(w7.data.flip == 0.5);
  CHECK(w7.data.rand_augment == recipe.rand_augment);
  CHECK(w7.data.erasing == recipe.erasing);
  CHECK(w7.data.mixing == recipe.mixing);
  CHECK(w7.train.steps == 300 * 1251);
  CHECK(w7.train.batch_size == 1024);
  CHECK(w7.train.clip_norm == 5);
  CHECK(w7.train.label_smoothing == 0.1);
  CHECK(w7.train.optimizer.kind == OptimizerKind::adamw);
  CHECK(w7.train.optimizer.lr == 0.001);
  CHECK(w7.train.optimizer.weight_decay == 0.05);
  CHECK(w7.train.schedule.warmup_steps == 20 * 1251);
  CHECK(w7.train.schedule.warmup_lr == 1e-6);
  CHECK(w7.train.schedule.min_lr == 1e-5);
  Config w14 = published("imagenet_w14_s0.yaml");
  CHECK(w14.model.swin.window == 14);
  w14.model.swin.window = 7;
  CHECK(w14 == w7);
}

TEST_CASE("the PCQM4Mv2 configs state the set-up of EGT-Simple", "[config]") {
  const Config dense = published("pcqm4mv2_s0.yaml");
  CHECK(dense.task == TaskKind::graph_regression);
  CHECK(dense.model.layers == 6);
  CHECK(dense.model.width == 512);
  CHECK(dense.model.ffn_width == 512);
  CHECK(dense.model.heads == 32);
  CHECK(dense.model.activation == ActivationKind::elu);
  CHECK(dense.model.egt == EgtConfig{});  // the published values are the defaults
  CHECK(dense.model.attention_dropout == 0);
  CHECK(dense.train.batch_size == 512);
  CHECK(dense.train.steps == 1000000);
  CHECK(dense.train.clip_norm == 0);
  CHECK(dense.train.optimizer.lr == 1e-4);
  CHECK(dense.train.optimizer.weight_decay == 0);
  CHECK(dense.train.schedule.warmup_steps == 200000);
  CHECK(dense.train.schedule.warmup_lr == 1e-6);
  CHECK(dense.train.schedule.min_lr == 1e-6);
  CHECK(dense.train.schedule.decay == DecayKind::cosine);
  CHECK(dense.eval.samples == 50);
}

TEST_CASE("SSA configs differ from their dense base in SSA alone", "[config]") {
  struct Case {
    std::string name;
    std::string base;
    int64_t layers;
    int64_t windows;
  };
  const auto [name, base, layers, windows] =
      GENERATE(values<Case>({{"enwik8_s16_l2", "enwik8_s0", 16, 2},
                             {"enwik8_s16_l4", "enwik8_s0", 16, 4},
                             {"enwik8_s12_l4", "enwik8_s0", 12, 4},
                             {"wikitext103_s16_l2", "wikitext103_s0", 16, 2},
                             {"wikitext103_s16_l4", "wikitext103_s0", 16, 4},
                             {"wikitext103_s16_l6", "wikitext103_s0", 16, 6},
                             {"wikitext103_s16_l8", "wikitext103_s0", 16, 8},
                             {"wikitext103_s12_l4", "wikitext103_s0", 12, 4},
                             {"enwik8_mini_s6_l2", "enwik8_mini_s0", 6, 2},
                             {"enwik8_mini_s6_l4", "enwik8_mini_s0", 6, 4},
                             {"enwik8_mini_s6_l8", "enwik8_mini_s0", 6, 8},
                             {"wikitext2_mini_s6_l2", "wikitext2_mini_s0", 6, 2},
                             {"wikitext2_mini_s6_l4", "wikitext2_mini_s0", 6, 4},
                             {"wikitext2_mini_s6_l8", "wikitext2_mini_s0", 6, 8},
                             {"imagenet_w14_s10_l4", "imagenet_w14_s0", 10, 4},
                             {"imagenet_w14_s6_l4", "imagenet_w14_s0", 6, 4},
                             {"imagenette_mini_w14_s10_l4", "imagenette_mini_w14_s0", 10, 4},
                             {"imagenette_mini_w14_s6_l4", "imagenette_mini_w14_s0", 6, 4}}));
  CAPTURE(name);
  Config config = published(name + ".yaml");
  CHECK(config.ssa.kind == SsaKind::local);
  CHECK(config.ssa.layers == layers);
  CHECK(config.ssa.windows == windows);
  CHECK(config.ssa.finetune_fraction == 0.0);
  Config tuned = published(name + "_ft.yaml");
  CHECK(tuned.ssa.finetune_fraction == 0.1);
  tuned.ssa.finetune_fraction = 0.0;
  CHECK(tuned == config);
  const Config dense = published(base + ".yaml");
  config.ssa = dense.ssa;
  CHECK(config == dense);
}

TEST_CASE("unbiased configs differ from their dense base in SSA alone", "[config]") {
  struct Case {
    std::string name;
    std::string base;
    int64_t layers;
    double drop;
  };
  const auto [name, base, layers, drop] =
      GENERATE(values<Case>({{"enwik8_u50", "enwik8_s0", 16, 0.5},
                             {"enwik8_u75", "enwik8_s0", 16, 0.75},
                             {"wikitext103_u50", "wikitext103_s0", 16, 0.5},
                             {"wikitext103_u75", "wikitext103_s0", 16, 0.75},
                             {"enwik8_mini_s6_u75", "enwik8_mini_s0", 6, 0.75},
                             {"wikitext2_mini_s6_u75", "wikitext2_mini_s0", 6, 0.75},
                             {"imagenet_w14_s10_u75", "imagenet_w14_s0", 10, 0.75},
                             {"imagenet_w14_s6_u75", "imagenet_w14_s0", 6, 0.75},
                             {"pcqm4mv2_s6_u10", "pcqm4mv2_s0", 6, 0.1},
                             {"pcqm4mv2_s6_u20", "pcqm4mv2_s0", 6, 0.2},
                             {"pcqm4mv2_s6_u30", "pcqm4mv2_s0", 6, 0.3},
                             {"pcqm4mv2_s6_u40", "pcqm4mv2_s0", 6, 0.4},
                             {"pcqm4mv2_s6_u50", "pcqm4mv2_s0", 6, 0.5},
                             {"qm9_mini_s4_u30", "qm9_mini_s0", 4, 0.3},
                             {"qm9_mini_s4_u50", "qm9_mini_s0", 4, 0.5},
                             {"pcqm4mv2_mini_s4_u30", "pcqm4mv2_mini_s0", 4, 0.3}}));
  CAPTURE(name);
  Config config = published(name + ".yaml");
  CHECK(config.ssa.kind == SsaKind::unbiased);
  CHECK(config.ssa.layers == layers);
  CHECK(config.ssa.drop == drop);
  Config tuned = published(name + "_ft.yaml");
  CHECK(tuned.ssa.finetune_fraction == 0.1);
  tuned.ssa.finetune_fraction = 0.0;
  CHECK(tuned == config);
  config.ssa = SsaConfig{};
  CHECK(config == published(base + ".yaml"));
}
