#include "ssa/data/token_dataset.h"

#include <filesystem>
#include <set>

#include "ssa/data/prepare.h"

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

std::string as_text(const std::vector<int32_t>& bytes) { return {bytes.begin(), bytes.end()}; }

void prepare(const std::string& input, const std::string& output) {
  PrepareOptions options;
  options.name = "bytes";
  options.inputs = {input};
  options.output = output;
  prepare_dataset(options);
}

std::string open_error(const std::string& path) {
  return error_of(ExitCode::data, [&] { TokenDataset::open(path); });
}

}  // namespace

TEST_CASE("a data set opens from a plain file and from a prepared folder") {
  const TempDir folder;
  const std::string content = some_bytes(2'000);
  write_bytes(folder / "text", content);
  prepare(folder / "text", folder / "ready");
  for (const std::string& path : {folder / "text", folder / "ready"}) {
    const TokenDataset dataset = TokenDataset::open(path);
    CHECK(dataset.info().tokens == 2'000);
    CHECK(as_text(tokens_of(dataset, Split::train)) == content.substr(0, 1'800));
    CHECK(as_text(tokens_of(dataset, Split::valid)) == content.substr(1'800, 100));
    CHECK(as_text(tokens_of(dataset, Split::test)) == content.substr(1'900));
    CHECK(dataset.vocabulary().kind() == TokenKind::bytes);
    CHECK(dataset.vocabulary().size() == 256);
    CHECK(dataset.split_size(Split::valid) == 100);
    CHECK_FALSE(dataset.official_split());
    std::vector<int32_t> part(10);
    dataset.read(Split::valid, 90, part);
    CHECK(as_text(part) == content.substr(1'890, 10));
    CHECK_THROWS_AS(dataset.read(Split::valid, 91, part), ShapeError);  // not into the test split
    const std::set<char> distinct(content.begin(), content.end());
    CHECK(scan(dataset).distinct_bytes == static_cast<int64_t>(distinct.size()));
    CHECK_NOTHROW(verify(dataset));
  }
  CHECK(scan(TokenDataset::open(folder / "text")).checksum ==
        TokenDataset::open(folder / "ready").info().checksum);
}

TEST_CASE("what cannot be opened is named, with what to do") {
  const TempDir folder;
  write_bytes(folder / "empty", "");
  write_bytes(folder / "short", "too short");
  write_archive(folder / "text.gz", "raw", "gzip", {{"x", some_bytes(2'000)}});
  fs::create_directory(folder / "bare");
  CHECK(contains(open_error(folder / "none"), folder / "none"));
  CHECK(contains(open_error(folder / "enwik8"), "100000000"));
  CHECK(contains(open_error(folder / "empty"), "empty"));
  CHECK(contains(open_error(folder / "short"), "at least 20"));
  CHECK(contains(open_error(folder / "bare"), "dataset.json"));
  CHECK(contains(open_error(""), "data.path"));
  CHECK(contains(open_error(folder / "text.gz"),
                 "ssa-data prepare bytes --input " + (folder / "text.gz")));
  // The packed file beside the path that was meant.
  CHECK(contains(open_error(folder / "text"),
                 "ssa-data prepare bytes --input " + (folder / "text.gz")));
}

TEST_CASE("a folder of prepared data sets names them, and does not ask for preparing them again") {
  const TempDir folder;
  write_bytes(folder / "text", some_bytes(2'000));
  PrepareOptions options;
  options.name = "enwik8";
  options.inputs = {folder / "text"};
  options.output = folder / "data/enwik8";
  prepare_dataset(options);
  const std::string error = open_error(folder / "data");
  CHECK(contains(error, "\n  " + (folder / "data/enwik8")));
  CHECK_FALSE(contains(error, "ssa-data prepare"));
}

TEST_CASE("a damaged prepared folder is told from a whole one") {
  const TempDir folder;
  write_bytes(folder / "text", some_bytes(2'000));
  prepare(folder / "text", folder / "ready");
  const std::string data = folder / "ready/data.bin";

  SECTION("truncated") {
    fs::resize_file(data, 1'999);
    const std::string error = open_error(folder / "ready");
    CHECK(contains(error, data));
    CHECK(contains(error, "1999"));
    CHECK(contains(error, "2000"));
  }
  SECTION("with files that cannot be looked at") {
    for (const std::string& file : {data, folder / "ready/dataset.json"}) {
      fs::remove(file);
      fs::create_symlink(file, file);  // leads to itself: an error even for root
      CHECK(contains(open_error(folder / "ready"), "cannot read '" + file));
    }
  }
  SECTION("with a folder for its data") {
    fs::remove(data);
    fs::create_directory(data);
    CHECK(contains(open_error(folder / "ready"), data));
  }
  SECTION("without its data") {
    fs::remove(data);
    CHECK(contains(open_error(folder / "ready"), "2000"));
  }
  SECTION("one bit flipped") {
    std::string content = read_bytes(data);
    content[1'234] = static_cast<char>(content[1'234] ^ 1);
    write_bytes(data, content);
    const TokenDataset dataset = TokenDataset::open(folder / "ready");
    const std::string error = error_of(ExitCode::data, [&] { verify(dataset); });
    CHECK(contains(error, data));
    CHECK(contains(error, "damaged"));
  }
  SECTION("shrunk while open") {
    const TokenDataset dataset = TokenDataset::open(folder / "ready");
    fs::resize_file(data, 10);
    CHECK(contains(error_of(ExitCode::data, [&] { tokens_of(dataset, Split::test); }), "shrunk"));
    CHECK(contains(error_of(ExitCode::data, [&] { verify(dataset); }), "shrunk"));
    std::vector<int32_t> part(10);
    CHECK(contains(error_of(ExitCode::data, [&] { dataset.read(Split::test, 0, part); }), "2000"));
  }
}

TEST_CASE("relative paths are also looked for under SSA_DATA_DIR") {
  const TempDir folder;
  const ScopedEnvironment environment("SSA_DATA_DIR", folder.path());
  write_bytes(folder / "text", some_bytes(2'000));
  CHECK(TokenDataset::open("no-such-folder/text").path() == folder / "text");
  fs::create_directory(folder / "no-such-folder");
  write_bytes(folder / "no-such-folder/text", some_bytes(3'000));
  CHECK(TokenDataset::open("no-such-folder/text").info().tokens == 3'000);
  CHECK(contains(open_error("no-such-folder/none"), folder / "no-such-folder/none"));
  CHECK(contains(open_error("no-such-folder/none"), folder / "none"));
  open_error("/no-such-folder/text");  // an absolute path is meant as it is

  write_archive(folder / "enwik8_first_3000.xz", "raw", "xz", {{"x", some_bytes(3'000)}});
  CHECK(contains(open_error("no-such-folder/enwik8"), "ssa-data prepare enwik8 --input " +
                                                          (folder / "enwik8_first_3000.xz") +
                                                          " --output no-such-folder/enwik8"));
}
