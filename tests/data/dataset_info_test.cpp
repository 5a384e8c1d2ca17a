#include "ssa/data/dataset_info.h"

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

DatasetInfo example() {
  DatasetInfo info;
  info.name = "enwik8";
  info.sources = {"enwik8.zip"};
  info.tokens = 1'000;
  info.distinct_bytes = 77;
  info.checksum = "0123456789abcdef";
  info.splits = split_bytes_90_5_5(1'000, "example");
  return info;
}

/// The example's JSON with one part replaced.
std::string altered(const std::string& from, const std::string& to) {
  std::string json = dataset_to_json(example());
  const size_t place = json.find(from);
  REQUIRE(place != std::string::npos);
  return json.replace(place, from.size(), to);
}

}  // namespace

TEST_CASE("enwik8 has its official split") {
  DatasetInfo info = example();
  info.tokens = kEnwik8Bytes;
  info.splits = split_bytes_90_5_5(kEnwik8Bytes, "enwik8");
  CHECK(info.splits[0] == TokenRange{0, 90'000'000});
  CHECK(info.splits[1] == TokenRange{90'000'000, 95'000'000});
  CHECK(info.splits[2] == TokenRange{95'000'000, 100'000'000});
  CHECK(info.official_split());
  CHECK(info.split_description() == "official Enwik8 split");
}

TEST_CASE("another text of as many bytes is not enwik8") {
  DatasetInfo info = example();
  info.name = "bytes";  // such as Text8
  info.tokens = kEnwik8Bytes;
  info.splits = split_bytes_90_5_5(kEnwik8Bytes, "text8");
  CHECK_FALSE(info.official_split());
}

TEST_CASE("any other size is split 90/5/5 and says so") {
  CHECK_FALSE(example().official_split());
  CHECK(example().split_description() == "prefix/custom split");
  for (int64_t bytes = kSmallestByteDataset; bytes < 3'000; ++bytes) {
    const auto splits = split_bytes_90_5_5(bytes, "text");
    REQUIRE(splits[0].begin == 0);
    REQUIRE(splits[0].end == bytes * 90 / 100);
    REQUIRE(splits[1].begin == splits[0].end);
    REQUIRE(splits[1].size() == bytes * 5 / 100);
    REQUIRE(splits[2].begin == splits[1].end);
    REQUIRE(splits[2].end == bytes);
    REQUIRE(splits[1].size() > 0);
    REQUIRE(splits[2].size() > 0);
  }
  CHECK(split_bytes_90_5_5(int64_t{1} << 62, "huge")[2].end == int64_t{1} << 62);
  const std::string error = error_of(ExitCode::data, [] { split_bytes_90_5_5(19, "'tiny.txt'"); });
  CHECK(contains(error, "'tiny.txt' has 19 bytes"));
}

TEST_CASE("split names") {
  for (const Split split : kSplits) CHECK(split_from_name(name(split)) == split);
  CHECK_THROWS_AS(split_from_name("dev"), ConfigError);
}

TEST_CASE("dataset.json keeps everything") {
  const DatasetInfo info = example();
  const DatasetInfo read = dataset_from_json(dataset_to_json(info), "dataset.json");
  CHECK(read.name == info.name);
  CHECK(read.sources == info.sources);
  CHECK(read.tokens == info.tokens);
  CHECK(read.distinct_bytes == info.distinct_bytes);
  CHECK(read.checksum == info.checksum);
  CHECK(read.splits == info.splits);
}

TEST_CASE("a file name that is no UTF-8 still gives JSON") {
  DatasetInfo info = example();
  info.sources = {"caf\xe9.txt"};
  CHECK_NOTHROW(dataset_from_json(dataset_to_json(info), "dataset.json"));
}

TEST_CASE("a malformed dataset.json is an error that names file and key") {
  struct Case {
    std::string json;
    std::string part;
  };
  const std::vector<Case> cases = {
      {"", "JSON"},
      {"{", "JSON"},
      {"[]", "object"},
      {"{}", "'format' is missing"},
      {altered("\"ssa-dataset\"", "\"other\""), "format"},
      {altered("\"format_version\": 1", "\"format_version\": 2"), "version 1"},
      {altered("\"kind\": \"bytes\"", "\"kind\": \"sounds\""), "kind"},
      {altered("\"kind\": \"bytes\"", "\"kind\": \"images\""), "pictures"},
      {altered("\"kind\": \"bytes\"", "\"kind\": \"words\""), "'tokens' is missing"},
      {altered("\"enwik8\"", "8"), "name"},
      {altered("\"enwik8.zip\"", "null"), "sources"},
      {altered("\"bytes\": 1000", "\"bytes\": -1000"), "bytes"},
      {altered("\"bytes\": 1000", "\"bytes\": 1e3"), "bytes"},
      {altered("\"bytes\": 1000", "\"bytes\": 18446744073709551615"), "bytes"},
      {altered("\"bytes\": 1000", "\"bytes\": 1001"), "1001"},
      {altered("\"valid\"", "\"dev\""), "splits"},
      {altered("900", "901"), "splits"},
      {altered("900", "0"), "splits"},
      {altered("\"kind\": \"bytes\"", "\"kind\": \"ids\""), "'tokens' is missing"},
      {altered("\"train\": [\n      0,", "\"train\": ["), "splits.train"},
      {altered("\"0123456789abcdef\"", "false"), "xxh3_64"},
      {std::string(100'000, '['), "JSON"},
  };
  for (const Case& hostile : cases) {
    const std::string error =
        error_of(ExitCode::data, [&] { dataset_from_json(hostile.json, "/d/dataset.json"); });
    CAPTURE(error);
    CHECK(contains(error, "/d/dataset.json"));
    CHECK(contains(error, hostile.part));
  }
}
