#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>

#include "ssa/core/philox.h"
#include "ssa/data/prepare.h"

#include "support/skip.h"
#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

const std::string kTrain = "the cat sat\n the cat \n\nb a\n";

/// Writes the three files of a small text into a folder.
void write_splits(const std::string& folder, const std::string& train = kTrain,
                  const std::string& valid = "cat dog\n", const std::string& test = "a\tthe \r\n") {
  fs::create_directories(folder);
  write_bytes(folder + "/wiki.train.tokens", train);
  write_bytes(folder + "/wiki.valid.tokens", valid);
  write_bytes(folder + "/wiki.test.tokens", test);
}

/// A text of `words` words in lines. Few words are frequent, most are rare.
std::string many_words(int64_t words, uint64_t seed) {
  const RngKey key{.seed = seed};
  std::string text;
  for (int64_t i = 0; i < words; ++i) {
    const uint32_t drawn = key.word(static_cast<uint64_t>(i));
    const uint32_t rank = drawn % 3 ? drawn % 50 : drawn % 20'011;
    text += "w" + std::to_string(rank) + (drawn >> 28 ? " " : " \n");
  }
  return text + "\n";
}

/// The expected tokens, computed in the simplest way.
struct PlainEncoding {
  std::vector<std::string> vocabulary;
  std::vector<int32_t> tokens;
};
PlainEncoding encode_plainly(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in_line(line);
    for (std::string word; in_line >> word;) words.push_back(word);
    words.push_back("</s>");
  }
  PlainEncoding result;
  std::map<std::string, int64_t> counts;
  for (const std::string& word : words) {
    if (counts[word]++ == 0) result.vocabulary.push_back(word);
  }
  counts["<unk>"] = 0;
  result.vocabulary.push_back("<unk>");
  std::ranges::stable_sort(result.vocabulary, std::greater{},
                           [&](const std::string& word) { return counts[word]; });
  std::map<std::string, int32_t> tokens;
  for (const std::string& word : result.vocabulary) {
    tokens.emplace(word, static_cast<int32_t>(tokens.size()));
  }
  for (const std::string& word : words) result.tokens.push_back(tokens[word]);
  return result;
}

}  // namespace

TEST_CASE("words become tokens by falling frequency, a </s> a line") {
  const TempDir folder;
  write_splits(folder / "in");
  PrepareOptions options = options_for("words", {folder / "in"}, folder / "out");
  std::string told;
  options.note = [&told](const std::string& text) { told += text + "\n"; };
  const DatasetInfo info = prepare_dataset(options);
  CHECK(info.kind == TokenKind::words);
  CHECK(info.tokens == 17);
  CHECK(info.vocabulary == 7);
  CHECK(info.unknown == std::array<int64_t, 3>{0, 1, 0});
  CHECK(info.sources ==
        std::vector<std::string>{"wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"});
  CHECK_FALSE(info.official_split());
  CHECK(contains(told, "no <unk>"));
  CHECK(contains(told, "1 of the 3 tokens"));
  CHECK(read_bytes(folder / "out/vocab.txt") == "</s> 4\nthe 2\ncat 2\nsat 1\nb 1\na 1\n<unk> 0\n");
  CHECK(fs::file_size(folder / "out/tokens.bin") == 32 + 4 * 17);
  CHECK(folder.names() == std::vector<std::string>{"in", "out"});

  const TokenDataset dataset = TokenDataset::open(folder / "out");
  CHECK(tokens_of(dataset, Split::train) == std::vector<int32_t>{1, 2, 3, 0, 1, 2, 0, 0, 4, 5, 0});
  CHECK(tokens_of(dataset, Split::valid) == std::vector<int32_t>{2, 6, 0});
  CHECK(tokens_of(dataset, Split::test) == std::vector<int32_t>{5, 1, 0});
  CHECK(dataset.vocabulary().start_token() == 0);
  CHECK_NOTHROW(verify(dataset));
}

TEST_CASE("folder, files and archives in any order give the same data") {
  const TempDir folder;
  write_splits(folder / "in");
  const auto text = [&](const std::string& split) {
    return read_bytes(folder / ("in/wiki." + split + ".tokens"));
  };
  const auto member = [&](const std::string& split) {
    return std::pair("wikitext/wiki." + split + ".tokens", text(split));
  };
  const Members sorted = {{"wikitext/", ""}, member("test"), member("train"), member("valid")};
  const Members ordered = {
      {"wikitext/README.md", "train"}, member("train"), member("valid"), member("test")};
  write_archive(folder / "a.tar.xz", "tar", "xz", sorted);
  write_archive(folder / "b.zip", "zip", "none", ordered);
  write_archive(folder / "valid.txt.gz", "raw", "gzip", {{"x", text("valid")}});
  const std::string in = folder / "in/wiki.";
  const DatasetInfo expected =
      prepare_dataset(options_for("words", {folder / "in"}, folder / "out"));
  for (const std::vector<std::string>& inputs : std::vector<std::vector<std::string>>{
           {folder / "a.tar.xz"},
           {folder / "b.zip"},
           {in + "test.tokens", in + "train.tokens", folder / "valid.txt.gz"}}) {
    CAPTURE(inputs.front());
    PrepareOptions options = options_for("words", inputs, folder / "again");
    options.replace = true;
    const DatasetInfo info = prepare_dataset(options);
    CHECK(info.checksum == expected.checksum);
    CHECK(info.vocabulary_checksum == expected.vocabulary_checksum);
    CHECK(info.splits == expected.splits);
  }
}

