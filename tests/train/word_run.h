#pragma once

#include <string>
#include <vector>

#include "ssa/data/prepare.h"

#include "train/tiny_run.h"

namespace ssa::testing {

/// The tiny run with a prepared data set of words: the same text, twelve different words beside
/// </s> and <unk>.
struct WordRun : TinyRun {
  std::string words_path = dir / "words";

  WordRun() {
    PrepareOptions options;
    options.name = "words";
    options.output = words_path;
    uint64_t seed = 1;
    for (const char* name : {"train.txt", "valid.txt", "test.txt"}) {
      std::string text = sample_text(seed == 1 ? 4000 : 900, seed);
      text.resize(text.find_last_of(" \n"));  // whole words only
      ++seed;
      write_bytes(dir / name, text + "\n");
      options.inputs.push_back(dir / name);
    }
    prepare_dataset(options);
  }
  static constexpr int64_t kVocabulary = 14;

  std::string yaml() const {
    std::string text = tiny_yaml(words_path);
    return text.replace(text.find("byte_lm"), 7, "word_lm");
  }
  Config config(const std::vector<std::string>& overrides = {}) const {
    return parse_config(yaml(), "tiny.yaml", overrides);
  }
};

}  // namespace ssa::testing
