// Own texts: folders, splits by name and by share, tables, vocabularies that are given.

#include <filesystem>

#include "ssa/data/prepare.h"

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

/// Inputs in one folder, prepared into another.
struct Fixture {
  TempDir folder, input;
  std::string told;

  PrepareOptions options(const std::string& name, std::vector<std::string> inputs = {}) {
    if (inputs.empty()) inputs = {input.path()};
    PrepareOptions result = options_for(name, inputs, folder / "out");
    result.replace = true;
    result.note = [this](const std::string& text) { told += text + "\n"; };
    return result;
  }
  std::string data() const { return read_bytes(folder / "out/data.bin"); }
  /// The words of a split as a text.
  std::string text(Split split) const {
    const TokenDataset dataset = TokenDataset::open(folder / "out");
    std::string text;
    for (const int32_t token : tokens_of(dataset, split))
      text += dataset.vocabulary().decode(token);
    return text;
  }
  std::string vocabulary() const { return read_bytes(folder / "out/vocab.txt"); }
};

std::string lines(int count, const std::string& word) {
  std::string text;
  for (int i = 0; i < count; ++i) text += word + std::to_string(i) + "\n";
  return text;
}

}  // namespace

TEST_CASE_METHOD(Fixture, "a folder is one text in the order of its names") {
  fs::create_directories(input / "b/deep");
  write_bytes(input / "c.txt", "ccccc ccccc");
  write_bytes(input / "a.txt", "aaaaa aaaaa ");
  write_bytes(input / "b/deep/x.md", "bbbbb bbbbb ");
  write_bytes(input / ".hidden", "not this");
  const DatasetInfo info = prepare_dataset(options("bytes"));
  CHECK(data() == "aaaaa aaaaa bbbbb bbbbb ccccc ccccc");
  CHECK(info.sources == std::vector<std::string>{"a.txt", "x.md", "c.txt"});
  CHECK(contains(told, "putting 3 files together, in this order:\n  " + input.path() + "/a.txt"));
  CHECK(info.splits == split_bytes_90_5_5(35, "text"));
}

TEST_CASE_METHOD(Fixture, "a folder that is not prepared names the command that does it") {
  write_bytes(input / "a.txt", "text");
  const std::string error = error_of(ExitCode::data, [&] { TokenDataset::open(input.path()); });
  CHECK(contains(error, "ssa-data prepare bytes --input " + input.path() + " --output"));
}

TEST_CASE_METHOD(Fixture, "files that are named for a split are that split") {
  write_bytes(input / "train.txt", "train train");
  write_bytes(input / "val.txt", "valid");
  write_bytes(input / "README.md", "about it");
  SECTION("in a folder, others are left out") {
    const DatasetInfo info = prepare_dataset(options("bytes"));
    CHECK(data() == "train trainvalid");
    CHECK(info.splits[0] == TokenRange{0, 11});
    CHECK(info.splits[1] == TokenRange{11, 16});
    CHECK(info.splits[2] == TokenRange{16, 16});
    CHECK(contains(told, "README.md"));
    CHECK(contains(told, "no file is named test"));
    const TokenDataset dataset = TokenDataset::open(folder / "out");
    CHECK(dataset.split_size(Split::test) == 0);
    CHECK(dataset_to_json(dataset.info()) == read_bytes(folder / "out/dataset.json"));
  }
  SECTION("as files, in any order") {
    write_archive(input / "test.txt.gz", "raw", "gzip", {{"x", "test"}});
    const DatasetInfo info = prepare_dataset(
        options("bytes", {input / "test.txt.gz", input / "val.txt", input / "train.txt"}));
    CHECK(data() == "train trainvalidtest");
    CHECK(info.splits[2] == TokenRange{16, 20});
  }
  SECTION("but not where --split is given") {
    fs::remove(input / "README.md");
    PrepareOptions all = options("bytes");
    all.texts.split = SplitShares::from_text("none");
    const DatasetInfo info = prepare_dataset(all);
    CHECK(data() == "train trainvalid");
    CHECK(info.splits[0].size() == 16);
    CHECK(info.options == "--split none");
    CHECK(contains(read_bytes(folder / "out/dataset.json"), "--split none"));
  }
  SECTION("a file that names none, beside them, is refused where it is given itself") {
    const std::string error = prepare_error(
        ExitCode::data,
        options("bytes", {input / "train.txt", input / "val.txt", input / "README.md"}));
    CHECK(contains(error, "README.md' names no split"));
  }
  SECTION("two for one split are refused") {
    write_bytes(input / "valid.txt", "valid");
    CHECK(contains(prepare_error(ExitCode::data, options("bytes")), "several files fit the valid"));
  }
}

