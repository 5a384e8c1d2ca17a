#include "ssa/data/vocabulary.h"

#include <map>

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

Vocabulary example() {
  return Vocabulary::words({"</s>", "the", "<unk>", "caf\u00e9"}, {9, 5, 2, 1}, "list");
}

}  // namespace

TEST_CASE("bytes are their own vocabulary") {
  const Vocabulary bytes = Vocabulary::bytes();
  CHECK(bytes.size() == 256);
  CHECK(bytes.start_token() == '\n');
  CHECK(bytes.unknown_token() == -1);
  CHECK(bytes.encode("a\xff\n") == std::vector<int32_t>{97, 255, 10});
  CHECK(bytes.decode(255) == "\xff");
  CHECK_THROWS_AS(bytes.decode(256), ShapeError);
  CHECK_THROWS_AS(bytes.find("word"), ShapeError);
}

TEST_CASE("words are found by what stands between whitespace") {
  const Vocabulary words = example();
  CHECK(words.size() == 4);
  CHECK(words.start_token() == 0);
  CHECK(words.unknown_token() == 2);
  CHECK(words.count(1) == 5);
  CHECK(words.find("caf\u00e9") == 3);
  CHECK(words.find("caf") == -1);
  CHECK(words.encode(" the\tdog \n caf\u00e9") == std::vector<int32_t>{1, 2, 0, 3});
  // As Python's str.split(): no-break space, line separator, ideographic space, next line.
  CHECK(words.encode("the\u00a0the\u2028the\u3000the\u0085the\x1fthe") ==
        std::vector<int32_t>(6, 1));
  CHECK(words.encode("the\u200bthe") == std::vector<int32_t>{2});  // zero-width: no whitespace
  CHECK(words.encode("").empty());
  CHECK(words.decode(3) + words.decode(0) + words.decode(1) == "caf\u00e9 \nthe ");
  for (const int32_t token : {-1, 4}) {
    CHECK_THROWS_AS(words.decode(token), ShapeError);
    CHECK_THROWS_AS(words.count(token), ShapeError);
  }
}

TEST_CASE("vocab.txt keeps words, order and counts") {
  const std::string text = vocabulary_to_text(example());
  CHECK(text == "</s> 9\nthe 5\n<unk> 2\ncaf\u00e9 1\n");
  const Vocabulary read = vocabulary_from_text(text, "vocab.txt");
  CHECK(vocabulary_to_text(read) == text);
  CHECK(read.find("the") == 1);
}

TEST_CASE("a malformed vocab.txt is an error that names file and line") {
  struct Case {
    std::string text, part;
  };
  const std::vector<Case> cases = {{"</s> 9\nthe\n<unk> 2\n", "line 2"},
                                   {"</s> 9\nthe five\n<unk> 2\n", "line 2"},
                                   {"</s> 9\nthe 5 5\n<unk> 2\n", "line 2"},
                                   {"</s> 9\nthe -5\n<unk> 2\n", "line 2"},
                                   {"</s> 9\n 5\n<unk> 2\n", "line 2"},
                                   {"</s> 9\nthe 99999999999999999999\n<unk> 2\n", "line 2"},
                                   {"</s> 9\n<unk> 2\nthe 5", "line 3"},
                                   {"</s> 9\n<unk> 2\n</s> 1\n", "twice"},
                                   {"</s> 9\n", "<unk> is missing"},
                                   {"<unk> 9\n", "</s> is missing"},
                                   {"", "</s> is missing"}};
  for (const Case& hostile : cases) {
    const std::string error =
        error_of(ExitCode::data, [&] { vocabulary_from_text(hostile.text, "/d/vocab.txt"); });
    CAPTURE(hostile.text, error);
    CHECK(contains(error, "/d/vocab.txt"));
    CHECK(contains(error, hostile.part));
  }
}

TEST_CASE("a word table agrees with a map, through many growths") {
  WordTable table;
  CHECK(table.find("x") == -1);
  std::map<std::string, int32_t> expected;
  const std::string text = some_bytes(200'000);
  for (size_t i = 0; i + 4 < text.size(); i += 3) {
    const std::string word = text.substr(i, 1 + i % 4);  // zero bytes and all
    const auto [place, added] = expected.emplace(word, static_cast<int32_t>(expected.size()));
    REQUIRE(table.add(word) == place->second);
  }
  REQUIRE(expected.size() > 5'000);
  CHECK(table.size() == static_cast<int64_t>(expected.size()));
  for (const auto& [word, number] : expected) {
    REQUIRE(table.find(word) == number);
    REQUIRE(table.word(number) == word);
  }
  CHECK(table.find("no such word") == -1);
  CHECK(table.find("") == -1);
}
