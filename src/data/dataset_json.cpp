#include "dataset_json.h"

#include <filesystem>

#include "ssa/core/shell_word.h"

#include "dataset_files.h"

namespace ssa {

std::string DatasetReader::command() const {
  const auto text_at = [this](const char* key) {
    const auto found = root_.find(key);
    return found != root_.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  std::string command = "ssa-data prepare";
  const std::string name = text_at("name");
  const auto sources = root_.find("sources");
  if (name.empty() || sources == root_.end() || !sources->is_array()) return command;
  command += " " + shell_word(name);
  for (const Json& source : *sources) {
    if (source.is_string()) command += " --input " + shell_word(source.get<std::string>());
  }
  if (const std::string options = text_at(kOptionsKey); !options.empty()) command += " " + options;
  return command + " --output " + shell_word(std::filesystem::path(path_).parent_path().string());
}

DatasetReader read_dataset_json(std::string_view json, const std::string& path) {
  DatasetReader reader(json, path);
  if (reader.text("format") != kDatasetFormat) {
    reader.fail("format", fmt::format("\"{}\"", kDatasetFormat));
  }
  const int64_t version = reader.integer("format_version");
  if (version != kDatasetFormatVersion) {
    reader.throw_data_error(fmt::format("format_version is {}, this program reads version {}",
                                        version, kDatasetFormatVersion));
  }
  return reader;
}

std::string kind_of_prepared(const std::filesystem::path& folder) {
  const std::filesystem::path description = folder / kDatasetFile;
  std::error_code ignored;
  if (!std::filesystem::exists(description, ignored)) return {};
  return read_dataset_json(read_text(description), description.string()).text("kind");
}

std::array<TokenRange, 3> read_splits(const DatasetReader& reader, int64_t total,
                                      std::string_view unit, bool may_be_empty) {
  std::array<TokenRange, 3> result;
  const Json& splits = reader.at("splits");
  int64_t end = 0;
  for (const Split split : kSplits) {
    const std::string key(name(split));
    if (!splits.is_object() || !splits.contains(key)) reader.fail("splits", "{train, valid, test}");
    const TokenRange range = reader.range(splits[key], "splits." + key);
    if (range.begin != end || range.end < range.begin || (range.size() == 0 && !may_be_empty)) {
      reader.throw_data_error("splits overlap, leave a gap or are empty");
    }
    end = range.end;
    result[static_cast<size_t>(split)] = range;
  }
  if (end != total) {
    reader.throw_data_error(fmt::format("splits end at {} but there are {} {}", end, total, unit));
  }
  return result;
}

Json dataset_head(const std::string& name, std::string_view kind,
                  const std::vector<std::string>& sources) {
  return {{"format", kDatasetFormat},
          {"format_version", kDatasetFormatVersion},
          {"name", name},
          {"kind", kind},
          {"sources", sources}};
}

Json splits_to_json(const std::array<TokenRange, 3>& splits) {
  Json result;
  for (const Split split : kSplits) {
    const TokenRange& range = splits[static_cast<size_t>(split)];
    result[std::string(name(split))] = {range.begin, range.end};
  }
  return result;
}

std::string to_text(const Json& root) {
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ssa
