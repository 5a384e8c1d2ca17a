// Reads a vocab.txt, and encodes a text ("=== text") with it; the same for a list of words of
// another program ("=== list"), and for ids ("=== ids", a vocabulary.json, and "=== names").

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

void check_ids(const Vocabulary& ids) {
  const std::string file = vocabulary_to_text(ids);
  const Vocabulary again = ids_from_text(file, "copy");
  require(vocabulary_to_text(again) == file, "ids survive a round trip");
  require(again.decode(ids.start_token()) == ids.decode(ids.start_token()),
          "the text of an id survives a round trip");
}

/// The texts of ids, which are as many as lines.
void check_names(const std::string& lines) {
  auto texts = parsed<DataError>([&] { return id_texts_from_lines(lines, "input"); });
  if (!texts || texts->empty()) return;
  const auto size = std::ssize(*texts);
  check_ids(Vocabulary::ids(size, static_cast<int32_t>(size - 1), std::move(*texts)));
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Parts parts = parts_of(text_of(data, size), "vocab.txt");
  const std::string& text = parts["text"];
  check_table(text);
  const auto vocabulary =
      parsed<DataError>([&] { return vocabulary_from_text(parts["vocab.txt"], "input"); });
  if (vocabulary) check(*vocabulary, text);
  const auto list = parsed<DataError>([&] { return vocabulary_from_list(parts["list"], "input"); });
  if (list) check(*list, text);
  if (const auto ids = parsed<DataError>([&] { return ids_from_text(parts["ids"], "input"); })) {
    accepted<ConfigError>([&] { ids->encode(text); });
    check_ids(*ids);
  }
  check_names(parts["names"]);
  return 0;
}
