#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"
#include "ssa/data/batch.h"
#include "ssa/data/token_dataset.h"

namespace ssa::testing {

/// A folder of its own for one test case, removed behind it.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }
  /// Names in the folder, sorted.
  std::vector<std::string> names() const;

 private:
  std::filesystem::path path_;
};

/// Sets an environment variable until the end of the scope.
class ScopedEnvironment {
 public:
  ScopedEnvironment(std::string name, const std::string& value);
  ~ScopedEnvironment();
  ScopedEnvironment(const ScopedEnvironment&) = delete;
  ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

 private:
  std::string name_;
  bool was_set_;
  std::string old_;
};

/// Deterministic text-like bytes: compressible, with many different values.
std::string some_bytes(size_t count, uint64_t seed = 1);
void write_file(const std::string& path, const std::string& content);
std::string read_file(const std::string& path);

using Members = std::vector<std::pair<std::string, std::string>>;  // name, content
/// Writes an archive through libarchive. `format`: "zip", "tar", "raw" (one member); `filter`:
/// "none", "gzip", "xz", "zstd", "bzip2".
void write_archive(const std::string& path, const std::string& format, const std::string& filter,
                   const Members& members);

/// All tokens of a split.
inline std::vector<int32_t> tokens_of(const TokenDataset& dataset, Split split) {
  std::vector<int32_t> tokens(static_cast<size_t>(dataset.split_size(split)));
  dataset.read(split, 0, tokens);
  return tokens;
}

/// The error that `call` throws, checked to be an ssa::Error of the given code; "" if none.
template <class F>
std::string error_of(ExitCode code, F&& call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  FAIL_CHECK("no error was thrown");
  return "";
}

/// The elements of a field of i32.
inline std::vector<int32_t> numbers(const Batch& batch, std::string_view field) {
  const auto values = batch.field(field).values<int32_t>();
  return {values.begin(), values.end()};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace ssa::testing