TEST_CASE("a text of many blocks is encoded as in one piece") {
  const TempDir folder;
  const std::string train = many_words(1'100'000, 1);
  REQUIRE(train.size() > 4'500'000);
  write_splits(folder / "in", train, many_words(1'000, 2), many_words(1'000, 3));
  PrepareOptions options = options_for("words", {folder / "in"}, folder / "out");
  std::vector<PrepareProgress> reports;
  options.progress = [&](const PrepareProgress& progress) { reports.push_back(progress); };
  prepare_dataset(options);
  const TokenDataset dataset = TokenDataset::open(folder / "out");
  const PlainEncoding plain = encode_plainly(train);
  REQUIRE(dataset.vocabulary().size() == static_cast<int64_t>(plain.vocabulary.size()));
  int64_t different = 0;
  for (size_t i = 0; i < plain.vocabulary.size(); ++i) {
    different += dataset.vocabulary().find(plain.vocabulary[i]) != static_cast<int32_t>(i);
  }
  CHECK(different == 0);
  CHECK(tokens_of(dataset, Split::train) == plain.tokens);

  REQUIRE(reports.size() > 5);
  for (size_t i = 1; i < reports.size(); ++i) {
    CHECK(reports[i].input_read >= reports[i - 1].input_read);
    CHECK(reports[i].bytes_written >= reports[i - 1].bytes_written);
  }
  CHECK(reports.back().input_read == reports.back().input_bytes);
}

TEST_CASE("a last line without end gets one, and that is told") {
  const TempDir folder;
  write_splits(folder / "in", kTrain + "cat", "a", "a ");
  PrepareOptions options = options_for("words", {folder / "in"}, folder / "out");
  std::string told;
  options.note = [&told](const std::string& text) { told += text + "\n"; };
  const DatasetInfo info = prepare_dataset(options);
  CHECK(info.splits[0].size() == 13);
  CHECK(info.splits[1].size() == 2);
  CHECK(info.splits[2].size() == 2);
  CHECK(contains(told, "wiki.train.tokens has no end"));
}

