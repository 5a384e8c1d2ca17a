#include "test_files.h"

#include <cstdlib>
#include <stdexcept>

#include <archive.h>
#include <archive_entry.h>

#include "ssa/core/philox.h"

namespace ssa::testing {

ScopedEnvironment::ScopedEnvironment(std::string name, const std::string& value)
    : name_(std::move(name)) {
  const char* old = std::getenv(name_.c_str());
  was_set_ = old != nullptr;
  if (old) old_ = old;
  ::setenv(name_.c_str(), value.c_str(), 1);
}

ScopedEnvironment::~ScopedEnvironment() {
  if (was_set_) {
    ::setenv(name_.c_str(), old_.c_str(), 1);
  } else {
    ::unsetenv(name_.c_str());
  }
}

std::string some_bytes(size_t count, uint64_t seed) {
  const RngKey key{.seed = seed};
  std::string text;
  text.reserve(count);
  for (uint64_t word = 0; text.size() < count; ++word) {
    const uint32_t random = key.word(word);
    text += static_cast<char>(random & 0xffu);
    text.append((random >> 8) & 7u, static_cast<char>('a' + (random >> 16) % 16));
  }
  text.resize(count);
  return text;
}

void write_archive(const std::string& path, const std::string& format, const std::string& filter,
                   const Members& members) {
  archive* writer = archive_write_new();
  const auto check = [&](int result) {
    if (result != ARCHIVE_OK) throw std::runtime_error(archive_error_string(writer));
  };
  check(archive_write_set_format_by_name(writer, format == "tar" ? "ustar" : format.c_str()));
  check(filter == "none" ? archive_write_add_filter_none(writer)
                         : archive_write_add_filter_by_name(writer, filter.c_str()));
  check(archive_write_open_filename(writer, path.c_str()));
  for (const auto& [name, content] : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    archive_entry_set_filetype(entry, name.ends_with('/') ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    check(archive_write_header(writer, entry));
    archive_write_data(writer, content.data(), content.size());
    archive_entry_free(entry);
  }
  check(archive_write_close(writer));
  archive_write_free(writer);
}

}  // namespace ssa::testing
