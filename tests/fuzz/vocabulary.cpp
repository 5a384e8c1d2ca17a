// Reads a vocab.txt, and encodes a text ("=== text") with it.

#include "ssa/data/vocabulary.h"

#include "ssa/core/error.h"

#include "data/word_text.h"
#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

std::string decoded(const Vocabulary& vocabulary, const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) text += vocabulary.decode(token);
  return text;
}

void check(const Vocabulary& vocabulary, const std::string& text) {
  const std::string list = vocabulary_to_text(vocabulary);
  require(vocabulary_to_text(vocabulary_from_text(list, "copy")) == list,
          "a vocabulary survives a round trip");
  const std::vector<int32_t> tokens = vocabulary.encode(text);
  for (const int32_t token : tokens) {
    require(token >= 0 && token < vocabulary.size(), "a token is in the vocabulary");
  }
  if (find_not_utf8(text) != std::string::npos) return;
  require(vocabulary.encode(decoded(vocabulary, tokens)) == tokens,
          "a decoded text has the same tokens");
}

void check_table(const std::string& text) {
  WordTable table;
  const auto add = [&](std::string_view word, size_t) {
    const int32_t number = table.add(word);
    require(table.word(number) == word && table.find(word) == number, "a word has one number");
  };
  for_each_word(text, add, [](size_t) {});
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Parts parts = parts_of(text_of(data, size), "vocab.txt");
  const std::string& text = parts["text"];
  check_table(text);
  const auto vocabulary =
      parsed<DataError>([&] { return vocabulary_from_text(parts["vocab.txt"], "input"); });
  if (vocabulary) check(*vocabulary, text);
  return 0;
}