TEST_CASE("texts that cannot be used are errors that say why, and leave nothing") {
  const TempDir folder;
  const TempDir input;
  const std::string in = input / "in";
  write_splits(in);
  const std::string train = in + "/wiki.train.tokens", valid = in + "/wiki.valid.tokens";
  PrepareOptions options = options_for("words", {in}, folder / "out");
  ExitCode code = ExitCode::data;
  std::vector<std::string> parts;
  int calls = 0;

  SECTION("missing split") {
    options.name = "wikitext2";
    fs::remove(in + "/wiki.test.tokens");
    write_bytes(in + "/wiki.test.raw", "not this");
    parts = {"test split", "wiki.test.tokens", "wiki.valid.tokens"};
  }
  SECTION("only train in an archive") {
    write_archive(input / "x.tar", "tar", "none", {{"wiki.train.tokens", kTrain}});
    options.inputs = {input / "x.tar"};
    options.name = "wikitext2";
    parts = {"valid split", "x.tar (wiki.train.tokens)"};
  }
  SECTION("nothing of the kind") {
    write_bytes(input / "book.txt", "no split is named here\n");
    options.inputs = {input / "book.txt"};
    options.name = "wikitext2";
    parts = {"train split", "nothing of the kind"};
  }
  SECTION("two files for a split") {
    write_bytes(in + "/valid.txt", "cat\n");
    parts = {valid, in + "/valid.txt", "valid split"};
  }
  SECTION("empty train") {
    write_bytes(train, "");
    parts = {train, "empty"};
  }
  SECTION("empty valid") {
    write_bytes(valid, "");
    parts = {valid, "empty"};
  }
  SECTION("not UTF-8") {
    write_bytes(valid, "cat caf\xe9 dog\n");
    parts = {valid, "UTF-8 at byte 7"};
  }
  SECTION("cut in the middle of a character") {
    write_bytes(train, "cat caf\xc3");
    parts = {train, "UTF-8 at byte 7"};
  }
  SECTION("no words at all") {
    write_bytes(train, std::string(5'000'000, 'x'));
    parts = {train, "not a text of words"};
  }
  SECTION("truncated archive") {
    write_archive(input / "x.tar.gz", "tar", "gzip",
                  {{"train.txt", many_words(300'000, 1)},
                   {"valid.txt", "a\n"},
                   {"test.txt", many_words(300'000, 2)}});
    fs::resize_file(input / "x.tar.gz", fs::file_size(input / "x.tar.gz") - 1'000);
    options.inputs = {input / "x.tar.gz"};
    parts = {"x.tar.gz"};
  }
  SECTION("another text than the one named") {
    for (const char* name : {"wikitext2", "wikitext103"}) {
      options.name = name;
      const std::string error = prepare_error(ExitCode::data, options);
      CHECK(contains(error, train));
      CHECK(contains(error, "11 tokens"));
      CHECK(contains(error, std::string(name) == "wikitext2" ? "2088628" : "103227021"));
    }
    parts = {"truncated or another text"};
  }
  SECTION("prepared already") {
    write_bytes(in + "/dataset.json", "{}");
    parts = {"already a prepared data set"};
  }
  SECTION("interrupted") {
    write_bytes(train, many_words(900'000, 1));
    options.interrupted = [&calls] { return ++calls == 3; };
    code = ExitCode::interrupted;
    parts = {"interrupted"};
  }
  const std::string error = prepare_error(code, options);
  CAPTURE(error);
  for (const std::string& part : parts) CHECK(contains(error, part));
  CHECK(folder.names().empty());
}

TEST_CASE("bytes and words may replace one another") {
  const TempDir folder;
  write_splits(folder / "in");
  auto words = options_for("words", {folder / "in"}, folder / "out");
  prepare_dataset(words);
  prepare_dataset(words);
  write_bytes(folder / "text", some_bytes(1'000));
  auto bytes = options_for("bytes", {folder / "text"}, folder / "out");
  words.replace = bytes.replace = true;
  prepare_dataset(bytes);
  CHECK(TokenDataset::open(folder / "out").info().kind == TokenKind::bytes);
  CHECK_FALSE(fs::exists(folder / "out/tokens.bin"));
  prepare_dataset(words);
  CHECK(TokenDataset::open(folder / "out").info().kind == TokenKind::words);
}

TEST_CASE("WikiText-2 has its published counts") {
  const char* root = std::getenv("SSA_DATA_DIR");
  const std::string packed = std::string(root ? root : "") + "/wikitext-2.tar.xz";
  if (!root || !fs::exists(packed)) SSA_SKIP("SSA_DATA_DIR holds no wikitext-2.tar.xz");
  const TempDir folder;
  const DatasetInfo info = prepare_dataset(options_for("wikitext2", {packed}, folder / "out"));
  CHECK(info.splits[0].size() == 2'088'628);
  CHECK(info.splits[1].size() == 217'646);
  CHECK(info.splits[2].size() == 245'569);
  CHECK(info.vocabulary == 33'278);
  CHECK(info.unknown == std::array<int64_t, 3>{0, 0, 0});
  CHECK(info.official_split());
  CHECK(info.split_description() == "official WikiText-2 split");
  const TokenDataset dataset = TokenDataset::open(folder / "out");
  const Vocabulary& vocabulary = dataset.vocabulary();
  // Counted with `tr ' ' '\n' | sort | uniq -c`; lines with `wc -l`.
  CHECK(vocabulary.count(vocabulary.find("the")) == 113'161);
  CHECK(vocabulary.count(vocabulary.unknown_token()) == 54'625);
  CHECK(vocabulary.count(vocabulary.start_token()) == 36'718);
  CHECK(vocabulary.find("the") == 0);
  std::vector<int32_t> begin(9);
  dataset.read(Split::valid, 0, begin);
  std::string text;
  for (const int32_t token : begin) text += vocabulary.decode(token);
  CHECK(text == "\n= Homarus gammarus = \n\nHomarus gammarus ");
}

TEST_CASE("WikiText-103 without its train split is refused") {
  const char* root = std::getenv("SSA_DATA_DIR");
  const std::string packed = std::string(root ? root : "") + "/wikitext-103-valid-test.tar.xz";
  if (!root || !fs::exists(packed))
    SSA_SKIP("SSA_DATA_DIR holds no wikitext-103-valid-test.tar.xz");
  const TempDir folder;
  const std::string error =
      prepare_error(ExitCode::data, options_for("wikitext103", {packed}, folder / "out"));
  CHECK(contains(error, "wiki.train.tokens"));
  CHECK(contains(error, "wiki.valid.tokens"));
}
