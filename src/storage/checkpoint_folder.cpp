#include "storage/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"
#include "ssa/core/version.h"
#include "ssa/storage/json_text.h"

namespace ssa {

namespace {

using nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr uint64_t kMaxManifestBytes = uint64_t{16} << 20;

std::string checksum_of_text(const std::string& text) {
  Checksum checksum;
  checksum.update(text.data(), text.size());
  return checksum.hex();
}

}  // namespace

std::optional<int64_t> step_of(std::string_view folder) {
  constexpr std::string_view kPrefix = "step-";
  if (folder.substr(0, kPrefix.size()) != kPrefix) return std::nullopt;
  folder.remove_prefix(kPrefix.size());
  if (folder.ends_with(kInTrouble)) folder.remove_suffix(kInTrouble.size());
  int64_t step = -1;
  const auto [end, error] = std::from_chars(folder.data(), folder.data() + folder.size(), step);
  if (error != std::errc() || end != folder.data() + folder.size() || step < 0) return std::nullopt;
  return step;
}

std::optional<std::string> replaced_name(const std::string& entry) {
  if (!entry.starts_with('.') || !entry.ends_with(kReplaced)) return std::nullopt;
  const std::string folder = entry.substr(1, entry.size() - 1 - kReplaced.size());
  return step_of(folder) ? std::optional(folder) : std::nullopt;
}

std::string optimizer_file(int index, int shards) {
  return shards == 1 ? kOptimizerFile
                     : fmt::format("optimizer-{:05}-of-{:05}.safetensors", index + 1, shards);
}

int shards_of(std::string_view name) {
  if (name == kOptimizerFile) return 1;
  constexpr std::string_view kShape = "optimizer-00000-of-00000.safetensors";
  if (name.size() != kShape.size()) return 0;
  int number = 0, shards = 0;
  std::from_chars(name.data() + 10, name.data() + 15, number);
  std::from_chars(name.data() + 19, name.data() + 24, shards);
  const bool valid = shards > 1 && number >= 1 && number <= shards;
  return valid && name == optimizer_file(number - 1, shards) ? shards : 0;
}

// ---- the manifest ------------------------------------------------------------------------------

std::string manifest_text(const Manifest& manifest) {
  json files = json::object();
  for (const SavedFile& file : manifest.files) {
    files[file.name] = {{"bytes", file.bytes}, {"xxh3_128", file.checksum}};
  }
  json body = {
      {"format", kFormat},
      {"step", manifest.step},
      {"sequence", manifest.sequence},
      {"engine", {{"version", manifest.engine_version}, {"commit", manifest.engine_commit}}},
      {"files", files}};
  if (manifest.in_trouble) body["in_trouble"] = true;
  body["checksum"] = checksum_of_text(body.dump());  // of all the rest, so that it is covered too
  return body.dump(2) + "\n";
}

Manifest read_manifest(const std::string& folder) {
  const std::string path = folder + "/" + kManifestFile;
  if (!path_exists(path)) {
    throw CheckpointError("{} is no complete checkpoint: it has no {}", folder, kManifestFile);
  }
  json body = parse_json(read_text_file(path, kMaxManifestBytes), path);
  try {
    const auto expected = body.at("checksum").get<std::string>();
    body.erase("checksum");
    if (const std::string actual = checksum_of_text(body.dump()); actual != expected) {
      throw CheckpointError("{} is damaged: its checksum is {}, expected {}", path, actual,
                            expected);
    }
    if (const int64_t format = whole_number(body, "format", 0, path); format != kFormat) {
      throw CheckpointError("{} has format {}; this version of the engine ({}) reads format {}",
                            path, format, version(), kFormat);
    }
    Manifest manifest;
    manifest.step = whole_number(body, "step", 0, path);
    manifest.sequence = whole_number(body, "sequence", 1, path);
    manifest.engine_version = body.at("engine").at("version").get<std::string>();
    manifest.engine_commit = body.at("engine").at("commit").get<std::string>();
    manifest.in_trouble = body.value("in_trouble", false);
    for (const auto& [name, record] : body.at("files").items()) {
      manifest.files.push_back(
          {name, static_cast<uint64_t>(whole_number(record, "bytes", 0, path + ": " + name)),
           record.at("xxh3_128").get<std::string>()});
    }
    return manifest;
  } catch (const json::exception& error) {
    throw CheckpointError("{} is no valid manifest: {}", path, error.what());
  }
}

// ---- candidates --------------------------------------------------------------------------------

std::vector<Candidate> list_candidates(const std::string& dir) {
  std::vector<Candidate> candidates;
  for (const std::string& entry : list_directory(dir)) {
    const auto replaced = replaced_name(entry);
    const auto step = step_of(replaced ? *replaced : entry);
    if (!step) continue;
    Candidate candidate;
    candidate.path = dir + "/" + entry;
    candidate.step = *step;
    try {
      const Manifest manifest = read_manifest(candidate.path);
      candidate.sequence = manifest.sequence;
      candidate.in_trouble = manifest.in_trouble;
    } catch (const CheckpointError& error) {
      candidate.problem = error.what();
    }
    candidates.push_back(std::move(candidate));
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(!a.in_trouble, a.sequence, a.step) <
           std::tuple(!b.in_trouble, b.sequence, b.step);
  });
  return candidates;
}

}  // namespace ssa
