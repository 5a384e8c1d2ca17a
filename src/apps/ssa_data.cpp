// ssa-data: prepares data sets, describes a prepared one, lists the known ones.

#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "ssa/data/encoded_images.h"
#include "ssa/data/image_dataset.h"
#include "ssa/data/molecules.h"
#include "ssa/data/prepare.h"
#include "ssa/data/prepare_molecules.h"
#include "ssa/data/token_dataset.h"
#include "ssa/report/numbers.h"
#include "ssa/train/log_file.h"
#include "ssa/train/progress.h"
#include "ssa/train/stop_signal.h"

#include "apps/app.h"
#include "apps/whole_number.h"

namespace ssa {
namespace {

constexpr const char* kExamples =
    "  ssa-data prepare enwik8 --input enwik8.zip --output data/enwik8\n"
    "  ssa-data prepare bytes --input book1.txt book2.txt.gz --output data/books\n"
    "  ssa-data prepare bytes --input essays --split 98/1/1 --output data/essays\n"
    "  ssa-data prepare wikitext2 --input wikitext-2.zip --output data/wikitext2\n"
    "  ssa-data prepare words --input train.txt valid.txt --max-words 20000 --output data/news\n"
    "  ssa-data prepare words --input other.jsonl --column text --vocabulary runs/news \\\n"
    "      --output data/other\n"
    "  ssa-data prepare ids --input train.bin val.bin --dtype u16 --vocabulary 50257 \\\n"
    "      --output data/ids\n"
    "  ssa-data prepare cifar10 --input cifar-10-binary.tar.gz --output data/cifar10\n"
    "  ssa-data prepare images --input pictures --output data/pictures --on-bad-image skip\n"
    "  ssa-data prepare imagenet --input ILSVRC2012_img_train.tar --input ILSVRC2012_img_val.tar\n"
    "      --val-labels LOC_val_solution.csv --output data/imagenet\n"
    "  ssa-data prepare pcqm4mv2 --input data.csv.gz --split split.npz --output data/pcqm4mv2\n"
    "  ssa-data prepare molecules --input qm9.csv --smiles smiles --target gap --output data/qm9\n"
    "  ssa-data info data/enwik8 --verify\n"
    "  ssa-data list";

struct Options {
  bool json = false;
  bool verify = false;
  std::string directory;
  std::string on_bad_image = "error";
  std::string on_bad_smiles = "error";
  std::string split;
  PrepareOptions prepare;
  MoleculeOptions molecules;
};

using report::grouped;

int64_t whole_mebibytes(int64_t bytes) { return bytes >> 20; }

/// Shows the progress of `prepare`, at most ten times per second.
class PrepareLine {
 public:
  void show(const PrepareProgress& now) {
    using namespace std::chrono;
    if (!progress_) start(now);
    const auto time = steady_clock::now();
    if (time - shown_ < milliseconds(100)) return;
    shown_ = time;
    const double written = static_cast<double>(now.bytes_written) / 0x1p20;
    const double seconds = duration<double>(time - started_).count();
    if (now.all_images > 0) {
      const double images_per_second = static_cast<double>(now.images - first_image_) / seconds;
      progress_->update(
          now.images,
          fmt::format("{:.1f} MiB written  {:.1f} images/s", written, images_per_second),
          /*log=*/false);
      return;
    }
    const double molecules = static_cast<double>(now.molecules);
    const std::string rate =
        now.molecules > 0
            ? fmt::format("{} molecules, {:.0f} molecules/s", grouped(now.molecules),
                          molecules / seconds)
            : fmt::format("{:.1f} MiB written, {:.1f} MiB/s", written, written / seconds);
    progress_->update(whole_mebibytes(now.input_read), rate, /*log=*/false);
  }

 private:
  void start(const PrepareProgress& first) {
    started_ = std::chrono::steady_clock::now();
    first_image_ = first.images;
    if (first.all_images > 0) {
      progress_.emplace("images", first.all_images, first.images);
    } else {
      progress_.emplace("MiB read", whole_mebibytes(first.input_bytes));
    }
  }

