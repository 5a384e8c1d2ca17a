#include "ssa/data/prepare.h"

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/image_dataset.h"
#include "ssa/data/molecules.h"
#include "ssa/data/prepare_molecules.h"
#include "ssa/data/token_dataset.h"

#include "byte_tally.h"
#include "encoded_image_files.h"
#include "encoded_image_writer.h"
#include "folder_writer.h"
#include "input_stream.h"
#include "make_molecules.h"
#include "prepare_encoded_images.h"
#include "prepare_images.h"
#include "prepare_inputs.h"
#include "prepare_report.h"
#include "prepare_words.h"
#include "smiles.h"
#include "word_inputs.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kCifar10 = "cifar10";
constexpr size_t kPieceBytes = size_t{1} << 16;
constexpr std::array<std::string_view, 13> kOurFiles = {
    kDatasetFile, kDataFile, kTokenFile, kVocabularyFile, kPixelFile,    kLabelFile,  kShardPattern,
    kIndexFile,   kNameFile, kClassFile, kGraphFile,      kMoleculeFile, kSkippedFile};
/// What stays of a folder of encoded images when its making is stopped.
constexpr std::array<std::string_view, 2> kContinuedFiles = {kShardPattern, kJournalFile};

/// Copies inputs into data.bin, and counts their bytes.
class Copier {
 public:
  Copier(const PrepareOptions& options, FolderWriter& writer, int64_t input_bytes)
      : report_(options, input_bytes), writer_(writer), buffer_(kPieceBytes) {}

  void copy(const PrepareInput& input) {
    const int64_t bytes_before = tally_.bytes();
    InputStream stream(input.path);
    while (stream.next_member()) {
      if (!input.only_member.empty() && stream.member() != input.only_member) continue;
      while (const size_t got = stream.read(buffer_)) {
        const std::span<const uint8_t> piece(buffer_.data(), got);
        writer_.write(piece);
        tally_.add(piece);
        report_.at(read_before_ + stream.consumed(), tally_.bytes());
      }
    }
    read_before_ += stream.consumed();
    report_.at(read_before_, tally_.bytes());
    if (tally_.bytes() == bytes_before) throw DataError("input '{}' is empty", input.path);
  }
  const ByteTally& tally() const { return tally_; }

 private:
  PrepareReport report_;
  FolderWriter& writer_;
  std::vector<uint8_t> buffer_;
  ByteTally tally_;
  int64_t read_before_ = 0;  // bytes of the inputs before this one
};

/// What dataset.json will give as sources.
std::vector<std::string> source_names(const std::vector<PrepareInput>& inputs) {
  std::vector<std::string> names;
  for (const PrepareInput& input : inputs) {
    names.push_back(fs::path(input.path).filename().string());
  }
  return names;
}
std::vector<std::string> source_names(const std::array<SplitSource, 3>& texts) {
  std::vector<std::string> names;
  for (const SplitSource& text : texts) {
    names.push_back(fs::path(text.member.empty() ? text.path : text.member).filename().string());
  }
  return names;
}

/// What tells a data set from others.
struct DataName {
  std::string name;
  std::vector<std::string> sources;
  bool operator==(const DataName&) const = default;
};

/// Of the data set that a folder holds. Nothing if there is none, or a damaged
/// one.
std::optional<DataName> data_in(const std::string& folder) {
  std::error_code ignored;
  if (!fs::exists(fs::path(folder) / kDatasetFile, ignored)) return std::nullopt;
  try {
    if (holds_encoded_images(folder)) {
      const EncodedImages images = EncodedImages::open(folder);
      return DataName{images.info().name, images.info().sources};
    }
    if (holds_images(folder)) {
      const ImageDataset images = ImageDataset::open(folder);
      return DataName{images.info().name, images.info().sources};
    }
    if (holds_molecules(folder)) {
      const Molecules molecules = Molecules::open(folder);
      return DataName{molecules.info().name, molecules.info().sources};
    }
    const TokenDataset tokens = TokenDataset::open(folder);
    return DataName{tokens.info().name, tokens.info().sources};
  } catch (const DataError&) {
    return std::nullopt;
  }
}

/// Throws if the output holds another data set: a run may still need it. What is damaged is of use
/// to nobody.
void refuse_other_data(const PrepareOptions& options, const std::vector<std::string>& sources) {
  if (options.replace) return;
  const std::optional<DataName> there = data_in(options.output);
  if (!there || *there == DataName{options.name, sources}) return;
  throw ConfigError(
      "output '{}' holds another data set: '{}', made of {}, and not '{}', made of {}. Add "
      "--replace to put this one in its place, or give another --output",
      options.output, there->name, fmt::join(there->sources, ", "), options.name,
      fmt::join(sources, ", "));
}

