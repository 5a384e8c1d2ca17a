#include "ssa/data/prepare.h"

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/core/shell_word.h"
#include "ssa/data/image_dataset.h"
#include "ssa/data/molecules.h"
#include "ssa/data/prepare_molecules.h"
#include "ssa/data/token_dataset.h"

#include "encoded_image_files.h"
#include "encoded_image_writer.h"
#include "folder_writer.h"
#include "make_molecules.h"
#include "prepare_encoded_images.h"
#include "prepare_ids.h"
#include "prepare_images.h"
#include "prepare_inputs.h"
#include "prepare_report.h"
#include "prepare_words.h"
#include "smiles.h"
#include "text_copier.h"
#include "text_inputs.h"
#include "word_texts.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kCifar10 = "cifar10";
constexpr std::string_view kIds = "ids";
constexpr std::array<std::string_view, 14> kOurFiles = {
    kDatasetFile, kDataFile,  kTokenFile,    kVocabularyFile, kIdFile,
    kPixelFile,   kLabelFile, kShardPattern, kIndexFile,      kNameFile,
    kClassFile,   kGraphFile, kMoleculeFile, kSkippedFile};
/// What stays of a folder of encoded images when its making is stopped.
constexpr std::array<std::string_view, 2> kContinuedFiles = {kShardPattern, kJournalFile};

/// What dataset.json will give as sources.
std::vector<std::string> source_names(const TextInputs& inputs) {
  std::vector<std::string> names;
  for (const TextSource& text : inputs.all()) {
    // Members of an archive are named where they are splits.
    const bool archive = text.member.empty() || !inputs.by_name();
    names.push_back(fs::path(archive ? text.path : text.member).filename().string());
  }
  return names;
}

/// The command line's options, for dataset.json.
std::string options_text(const TextOptions& texts) {
  std::string text;
  const auto add = [&](std::string_view option, const std::string& value) {
    if (value.empty()) return;
    text += fmt::format("{}{} {}", text.empty() ? "" : " ", option, shell_word(value));
  };
  const auto number = [](int64_t value) { return value > 0 ? std::to_string(value) : ""; };
  add("--split", texts.split ? texts.split->text() : "");
  add("--column", texts.column);
  add("--vocabulary", texts.vocabulary);
  add("--min-count", number(texts.min_count));
  add("--max-words", number(texts.max_words));
  add("--dtype", texts.dtype);
  add("--names", texts.names);
  add("--start-token", texts.start_token ? std::to_string(*texts.start_token) : "");
  return text;
}

/// What tells a prepared data set from others.
struct DataSet {
  std::string name;
  std::vector<std::string> sources;
  std::string checksum;
  std::array<TokenRange, 3> splits;
  std::vector<std::string> classes;  ///< of pictures
  std::string vocabulary_checksum;   ///< of words and ids
};

template <class Info>
DataSet data_set_of(const Info& info) {
  DataSet set{info.name, info.sources, info.checksum, info.splits, {}, {}};
  if constexpr (requires { info.classes; }) set.classes = info.classes;
  if constexpr (requires { info.vocabulary_checksum; }) {
    set.vocabulary_checksum = info.vocabulary_checksum;
  }
  return set;
}

/// The data set that a folder holds. Nothing if there is none, or a damaged one.
std::optional<DataSet> data_in(const std::string& folder) {
  std::error_code ignored;
  if (!fs::exists(fs::path(folder) / kDatasetFile, ignored)) return std::nullopt;
  try {
    if (holds_encoded_images(folder)) return data_set_of(EncodedImages::open(folder).info());
    if (holds_images(folder)) return data_set_of(ImageDataset::open(folder).info());
    if (holds_molecules(folder)) return data_set_of(Molecules::open(folder).info());
    return data_set_of(TokenDataset::open(folder).info());
  } catch (const DataError&) {
    return std::nullopt;
  }
}

constexpr const char* kHowToReplace =
    "Add --replace to put this one in its place, or give another --output";

/// Throws if the output holds another data set: a run may still need it. What is damaged is of use
/// to nobody.
void refuse_other_data(const PrepareOptions& options, const std::vector<std::string>& sources) {
  if (options.replace) return;
  const std::optional<DataSet> there = data_in(options.output);
  if (!there || (there->name == options.name && there->sources == sources)) return;
  throw ConfigError(
      "output '{}' holds another data set: '{}', made of {}, and not '{}', made of {}. {}",
      options.output, there->name, fmt::join(there->sources, ", "), options.name,
      fmt::join(sources, ", "), kHowToReplace);
}

/// What is different in the content of two data sets of the same name and sources; empty: nothing.
std::string content_difference(const DataSet& there, const DataSet& made) {
  const auto sizes = [](const DataSet& set) {
    return fmt::format("{}/{}/{}", set.splits[0].size(), set.splits[1].size(),
                       set.splits[2].size());
  };
  if (there.splits != made.splits) {
    return fmt::format("its splits have {}, not {}", sizes(there), sizes(made));
  }
  if (there.classes != made.classes) return "it has other classes";
  if (there.vocabulary_checksum != made.vocabulary_checksum) return "it has another vocabulary";
  if (there.checksum == made.checksum) return {};
  return fmt::format("its checksum is {}, not {}", there.checksum, made.checksum);
}

