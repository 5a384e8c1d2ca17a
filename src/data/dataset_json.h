#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ssa/core/error.h"
#include "ssa/data/dataset_info.h"

namespace ssa {

// What the dataset.json of every kind of prepared folder has in common.

using Json = nlohmann::ordered_json;

constexpr const char* kDatasetFormat = "ssa-dataset";
constexpr int64_t kDatasetFormatVersion = 1;
// Kinds of pictures: as pixels, and as the files they came in.
constexpr const char* kImages = "images";
constexpr const char* kEncodedImages = "encoded_images";
constexpr const char* kMoleculesKind = "molecules";
constexpr const char* kOptionsKey = "prepare_options";  // of the command, apart from inputs
/// Largest number in a dataset.json: more than any file holds, small enough to multiply by a width.
constexpr int64_t kMostItems = int64_t{1} << 60;

/// Reads the values of one dataset.json; every error names the file and the key.
class DatasetReader {
 public:
  DatasetReader(std::string_view text, const std::string& path) : path_(path) {
    try {
      root_ = Json::parse(text);
    } catch (const Json::exception& error) {
      throw DataError("'{}' is not valid JSON ({}). Prepare the data set again.", path_,
                      error.what());
    }
    if (!root_.is_object()) fail("the file", "an object");
  }

  int64_t integer(const char* key) const { return integer(at(key), key); }
  int64_t integer(const Json& value, const std::string& key) const {
    // An unsigned value beyond int64 would wrap.
    if (!value.is_number_integer() || value < 0 || value > kMostItems) {
      fail(key, "an integer of at least 0");
    }
    return value.get<int64_t>();
  }
  std::string text(const char* key) const {
    if (!at(key).is_string()) fail(key, "a string");
    return at(key).get<std::string>();
  }
  std::vector<std::string> texts(const char* key) const {
    const Json& value = at(key);
    std::vector<std::string> result;
    if (!value.is_array()) fail(key, "a list of strings");
    for (const Json& text : value) {
      if (!text.is_string()) fail(key, "a list of strings");
      result.push_back(text.get<std::string>());
    }
    return result;
  }
  bool has(const char* key) const { return root_.contains(key); }
  const Json& at(const char* key) const {
    const auto found = root_.find(key);
    if (found == root_.end()) throw_data_error(fmt::format("key '{}' is missing", key));
    return *found;
  }
  TokenRange range(const Json& value, const std::string& key) const {
    if (!value.is_array() || value.size() != 2) fail(key, "a pair [begin, end]");
    return {integer(value[0], key), integer(value[1], key)};
  }
  [[noreturn]] void fail(const std::string& key, std::string_view wanted) const {
    throw_data_error(fmt::format("{} should be {}", key, wanted));
  }
  [[noreturn]] void throw_data_error(const std::string& problem) const {
    throw DataError("'{}': {}. Prepare the data set again with `{}`.", path_, problem, command());
  }

 private:
  /// The command that makes the folder, as far as the file says what it was made from.
  std::string command() const;

  std::string path_;
  Json root_;
};

/// A reader of this file. Throws DataError if it is not a dataset.json of this version.
DatasetReader read_dataset_json(std::string_view json, const std::string& path);
/// The kind of data that a folder's dataset.json states; empty for a folder or plain file without
/// one. Throws DataError as above.
std::string kind_of_prepared(const std::filesystem::path& folder);
/// The splits, which follow one another and together are `total` items (`unit` in messages). A
/// split may be empty if `may_be_empty`.
std::array<TokenRange, 3> read_splits(const DatasetReader& reader, int64_t total,
                                      std::string_view unit, bool may_be_empty);
/// format, format_version, name, kind and sources.
Json dataset_head(const std::string& name, std::string_view kind,
                  const std::vector<std::string>& sources);
Json splits_to_json(const std::array<TokenRange, 3>& splits);
/// File names need not be UTF-8; JSON has to be.
std::string to_text(const Json& root);

}  // namespace ssa
