#include "dataset_files.h"

#include <fstream>
#include <iterator>

#include "ssa/core/error.h"

namespace ssa {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(stream), {});
  if (!stream.good() && !stream.eof()) throw DataError("cannot read '{}'", path.string());
  return text;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  const bool found = fs::exists(path, error);
  if (error) throw DataError("cannot read '{}': {}", path.string(), error.message());
  return found;
}

void check_file(const fs::path& path, int64_t expected) {
  if (!is_there(path)) {
    throw DataError("'{}' is missing; {} bytes expected. Prepare the data set again.",
                    path.string(), expected);
  }
  std::error_code error;
  const auto actual = static_cast<int64_t>(fs::file_size(path, error));
  if (error) throw DataError("cannot read '{}': {}", path.string(), error.message());
  if (actual != expected) {
    throw DataError("'{}' has {} bytes, but {} are expected. Prepare the data set again.",
                    path.string(), actual, expected);
  }
}

}  // namespace ssa
