#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/data/dataset_info.h"
#include "ssa/data/encoded_images.h"
#include "ssa/data/image_dataset.h"
#include "ssa/data/split_shares.h"

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
  int64_t images = 0;       ///< imagenet: done so far, those of an earlier, stopped call included
  int64_t all_images = 0;   ///< imagenet: how many there are; 0: not known yet
  int64_t molecules = 0;    ///< molecules: rows that are done
};

/// What `imagenet` has beside the options of all.
struct EncodedImageOptions {
  std::optional<Split> split;  ///< of inputs that do not say it by their folders
  std::string val_labels;      ///< file with the classes of a val without folders; empty: none
  std::string classes;         ///< file with all classes in order; empty: those of train, sorted
  int64_t resize = 0;          ///< longest shorter side in pixels; 0: files as they are
  int64_t quality = 0;         ///< of the JPEGs that are resized, 1 … 100; 0: kDefaultQuality
  int64_t workers = 0;         ///< threads; 0: as many as processors
  int64_t shard_bytes = int64_t{1} << 30;  ///< size of a file of pictures, if one is not larger

  static constexpr int64_t kDefaultQuality = 90;
};

/// What texts have beside the options of all.
struct TextOptions {
  /// Of inputs whose names do not state the splits, and of all where it is given. By default
  /// 90/5/5.
  std::optional<SplitShares> split;
  std::string column;  ///< of tables; empty: files are texts
  /// words: a list of them, or a folder with a vocab.txt, such as a run's; ids: how many there are.
  std::string vocabulary;
  int64_t min_count = 0;  ///< words: those that the train split has less often become kUnknown
  int64_t max_words = 0;  ///< words: the most that the vocabulary has; 0: no limit
  std::string dtype;      ///< ids without a header: "u16" or "u32"
  std::string names;      ///< ids: file with the text of each; empty: not known
  std::optional<int64_t> start_token;  ///< ids: what is read before the first one
};

struct PrepareOptions {
  std::string name;  ///< a supported name of known_datasets()
  std::vector<std::string> inputs;
  std::string output;            ///< folder to make
  bool skip_bad_images = false;  ///< images, imagenet: leave out files that cannot be decoded
  bool replace = false;          ///< also a data set of another name or of other sources there
  TextOptions texts;             ///< for `bytes`, words and `ids` only
  EncodedImageOptions encoded;   ///< for `imagenet` only
  std::function<void(const PrepareProgress&)> progress;  ///< called every few hundred KiB
  std::function<bool()> interrupted;             ///< true: stop; only imagenet leaves something
  std::function<void(const std::string&)> note;  ///< choices made, for the user to see
};

/// Makes a prepared folder (dataset.json; data.bin of bytes, or tokens.bin and the vocabulary) from
/// plain or packed files (zip, gz, xz, zst, bz2, tar, tar.*), streaming. The folder appears under
/// its name complete or not at all: it is written as `output.partial`, synced and renamed.
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

/// Whether this name is that of a data set of JPEG and PNG files, which prepare_encoded_images()
/// makes.
bool is_encoded_image_dataset(std::string_view name);
/// The same for pictures as the files they come in (shard-*.bin, index.bin, names.bin, classes.txt,
/// dataset.json). What is done when it is stopped, by `interrupted`, an error or a kill, stays in
/// `output.partial`; a later call with the same pictures goes on from there.
EncodedImagesInfo prepare_encoded_images(const PrepareOptions& options);

}  // namespace ssa
