// Reads a manifest, a `latest` file ("=== latest") and names of files (lines of "=== names"). Opens
// a checkpoint of the files that follow, as they are and under a manifest that fits them.

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"
#include "ssa/storage/file_io.h"

#include "fuzz/support.h"
#include "storage/checkpoint_folder.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

constexpr auto kFiles = {kModelFile, kOptimizerFile, kStateFile, kConfigFile};

std::string run_folder() { return folder().path(); }
std::string checkpoint_folder() { return checkpoints_dir(run_folder()) + "/step-3"; }

std::string checksum_of_text(const std::string& text) {
  Checksum checksum;
  checksum.update(text.data(), text.size());
  return checksum.hex();
}

/// The manifest with the checksum that its content has; as it is if it is no object.
std::string sealed(const std::string& text) {
  nlohmann::json body = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object()) return text;
  body.erase("checksum");
  body["checksum"] = checksum_of_text(body.dump());
  return body.dump();
}

void check_round_trip(const Manifest& manifest) {
  const std::string text = manifest_text(manifest);
  testing::write_bytes(checkpoint_folder() + "/" + kManifestFile, text);
  require(manifest_text(read_manifest(checkpoint_folder())) == text,
          "a manifest survives a round trip");
  for (const SavedFile& file : manifest.files) {
    require(to_text(saved_file_from_text(to_text(file))) == to_text(file),
            "an entry survives a round trip");
  }
}

void read_manifest_text(const std::string& text) {
  testing::write_bytes(checkpoint_folder() + "/" + kManifestFile, text);
  accepted<CheckpointError>([] { open_checkpoint(checkpoint_folder()); });
  const auto manifest = parsed<CheckpointError>([] { return read_manifest(checkpoint_folder()); });
  if (manifest) check_round_trip(*manifest);
}

/// Loads all that a checkpoint holds.
void load(const LoadedCheckpoint& checkpoint) {
  for (const std::string& name : checkpoint.model.names()) {
    checkpoint.model.load(name, Device::cpu, MemoryCategory::parameters);
  }
  checkpoint.optimizer.names();
}

/// Opens the files under a manifest that lists them as they are.
void open_files(const Parts& parts) {
  Manifest manifest{3, 1, "version", "commit", {}, false};
  for (const char* name : kFiles) {
    const auto part = parts.find(name);
    if (part == parts.end()) continue;
    manifest.files.push_back({name, part->second.size(), checksum_of_text(part->second)});
  }
  testing::write_bytes(checkpoint_folder() + "/" + kManifestFile, manifest_text(manifest));
  accepted<CheckpointError>([] { load(open_checkpoint(checkpoint_folder())); });
  accepted<CheckpointError>([] { find_latest_checkpoint(run_folder(), nullptr); });
}

void check_name(const std::string& name) {
  if (const auto step = step_of(name)) require(*step >= 0, "a step is not negative");
  if (const auto whole = replaced_name(name)) require(step_of(*whole).has_value(), "of a step");
  require(shards_of(name) >= 0, "a number of shards is not negative");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Parts parts = parts_of(text_of(data, size), kManifestFile);
  make_directories(checkpoint_folder());
  write_parts(parts, checkpoint_folder(), {kModelFile, kOptimizerFile, kStateFile, kConfigFile});
  write_parts(parts, checkpoints_dir(run_folder()), {"latest"});
  read_manifest_text(parts[kManifestFile]);
  read_manifest_text(sealed(parts[kManifestFile]));
  open_files(parts);
  accepted<CheckpointError>([] { open_checkpoint(checkpoints_dir(run_folder()) + "/latest"); });
  accepted<CheckpointError>([&] { saved_file_from_text(parts[kManifestFile]); });
  for (const std::string& name : lines_of(parts["names"])) check_name(name);
  return 0;
}
