// The members of tar archives and where they lie, held against libarchive's writers.

#include "data/tar_members.h"

#include <functional>

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

std::vector<TarMember> members_of(const std::string& path) {
  const MappedFile file(path);
  std::vector<TarMember> members;
  for_each_member(file, 0, file.size(), path,
                  [&](TarMember member) { members.push_back(std::move(member)); });
  return members;
}

std::string content_of(const std::string& path, const TarMember& member) {
  return read_bytes(path).substr(static_cast<size_t>(member.offset),
                                 static_cast<size_t>(member.size));
}

/// The error for an archive of two files whose bytes `damage` changes.
std::string error_for(const std::function<void(std::string&)>& damage) {
  const TempDir folder;
  write_archive(folder / "a.tar", "tar", "none", {{"one", some_bytes(700)}, {"two", "2"}});
  std::string bytes = read_bytes(folder / "a.tar");
  damage(bytes);
  write_bytes(folder / "a.tar", bytes);
  return error_of(ExitCode::data, [&] { members_of(folder / "a.tar"); });
}

}  // namespace

TEST_CASE("tar: members of all formats are found where they lie") {
  const TempDir folder;
  const Members written = {{"train/", ""},
                           {"train/a/short.JPEG", some_bytes(1000)},
                           {std::string(60, 'd') + "/" + std::string(90, 'f'), some_bytes(512)},
                           {"empty", ""},
                           {"f\xfcr/\xe4.png", some_bytes(513)},
                           {std::string(240, 'n') + ".jpg", "x"}};
  for (const char* format : {"gnutar", "pax", "ustar", "v7tar"}) {
    INFO(format);
    const bool short_names = std::string(format) == "ustar" || std::string(format) == "v7tar";
    Members members = written;
    if (short_names) members.resize(std::string(format) == "ustar" ? 5 : 2);
    if (std::string(format) == "pax") members.erase(members.begin() + 4);  // pax wants UTF-8
    const std::string path = folder / (std::string(format) + ".tar");
    write_archive(path, format, "none", members);
    const std::vector<TarMember> found = members_of(path);
    REQUIRE(found.size() == members.size());
    for (size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i].path == members[i].first);
      CHECK((found[i].kind == TarMember::Kind::folder) == members[i].first.ends_with('/'));
      CHECK(content_of(path, found[i]) == members[i].second);
    }
  }
}

TEST_CASE("tar: an archive in an archive is listed in place") {
  const TempDir folder;
  write_archive(folder / "inner.tar", "tar", "none", {{"a.JPEG", "first"}, {"b.JPEG", "second"}});
  write_archive(folder / "outer.tar", "tar", "none",
                {{"before", some_bytes(100)}, {"inner.tar", read_bytes(folder / "inner.tar")}});
  const std::string path = folder / "outer.tar";
  const TarMember inner = members_of(path).at(1);
  const MappedFile file(path);
  std::vector<std::string> contents;
  for_each_member(file, inner.offset, inner.size, "inner",
                  [&](const TarMember& member) { contents.push_back(content_of(path, member)); });
  CHECK(contents == std::vector<std::string>{"first", "second"});
}

TEST_CASE("tar: what is damaged or ends early is refused with its place") {
  CHECK_THAT(error_for([](std::string& bytes) { bytes.resize(800); }),
             Catch::Contains("at byte 0: a member reaches beyond the end"));
  CHECK_THAT(error_for([](std::string& bytes) { bytes.resize(2560); }),
             Catch::Contains("at byte 2560: the tar archive's end mark is missing"));
  CHECK_THAT(error_for([](std::string& bytes) { bytes[1536] = 'T'; }),
             Catch::Contains("at byte 1536: a member's header has a wrong checksum"));
  CHECK_THAT(error_for([](std::string& bytes) { bytes.assign(600, 'x'); }),
             Catch::Contains("wrong checksum"));
}
