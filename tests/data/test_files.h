#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"
#include "ssa/data/batch.h"
#include "ssa/data/prepare.h"
#include "ssa/data/token_dataset.h"

#include "support/files.h"
#include "support/text.h"

namespace ssa::testing {

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

inline PrepareOptions options_for(const std::string& name, const std::vector<std::string>& inputs,
                                  const std::string& output) {
  PrepareOptions options;
  options.name = name;
  options.inputs = inputs;
  options.output = output;
  return options;
}

/// The error of prepare_dataset(), checked to be of the given code.
inline std::string prepare_error(ExitCode code, const PrepareOptions& options) {
  return error_of(code, [&] { prepare_dataset(options); });
}

/// The elements of a field of i32.
inline std::vector<int32_t> numbers(const Batch& batch, std::string_view field) {
  const auto values = batch.field(field).values<int32_t>();
  return {values.begin(), values.end()};
}

}  // namespace ssa::testing
