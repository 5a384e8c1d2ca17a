#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/data/dataset_info.h"
#include "ssa/data/image_dataset.h"

namespace ssa {

/// The name of a data set, and whether this version supports it.
struct KnownDataset {
  std::string_view name;
  std::string_view layout;  ///< what `ssa-data prepare` expects, and how it is split
  bool supported;
};
const std::vector<KnownDataset>& known_datasets();

struct PrepareProgress {
  int64_t bytes_written = 0;
  int64_t input_read = 0;   ///< bytes read from the (packed) input files
  int64_t input_bytes = 0;  ///< their sizes
};

struct PrepareOptions {
  std::string name;                 ///< a supported name of known_datasets()
  std::vector<std::string> inputs;  ///< several only for `bytes`, which are concatenated
  std::string output;               ///< folder to make
  bool skip_bad_images = false;     ///< images: leave out files that cannot be decoded
  bool replace = false;             ///< also a data set of another name or of other sources there
  std::function<void(const PrepareProgress&)> progress;  ///< called every few hundred KiB
  std::function<bool()> interrupted;                     ///< true: stop and leave nothing behind
  std::function<void(const std::string&)> note;          ///< choices made, for the user to see
};

/// Makes a prepared folder (dataset.json, data.bin) from plain or packed files (zip, gz, xz, zst,
/// bz2, tar, tar.*), streaming. The folder appears under its name complete or not at all: it is
/// written as `output.partial`, synced and renamed.
///
/// Replaces a folder with the same data set, made of files of the same names; one with another data
/// set only if `replace` is set; refuses any other folder that is not empty. Throws ConfigError for
/// invalid names and inputs, DataError for missing, truncated or corrupt inputs and if the output
/// cannot be written, and Error with ExitCode::interrupted if `interrupted` returns true.
DatasetInfo prepare_dataset(const PrepareOptions& options);

/// Whether this name is that of a data set of pictures, which prepare_images() makes.
bool is_image_dataset(std::string_view name);
/// The same for pictures (dataset.json, pixels.bin, labels.bin).
ImageDatasetInfo prepare_images(const PrepareOptions& options);

}  // namespace ssa