TEST_CASE_METHOD(Fixture, "one file is one text, whatever its name") {
  write_bytes(input / "train.txt", some_bytes(200));
  CHECK(prepare_dataset(options("bytes")).splits == split_bytes_90_5_5(200, "text"));
}

TEST_CASE_METHOD(Fixture, "a text of words is cut between lines") {
  write_bytes(input / "book.txt", lines(100, "word"));
  PrepareOptions how = options("words");
  const DatasetInfo info = prepare_dataset(how);
  CHECK(info.tokens == 200);
  CHECK(text(Split::train).starts_with("word0 \nword1 \n"));
  CHECK(info.splits[0].size() % 2 == 0);
  CHECK(info.splits[0].size() >= 180);
  CHECK(info.splits[1].size() >= 8);
  CHECK(text(Split::test).ends_with("\n"));
  CHECK(info.unknown[1] == info.splits[1].size() / 2);  // all words differ

  SECTION("packed, or in several files, the same") {
    write_archive(input / "all.tar.gz", "tar", "gzip",
                  {{"1.txt", lines(40, "word")},
                   {"2.txt", lines(100, "word").substr(lines(40, "word").size())}});
    const DatasetInfo again = prepare_dataset(options("words", {input / "all.tar.gz"}));
    CHECK(again.checksum == info.checksum);
    CHECK(again.splits == info.splits);
    CHECK(fs::exists(folder / "out/vocab.txt"));
    CHECK_FALSE(fs::exists(folder / "out/text.tmp"));
  }
  SECTION("too few lines are refused") {
    write_bytes(input / "book.txt", "one line of words that is the only one\n");
    CHECK(contains(prepare_error(ExitCode::data, how), "too few lines"));
    how.texts.split = SplitShares::from_text("none");
    CHECK(prepare_dataset(how).tokens == 10);
  }
}

TEST_CASE_METHOD(Fixture, "rare words and words beyond the limit become <unk>") {
  write_bytes(input / "train.txt", "c a a b a\nb c d b a\n");
  write_bytes(input / "valid.txt", "a d\n");
  PrepareOptions how = options("words");
  how.texts.min_count = 2;
  DatasetInfo info = prepare_dataset(how);
  CHECK(vocabulary() == "a 4\nb 3\nc 2\n</s> 2\n<unk> 1\n");
  CHECK(info.unknown == std::array<int64_t, 3>{1, 1, 0});
  how.texts.min_count = 0;
  how.texts.max_words = 4;
  info = prepare_dataset(how);
  CHECK(vocabulary() == "a 4\nb 3\n<unk> 3\n</s> 2\n");
  CHECK(info.unknown == std::array<int64_t, 3>{3, 1, 0});
  CHECK(text(Split::valid) == "a <unk> \n");
}

TEST_CASE_METHOD(Fixture, "words are those of a list, a dict.txt, or another folder") {
  write_bytes(input / "train.txt", "the cat sat\n");
  write_bytes(input / "valid.txt", "the dog\n");
  const std::string lists = folder / "lists";
  fs::create_directory(lists);
  PrepareOptions how = options("words");
  how.texts.vocabulary = lists + "/list.txt";
  write_bytes(how.texts.vocabulary, "dog\nthe\n");
  CHECK(prepare_dataset(how).unknown == std::array<int64_t, 3>{2, 0, 0});
  CHECK(text(Split::train) == "the <unk> <unk> \n");
  CHECK(vocabulary() == "</s> 0\n<unk> 0\ndog 0\nthe 0\n");
  const std::string first = TokenDataset::open(folder / "out").info().vocabulary_checksum;

  fs::rename(folder / "out", folder / "first");
  how.texts.vocabulary = folder / "first";  // as well as a run folder
  CHECK(prepare_dataset(how).vocabulary_checksum == first);
  write_bytes(lists + "/dict.txt", "the 9\nsat 1\n");
  how.texts.vocabulary = lists + "/dict.txt";
  CHECK(prepare_dataset(how).vocabulary == 6);
  how.texts.vocabulary = lists;
  CHECK(contains(prepare_error(ExitCode::data, how), "holds no vocab.txt"));
  how.texts.vocabulary = lists + "/none";
  CHECK(contains(prepare_error(ExitCode::data, how), lists + "/none"));
}

