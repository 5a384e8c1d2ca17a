// The cost accounting against the paper's numbers for Enwik8 (Table 7 and the C columns).

#include "ssa/tasks/cost.h"

#include "ssa/tasks/language_model.h"

#include "support/tensors.h"
#include "tasks/majority_task.h"

namespace ssa {
namespace {

/// 16 layers of width 1024, length 4096, 10,000 steps of 64 sequences.
Config enwik8() {
  Config config;
  config.task = TaskKind::byte_lm;
  config.model.layers = 16;
  config.model.width = 1024;
  config.model.ffn_width = 4096;
  config.model.heads = 8;
  config.model.final_norm = true;
  config.data.length = 4096;
  config.train.steps = 10000;
  config.train.batch_size = 64;
  return config;
}

Config enwik8_local(int64_t layers, int64_t windows, double finetune = 0.0) {
  Config config = enwik8();
  config.ssa.kind = SsaKind::local;
  config.ssa.layers = layers;
  config.ssa.windows = windows;
  config.ssa.finetune_fraction = finetune;
  return config;
}

TEST_CASE("cost: dense Enwik8 takes 1.76 EFLOP", "[models]") {
  const TrainingCost cost = training_cost(enwik8());
  CHECK(cost.train_exaflop == Approx(1.76).epsilon(0.005));
  CHECK(cost.compute_ratio == 1.0);
  // 24·L·d² + L·4·d·N
  CHECK(cost.forward_flop_per_token == 24.0 * 16 * 1024 * 1024 + 16.0 * 4 * 1024 * 4096);
  CHECK(cost.dense_forward_flop_per_token == cost.forward_flop_per_token);
}

TEST_CASE("cost: WikiText-103's 604 MFLOP a token and 7.6 EFLOP", "[models]") {
  Config config = enwik8();
  config.data.length = 3072;
  config.train.steps = 64000;
  const TrainingCost cost = training_cost(config);
  CHECK(cost.forward_flop_per_token == Approx(604e6).epsilon(0.001));
  CHECK(cost.train_exaflop == Approx(7.6).epsilon(0.005));
  config.ssa.kind = SsaKind::local;
  struct Known {
    int64_t layers, windows;
    double ratio;
  };
  for (const Known& known : {Known{16, 4, 0.75}, Known{16, 2, 0.83}, Known{12, 4, 0.81},
                             Known{16, 6, 0.72}, Known{16, 8, 0.71}}) {
    config.ssa.layers = known.layers;
    config.ssa.windows = known.windows;
    CAPTURE(known.layers, known.windows);
    CHECK(training_cost(config).compute_ratio == Approx(known.ratio).margin(0.005));
  }
}

TEST_CASE("cost: compute ratios of Enwik8 with local windows", "[models]") {
  CHECK(training_cost(enwik8_local(16, 4)).compute_ratio == Approx(0.70).margin(0.005));
  CHECK(training_cost(enwik8_local(16, 2)).compute_ratio == Approx(0.80).margin(0.005));
  CHECK(training_cost(enwik8_local(12, 4)).compute_ratio == Approx(0.78).margin(0.005));
  CHECK(training_cost(enwik8_local(0, 4)).compute_ratio ==
        training_cost(enwik8_local(16, 4)).compute_ratio);
}

TEST_CASE("cost: +FT makes it 0.9 C + 0.1", "[models]") {
  const TrainingCost plain = training_cost(enwik8_local(16, 4));
  const TrainingCost tuned = training_cost(enwik8_local(16, 4, 0.1));
  CHECK(tuned.compute_ratio == Approx(0.9 * plain.compute_ratio + 0.1).epsilon(1e-12));
  CHECK(tuned.train_exaflop ==
        Approx(tuned.compute_ratio * training_cost(enwik8()).train_exaflop).epsilon(1e-12));
  CHECK(tuned.forward_flop_per_token == plain.forward_flop_per_token);
}

TEST_CASE("cost: the published configs cost what Table 7 and the C columns say", "[models]") {
  struct Published {
    const char* config;
    double compute, exaflop;  // 0: not printed
  };
  for (const Published& row : {Published{"wikitext103_s0", 1.00, 7.6},
                               {"wikitext103_s16_l2", 0.83, 0},
                               {"wikitext103_s16_l2_ft", 0.85, 0},
                               {"wikitext103_s16_l4", 0.75, 0},
                               {"wikitext103_s16_l4_ft", 0.78, 0},
                               {"wikitext103_s12_l4", 0.81, 0},
                               {"wikitext103_s12_l4_ft", 0.83, 0},
                               {"wikitext103_s16_l6", 0.72, 0},
                               {"wikitext103_s16_l6_ft", 0.75, 0},
                               {"wikitext103_s16_l8", 0.71, 0},
                               {"wikitext103_s16_l8_ft", 0.74, 0},
                               {"enwik8_s0", 1.00, 1.76},  // printed as 1.7
                               {"enwik8_s16_l2", 0.80, 0},
                               {"enwik8_s16_l2_ft", 0.82, 0},
                               {"enwik8_s16_l4", 0.70, 0},
                               {"enwik8_s16_l4_ft", 0.73, 0},
                               {"enwik8_s12_l4", 0.78, 0},
                               {"enwik8_s12_l4_ft", 0.80, 0}}) {
    CAPTURE(row.config);
    const TrainingCost cost = training_cost(
        load_config(std::string(SSA_SOURCE_DIR) + "/configs/" + row.config + ".yaml"));
    CHECK(cost.compute_ratio == Approx(row.compute).margin(0.0051));
    if (row.exaflop > 0) CHECK(cost.train_exaflop == Approx(row.exaflop).epsilon(0.005));
  }
}

TEST_CASE("cost: the decoder over the 3072 sub-pixels of CIFAR-10 takes 23.8 EFLOP", "[models]") {
  Config config = enwik8();  // the same decoder
  config.data.length = 32 * 32 * 3;
  config.train.steps = 100000;
  config.train.batch_size = 128;
  CHECK(training_cost(config).train_exaflop == Approx(23.8).epsilon(0.005));
  config.ssa.kind = SsaKind::local;
  config.ssa.windows = 4;
  CHECK(training_cost(config).compute_ratio == Approx(0.75).margin(0.005));
  config.ssa.finetune_fraction = 0.1;
  CHECK(training_cost(config).compute_ratio == Approx(0.77).margin(0.0051));
}

TEST_CASE("cost: how attention is computed does not change what is counted", "[models]") {
  Config config = enwik8_local(12, 4);
  const double fused = training_cost(config).forward_flop_per_token;
  config.model.attention = AttentionKind::materialized;
  CHECK(training_cost(config).forward_flop_per_token == fused);
}

TEST_CASE("cost: neither the vocabulary nor its embedding changes what is counted", "[models]") {
  Config config = enwik8_local(12, 4);
  const double bytes = training_cost(config).forward_flop_per_token;
  config.task = TaskKind::word_lm;
  config.data.name = "own";  // whose vocabulary only the data know
  CHECK(training_cost(config).forward_flop_per_token == bytes);
  config.data.vocabulary = 100000;
  config.model.embedding = {EmbeddingKind::adaptive, {2000, 6000}, 4, false, false};
  CHECK(training_cost(config).forward_flop_per_token == bytes);
}

TEST_CASE("cost: a task of its own is counted on its own model, per example", "[models]") {
  Config config = enwik8();
  config.model.layers = 2;
  config.model.width = 32;
  config.model.ffn_width = 48;
  config.data.length = 10;
  config.ssa.kind = SsaKind::unbiased;
  config.ssa.drop = 0.3;
  config.ssa.finetune_fraction = 0.25;
  const TrainingCost cost = training_cost(config, testing::make_majority_task);
  // Per layer: query, key, value and output; two maps of the feed-forward part; logits and sums
  // over all pairs. Two classes are read off one position.
  const double products = 2 * 10 * (8.0 * 32 * 32 + 4.0 * 32 * 48) + 2.0 * 2 * 32;
  const double dense = products + 2 * 4.0 * 32 * 10 * 10,
               sampled = products + 2 * 4.0 * 32 * 10 * 7;
  CHECK(cost.dense_forward_flop_per_token == dense);
  CHECK(cost.forward_flop_per_token == sampled);
  CHECK(cost.compute_ratio == Approx((0.75 * sampled + 0.25 * dense) / dense).epsilon(1e-14));
  CHECK(cost.train_exaflop == Approx(1e-18 * 10000 * 64 * (0.75 * sampled + 0.25 * dense)));
  // Two symbols, two layers, two classes.
  constexpr int64_t kLayer = 4 * (32 * 32 + 32) + 2 * 32 * 48 + 48 + 32 + 4 * 32;
  CHECK(parameter_count(config, testing::make_majority_task) == 2 * 32 + 2 * kLayer + 2 * 32 + 2);
}

TEST_CASE("cost: unbiased sampling counts the sources that are drawn", "[models]") {
  Config config = enwik8();
  config.ssa.kind = SsaKind::unbiased;
  config.ssa.layers = 4;
  config.ssa.drop = 0.3;
  const double sources = 2867;  // round(0.7·4096)
  CHECK(training_cost(config).forward_flop_per_token ==
        Approx(24.0 * 16 * 1024 * 1024 + 4.0 * 1024 * (12 * 4096 + 4 * sources)).epsilon(1e-14));
}

TEST_CASE("cost: a feed-forward part of another width", "[models]") {
  Config config = enwik8();
  config.model.ffn_width = 3000;
  const double layer = 8.0 * 1024 * 1024 + 4.0 * 1024 * 3000 + 4.0 * 1024 * 4096;
  CHECK(training_cost(config).forward_flop_per_token == 16 * layer);
}

TEST_CASE("cost: parameters of the full decoder", "[models]") {
  constexpr int64_t kPerLayer = 12596224, kTable = 256 * 1024, kFinalNorm = 2 * 1024;
  Config config = enwik8();
  CHECK(parameter_count(config) == 16 * kPerLayer + kTable + kFinalNorm);
  config.model.embedding.tie_weights = false;
  CHECK(parameter_count(config) == 16 * kPerLayer + 2 * kTable + kFinalNorm);
  config.model.final_norm = false;
  config.model.layers = 1;
  CHECK(parameter_count(config) == kPerLayer + 2 * kTable);
}

TEST_CASE("cost: the vocabulary of words is configured or published", "[models]") {
  Config config = enwik8();
  config.task = TaskKind::word_lm;
  config.data.name = "wikitext103";
  CHECK(vocabulary_size(config) == 267735);
  config.data.name = "wikitext2";
  CHECK(vocabulary_size(config) == 33278);
  config.data.vocabulary = 1000;
  CHECK(vocabulary_size(config) == 1000);
  config.data.name = "own";
  CHECK(vocabulary_size(config) == 1000);
  config.data.vocabulary = 0;
  CHECK_THAT(testing::message_of<ConfigError>([&] { vocabulary_size(config); }),
             Catch::Contains("data.vocabulary") && Catch::Contains("\"own\""));
}

}  // namespace
}  // namespace ssa