/// The same once the new data is made: inputs of the same names may hold something else, and other
/// options may make something else of them.
void refuse_other_content(const PrepareOptions& options, const DataSet& made) {
  if (options.replace) return;
  const std::optional<DataSet> there = data_in(options.output);
  const std::string difference = there ? content_difference(*there, made) : "";
  if (difference.empty()) return;
  const bool goes_on = is_encoded_image_dataset(options.name);
  throw ConfigError(
      "output '{0}' holds another data set, though of the same name and made of files of the same "
      "names: {1}. {2}{3}",
      options.output, difference, kHowToReplace,
      goes_on ? fmt::format(". What was made waits in '{}.partial': --replace goes on from there, "
                            "or remove it",
                            options.output)
              : "");
}

/// Writes dataset.json and puts the folder in its place.
template <class Info>
void finish(const PrepareOptions& options, const Info& info, FolderWriter& writer) {
  refuse_other_content(options, data_set_of(info));
  writer.start_file(kDatasetFile);
  writer.write(dataset_to_json(info));
  writer.remove_file(kJournalFile);  // of images: there is nothing left to continue
  writer.commit();
}

/// Makes data.bin.
DatasetInfo prepare_bytes(const PrepareOptions& options, const TextInputs& inputs,
                          FolderWriter& writer) {
  DatasetInfo info;
  const std::vector<TextSource> sources = inputs.all();
  writer.start_file(kDataFile);
  TextCopier copier(options, sources, writer);
  for (const TextSource& source : inputs.together) copier.copy(source);
  for (const Split split : kSplits) {
    const int64_t begin = copier.tally().bytes();
    for (const TextSource& source : inputs.of(split)) copier.copy(source);
    info.splits[static_cast<size_t>(split)] = {begin, copier.tally().bytes()};
  }
  info.tokens = copier.tally().bytes();
  info.distinct_bytes = copier.tally().distinct();
  info.checksum = copier.tally().checksum();
  if (inputs.by_name()) return info;
  const std::string what = fmt::format("'{}'", sources.front().label());
  info.splits = options.texts.split ? options.texts.split->ranges(info.tokens, what, info.unit())
                                    : split_bytes_90_5_5(info.tokens, what);
  return info;
}

DatasetInfo prepare_text(const PrepareOptions& options, const TextInputs& inputs,
                         FolderWriter& writer) {
  if (options.name == kIds) return prepare_ids(options, inputs, writer);
  if (!is_word_dataset(options.name)) return prepare_bytes(options, inputs, writer);
  const WordTexts texts(options, inputs, writer);
  return prepare_words(options, texts.sources(), writer);
}

}  // namespace

const std::vector<KnownDataset>& known_datasets() {
  static const std::vector<KnownDataset> datasets = {
      {"enwik8", "one file of bytes, plain or packed; split 90/5/5 million (a prefix: 90/5/5%)",
       true},
      {"bytes",
       "any files, plain or packed: {train,valid,test}.txt, or put together, split 90/5/5%", true},
      {"wikitext2", "wiki.{train,valid,test}.tokens in a folder or archive, complete", true},
      {"wikitext103", "wiki.{train,valid,test}.tokens in a folder or archive, complete", true},
      {"words", "the same as words between whitespace; with --column also CSV, TSV and JSON lines",
       true},
      {"ids", "files of numbers that another tokenizer gave: nanoGPT's and llm.c's .bin", true},
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
  finish(options, info, writer);
  return info;
}

bool is_encoded_image_dataset(std::string_view name) { return name == "imagenet"; }

EncodedImagesInfo prepare_encoded_images(const PrepareOptions& options) {
  check_options(options);
  refuse_other_data(options, encoded_image_sources(options));
  FolderWriter writer(options.output, kOurFiles, kContinuedFiles);
  EncodedImagesInfo info = write_encoded_images(options, writer);
  info.name = options.name;
  finish(options, info, writer);
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
  finish(options, info, writer);
  return info;
}

DatasetInfo prepare_dataset(const PrepareOptions& options) {
  check_options(options);
  if (is_image_dataset(options.name) || is_encoded_image_dataset(options.name) ||
      is_molecule_dataset(options.name)) {
    throw ConfigError("prepare: {} is no data set of texts", options.name);
  }
  const TextInputs inputs = settle_text_inputs(options);
  const std::vector<std::string> sources = source_names(inputs);
  refuse_other_data(options, sources);
  FolderWriter writer(options.output, kOurFiles);
  DatasetInfo info = prepare_text(options, inputs, writer);
  info.options = options_text(options.texts);
  info.name = options.name;
  info.sources = sources;
  finish(options, info, writer);
  return info;
}

}  // namespace ssa
