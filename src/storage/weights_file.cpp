#include "ssa/storage/weights_file.h"

#include <charconv>
#include <filesystem>

#include "ssa/core/error.h"

#include "storage/checkpoint_folder.h"

namespace ssa {

namespace {

constexpr const char* kFormat = "ssa";

std::string required(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found != file.metadata().end()) return found->second;
  throw CheckpointError("{}: its metadata have no \"{}\": was it written by another version?",
                        file.path(), key);
}

int64_t step_of(const SafetensorsFile& file) {
  const std::string text = required(file, "step");
  int64_t step = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size() || step < 0) {
    throw CheckpointError("{}: \"step\" in its metadata is '{}', not a whole number", file.path(),
                          text);
  }
  return step;
}

}  // namespace

SafetensorsMetadata to_metadata(const WeightsFileInfo& info) {
  SafetensorsMetadata metadata = {{"format", kFormat},
                                  {"config", info.config},
                                  {"step", std::to_string(info.step)},
                                  {"version", info.commit},
                                  {"data", info.data},
                                  {"weights", info.is_average ? "average" : "trained"},
                                  {"state", info.state}};
  if (!info.vocabulary.empty()) metadata["vocabulary"] = info.vocabulary;
  return metadata;
}

WeightsFileInfo weights_file_info(const SafetensorsFile& file) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kFormat) {
    throw CheckpointError(
        "{} is no checkpoint: its metadata do not say \"format\": \"{}\". Make a run folder of "
        "another program's weights with `ssa-convert import`",
        file.path(), kFormat);
  }
  const auto vocabulary = file.metadata().find("vocabulary");
  return {.config = required(file, "config"),
          .step = step_of(file),
          .commit = required(file, "version"),
          .data = required(file, "data"),
          .is_average = required(file, "weights") == "average",
          .state = required(file, "state"),
          .vocabulary = vocabulary == file.metadata().end() ? "" : vocabulary->second};
}

bool names_weights_file(const std::string& path) {
  std::error_code ignored;  // what is not there is no file
  return !is_pointer(std::filesystem::path(path).filename().string()) &&
         std::filesystem::is_regular_file(path, ignored);
}

}  // namespace ssa
