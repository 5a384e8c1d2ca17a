#include "ssa/data/mapped_file.h"

#include <filesystem>

#include <sys/stat.h>

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

std::string as_text(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

TEST_CASE("a mapped file shows the file's bytes") {
  const TempDir folder;
  const std::string content = some_bytes(10'000);
  write_bytes(folder / "file", content);
  const MappedFile file(folder / "file");
  CHECK(file.size() == 10'000);
  CHECK(as_text(file.bytes()) == content);
  std::vector<uint8_t> part(100);
  file.read(9'900, part);
  CHECK(as_text(part) == content.substr(9'900));
  CHECK_NOTHROW(file.check_size());
  CHECK_THROWS_AS(file.read(9'901, part), ShapeError);
  CHECK_THROWS_AS(file.read(-1, part), ShapeError);
}

TEST_CASE("a file that is missing, empty or no file cannot be mapped") {
  const TempDir folder;
  write_bytes(folder / "empty", "");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  for (const std::string& path :
       {folder / "missing", folder / "empty", folder / "pipe", folder.path()}) {
    const std::string error = error_of(ExitCode::data, [&] { MappedFile file(path); });
    CHECK(contains(error, path));
  }
}

TEST_CASE("a file that shrinks while mapped gives an error with both sizes") {
  const TempDir folder;
  write_bytes(folder / "file", some_bytes(100'000));
  const MappedFile file(folder / "file");
  std::filesystem::resize_file(folder / "file", 5'000);

  const std::string error = error_of(ExitCode::data, [&] { file.check_size(); });
  CHECK(contains(error, folder / "file"));
  CHECK(contains(error, "100000"));
  CHECK(contains(error, "5000"));

  std::vector<uint8_t> part(1'000);
  CHECK_NOTHROW(file.read(4'000, part));
  CHECK(contains(error_of(ExitCode::data, [&] { file.read(4'500, part); }), "100000"));
  CHECK(contains(error_of(ExitCode::data, [&] { file.read(50'000, part); }), "100000"));
}

TEST_CASE("a file that grows while mapped keeps its size") {
  const TempDir folder;
  write_bytes(folder / "file", some_bytes(1'000));
  const MappedFile file(folder / "file");
  write_bytes(folder / "file", some_bytes(2'000));
  CHECK_NOTHROW(file.check_size());
  CHECK(file.size() == 1'000);
}