TEST_CASE_METHOD(Fixture, "a column of a table is a text, a row a line") {
  const std::string csv = "id,text\n1,\"the cat, \"\"Tom\"\"\"\n2,sat\n";
  const std::string tsv = "id\ttext\n1\tthe cat, \"Tom\"\n2\tsat\n";
  const std::string jsonl =
      "{\"text\": \"the cat, \\\"Tom\\\"\", \"id\": 1}\n\n{\"id\": 2, \"text\": \"sat\"}";
  const std::vector<std::pair<std::string, std::string>> tables = {
      {"a.csv", csv}, {"a.tsv", tsv}, {"a.jsonl", jsonl}};
  for (const auto& [name, table] : tables) {
    CAPTURE(name);
    write_bytes(input / name, table);
    PrepareOptions how = options("bytes", {input / name});
    how.texts.column = "text";
    how.texts.split = SplitShares::from_text("none");
    prepare_dataset(how);
    CHECK(data() == "the cat, \"Tom\"\nsat\n");
    how.name = "words";
    prepare_dataset(how);
    CHECK(text(Split::train) == "the cat, \"Tom\" \nsat \n");
    CHECK_FALSE(contains(told, "taken as it is"));
    how.texts.column = "title";
    CHECK(contains(prepare_error(ExitCode::data, how), "'title'"));
    how.texts.column.clear();
    prepare_dataset(how);
    CHECK(contains(told, "/" + name + " is taken as it is"));
    CHECK(contains(told, "--column NAME"));
    told.clear();
  }
  write_archive(input / "train.jsonl.gz", "raw", "gzip", {{"x", jsonl}});
  write_bytes(input / "test.jsonl", "{\"text\": \"the mouse\"}\n");
  PrepareOptions named = options("words", {input / "train.jsonl.gz", input / "test.jsonl"});
  named.texts.column = "text";
  prepare_dataset(named);
  CHECK(text(Split::test) == "the <unk> \n");
}

TEST_CASE_METHOD(Fixture, "a malformed table is an error that names file and line") {
  struct Case {
    std::string name, table, part;
  };
  const std::vector<Case> cases = {
      {"a.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}\n", "line 2: 'text' is no text"},
      {"a.jsonl", "{\"text\": \"a\"}\n{\"title\": \"b\"}\n", "line 2: there is no 'text'"},
      {"a.jsonl", "{\"text\": \"a\"}\n\n[1]\n", "line 3: a JSON object is expected"},
      {"a.jsonl", "{\"text\": \"a\n", "line 1: no valid JSON"},
      {"a.jsonl", "", "is empty"},
      {"a.csv", "id,text\n1\n", "line 2: 1 fields"},
      {"a.csv", "id,text\n1,\"a\n", "never closed"},
      {"a.tsv", "id\ttext\n1\ta\tb\n", "line 2: 3 fields"},
      {"a.txt", "text\na\n", "ends with none of .csv"}};
  for (const Case& hostile : cases) {
    write_bytes(input / hostile.name, hostile.table);
    PrepareOptions how = options("bytes", {input / hostile.name});
    how.texts.column = "text";
    const std::string error = prepare_error(ExitCode::data, how);
    CAPTURE(error);
    CHECK(contains(error, hostile.name));
    CHECK(contains(error, hostile.part));
    CHECK(folder.names().empty());
  }
}

TEST_CASE_METHOD(Fixture, "options of other data sets are usage errors") {
  write_bytes(input / "text", some_bytes(100));
  const auto refused = [&](const std::string& name, auto&& change) {
    PrepareOptions how = options(name, {input / "text"});
    change(how.texts);
    return prepare_error(ExitCode::usage, how);
  };
  CHECK(contains(refused("enwik8", [](TextOptions& texts) { texts.split = SplitShares(); }),
                 "not for `enwik8`"));
  CHECK(contains(refused("bytes", [](TextOptions& texts) { texts.vocabulary = "9"; }),
                 "`words` and `ids`"));
  CHECK(contains(refused("bytes", [](TextOptions& texts) { texts.min_count = 2; }), "`words`"));
  CHECK(contains(refused("words", [](TextOptions& texts) { texts.dtype = "u16"; }), "`ids`"));
  CHECK(contains(refused("words", [](TextOptions& texts) { texts.max_words = 2; }), "3 or more"));
  CHECK(contains(refused("wikitext2", [](TextOptions& texts) { texts.min_count = 2; }),
                 "not for `wikitext2`"));
  CHECK(contains(refused("words",
                         [](TextOptions& texts) {
                           texts.vocabulary = "list.txt";
                           texts.min_count = 2;
                         }),
                 "Leave them out"));
  CHECK(folder.names().empty());
}
