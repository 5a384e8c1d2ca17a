#include "ssa/data/prepare.h"

#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "byte_tally.h"
#include "folder_writer.h"
#include "input_stream.h"
#include "prepare_inputs.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr size_t kPieceBytes = size_t{1} << 18;
constexpr std::array<std::string_view, 2> kOurFiles = {kDatasetFile, kDataFile};

/// Copies inputs into data.bin and counts what passes.
class Copier {
 public:
  Copier(const PrepareOptions& options, FolderWriter& writer)
      : options_(options), writer_(writer), buffer_(kPieceBytes) {}

  void copy(const std::vector<PrepareInput>& inputs) {
    for (const PrepareInput& input : inputs) {
      std::error_code error;
      const auto size = static_cast<int64_t>(fs::file_size(input.path, error));
      if (error) throw DataError("cannot read '{}': {}", input.path, error.message());
      progress_.input_bytes += size;
    }
    for (const PrepareInput& input : inputs) copy(input);
  }
  const ByteTally& tally() const { return tally_; }

 private:
  void copy(const PrepareInput& input) {
    const int64_t read_before = progress_.input_read;
    const int64_t bytes_before = tally_.bytes();
    InputStream stream(input.path);
    while (stream.next_member()) {
      if (!input.only_member.empty() && stream.member() != input.only_member) continue;
      while (const size_t got = stream.read(buffer_)) {
        const std::span<const uint8_t> piece(buffer_.data(), got);
        writer_.write(piece);
        tally_.add(piece);
        report(read_before + stream.consumed());
      }
    }
    report(read_before + stream.consumed());
    if (tally_.bytes() == bytes_before) throw DataError("input '{}' is empty", input.path);
  }

  void report(int64_t input_read) {
    progress_.bytes_written = tally_.bytes();
    progress_.input_read = input_read;
    if (options_.progress) options_.progress(progress_);
    if (options_.interrupted && options_.interrupted()) {
      throw Error(ExitCode::interrupted,
                  fmt::format("interrupted; nothing was left at '{}'", options_.output));
    }
  }

  const PrepareOptions& options_;
  FolderWriter& writer_;
  std::vector<uint8_t> buffer_;
  ByteTally tally_;
  PrepareProgress progress_;
};

}  // namespace

const std::vector<KnownDataset>& known_datasets() {
  static const std::vector<KnownDataset> datasets = {
      {"enwik8", "one file of bytes, plain or packed; split 90/5/5 million (a prefix: 90/5/5%)",
       true},
      {"bytes", "any files, plain or packed, put together; split 90/5/5% by bytes", true},
      {"wikitext2", "wiki.{train,valid,test}.tokens (word level)", false},
      {"wikitext103", "wiki.{train,valid,test}.tokens (word level)", false},
      {"cifar10", "data_batch_{1..5}.bin, test_batch.bin", false},
      {"imagenet", "train/CLASS/*.JPEG, val/CLASS/*.JPEG", false},
      {"pcqm4mv2", "data.csv.gz: idx,smiles,homolumogap", false},
  };
  return datasets;
}

DatasetInfo prepare_dataset(const PrepareOptions& options) {
  const std::vector<PrepareInput> inputs = settle_inputs(options);
  FolderWriter writer(options.output, kOurFiles);
  writer.start_file(kDataFile);
  Copier copier(options, writer);
  copier.copy(inputs);

  DatasetInfo info;
  info.name = options.name;
  for (const PrepareInput& input : inputs) {
    info.sources.push_back(fs::path(input.path).filename().string());
  }
  info.bytes = copier.tally().bytes();
  info.distinct_bytes = copier.tally().distinct();
  info.checksum = copier.tally().checksum();
  info.splits = split_bytes_90_5_5(info.bytes, fmt::format("'{}'", inputs.front().path));
  writer.start_file(kDatasetFile);
  writer.write(dataset_to_json(info));
  writer.commit();
  return info;
}

}  // namespace ssa
