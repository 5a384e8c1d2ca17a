#include <cstdlib>
#include <filesystem>

#include "ssa/data/prepare.h"

#include "data/input_stream.h"
#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// All members of a file: (name, content).
Members read_all(const std::string& path) {
  InputStream stream(path);
  Members members;
  std::vector<uint8_t> buffer(777);  // no divisor of anything
  while (stream.next_member()) {
    std::string content;
    while (const size_t got = stream.read(buffer)) {
      content.append(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(got));
    }
    members.emplace_back(stream.member(), content);
  }
  return members;
}

struct Packing {
  std::string file;
  std::string format;
  std::string filter;
};
const std::vector<Packing> kArchives = {
    {"a.zip", "zip", "none"},  {"a.tar", "tar", "none"},     {"a.tar.gz", "tar", "gzip"},
    {"a.tar.xz", "tar", "xz"}, {"a.tar.zst", "tar", "zstd"}, {"a.tar.bz2", "tar", "bzip2"},
};
const std::vector<Packing> kCompressed = {
    {"a.gz", "raw", "gzip"},
    {"a.xz", "raw", "xz"},
    {"a.zst", "raw", "zstd"},
    {"a.bz2", "raw", "bzip2"},
};

std::vector<Packing> all_packings() {
  std::vector<Packing> all = kArchives;
  all.insert(all.end(), kCompressed.begin(), kCompressed.end());
  return all;
}

}  // namespace