/// Makes data.bin.
DatasetInfo prepare_bytes(const PrepareOptions& options, const std::vector<PrepareInput>& inputs,
                          FolderWriter& writer) {
  DatasetInfo info;
  int64_t input_bytes = 0;
  for (const PrepareInput& input : inputs) {
    input_bytes += file_size(input.path);
  }
  writer.start_file(kDataFile);
  Copier copier(options, writer, input_bytes);
  for (const PrepareInput& input : inputs) copier.copy(input);
  info.tokens = copier.tally().bytes();
  info.distinct_bytes = copier.tally().distinct();
  info.checksum = copier.tally().checksum();
  info.splits = split_bytes_90_5_5(info.tokens, fmt::format("'{}'", inputs.front().path));
  return info;
}

}  // namespace

const std::vector<KnownDataset>& known_datasets() {
  static const std::vector<KnownDataset> datasets = {
      {"enwik8", "one file of bytes, plain or packed; split 90/5/5 million (a prefix: 90/5/5%)",
       true},
      {"bytes", "any files, plain or packed, put together; split 90/5/5% by bytes", true},
      {"wikitext2", "wiki.{train,valid,test}.tokens in a folder or archive, complete", true},
      {"wikitext103", "wiki.{train,valid,test}.tokens in a folder or archive, complete", true},
      {"words", "any {train,valid,test}.{tokens,txt}: words between whitespace", true},
      {"cifar10", "data_batch_{1..5} and test_batch, .bin or pickled: a folder, archive or files",
       true},
      {"images", "train/CLASS/FILE (valid/, test/): JPEG or PNG pictures of one size", true},
      {"imagenet", "{train,val}/CLASS/*.JPEG: a folder or tar, ILSVRC2012's tars or WebDataset's",
       true},
      {"pcqm4mv2", "data.csv.gz: idx,smiles,homolumogap; a row without a gap is test", true},
      {"molecules", "a CSV file with a column of SMILES and one of targets", true},
  };
  return datasets;
}

bool is_image_dataset(std::string_view name) { return name == kCifar10 || name == "images"; }

ImageDatasetInfo prepare_images(const PrepareOptions& options) {
  check_options(options);
  const bool cifar10 = options.name == kCifar10;
  if (!cifar10) refuse_other_data(options, image_tree_sources(options));
  FolderWriter writer(options.output, kOurFiles);
  ImageDatasetInfo info =
      cifar10 ? prepare_cifar10(options, writer) : prepare_image_tree(options, writer);
  if (cifar10) refuse_other_data(options, info.sources);  // not known before an archive is read
  info.name = options.name;
  if (info.split_size(Split::train) == 0) {
    throw DataError("no picture for the train split in {}", options.inputs.front());
  }
  writer.start_file(kDatasetFile);
  writer.write(dataset_to_json(info));
  writer.commit();
  return info;
}

bool is_encoded_image_dataset(std::string_view name) { return name == "imagenet"; }

EncodedImagesInfo prepare_encoded_images(const PrepareOptions& options) {
  check_options(options);
  refuse_other_data(options, encoded_image_sources(options));
  FolderWriter writer(options.output, kOurFiles, kContinuedFiles);
  EncodedImagesInfo info = write_encoded_images(options, writer);
  info.name = options.name;
  writer.start_file(kDatasetFile);
  writer.write(dataset_to_json(info));
  writer.remove_file(kJournalFile);
  writer.commit();
  return info;
}

MoleculesInfo prepare_molecules(const PrepareOptions& options, const MoleculeOptions& molecules) {
  check_options(options);
  check_molecule_options(options, molecules);
  check_smiles_support();
  const std::vector<std::string> sources = {fs::path(options.inputs.front()).filename().string()};
  refuse_other_data(options, sources);
  FolderWriter writer(options.output, kOurFiles);
  MoleculesInfo info = make_molecules(options, molecules, writer);
  info.name = options.name;
  info.sources = sources;
  writer.start_file(kDatasetFile);
  writer.write(dataset_to_json(info));
  writer.commit();
  return info;
}

DatasetInfo prepare_dataset(const PrepareOptions& options) {
  check_options(options);
  if (is_image_dataset(options.name) || is_encoded_image_dataset(options.name) ||
      is_molecule_dataset(options.name)) {
    throw ConfigError("prepare: {} is no data set of texts", options.name);
  }
  const bool words = is_word_dataset(options.name);
  const auto texts = words ? settle_word_inputs(options) : std::array<SplitSource, 3>();
  const auto inputs = words ? std::vector<PrepareInput>() : settle_inputs(options);
  const auto sources = words ? source_names(texts) : source_names(inputs);
  refuse_other_data(options, sources);
  FolderWriter writer(options.output, kOurFiles);
  DatasetInfo info =
      words ? prepare_words(options, texts, writer) : prepare_bytes(options, inputs, writer);
  info.name = options.name;
  info.sources = sources;
  writer.start_file(kDatasetFile);
  writer.write(dataset_to_json(info));
  writer.commit();
  return info;
}

}  // namespace ssa
