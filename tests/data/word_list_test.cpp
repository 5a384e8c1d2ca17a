#include "ssa/data/vocabulary.h"

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

std::string listed(const std::string& text) {
  return vocabulary_to_text(vocabulary_from_list(text, "list"));
}

std::vector<std::string> id_texts(const std::string& text) {
  return id_texts_from_lines(text, "/d/tokens.txt");
}

}  // namespace

TEST_CASE("lists of words keep their order") {
  // One word a line: the two words that every vocabulary needs come in front.
  CHECK(listed("the\r\ncat\n\nsat") == "</s> 0\n<unk> 0\nthe 0\ncat 0\nsat 0\n");
  CHECK(listed("the\n<unk>\n</s>\n") == "the 0\n<unk> 0\n</s> 0\n");
  CHECK(listed("the\n<unk>\n") == "</s> 0\nthe 0\n<unk> 0\n");
  // A vocab.txt as it is, so that its checksum is the same.
  CHECK(listed("the 7\n</s> 2\n<unk> 0\n") == "the 7\n</s> 2\n<unk> 0\n");
  CHECK(listed("the 7\n</s> 2\n") == "the 7\n</s> 2\n<unk> 0\n");
}

TEST_CASE("fairseq's dict.txt begins with the four words that it leaves out") {
  const Vocabulary words = vocabulary_from_list("the 7\ncat\t2\nmadeupword0000 0\n", "dict.txt");
  CHECK(vocabulary_to_text(words) ==
        "<s> 0\n<pad> 0\n</s> 0\n<unk> 0\nthe 7\ncat 2\nmadeupword0000 0\n");
  CHECK(words.start_token() == 2);
  CHECK(words.unknown_token() == 3);
  CHECK(words.find("the") == 4);
}

TEST_CASE("a malformed list of words is an error that names file and line") {
  struct Case {
    std::string text, part;
  };
  const std::vector<Case> cases = {{"", "is empty"},
                                   {"\n \n", "is empty"},
                                   {"the\nblack cat\n", "line 2"},
                                   {"the 5\ncat 5 5\n", "line 2"},
                                   {"the 5\ncat\n", "line 2"},
                                   {"the\ncat 4\n", "line 2"},
                                   {"the 5\ncat -4\n", "line 2"},
                                   {"the\ncaf\xe9\n", "line 2"},
                                   {"the 5\n<unk> 4 #fairseq:overwrite\n", "line 2"},
                                   {"the\ncat\nthe\n", "line 3"}};
  for (const Case& hostile : cases) {
    const std::string error =
        error_of(ExitCode::data, [&] { vocabulary_from_list(hostile.text, "/d/dict.txt"); });
    CAPTURE(hostile.text, error);
    CHECK(contains(error, "/d/dict.txt"));
    CHECK(contains(error, hostile.part));
  }
}

TEST_CASE("ids have numbers, and texts where they are known") {
  const Vocabulary plain = Vocabulary::ids(300, 299);
  CHECK(plain.size() == 300);
  CHECK(plain.start_token() == 299);
  CHECK(plain.unknown_token() == -1);
  CHECK_FALSE(plain.has_texts());
  CHECK(plain.encode(" 1,2, 299\n0,") == std::vector<int32_t>{1, 2, 299, 0});
  CHECK(plain.decode(17) + plain.decode(4) == "17 4 ");
  CHECK_THROWS_AS(plain.decode(300), ShapeError);
  CHECK_THROWS_AS(plain.find("word"), ShapeError);
  for (const char* wrong : {"300", "-1", "1.5", "the", "1;2", "99999999999"}) {
    CHECK_THROWS_AS(plain.encode(wrong), ConfigError);
  }
  CHECK_THROWS_AS(Vocabulary::ids(3, 3), ShapeError);
  CHECK_THROWS_AS(Vocabulary::ids(3, 0, {"a"}), ShapeError);
}

TEST_CASE("vocabulary.json keeps ids, start token and texts, bytes that are no UTF-8 too") {
  const std::vector<std::string> texts = {"a", " the", "\n", "\\n", "\xe2\x82", "\t", "", "\u20ac"};
  const Vocabulary ids = Vocabulary::ids(8, 2, texts);
  const std::string text = vocabulary_to_text(ids);
  const Vocabulary read = ids_from_text(text, "vocabulary.json");
  CHECK(vocabulary_to_text(read) == text);
  CHECK(read.start_token() == 2);
  for (int32_t id = 0; id < 8; ++id) CHECK(read.decode(id) == texts[static_cast<size_t>(id)]);
  const Vocabulary plain = ids_from_text(vocabulary_to_text(Vocabulary::ids(5, 0)), "x");
  CHECK(plain.size() == 5);
  CHECK_FALSE(plain.has_texts());

  for (const std::string hostile :
       {"", "{", "[]", "{}", R"({"vocabulary": 0, "start_token": 0, "texts": []})",
        R"({"vocabulary": 5000000000, "start_token": 0, "texts": []})",
        R"({"vocabulary": 2, "start_token": 2, "texts": []})",
        R"({"vocabulary": 2, "start_token": 0, "texts": ["a"]})",
        R"({"vocabulary": 1, "start_token": 0, "texts": ["\\q"]})",
        R"({"vocabulary": 1, "start_token": 0, "texts": [1]})"}) {
    CAPTURE(hostile);
    CHECK(contains(error_of(ExitCode::data, [&] { ids_from_text(hostile, "/d/v.json"); }),
                   "/d/v.json"));
  }
}

TEST_CASE("texts of ids are read line by line, with escapes") {
  CHECK(id_texts("a\n the\\n\n\n\\x41\\\\\\t\\xE2\n\\r") ==
        std::vector<std::string>{"a", " the\n", "", "A\\\t\xe2", "\r"});
  CHECK(id_texts("a\r\nb\r\n") == std::vector<std::string>{"a", "b"});
  CHECK(id_texts("").empty());
  for (const char* wrong : {"a\n\\", "a\n\\q", "a\n\\x4", "a\n\\xg0", "a\n\\x"}) {
    const std::string error = error_of(ExitCode::data, [&] { id_texts(wrong); });
    CHECK(contains(error, "'/d/tokens.txt', line 2"));
  }
}