  std::optional<Progress> progress_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_ = started_;
  int64_t first_image_ = 0;  // done before this call
};

void print_info(const DatasetInfo& info) {
  std::string sources;
  for (const std::string& source : info.sources) {
    if (!sources.empty()) sources += ", ";
    sources += source;
  }
  std::cout << fmt::format("name            {}\nsources         {}\n", info.name, sources);
  if (info.kind != TokenKind::bytes) {
    std::cout << fmt::format("tokens          {}\nvocabulary      {}\n", grouped(info.tokens),
                             grouped(info.vocabulary));
  } else {
    std::cout << fmt::format("bytes           {}\ndistinct bytes  {}\n", grouped(info.tokens),
                             info.distinct_bytes);
  }
  for (const Split split : kSplits) {
    const TokenRange& range = info.splits[static_cast<size_t>(split)];
    if (range.size() == 0) {
      std::cout << fmt::format("{:<15} none\n", name(split));
      continue;
    }
    const int64_t unknown = info.unknown[static_cast<size_t>(split)];
    std::cout << fmt::format(
        "{:<15} {} {}, from {}{}\n", name(split), grouped(range.size()), info.unit(),
        grouped(range.begin),
        unknown ? fmt::format("; {} not in the vocabulary", grouped(unknown)) : "");
  }
  std::cout << fmt::format("split           {}\nchecksum        xxh3-64 {}\n",
                           info.split_description(), info.checksum);
}

void print_info(const ImageDatasetInfo& info) {
  std::cout << fmt::format("name            {}\nsources         {}\n", info.name,
                           fmt::join(info.sources, ", "));
  std::cout << fmt::format("images          {} of {} x {} pixels{}\n", grouped(info.images()),
                           info.width, info.height,
                           info.skipped ? fmt::format("; {} left out", grouped(info.skipped)) : "");
  std::cout << fmt::format("classes         {}\n", fmt::join(info.classes, ", "));
  for (const Split split : kSplits) {
    std::cout << fmt::format("{:<15} {} images\n", name(split), grouped(info.split_size(split)));
  }
  std::cout << fmt::format("split           {}\nchecksum        xxh3-64 {}\n",
                           info.split_description(), info.checksum);
}

/// The classes; of many, the first and the last.
std::string classes_line(const std::vector<std::string>& classes) {
  constexpr size_t kMostNamed = 20;
  if (classes.size() <= kMostNamed) return fmt::format("{}", fmt::join(classes, ", "));
  return fmt::format("{}: {} … {}", grouped(std::ssize(classes)), classes.front(), classes.back());
}

void print_info(const EncodedImagesInfo& info) {
  std::cout << fmt::format("name            {}\nsources         {}\n", info.name,
                           fmt::join(info.sources, ", "));
  std::cout << fmt::format("images          {}, {} bytes; {} damaged left out; {} other files\n",
                           grouped(info.images()), grouped(info.bytes), grouped(info.skipped),
                           grouped(info.ignored));
  if (info.resize) {
    std::cout << fmt::format(
        "resized         shorter side at most {} pixels, JPEG quality {}: results do not compare "
        "with those on the files as published\n",
        info.resize, info.quality);
  }
  std::cout << fmt::format("classes         {}\n", classes_line(info.classes));
  for (const Split split : kSplits) {
    std::cout << fmt::format("{:<15} {} images\n", name(split), grouped(info.split_size(split)));
  }
  std::cout << fmt::format("split           {}\nchecksum        xxh3-64 {}\n",
                           info.split_description(), info.checksum);
}

void print_info(const MoleculesInfo& info) {
  std::cout << fmt::format("name            {}\nsources         {}\n", info.name,
                           fmt::join(info.sources, ", "));
  std::cout << fmt::format("molecules       {} of {} rows, up to {} atoms\n",
                           grouped(info.molecules()), grouped(info.rows), info.largest);
  std::cout << fmt::format("columns         {}, {} (mean in training {:.4f})\n", info.smiles_name,
                           info.target_name, info.train_mean);
  std::cout << fmt::format("rdkit           {}; bad SMILES: {}, {} rescued\n", info.rdkit_version,
                           info.on_bad_smiles, grouped(info.rescued));
  for (const Split split : kSplits) {
    const auto i = static_cast<size_t>(split);
    std::cout << fmt::format("{:<15} {} molecules; {} skipped, {} without a target {}\n",
                             name(split), grouped(info.split_size(split)), grouped(info.skipped[i]),
                             grouped(info.missing_targets[i]),
                             split == Split::test ? "among them" : "left out");
  }
  for (const NamedRange& part : info.test_parts) {
    std::cout << fmt::format("  {:<13} {} molecules\n", part.name, grouped(part.range.size()));
  }
  std::cout << fmt::format("split           {}: {}\nchecksum        xxh3-64 {}\n",
                           info.split_description(), info.split_rule, info.checksum);
}

template <class Info>
int show_prepared(const Options& options, const Info& info) {
  spdlog::info("prepared {} ({})", options.prepare.output, info.split_description());
  if (options.json) {
    std::cout << dataset_to_json(info);
  } else if (console_shows_info()) {
    print_info(info);
  }
  return 0;
}

/// --split says what the data set's kind makes of it.
void set_split(Options& options) {
  const std::string& name = options.prepare.name;
  if (is_molecule_dataset(name)) {
    options.molecules.split = options.split;
  } else if (options.split.empty()) {
    return;
  } else if (is_encoded_image_dataset(name) || is_image_dataset(name)) {
    options.prepare.encoded.split =
        split_from_name(options.split == "val" ? "valid" : options.split);
  } else {
    options.prepare.texts.split = SplitShares::from_text(options.split);
  }
}

int run_prepare(Options& options) {
  std::optional<PrepareLine> line(std::in_place);
  options.prepare.progress = [&line](const PrepareProgress& now) { line->show(now); };
  options.prepare.interrupted = [] { return StopSignal::requested(); };
  options.prepare.note = [](const std::string& text) { spdlog::info("{}", text); };
  StopSignal::requested();  // from here on a stop has something to clean up
  options.prepare.skip_bad_images = options.on_bad_image == "skip";
  set_split(options);
  if (is_encoded_image_dataset(options.prepare.name)) {
    const EncodedImagesInfo info = prepare_encoded_images(options.prepare);
    line.reset();
    return show_prepared(options, info);
  }
  if (is_image_dataset(options.prepare.name)) {
    const ImageDatasetInfo info = prepare_images(options.prepare);
    line.reset();
    return show_prepared(options, info);
  }
  if (is_molecule_dataset(options.prepare.name)) {
    options.molecules.on_bad_smiles = on_bad_smiles_from_name(options.on_bad_smiles);
    const MoleculesInfo info = prepare_molecules(options.prepare, options.molecules);
    line.reset();
    return show_prepared(options, info);
  }
  const DatasetInfo info = prepare_dataset(options.prepare);
  line.reset();
  return show_prepared(options, info);
}

/// Shows a folder of pictures or molecules.
template <class Dataset>
int show_info(const Options& options) {
  const Dataset dataset = Dataset::open(options.directory);
  if (options.verify) dataset.verify();
  if (options.json) {
    std::cout << dataset_to_json(dataset.info());
    return 0;
  }
  print_info(dataset.info());
  if (options.verify) std::cout << "verified        yes: the data have this checksum\n";
  return 0;
}

int run_info(const Options& options) {
  if (holds_images(options.directory)) return show_info<ImageDataset>(options);
  if (holds_encoded_images(options.directory)) return show_info<EncodedImages>(options);
  if (holds_molecules(options.directory)) return show_info<Molecules>(options);
  const TokenDataset dataset = TokenDataset::open(options.directory);
  DatasetInfo info = dataset.info();
  if (options.verify) verify(dataset);
  if (info.checksum.empty()) {  // a plain file has no metadata: read it
    const ByteScan found = scan(dataset);
    info.checksum = found.checksum;
    info.distinct_bytes = found.distinct_bytes;
  }
  if (options.json) {
    std::cout << dataset_to_json(info);
    return 0;
  }
  print_info(info);
  if (options.verify) {
    std::cout << fmt::format("verified        {}\n", dataset.info().checksum.empty()
                                                         ? "no: a plain file states no checksum"
                                                         : "yes: the data have this checksum");
  }
  return 0;
}

int run_list() {
  for (const KnownDataset& known : known_datasets()) {
    std::cout << fmt::format("{:<12} {:<14} {}\n", known.name,
                             known.supported ? "supported" : "not supported", known.layout);
  }
  return 0;
}

/// The options of texts.
void define_texts(CLI::App& command, Options& options) {
  TextOptions& texts = options.prepare.texts;
  const std::string group = "Texts (`bytes`, `words`, `ids`)";
  command
      .add_option("--column", texts.column,
                  "Inputs are tables (.csv, .tsv, .jsonl): the column, or key, of the texts")
      ->group(group);
  command
      .add_option("--vocabulary", texts.vocabulary,
                  "`words`: a list of words, a line each, or fairseq's dict.txt, or a run whose "
                  "words are taken. `ids`: how many there are")
      ->group(group);
  command
      .add_option("--min-count", texts.min_count,
                  "`words`: those that occur less often in train become <unk>")
      ->check(whole_number_from(1))
      ->group(group);
  command
      .add_option("--max-words", texts.max_words,
                  "`words`: keep this many at most, the most frequent ones, </s> and <unk> among "
                  "them")
      ->check(whole_number_from(3))
      ->group(group);
  command
      .add_option("--dtype", texts.dtype,
                  "`ids`: their width in files without llm.c's header: u16 (nanoGPT) or u32")
      ->check(CLI::IsMember({"u16", "u32"}))
      ->group(group);
  command
      .add_option("--names", texts.names,
                  "`ids`: the text of each, one a line, with \\n, \\t, \\r, \\\\ and \\xHH as "
                  "escapes")
      ->group(group);
  command
      .add_option("--start-token", texts.start_token,
                  "`ids`: what a model reads before the first one of a split (default: 0; with "
                  "llm.c's header <|endoftext|> or <|begin_of_text|>)")
      ->check(whole_number_from(0))
      ->group(group);
}

/// The options of `imagenet` alone.
void define_encoded(CLI::App& command, Options& options) {
  EncodedImageOptions& encoded = options.prepare.encoded;
  const std::string group = "For `imagenet`";
  command
      .add_option("--val-labels", encoded.val_labels,
                  "Classes of a val without class folders: lines FILE CLASS, as in "
                  "LOC_val_solution.csv")
      ->group(group);
  command
      .add_option("--classes", encoded.classes,
                  "All classes in order, one per line; default: the classes of train, sorted")
      ->group(group);
  command
      .add_option("--resize", encoded.resize,
                  "Make shorter sides that are longer this many pixels long")
      ->group(group);
  command
      .add_option("--quality", encoded.quality,
                  fmt::format("JPEG quality of what is resized, 1 to 100; default {}",
                              EncodedImageOptions::kDefaultQuality))
      ->group(group);
  command
      .add_option("--workers", encoded.workers, "Threads that decode; default: one per processor")
      ->group(group);
}

constexpr const char* kMoleculeGroup = "Molecules (`pcqm4mv2`, `molecules`)";

/// An option of molecules would be of no effect on another data set.
void require_fitting_options(const CLI::App& command, const std::string& name) {
  if (is_molecule_dataset(name)) return;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group() != kMoleculeGroup || option->count() == 0) continue;
    throw ConfigError("{} is for `pcqm4mv2` and `molecules`, not for `{}`", option->get_name(),
                      name);
  }
}

