#include "ssa/data/prepare.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <sys/resource.h>

#include "ssa/data/token_dataset.h"

#include "support/skip.h"
#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

/// Prepares and returns what the user is told.
std::string prepare_and_listen(PrepareOptions options) {
  std::string told;
  options.note = [&told](const std::string& text) { told += text + "\n"; };
  prepare_dataset(options);
  return told;
}

/// Files cannot grow past `bytes` in this scope: writes fail as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

}  // namespace

TEST_CASE("prepare makes a folder with the bytes and their description") {
  const TempDir folder;
  const std::string content = some_bytes(700'000);
  write_archive(folder / "enwik8.zip", "zip", "none", {{"enwik8", content}});
  const DatasetInfo info =
      prepare_dataset(options_for("enwik8", {folder / "enwik8.zip"}, folder / "a/b/out/"));
  CHECK(info.tokens == 700'000);
  CHECK(info.sources == std::vector<std::string>{"enwik8.zip"});
  CHECK(info.distinct_bytes == 256);
  CHECK_FALSE(info.official_split());
  CHECK(read_bytes(folder / "a/b/out/data.bin") == content);
  CHECK(read_bytes(folder / "a/b/out/dataset.json") == dataset_to_json(info));
  CHECK_FALSE(fs::exists(folder / "a/b/out.partial"));
  CHECK_NOTHROW(verify(TokenDataset::open(folder / "a/b/out")));
}

TEST_CASE("prepare reports its progress") {
  const TempDir folder;
  write_bytes(folder / "text", some_bytes(1'000'000));
  PrepareOptions options = options_for("bytes", {folder / "text"}, folder / "out");
  std::vector<PrepareProgress> reports;
  options.progress = [&](const PrepareProgress& progress) { reports.push_back(progress); };
  prepare_dataset(options);
  REQUIRE(reports.size() >= 3);
  for (size_t i = 1; i < reports.size(); ++i) {
    CHECK(reports[i].bytes_written >= reports[i - 1].bytes_written);
  }
  CHECK(reports.back().bytes_written == 1'000'000);
  CHECK(reports.back().input_read == 1'000'000);
  CHECK(reports.back().input_bytes == 1'000'000);
}

TEST_CASE("bytes puts inputs and members together and says so") {
  const TempDir folder;
  const std::string a = some_bytes(5'000, 1), b = some_bytes(6'000, 2), c = some_bytes(7'000, 3);
  write_archive(folder / "ab.tar.xz", "tar", "xz", {{"a", a}, {"b", b}});
  write_archive(folder / "c.gz", "raw", "gzip", {{"c", c}});
  const std::string told = prepare_and_listen(
      options_for("bytes", {folder / "c.gz", folder / "ab.tar.xz"}, folder / "out"));
  CHECK(read_bytes(folder / "out/data.bin") == c + a + b);
  CHECK(contains(told, "putting 3 files together, in this order:\n  " + folder.path() + "/c.gz\n"));
  CHECK(contains(told, "ab.tar.xz (a)\n"));
}

TEST_CASE("enwik8 is picked out of an archive by its name") {
  const TempDir folder;
  const std::string text = some_bytes(5'000);
  write_archive(folder / "e.zip", "zip", "none", {{"readme", "hello"}, {"data/enwik8", text}});
  const std::string told =
      prepare_and_listen(options_for("enwik8", {folder / "e.zip"}, folder / "out"));
  CHECK(read_bytes(folder / "out/data.bin") == text);
  CHECK(contains(told, "data/enwik8"));

  write_archive(folder / "f.tar", "tar", "none", {{"one", "hello"}, {"two", text}});
  const std::string error =
      prepare_error(ExitCode::data, options_for("enwik8", {folder / "f.tar"}, folder / "out2"));
  CHECK(contains(error, "\n  one"));
  CHECK(contains(error, "\n  two"));

  write_archive(folder / "g.tar", "tar", "none", {{"only", text}});
  CHECK_NOTHROW(prepare_dataset(options_for("enwik8", {folder / "g.tar"}, folder / "out3")));
}

TEST_CASE("a folder as input has to hold exactly one candidate") {
  const TempDir folder;
  const TempDir input;
  write_bytes(input / "README.md", "not it");
  const auto options = options_for("enwik8", {input.path()}, folder / "out");
  CHECK(contains(prepare_error(ExitCode::data, options), "holds no"));
  write_archive(input / "enwik8_first_5000.xz", "raw", "xz", {{"x", some_bytes(5'000)}});
  CHECK(contains(prepare_and_listen(options), "enwik8_first_5000.xz"));
  CHECK(fs::file_size(folder / "out/data.bin") == 5'000);
  write_bytes(input / "enwik8", some_bytes(100));
  const std::string error = prepare_error(ExitCode::data, options);
  CHECK(contains(error, input / "enwik8\n"));
  CHECK(contains(error, "enwik8_first_5000.xz"));
  CHECK(contains(
      prepare_error(ExitCode::data, options_for("bytes", {folder / "out"}, folder / "out2")),
      "already a prepared data set"));
}

TEST_CASE("inputs that cannot be looked at are data errors with the reason") {
  const TempDir folder;
  const std::string too_long = folder / std::string(300, 'x');
  CHECK(contains(prepare_error(ExitCode::data, options_for("bytes", {too_long}, folder / "out")),
                 "too long"));
  write_bytes(folder / "in", "a file");
  prepare_error(ExitCode::data, options_for("bytes", {folder / "in/below"}, folder / "out"));
  fs::create_directory(folder / "input");
  write_bytes(folder / "input/text", some_bytes(100));
  for (const char* name : {"loop", "dataset.json"}) {  // each leads to itself
    fs::create_symlink(name, folder / (std::string("input/") + name));
  }
  CHECK_NOTHROW(prepare_dataset(options_for("bytes", {folder / "input"}, folder / "out")));
}

TEST_CASE("names and inputs that make no sense are usage errors") {
  const TempDir folder;
  write_bytes(folder / "text", some_bytes(100));
  const std::string text = folder / "text";
  CHECK(contains(prepare_error(ExitCode::usage, options_for("enwik9", {text}, folder / "out")),
                 "enwik8"));
  CHECK(contains(prepare_error(ExitCode::usage, options_for("pcqm4mv2", {text}, folder / "out")),
                 "pcqm4mv2 is no data set of texts"));
  prepare_error(ExitCode::usage, options_for("enwik8", {text, text}, folder / "out"));
  prepare_error(ExitCode::usage, options_for("bytes", {}, folder / "out"));
  prepare_error(ExitCode::usage, options_for("bytes", {text}, ""));
  CHECK(contains(
      prepare_error(ExitCode::data, options_for("enwik8", {folder / "none"}, folder / "out")),
      "100000000"));
  CHECK(folder.names() == std::vector<std::string>{"text"});
}

TEST_CASE("a failure leaves nothing behind") {
  const TempDir folder;
  const TempDir input;
  write_bytes(input / "text", some_bytes(2'000'000));
  write_bytes(input / "empty", "");
  write_bytes(input / "tiny", "nineteen bytes here");
  write_archive(input / "cut.gz", "raw", "gzip", {{"x", some_bytes(1'000'000)}});
  fs::resize_file(input / "cut.gz", fs::file_size(input / "cut.gz") / 2);
  const std::string text = input / "text";

  SECTION("corrupt input") {
    CHECK(contains(prepare_error(ExitCode::data,
                                 options_for("bytes", {text, input / "cut.gz"}, folder / "out")),
                   "cut.gz"));
  }
  SECTION("empty and too short inputs") {
    prepare_error(ExitCode::data, options_for("bytes", {text, input / "empty"}, folder / "out"));
    prepare_error(ExitCode::data, options_for("bytes", {input / "tiny"}, folder / "out"));
  }
  SECTION("disk full") {
    const FileSizeLimit limit(1'000'000);  // a short write, then none
    const std::string error =
        prepare_error(ExitCode::data, options_for("bytes", {text}, folder / "out"));
    CHECK(contains(error, "data.bin"));
  }
  SECTION("interrupted") {
    PrepareOptions options = options_for("bytes", {text}, folder / "out");
    int calls = 0;
    options.interrupted = [&calls] { return ++calls == 3; };
    prepare_error(ExitCode::interrupted, options);
  }
  SECTION("with an older one in place, which stays as it was") {
    write_bytes(input / "old", some_bytes(3'000, 9));
    prepare_dataset(options_for("bytes", {input / "old"}, folder / "out"));
    PrepareOptions options = options_for("bytes", {text, input / "cut.gz"}, folder / "out");
    options.replace = true;
    prepare_error(ExitCode::data, options);
    CHECK(folder.names() == std::vector<std::string>{"out"});
    CHECK_NOTHROW(verify(TokenDataset::open(folder / "out")));
    CHECK(read_bytes(folder / "out/data.bin") == some_bytes(3'000, 9));
    fs::remove_all(folder / "out");
  }
  CHECK(folder.names().empty());
}

TEST_CASE("a prepared folder is replaced, any other is not touched") {
  const TempDir folder;
  write_bytes(folder / "old", some_bytes(3'000, 1));
  write_bytes(folder / "new", some_bytes(4'000, 2));
  fs::create_directory(folder / "out");  // empty: fine
  prepare_dataset(options_for("bytes", {folder / "old"}, folder / "out"));
  const TokenDataset opened = TokenDataset::open(folder / "out");
  PrepareOptions other = options_for("bytes", {folder / "new"}, folder / "out");
  for (const char* name : {"bytes", "enwik8"}) {  // of other sources; of another name, too
    other.name = name;
    const std::string error = prepare_error(ExitCode::usage, other);
    CHECK(contains(error, "holds another data set: 'bytes', made of old"));
    CHECK(contains(error, "--replace"));
    CHECK(read_bytes(folder / "out/data.bin") == some_bytes(3'000, 1));
  }
  CHECK_NOTHROW(prepare_dataset(options_for("bytes", {folder / "old"}, folder / "out")));
  other.replace = true;
  prepare_dataset(other);
  CHECK(read_bytes(folder / "out/data.bin") == some_bytes(4'000, 2));
  CHECK_NOTHROW(verify(opened));  // a reader keeps what it opened
  CHECK_FALSE(fs::exists(folder / "out.partial"));

  write_bytes(folder / "out/thesis.txt", "precious");
  PrepareOptions options = options_for("bytes", {folder / "old"}, folder / "out");
  options.replace = true;
  CHECK(contains(prepare_error(ExitCode::data, options), "thesis.txt"));
  CHECK(read_bytes(folder / "out/thesis.txt") == "precious");
  CHECK(contains(
      prepare_error(ExitCode::data, options_for("bytes", {folder / "old"}, folder / "new")),
      "not a folder"));
}

TEST_CASE("what a killed process left is cleared") {
  const TempDir folder;
  write_bytes(folder / "text", some_bytes(3'000));
  fs::create_directory(folder / "out.partial");
  write_bytes(folder / "out.partial/data.bin", "half of it");
  prepare_dataset(options_for("bytes", {folder / "text"}, folder / "out"));
  CHECK(folder.names() == std::vector<std::string>{"out", "text"});
  CHECK(read_bytes(folder / "out/data.bin") == some_bytes(3'000));
}

TEST_CASE("two processes cannot prepare the same folder at a time") {
  const TempDir folder;
  write_bytes(folder / "text", some_bytes(3'000));
  PrepareOptions options = options_for("bytes", {folder / "text"}, folder / "out");
  bool tried = false;
  options.progress = [&](const PrepareProgress&) {
    if (std::exchange(tried, true)) return;
    const auto second = options_for("bytes", {folder / "text"}, folder / "out");
    CHECK(contains(prepare_error(ExitCode::data, second), "another process"));
  };
  prepare_dataset(options);
  CHECK(tried);
  CHECK_NOTHROW(verify(TokenDataset::open(folder / "out")));
}

TEST_CASE("the known prefix of enwik8 prepares to its known checksum") {
  const char* root = std::getenv("SSA_DATA_DIR");
  const std::string packed = std::string(root ? root : "") + "/enwik8_first_4154064.xz";
  if (!root || !fs::exists(packed)) SSA_SKIP("SSA_DATA_DIR holds no enwik8_first_4154064.xz");
  const TempDir folder;
  const DatasetInfo info = prepare_dataset(options_for("enwik8", {packed}, folder / "out"));
  CHECK(info.tokens == 4'154'064);
  CHECK(info.distinct_bytes == 200);
  CHECK(info.checksum == "b43469d48e3bacdd");
  CHECK_FALSE(info.official_split());
}