TEST_CASE("a plain file is one member") {
  const TempDir folder;
  for (const size_t size : {size_t{1}, size_t{511}, size_t{512}, size_t{513}, size_t{300'000}}) {
    const std::string content = some_bytes(size);
    write_bytes(folder / "plain", content);
    const Members members = read_all(folder / "plain");
    REQUIRE(members.size() == 1);
    CHECK(members[0].second == content);
    CHECK_FALSE(packed_format(folder / "plain"));
  }
}

TEST_CASE("text that begins like a packed file is plain") {
  const TempDir folder;
  for (const std::string content : {"BZhello, this is no bzip2", "PK", "\x1f", "BZh9"}) {
    write_bytes(folder / "plain", content);
    CHECK_FALSE(packed_format(folder / "plain"));
    CHECK(read_all(folder / "plain")[0].second == content);
  }
}

TEST_CASE("compressed files are unpacked") {
  const TempDir folder;
  const std::string content = some_bytes(300'000);
  for (const Packing& packing : kCompressed) {
    CAPTURE(packing.file);
    write_archive(folder / packing.file, packing.format, packing.filter, {{"x", content}});
    const Members members = read_all(folder / packing.file);
    REQUIRE(members.size() == 1);
    CHECK(members[0].second == content);
    CHECK(packing.file.ends_with(packed_format(folder / packing.file).value_or("none")));
  }
}

TEST_CASE("archives give their files in the order stored") {
  const TempDir folder;
  const Members members = {{"dir/", ""},
                           {"dir/second", some_bytes(100'000, 2)},
                           {"first", some_bytes(70'000, 1)},
                           {"__MACOSX/dir/._second", "resource fork"},
                           {"nothing", ""}};
  const Members expected = {members[1], members[2], members[4]};
  for (const Packing& packing : kArchives) {
    CAPTURE(packing.file);
    write_archive(folder / packing.file, packing.format, packing.filter, members);
    CHECK(read_all(folder / packing.file) == expected);
  }
}

TEST_CASE("a packed file cut short anywhere is an error") {
  const TempDir folder;
  const std::string content = some_bytes(20'000);
  for (const Packing& packing : all_packings()) {
    write_archive(folder / packing.file, packing.format, packing.filter, {{"x", content}});
    const std::string whole = read_bytes(folder / packing.file);
    // A tar file ends with padding that may be lost; the rest of it may not.
    const size_t needed = packing.file == "a.tar" ? whole.find_last_not_of('\0') + 1 : whole.size();
    for (size_t keep = 0; keep < needed;
         keep += 1 + (keep > 24 && keep + 24 < needed ? 1'997 : 0)) {
      CAPTURE(packing.file, keep, whole.size());
      write_bytes(folder / packing.file, whole.substr(0, keep));
      const std::string error = error_of(ExitCode::data, [&] {
        // Empty or without its mark it is refused by its name.
        read_all(folder / packing.file);
      });
      CHECK(contains(error, folder / packing.file));
    }
  }
}

TEST_CASE("a flipped bit in the packed data is an error") {
  const TempDir folder;
  const std::string content = some_bytes(20'000);
  // libarchive writes zstd without a checksum, and tar has none.
  for (const Packing& packing : all_packings()) {
    if (packing.file == "a.tar" || packing.filter == "zstd") continue;
    write_archive(folder / packing.file, packing.format, packing.filter, {{"x", content}});
    const std::string whole = read_bytes(folder / packing.file);
    for (size_t place = 100; place + 200 < whole.size(); place += 499) {
      std::string damaged = whole;
      damaged[place] = static_cast<char>(damaged[place] ^ (1 << (place % 8)));
      write_bytes(folder / packing.file, damaged);
      CAPTURE(packing.file, place);
      const std::string error = error_of(ExitCode::data, [&] { read_all(folder / packing.file); });
      CHECK(contains(error, folder / packing.file));
    }
  }
}

TEST_CASE("gzip's own checksum is verified") {
  const TempDir folder;
  write_archive(folder / "a.gz", "raw", "gzip", {{"x", some_bytes(20'000)}});
  std::string packed = read_bytes(folder / "a.gz");
  packed[packed.size() - 8] = static_cast<char>(packed[packed.size() - 8] ^ 1);  // CRC-32
  write_bytes(folder / "a.gz", packed);
  CHECK(contains(error_of(ExitCode::data, [&] { read_all(folder / "a.gz"); }), "CRC-32"));
}

TEST_CASE("a file whose name promises a packing it has not is refused") {
  const TempDir folder;
  write_bytes(folder / "text.gz", "no gzip at all");
  CHECK(contains(error_of(ExitCode::data, [&] { read_all(folder / "text.gz"); }), "text.gz"));
}

TEST_CASE("a file packed twice is refused") {
  const TempDir folder;
  write_archive(folder / "a.gz", "raw", "gzip", {{"x", some_bytes(1'000)}});
  write_archive(folder / "a.gz.xz", "raw", "xz", {{"x", read_bytes(folder / "a.gz")}});
  CHECK(contains(error_of(ExitCode::data, [&] { read_all(folder / "a.gz.xz"); }), "gz in xz"));
}

TEST_CASE("a packed file in an archive is refused once it is read, not for lying there") {
  const TempDir folder;
  write_archive(folder / "inner.zip", "zip", "none", {{"x", some_bytes(1'000)}});
  const std::string inner = read_bytes(folder / "inner.zip");
  for (const Packing& packing : kArchives) {
    CAPTURE(packing.file);
    write_archive(folder / packing.file, packing.format, packing.filter,
                  {{"text", some_bytes(700)}, {"inner.zip", inner}});
    const std::string error = error_of(ExitCode::data, [&] { read_all(folder / packing.file); });
    CHECK(contains(error, "holds 'inner.zip', which is packed itself (zip)"));
    InputStream stream(folder / packing.file);
    REQUIRE(stream.next_member());
    REQUIRE(stream.next_member());
    CHECK_FALSE(stream.next_member());
  }
}

// Of 2 KiB with a hole of 1 TiB.
TEST_CASE("a sparse file in a tar is refused once it is read") {
  const std::string path = SSA_SOURCE_DIR "/tests/fuzz/corpus/packed_input/sparse.tar";
  CHECK(
      contains(error_of(ExitCode::data, [&] { read_all(path); }), "holds 'hole' as a sparse file"));
  InputStream stream(path);
  REQUIRE(stream.next_member());
  CHECK_FALSE(stream.next_member());
}

TEST_CASE("folders and missing files cannot be read") {
  const TempDir folder;
  CHECK(contains(error_of(ExitCode::data, [&] { read_all(folder.path()); }), "regular"));
  CHECK(contains(error_of(ExitCode::data, [&] { read_all(folder / "none"); }), "not exist"));
}
