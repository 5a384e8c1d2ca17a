#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <omp.h>

#include "ssa/config/config.h"
#include "ssa/core/philox.h"

#include "storage/checkpoint_fixture.h"
#include "support/tensors.h"
#include "support/text.h"

// A model and a text so small that a test can train the same run many times over.

namespace ssa::testing {

/// A text that can be learned: random words of a small vocabulary.
inline std::string sample_text(size_t bytes, uint64_t seed = 3) {
  const std::vector<std::string> words = {"the",    "of",     "and",  "a",    "window", "layer",
                                          "source", "target", "step", "loss", "plan",   "token"};
  const RngKey key{.seed = seed};
  std::string text;
  for (uint64_t i = 0; text.size() < bytes; ++i) {
    const uint32_t drawn = key.word(i);
    text += words[drawn % words.size()] + (drawn >> 16 & 7u ? " " : "\n");
  }
  text.resize(bytes);
  return text;
}

/// Eight steps of two layers; every dropout on; local SSA, dense from step 4 on (+FT); scored
/// after steps 3, 6 and 8, saved after every step.
inline std::string tiny_yaml(const std::string& data_path) {
  return "task: byte_lm\n"
         "model: {layers: 2, width: 16, ffn_width: 32, heads: 2, dropout: 0.1,\n"
         "        attention_dropout: 0.1, activation_dropout: 0.1}\n"
         "ssa: {kind: local, windows: 4, sigma: {first: 0.1, last: 0.3}, finetune_fraction: 0.5}\n"
         "data: {name: words, path: " +
         data_path +
         ", length: 32}\n"
         "train: {steps: 8, batch_size: 4, micro_batch: 2, clip_norm: 1.0, optimizer: {lr: 0.01},\n"
         "        schedule: {warmup_steps: 2}, log_every: 1, eval_every: 3, eval_tokens: 100,\n"
         "        checkpoint_every: 1, keep_checkpoints: 20}\n"
         "eval: {length: 32, overlap: 16}\n";
}

/// A folder with the text in it, and configs that read it.
struct TinyRun {
  TempDir dir;
  std::string text_path = dir / "text.txt";

  explicit TinyRun(size_t bytes = 6000) {
    // One thread: at these sizes a second one only waits for the first.
    omp_set_num_threads(1);
    write_bytes(text_path, sample_text(bytes));
  }
  Config config(const std::vector<std::string>& overrides = {}) const {
    return parse_config(tiny_yaml(text_path), "tiny.yaml", overrides);
  }
};

/// Overrides of a config, which + appends.
using Overrides = std::vector<std::string>;
inline Overrides operator+(Overrides a, const Overrides& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline void flip_bit(const std::string& path) {
  std::string bytes = read_bytes(path);
  REQUIRE(bytes.size() > 1);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  write_bytes(path, bytes);
}

}  // namespace ssa::testing