void define_molecules(CLI::App& command, Options& options) {
  MoleculeOptions& molecules = options.molecules;
  const std::string group = kMoleculeGroup;
  command.add_option("--smiles", molecules.smiles, "For `molecules`: the column of the SMILES")
      ->group(group);
  command.add_option("--target", molecules.target, "For `molecules`: the column of the targets")
      ->group(group);
  command
      .add_option("--valid-from", molecules.valid_from,
                  "Rows with a target from this number on are the validation split")
      ->check(whole_number_from(0))
      ->group(group);
  command
      .add_option("--valid-fraction", molecules.valid_fraction,
                  "A random split: this part is for validation (default 0.1)")
      ->group(group);
  command
      .add_option("--test-fraction", molecules.test_fraction,
                  "A random split: this part is for testing (default 0)")
      ->group(group);
  command.add_option("--seed", molecules.seed, "Of the random split")
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--on-bad-smiles", options.on_bad_smiles,
                  "A row whose SMILES RDKit refuses ends the program (error), or is left out and "
                  "listed (skip). `rescue` reads one that is refused for a valence alone without "
                  "that check, and leaves out the others")
      ->check(CLI::IsMember({"error", "skip", "rescue"}))
      ->capture_default_str()
      ->group(group);
}

CLI::App* define_prepare(CLI::App& app, Options& options) {
  auto* command =
      app.add_subcommand("prepare", "Make a prepared folder from plain or packed files");
  command
      ->add_option("NAME", options.prepare.name,
                   "enwik8, bytes, words, ids, cifar10, images, imagenet … (all: `ssa-data list`)")
      ->required();
  command
      ->add_option(
          "--input", options.prepare.inputs,
          "File (plain, zip, gz, xz, zst, bz2, tar, tar.*) or a folder that holds it; several for "
          "`bytes`, words, `ids`, `cifar10` and `imagenet` (folders and tars). "
          "`images`: one folder")
      ->required();
  command->add_option("--output", options.prepare.output, "Folder to make")->required();
  command
      ->add_option("--on-bad-image", options.on_bad_image,
                   "For `images` and `imagenet`. A file that is no sound picture ends the program "
                   "(error), or is "
                   "left out and counted (skip)")
      ->check(CLI::IsMember({"error", "skip"}))
      ->capture_default_str();
  command->add_option(
      "--split", options.split,
      "Texts: percent of train, valid and test, by default 90/5/5, or none (all is "
      "train). `imagenet`: the split of inputs that do not say it by their folders: train, "
      "val or test. Molecules: a file of the splits, an .npz of row numbers, or a "
      "text of lines like \"train: 0-899, 950\"");
  define_texts(*command, options);
  define_molecules(*command, options);
  command->add_flag("--replace", options.prepare.replace,
                    "Replace a prepared data set of another name, sources or content in --output");
  command->add_flag("--json", options.json, "Print what was made as JSON");
  define_encoded(*command, options);
  return command;
}

CLI::App* define_info(CLI::App& app, Options& options) {
  auto* command = app.add_subcommand("info", "Show a prepared folder or a plain file");
  command->add_option("DIR", options.directory, "Prepared folder or plain file")->required();
  command->add_flag("--json", options.json, "Print as JSON");
  command->add_flag("--verify", options.verify, "Read all of it and compare the checksum");
  return command;
}

std::function<int()> define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.require_subcommand(1);
  const auto* prepare = define_prepare(app, *options);
  const auto* info = define_info(app, *options);
  app.add_subcommand("list", "List the known data sets");
  return [options, prepare, info] {
    if (prepare->parsed()) {
      require_fitting_options(*prepare, options->prepare.name);
      return run_prepare(*options);
    }
    if (info->parsed()) return run_info(*options);
    return run_list();
  };
}

}  // namespace
}  // namespace ssa

int main(int argc, char** argv) {
  const ssa::AppInfo info{"ssa-data", "Prepare data sets for training and show what they hold",
                          ssa::kExamples};
  return ssa::run_app(argc, argv, info, ssa::define);
}
