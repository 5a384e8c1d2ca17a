#include "ssa/storage/file_io.h"

#include <set>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ssa/storage/checksum.h"

#include "storage/checkpoint_fixture.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

std::string hex_of(const std::string& text) {
  Checksum checksum;
  checksum.update(text.data(), text.size());
  return checksum.hex();
}

}  // namespace

TEST_CASE("checksums agree with published values") {
  REQUIRE(hex_of("") == "99aa06d3014798d86001c324468d497f");  // xxh128sum of an empty file
  REQUIRE(crc32c("123456789", 9) == 0xe3069283u);             // the standard check value
  const std::string zeros(32, '\0');
  REQUIRE(crc32c(zeros.data(), zeros.size()) == 0x8a9136aau);  // RFC 3720, B.4
}

TEST_CASE("a checksum does not depend on how the bytes are cut") {
  std::string text(3'000'000, 'a');
  for (size_t i = 0; i < text.size(); i += 7) text[i] = static_cast<char>(i);
  Checksum pieces;
  for (size_t i = 0; i < text.size(); i += 1013) {
    pieces.update(text.data() + i, std::min<size_t>(1013, text.size() - i));
  }
  REQUIRE(pieces.hex() == hex_of(text));
  const TempDir dir;
  write_bytes(dir / "file", text);
  REQUIRE(checksum_of(InputFile(dir / "file")) == hex_of(text));
}

TEST_CASE("an output file knows its size and checksum") {
  const TempDir dir;
  OutputFile file(dir / "file", OutputFile::Mode::replace);
  file.write("one");
  file.write("two");
  REQUIRE(file.bytes() == 6);
  REQUIRE(file.checksum() == hex_of("onetwo"));
  file.close();
  REQUIRE(read_bytes(dir / "file") == "onetwo");
  OutputFile more(dir / "file", OutputFile::Mode::append);
  more.write("!");
  more.close();
  REQUIRE(read_bytes(dir / "file") == "onetwo!");
}

TEST_CASE("an atomic write that fails at any point leaves the old content") {
  const TempDir dir;
  int operations = 0;
  {
    const HookGuard hook([&](FileOp, const std::string&) {
      ++operations;
      return FileFault{};
    });
    write_file_atomically(dir / "file", "old");
  }
  REQUIRE(operations >= 5);
  for (int failing = 0; failing < operations; ++failing) {
    write_file_atomically(dir / "file", "old");
    int operation = 0;
    bool renamed = false;
    const HookGuard hook([&](FileOp op, const std::string&) {
      const bool fails = operation++ == failing;
      renamed = renamed || (op == FileOp::rename && !fails);
      return FileFault{fails ? EIO : 0, false};
    });
    REQUIRE_THROWS_AS(write_file_atomically(dir / "file", "new"), CheckpointError);
    REQUIRE(read_bytes(dir / "file") == (renamed ? "new" : "old"));
  }
}

TEST_CASE("an atomic write keeps a link and replaces the file that it leads to") {
  const TempDir dir;
  namespace fs = std::filesystem;
  fs::create_directory(dir / "elsewhere");
  write_bytes(dir / "elsewhere/file", "old");
  fs::create_symlink("elsewhere/file", dir / "link");
  fs::create_symlink("link", dir / "link to it");
  write_file_atomically(dir / "link to it", "new");
  REQUIRE(fs::is_symlink(dir / "link to it"));
  REQUIRE(fs::is_symlink(dir / "link"));
  REQUIRE(read_bytes(dir / "elsewhere/file") == "new");
  REQUIRE(list_directory(dir / "elsewhere") == std::vector<std::string>{"file"});

  fs::create_symlink("nothing", dir / "broken");
  write_file_atomically(dir / "broken", "new");
  REQUIRE(read_bytes(dir / "broken") == "new");
}

TEST_CASE("an atomic write goes into a pipe, never over it") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  std::filesystem::create_symlink("pipe", dir / "link");
  const int reader = ::open((dir / "pipe").c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  for (const std::string& path : {dir / "pipe", dir / "link"}) {
    CAPTURE(path);
    write_file_atomically(path, "text");
    char bytes[10];
    REQUIRE(::read(reader, bytes, sizeof bytes) == 4);
    REQUIRE(std::filesystem::is_fifo(dir / "pipe"));
    REQUIRE(std::filesystem::is_symlink(dir / "link"));
  }
  ::close(reader);
  REQUIRE(list_directory(dir.path()) == std::vector<std::string>{"link", "pipe"});
  require_checkpoint_error([&] { write_file_atomically(dir.path(), "text"); }, {dir.path()});
}

