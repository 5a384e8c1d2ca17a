#include <filesystem>

#include "ssa/data/prepare.h"

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

template <class Id>
std::string binary(const std::vector<int64_t>& ids) {
  std::string bytes;
  for (const int64_t id : ids) {
    const Id value = static_cast<Id>(id);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return bytes;
}

/// A file as llm.c writes it.
template <class Id>
std::string with_header(int32_t magic, int32_t version, int32_t count,
                        const std::vector<int64_t>& ids) {
  std::vector<int64_t> header(256);
  header[0] = magic;
  header[1] = version;
  header[2] = count;
  return binary<int32_t>(header) + binary<Id>(ids);
}

struct Fixture {
  TempDir folder, input;
  std::string told;

  PrepareOptions options(const std::string& vocabulary, const std::string& dtype = "",
                         std::vector<std::string> inputs = {}) {
    if (inputs.empty()) inputs = {input.path()};
    PrepareOptions result = options_for("ids", inputs, folder / "out");
    result.texts.vocabulary = vocabulary;
    result.texts.dtype = dtype;
    result.replace = true;
    result.note = [this](const std::string& text) { told += text + "\n"; };
    return result;
  }
  std::vector<int32_t> tokens(Split split) const {
    return tokens_of(TokenDataset::open(folder / "out"), split);
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "ids are taken as nanoGPT writes them") {
  write_bytes(input / "train.bin", binary<uint16_t>({5, 0, 65535, 7}));
  write_bytes(input / "val.bin", binary<uint16_t>({1, 2}));
  const DatasetInfo info = prepare_dataset(options("65536", "u16"));
  CHECK(info.kind == TokenKind::ids);
  CHECK(info.tokens == 6);
  CHECK(info.vocabulary == 65536);
  CHECK(info.token_width() == 2);
  CHECK(info.unit() == "tokens");
  CHECK_FALSE(info.official_split());
  CHECK(fs::file_size(folder / "out/tokens.bin") == 32 + 2 * 6);
  CHECK(tokens(Split::train) == std::vector<int32_t>{5, 0, 65535, 7});
  CHECK(tokens(Split::valid) == std::vector<int32_t>{1, 2});
  CHECK(tokens(Split::test).empty());
  const TokenDataset dataset = TokenDataset::open(folder / "out");
  CHECK_NOTHROW(verify(dataset));
  CHECK(dataset.vocabulary().start_token() == 0);
  CHECK(dataset_to_json(dataset.info()) == read_bytes(folder / "out/dataset.json"));
  std::vector<int32_t> part(2);
  dataset.read(Split::train, 2, part);
  CHECK(part == std::vector<int32_t>{65535, 7});
}

TEST_CASE_METHOD(Fixture, "large vocabularies take four bytes an id") {
  write_bytes(input / "ids.bin", binary<uint32_t>({65536, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  PrepareOptions how = options("65537", "u32");
  how.texts.split = SplitShares::from_text("80/10/10");
  CHECK(prepare_dataset(how).token_width() == 4);
  CHECK(tokens(Split::train) == std::vector<int32_t>{65536, 3, 4, 5, 6, 7, 8, 9});
  CHECK(tokens(Split::test) == std::vector<int32_t>{11});
  how = options("12", "u32");
  how.texts.split = SplitShares::from_text("none");
  write_bytes(input / "ids.bin", binary<uint32_t>({11, 3}));
  CHECK(prepare_dataset(how).token_width() == 2);
  CHECK(tokens(Split::train) == std::vector<int32_t>{11, 3});
}

TEST_CASE_METHOD(Fixture, "headers of llm.c say how wide ids are, shards follow by name") {
  const auto shard = [](std::vector<int64_t> ids) {
    return with_header<uint16_t>(20240520, 1, static_cast<int32_t>(ids.size()), ids);
  };
  write_bytes(input / "fineweb_train_000002.bin", shard({30, 40}));
  write_bytes(input / "fineweb_train_000001.bin", shard({10, 20}));
  write_bytes(input / "fineweb_val_000000.bin", shard({50256}));
  prepare_dataset(options("50257"));
  CHECK(tokens(Split::train) == std::vector<int32_t>{10, 20, 30, 40});
  CHECK(tokens(Split::valid) == std::vector<int32_t>{50256});
  CHECK(TokenDataset::open(folder / "out").vocabulary().start_token() == 50256);
  CHECK(contains(told, "id 50256"));

  const std::string llama = with_header<uint32_t>(20240801, 7, 3, {128000, 1, 2});
  write_archive(input / "llama.bin.gz", "raw", "gzip", {{"x", llama}});
  PrepareOptions how = options("128256", "", {input / "llama.bin.gz"});
  how.texts.split = SplitShares::from_text("none");
  prepare_dataset(how);
  CHECK(tokens(Split::train) == std::vector<int32_t>{128000, 1, 2});
  CHECK(TokenDataset::open(folder / "out").vocabulary().start_token() == 128000);
}

TEST_CASE_METHOD(Fixture, "ids have texts where --names gives them") {
  write_bytes(input / "ids.bin", binary<uint16_t>({0, 1, 2, 1}));
  PrepareOptions how = options("3", "u16", {input / "ids.bin"});
  how.texts.split = SplitShares::from_text("none");
  how.texts.names = input / "tokens.txt";
  how.texts.start_token = 2;
  write_bytes(how.texts.names, "The\n cat\n\\n\n");
  prepare_dataset(how);
  const Vocabulary vocabulary = TokenDataset::open(folder / "out").vocabulary();
  CHECK(vocabulary.start_token() == 2);
  CHECK(vocabulary.decode(0) + vocabulary.decode(1) + vocabulary.decode(2) == "The cat\n");
  write_bytes(how.texts.names, "The\n cat\n");
  CHECK(contains(prepare_error(ExitCode::data, how), "2 lines, but --vocabulary says 3"));
  how.texts.names.clear();
  how.texts.start_token = 3;
  CHECK(contains(prepare_error(ExitCode::usage, how), "--start-token 3"));
}

TEST_CASE_METHOD(Fixture, "ids that cannot be used are errors that say why, and leave nothing") {
  const std::string path = input / "ids.bin";
  ExitCode code = ExitCode::data;
  PrepareOptions how = options("50", "u16", {path});
  std::string part;
  write_bytes(path, binary<uint16_t>({1, 2, 3, 4}));
  SECTION("beyond the vocabulary") {
    write_bytes(path, binary<uint16_t>({1, 49, 50, 4}));
    part = "id 50 at byte 4 is beyond the vocabulary of 50";
  }
  SECTION("beyond it, behind a header") {
    write_bytes(path, with_header<uint16_t>(20240520, 1, 2, {1, 77}));
    how.texts.dtype.clear();
    part = "id 77 at byte 1026";
  }
  SECTION("an odd number of bytes") {
    write_bytes(path, binary<uint16_t>({1, 2}) + "x");
    part = "ends within an id";
  }
  SECTION("fewer than the header says") {
    write_bytes(path, with_header<uint16_t>(20240520, 1, 3, {1, 2}));
    part = "its header states 3 ids of 2 bytes, so that 1030 bytes are expected, but it has 1028";
  }
  SECTION("another version of the header") {
    write_bytes(path, with_header<uint16_t>(20240520, 2, 2, {1, 2}));
    how.texts.dtype.clear();
    part = "version 2";
  }
  SECTION("a header that is cut") {
    write_bytes(path, with_header<uint16_t>(20240520, 1, 0, {}).substr(0, 100));
    how.texts.dtype.clear();
    part = "in 100 bytes";
  }
  SECTION("no ids") {
    write_bytes(path, with_header<uint16_t>(20240520, 1, 0, {}));
    part = "is empty";
  }
  SECTION("an archive") {
    write_archive(path, "tar", "none", {{"train.bin", binary<uint16_t>({1, 2})}});
    part = "is an archive";
  }
  SECTION("no width") {
    code = ExitCode::usage;
    how.texts.dtype.clear();
    part = "--dtype";
  }
  SECTION("another width than the header's") {
    code = ExitCode::usage;
    write_bytes(path, with_header<uint16_t>(20240520, 1, 2, {1, 2}));
    how.texts.dtype = "u32";
    part = "says u16. Leave --dtype out";
  }
  SECTION("no size of the vocabulary") {
    code = ExitCode::usage;
    how.texts.vocabulary = "many";
    part = "--vocabulary many";
  }
  const std::string error = prepare_error(code, how);
  CAPTURE(error);
  CHECK(contains(error, part));
  CHECK(folder.names().empty());
}

TEST_CASE_METHOD(Fixture, "damaged ids are told from whole ones") {
  write_bytes(input / "train.bin", binary<uint16_t>({1, 2, 3}));
  write_bytes(input / "valid.bin", binary<uint16_t>({1}));
  prepare_dataset(options("4", "u16"));
  const std::string data = folder / "out/tokens.bin", ids = folder / "out/vocabulary.json";
  const auto open_error = [&] {
    return error_of(ExitCode::data, [&] { TokenDataset::open(folder / "out"); });
  };
  SECTION("an id beyond the vocabulary") {
    std::string bytes = read_bytes(data);
    bytes[34] = 9;
    write_bytes(data, bytes);
    CHECK(contains(error_of(ExitCode::data, [&] { tokens(Split::train); }), "token 9 at byte 34"));
  }
  SECTION("truncated") {
    fs::resize_file(data, 38);
    CHECK(contains(open_error(), "40"));
  }
  SECTION("another width in the header") {
    std::string bytes = read_bytes(data);
    bytes[12] = 4;
    write_bytes(data, bytes);
    CHECK(contains(open_error(), "header"));
  }
  SECTION("another vocabulary") {
    write_bytes(ids, vocabulary_to_text(Vocabulary::ids(5, 0)));
    CHECK(contains(open_error(), "has 5 tokens, but 4"));
    write_bytes(ids, vocabulary_to_text(Vocabulary::ids(4, 1)));
    CHECK(contains(open_error(), "checksum"));
    fs::remove(ids);
    CHECK(contains(open_error(), "vocabulary.json' is missing"));
  }
}
