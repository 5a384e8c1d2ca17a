#include <filesystem>

#include "ssa/data/eval_windows.h"
#include "ssa/data/lm_batch.h"
#include "ssa/data/prepare.h"

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

/// A prepared folder of a text of nine words.
struct Fixture {
  TempDir folder;
  std::string ready = folder / "ready";
  std::string data = ready + "/tokens.bin";

  Fixture() {
    std::string train;
    for (int i = 0; i < 50; ++i) train += "one two three four\nfive six seven <unk>\n";
    write_bytes(folder / "train.txt", train);
    write_bytes(folder / "valid.txt", "two one\nseven three one two four five\n");
    write_bytes(folder / "test.txt", "one\ntwo\n");
    PrepareOptions options;
    options.name = "words";
    options.inputs = {folder / "train.txt", folder / "valid.txt", folder / "test.txt"};
    options.output = ready;
    prepare_dataset(options);
  }
  std::string open_error() const {
    return error_of(ExitCode::data, [&] { TokenDataset::open(ready); });
  }
  void change(const std::string& path, size_t offset, const std::string& bytes) const {
    std::string content = read_bytes(path);
    REQUIRE(offset + bytes.size() <= content.size());
    write_bytes(path, content.replace(offset, bytes.size(), bytes));
  }
  void change_json(const std::string& from, const std::string& to) const {
    std::string json = read_bytes(ready + "/dataset.json");
    REQUIRE(contains(json, from));
    write_bytes(ready + "/dataset.json", json.replace(json.find(from), from.size(), to));
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "dataset.json keeps what is known of words") {
  const DatasetInfo info = TokenDataset::open(ready).info();
  const DatasetInfo read = dataset_from_json(dataset_to_json(info), "x");
  CHECK(read.kind == TokenKind::words);
  CHECK(read.tokens == 500 + 10 + 4);
  CHECK(read.bytes() == 4 * 514);
  CHECK(read.vocabulary == 9);
  CHECK(read.unknown == info.unknown);
  CHECK(read.checksum == info.checksum);
  CHECK(read.vocabulary_checksum == info.vocabulary_checksum);
  CHECK(read.splits == info.splits);
  CHECK(read.split_description() == "prefix/custom split");
}

TEST_CASE_METHOD(Fixture, "batches of words begin behind </s>") {
  const TokenDataset dataset = TokenDataset::open(ready);
  const auto tokens = tokens_of(dataset, Split::valid);
  REQUIRE(tokens.size() == 10);
  const int32_t start = dataset.vocabulary().start_token();
  const Batch batch = lm_batch(dataset, Split::valid, std::vector<int64_t>{0, 3}, 4);
  CHECK(numbers(batch, kIdsField) == std::vector<int32_t>{start, tokens[0], tokens[1], tokens[2],
                                                          tokens[2], tokens[3], tokens[4],
                                                          tokens[5]});
  CHECK(numbers(batch, kTargetsField) == std::vector<int32_t>{tokens[0], tokens[1], tokens[2],
                                                              tokens[3], tokens[3], tokens[4],
                                                              tokens[5], tokens[6]});
  const auto windows = sliding_windows(10, 6, 2);
  const Batch scored = window_batch(sequence_of(dataset, Split::valid), windows, 1, 1, 6);
  CHECK(numbers(scored, kIdsField) ==
        std::vector<int32_t>{tokens[3], tokens[4], tokens[5], tokens[6], tokens[7], tokens[8]});
  CHECK(numbers(scored, kTargetsField) ==
        std::vector<int32_t>{kNoTarget, kNoTarget, tokens[6], tokens[7], tokens[8], tokens[9]});
  std::vector<int32_t> part(2);
  CHECK_THROWS_AS(dataset.read(Split::valid, 9, part), ShapeError);
}

TEST_CASE_METHOD(Fixture, "damaged word data are told from whole ones") {
  SECTION("truncated") {
    fs::resize_file(data, fs::file_size(data) - 4);
    CHECK(contains(open_error(), std::to_string(32 + 4 * 514)));
  }
  SECTION("no token file") {
    fs::remove(data);
    CHECK(contains(open_error(), data));
  }
  SECTION("another magic") {
    change(data, 0, "X");
    CHECK(contains(open_error(), "not a token file"));
  }
  SECTION("another version, width, count") {
    for (const size_t offset : {8u, 12u, 16u}) {
      const std::string whole = read_bytes(data);
      change(data, offset, "\x09");
      CHECK(contains(open_error(), "header"));
      write_bytes(data, whole);
    }
  }
  SECTION("no vocabulary") {
    fs::remove(ready + "/vocab.txt");
    CHECK(contains(open_error(), "vocab.txt"));
  }
  SECTION("a word too few in the vocabulary") {
    std::string text = read_bytes(ready + "/vocab.txt");
    write_bytes(ready + "/vocab.txt", text.erase(text.find("seven"), sizeof("seven 50")));
    CHECK(contains(open_error(), "8 tokens, but 9"));
  }
  SECTION("another word in the vocabulary") {
    std::string text = read_bytes(ready + "/vocab.txt");
    write_bytes(ready + "/vocab.txt", text.replace(text.find("seven"), 5, "eight"));
    CHECK(contains(open_error(), "checksum"));
  }
  SECTION("a description that contradicts itself") {
    change_json("\"vocabulary\": 9", "\"vocabulary\": 4294967296");
    CHECK(contains(open_error(), "vocabulary"));
  }
  SECTION("a description of unknown words that is none") {
    change_json("\"unknown\": [", "\"unknown\": [ 1, ");
    CHECK(contains(open_error(), "three numbers"));
  }
}

TEST_CASE_METHOD(Fixture, "a token outside the vocabulary is an error with its place") {
  for (const char* bytes : {"\x09", "\xff\xff\xff\xff"}) {
    const size_t offset = 32 + 4 * 502;  // the third token of valid
    change(data, offset, bytes);
    const TokenDataset dataset = TokenDataset::open(ready);
    const std::string error = error_of(ExitCode::data, [&] { tokens_of(dataset, Split::valid); });
    CHECK(contains(error, data));
    CHECK(contains(error, "at byte " + std::to_string(offset)));
    CHECK_NOTHROW(tokens_of(dataset, Split::test));
    CHECK(contains(error_of(ExitCode::data, [&] { verify(dataset); }), "damaged"));
  }
}

TEST_CASE_METHOD(Fixture, "word data that shrink while in use are an error") {
  const TokenDataset dataset = TokenDataset::open(ready);
  fs::resize_file(data, 100);
  CHECK(contains(error_of(ExitCode::data, [&] { tokens_of(dataset, Split::valid); }), "shrunk"));
  CHECK(contains(error_of(ExitCode::data, [&] { verify(dataset); }), "shrunk"));
}

TEST_CASE("unprepared texts of words are answered with the command that helps") {
  const TempDir folder;
  fs::create_directory(folder / "wikitext-103");
  write_bytes(folder / "wikitext-103/wiki.train.tokens", "a\n");
  const auto error = [&](const std::string& name) {
    return error_of(ExitCode::data, [&] { TokenDataset::open(folder / name); });
  };
  CHECK(contains(error("wikitext-103"),
                 "ssa-data prepare wikitext103 --input " + (folder / "wikitext-103")));
  write_archive(folder / "wikitext-2-v1.zip", "zip", "none", {{"wiki.train.tokens", "a\n"}});
  CHECK(contains(error("wikitext2"),
                 "ssa-data prepare wikitext2 --input " + (folder / "wikitext-2-v1.zip")));
}