TEST_CASE("a tree is removed with all that is in it, and nothing that its links lead to") {
  const TempDir dir;
  make_directories(dir / "tree/a/b");
  make_directories(dir / "kept");
  write_file_atomically(dir / "tree/a/b/file", "x");
  write_file_atomically(dir / "kept/file", "y");
  REQUIRE(::symlink((dir / "kept").c_str(), (dir / "tree/link").c_str()) == 0);
  REQUIRE(::symlink("nowhere", (dir / "tree/a/broken").c_str()) == 0);
  remove_tree(dir / "tree");
  CHECK_FALSE(path_exists(dir / "tree"));
  CHECK(path_exists(dir / "kept/file"));
  CHECK_NOTHROW(remove_tree(dir / "tree"));  // there is nothing to remove
  remove_tree(dir / "kept/file");
  CHECK(list_directory(dir / "kept").empty());
  if (::geteuid() == 0) return;  // whom no permission stops
  make_directories(dir / "locked/inner");
  REQUIRE(::chmod((dir / "locked").c_str(), 0500) == 0);
  CHECK_THROWS_WITH(remove_tree(dir / "locked"), Catch::Contains("cannot remove"));
  ::chmod((dir / "locked").c_str(), 0700);
}

TEST_CASE("a path that cannot be looked at is not taken for a missing one") {
  const TempDir dir;
  write_bytes(dir / "file", "");
  REQUIRE(path_exists(dir / "file"));
  REQUIRE_FALSE(path_exists(dir / "none"));
  REQUIRE_FALSE(path_exists(dir / "file/below"));
  require_checkpoint_error([&] { path_exists(dir / std::string(300, 'x')); }, {"too long"});
}

TEST_CASE("reading beyond the end, directories, pipes and missing files are errors, not hangs") {
  const TempDir dir;
  write_bytes(dir / "file", "12345");
  const InputFile file(dir / "file");
  char bytes[6];
  require_checkpoint_error([&] { file.read(bytes, 6, 0); }, {dir / "file", "truncated"});
  require_checkpoint_error([&] { InputFile opened(dir.path()); }, {"not a regular file"});
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  require_checkpoint_error([&] { InputFile opened(dir / "pipe"); }, {"not a regular file"});
  require_checkpoint_error([&] { InputFile opened(dir / "none"); }, {dir / "none", "No such file"});
  require_checkpoint_error([&] { read_text_file(dir / "file", 4); }, {"5 bytes", "at most 4"});
}

TEST_CASE("a file that shrinks while it is open gives an error") {
  const TempDir dir;
  write_bytes(dir / "file", std::string(100, 'x'));
  const InputFile file(dir / "file");
  std::filesystem::resize_file(dir / "file", 10);
  std::string bytes(100, ' ');
  require_checkpoint_error([&] { file.read(bytes.data(), bytes.size(), 0); }, {"ends at byte 10"});
}

TEST_CASE("file operations have names of their own") {
  std::set<std::string_view> names;
  for (int op = 0; op <= static_cast<int>(FileOp::remove); ++op) {
    names.insert(name(static_cast<FileOp>(op)));
  }
  REQUIRE(names.size() == 8);
  REQUIRE(name(FileOp::sync) == "sync");
  REQUIRE(name(FileOp::remove) == "remove");
}

TEST_CASE("processes that replace a file at the same time leave the whole text of one of them") {
  const TempDir dir;
  constexpr int kProcesses = 4, kTimes = 50;
  std::vector<pid_t> children;
  for (int process = 0; process < kProcesses; ++process) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    const std::string text(static_cast<size_t>(1000 * (process + 1)),
                           static_cast<char>('a' + process));
    int failed = 0;
    for (int time = 0; time < kTimes; ++time) {
      try {
        write_file_atomically(dir / "file", text);
        const std::string read = read_bytes(dir / "file");
        failed += read.size() != 1000u * static_cast<size_t>(read[0] - 'a' + 1) ||
                  read.find_first_not_of(read[0]) != std::string::npos;
      } catch (const CheckpointError&) {
        ++failed;
      }
    }
    ::_exit(failed == 0 ? 0 : 1);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  REQUIRE_FALSE(path_exists(dir / "file.partial"));
}
