#include "make_molecules.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <future>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ssa/core/error.h"
#include "ssa/core/shell_word.h"
#include "ssa/core/system_limits.h"
#include "ssa/data/worker_pool.h"

#include "molecule_encoding.h"
#include "molecule_splits.h"
#include "molecule_table.h"
#include "molecule_writer.h"
#include "prepare_inputs.h"
#include "prepare_report.h"
#include "smiles.h"

namespace ssa {

namespace {

constexpr std::string_view kPcqm4mv2 = "pcqm4mv2";
constexpr int64_t kPcqm4mv2FirstValid = 3'378'606;
constexpr double kDefaultFraction = 0.1;
constexpr int64_t kMostWorkers = 64;
constexpr int64_t kRowsPerTask = 32;
constexpr int64_t kTasksPerWorker = 16;  // before their results are written
constexpr size_t kMostNamed = 10;        // rows named in the log, of each kind
constexpr size_t kMostSmilesInMessages = 200;

struct Columns {
  std::string idx, smiles, target;
};

Columns columns_of(const PrepareOptions& options, const MoleculeOptions& molecules) {
  if (options.name == kPcqm4mv2) return {"idx", "smiles", "homolumogap"};
  return {"", molecules.smiles, molecules.target};
}

MoleculeSplits splits_of(const PrepareOptions& options, const MoleculeOptions& molecules) {
  if (!molecules.split.empty()) return MoleculeSplits::from_file(molecules.split);
  if (molecules.valid_from) return MoleculeSplits::from_number(*molecules.valid_from);
  const bool random = molecules.valid_fraction || molecules.test_fraction;
  if (options.name == kPcqm4mv2 && !random) return MoleculeSplits::from_number(kPcqm4mv2FirstValid);
  return MoleculeSplits::random(molecules.valid_fraction.value_or(kDefaultFraction),
                                molecules.test_fraction.value_or(0), molecules.seed);
}

/// The command line's options, for dataset.json.
std::string options_text(const MoleculeOptions& molecules) {
  std::string text = fmt::format("--on-bad-smiles {}", name(molecules.on_bad_smiles));
  const auto add = [&text](std::string_view option, const std::string& value) {
    text += fmt::format(" {} {}", option, shell_word(value));
  };
  if (!molecules.smiles.empty()) add("--smiles", molecules.smiles);
  if (!molecules.target.empty()) add("--target", molecules.target);
  if (!molecules.split.empty()) add("--split", molecules.split);
  if (molecules.valid_from) add("--valid-from", std::to_string(*molecules.valid_from));
  if (molecules.valid_fraction) {
    add("--valid-fraction", fmt::format("{}", *molecules.valid_fraction));
  }
  if (molecules.test_fraction) add("--test-fraction", fmt::format("{}", *molecules.test_fraction));
  if (molecules.seed != MoleculeOptions().seed) add("--seed", std::to_string(molecules.seed));
  return text;
}

/// Why a row is listed in skipped.csv.
enum class Note { skipped, no_target, rescued };
constexpr std::array<std::string_view, 3> kNoteNames = {"skipped", "no target", "rescued"};

/// A row with its place, and what becomes of it.
struct Item {
  MoleculeRow row;
  MoleculeSplits::Place place;
  bool no_target = false;  // which its split needs: it is not read
  SmilesResult smiles;
  bool rescued = false;
  std::string refusal;  // of a rescued row
  MoleculeEntry entry;
  std::vector<uint8_t> record;
};

/// Items that are read, then worked on together.
struct Block {
  std::vector<Item> items;
  int64_t consumed = 0;  // bytes of the input up to their end
};

/// Turns an item's SMILES into its record. Called on many threads.
void featurise(Item& item, OnBadSmiles on_bad_smiles) {
  if (item.no_target) return;
  item.smiles = read_smiles(item.row.smiles);
  if (item.smiles.bad_valence && on_bad_smiles == OnBadSmiles::rescue) {
    item.refusal = std::move(item.smiles.problem);
    item.smiles = read_smiles_of_any_valence(item.row.smiles);
    item.rescued = item.smiles.readable;
  }
  if (!item.smiles.readable) return;
  Molecule& molecule = item.smiles.molecule;
  molecule.idx = item.row.idx;
  molecule.target = item.row.target;
  encode(molecule);
  item.entry = write_record(molecule, item.record);
}

std::string shortened(const std::string& smiles) {
  return smiles.size() <= kMostSmilesInMessages ? smiles
                                                : smiles.substr(0, kMostSmilesInMessages) + "…";
}

std::string csv_field(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? "\"\"" : std::string(1, c);
  return result + "\"";
}

/// Rows that are left out or read against RDKit's advice: skipped.csv, and the first few in the
/// log.
class RowList {
 public:
  explicit RowList(const PrepareOptions& options) : options_(options) {}

  void add(Note note, const std::string& where, const Item& item, std::string_view part,
           const std::string& reason) {
    const auto kind = static_cast<size_t>(note);
    lines_ += fmt::format("{},{},{},{},{}\n", item.row.idx, part, kNoteNames[kind],
                          csv_field(reason), csv_field(item.row.smiles));
    if (++counts_[kind] > kMostNamed || !options_.note) return;
    options_.note(fmt::format("{}: {}, '{}' ({})", kNoteNames[kind], where,
                              shortened(item.row.smiles), reason));
  }
  void write(FolderWriter& writer) const {
    writer.start_file(kSkippedFile);
    writer.write("idx,split,what,reason,smiles\n");
    writer.write(lines_);
    for (size_t kind = 0; kind < counts_.size(); ++kind) {
      if (counts_[kind] == 0 || !options_.note) continue;
      options_.note(
          fmt::format("{} rows: {}. {} lists them", counts_[kind], kNoteNames[kind], kSkippedFile));
    }
  }

 private:
  const PrepareOptions& options_;
  std::string lines_;
  std::array<size_t, kNoteNames.size()> counts_{};
};

class MoleculeMaker {
 public:
  MoleculeMaker(const PrepareOptions& options, const MoleculeOptions& molecules,
                FolderWriter& writer)
      : note_(options.note),
        input_(options.inputs.front()),
        options_(options_text(molecules)),
        on_bad_smiles_(molecules.on_bad_smiles),
        columns_(columns_of(options, molecules)),
        table_(input_, columns_.idx, columns_.smiles, columns_.target),
        splits_(splits_of(options, molecules)),
        report_(options, file_size(input_)),
        pool_(molecules.threads > 0 ? molecules.threads
                                    : std::clamp<int64_t>(usable_processors(), 1, kMostWorkers)),
        writer_(writer, splits_.parts()),
        list_(options) {}

  MoleculesInfo run(FolderWriter& folder) {
    const auto start = std::chrono::steady_clock::now();
    Block block = read_block();
    while (!block.items.empty()) {
      // The next rows are read while these are worked on.
      auto next = std::async(std::launch::async, [this] { return read_block(); });
      work_on(block.items);
      for (const Item& item : block.items) take(item);
      report_.at(block.consumed, writer_.bytes(), done_);
      block = next.get();
    }
    splits_.check_all_seen();
    tell_rate(std::chrono::steady_clock::now() - start);
    writer_.finish(info_);
    list_.write(folder);
    check_splits();
    info_.prepare_options = options_;
    info_.smiles_name = columns_.smiles;
    info_.target_name = columns_.target;
    info_.rdkit_version = rdkit_version();
    info_.on_bad_smiles = name(on_bad_smiles_);
    info_.split_rule = splits_.rule();
    info_.rows = table_.rows();
    return std::move(info_);
  }

 private:
  void tell(const std::string& text) const {
    if (note_) note_(text);
  }
  const MoleculeSplits::Part& part_of(const Item& item) const {
    return splits_.parts()[item.place.part];
  }
  size_t split_of(const Item& item) const { return static_cast<size_t>(part_of(item).split); }

  Block read_block() {
    Block block;
    const int64_t most = kRowsPerTask * kTasksPerWorker * pool_.workers();
    MoleculeRow row;
    while (std::ssize(block.items) < most && table_.next(row)) {
      const bool has_target = !std::isnan(row.target);
      const auto place = splits_.place(row.idx, has_target);
      if (!place) {
        ++unplaced_;
        continue;
      }
      Item& item = block.items.emplace_back();
      item.row = std::move(row);
      item.place = *place;
      item.no_target = !has_target && part_of(item).split != Split::test;
    }
    block.consumed = table_.consumed();
    return block;
  }

  void work_on(std::vector<Item>& items) {
    const int64_t count = std::ssize(items);
    pool_.run((count + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task) {
      const int64_t end = std::min(count, (task + 1) * kRowsPerTask);
      for (int64_t i = task * kRowsPerTask; i < end; ++i) {
        featurise(items[static_cast<size_t>(i)], on_bad_smiles_);
      }
    });
  }

  /// Writes an item's record, or lists why there is none.
  void take(const Item& item) {
    ++done_;
    if (item.no_target) {
      ++info_.missing_targets[split_of(item)];
      return list(Note::no_target, item, "its target is empty or NaN");
    }
    if (!item.smiles.readable) return refuse(item);
    if (item.rescued) {
      ++info_.rescued;
      list(Note::rescued, item, item.refusal);
    }
    if (std::isnan(item.row.target)) ++info_.missing_targets[split_of(item)];
    writer_.add(item.place, item.entry, item.record);
  }

  /// Only called while no thread reads SMILES, as explain_smiles() wants.
  void refuse(const Item& item) {
    const std::string reason =
        item.smiles.problem.empty() ? explain_smiles(item.row.smiles) : item.smiles.problem;
    if (on_bad_smiles_ != OnBadSmiles::error) {
      ++info_.skipped[split_of(item)];
      return list(Note::skipped, item, reason);
    }
    const std::string_view rescue =
        item.smiles.bad_valence
            ? ", or read it without the check of valences with --on-bad-smiles rescue"
            : "";
    throw DataError(
        "{}: the SMILES '{}' cannot be read (RDKit {}: {}). Mend it, or leave such rows out with "
        "--on-bad-smiles skip{}",
        table_.where(item.row), shortened(item.row.smiles), rdkit_version(), reason, rescue);
  }

  void list(Note note, const Item& item, const std::string& reason) {
    list_.add(note, table_.where(item.row), item, part_of(item).name, reason);
  }

  void tell_rate(std::chrono::duration<double> time) const {
    tell(fmt::format("{} rows in {:.2f} s, {:.0f} molecules/s; {} threads", done_, time.count(),
                     static_cast<double>(done_) / time.count(), pool_.workers()));
    if (unplaced_ > 0) tell(fmt::format("{} rows are in no split and were left out", unplaced_));
  }

  void check_splits() const {
    if (info_.split_size(Split::train) == 0) {
      throw DataError("'{}' has no row for training: {}", input_, splits_.rule());
    }
    if (info_.split_size(Split::valid) > 0) return;
    tell(fmt::format("the validation split is empty: {}. --valid-fraction 0.1 draws one",
                     splits_.rule()));
  }

  std::function<void(const std::string&)> note_;
  std::string input_;
  std::string options_;  // for dataset.json
  OnBadSmiles on_bad_smiles_;
  Columns columns_;
  MoleculeTable table_;
  MoleculeSplits splits_;
  PrepareReport report_;
  WorkerPool pool_;
  MoleculeWriter writer_;
  RowList list_;
  MoleculesInfo info_;
  int64_t unplaced_ = 0;
  int64_t done_ = 0;
};

void check_fraction(std::string_view option, const std::optional<double>& fraction) {
  if (!fraction || (*fraction >= 0 && *fraction < 1)) return;
  throw ConfigError("{} is {}: it should be from 0 to less than 1", option, *fraction);
}

void check_split_options(const MoleculeOptions& molecules) {
  const bool random = molecules.valid_fraction || molecules.test_fraction;
  const int given =
      int{!molecules.split.empty()} + int{molecules.valid_from.has_value()} + int{random};
  if (given > 1) {
    throw ConfigError(
        "--split, --valid-from, and --valid-fraction with --test-fraction are three ways to split: "
        "give one of them");
  }
  check_fraction("--valid-fraction", molecules.valid_fraction);
  check_fraction("--test-fraction", molecules.test_fraction);
  if (molecules.valid_fraction.value_or(0) + molecules.test_fraction.value_or(0) >= 1) {
    throw ConfigError("--valid-fraction and --test-fraction leave nothing to train on");
  }
}

}  // namespace

std::string_view name(OnBadSmiles choice) {
  switch (choice) {
    case OnBadSmiles::error:
      return "error";
    case OnBadSmiles::skip:
      return "skip";
    case OnBadSmiles::rescue:
      return "rescue";
  }
  return "unknown";
}

OnBadSmiles on_bad_smiles_from_name(std::string_view text) {
  for (const auto choice : {OnBadSmiles::error, OnBadSmiles::skip, OnBadSmiles::rescue}) {
    if (name(choice) == text) return choice;
  }
  throw ConfigError("unknown choice '{}' for bad SMILES; valid: error, skip, rescue", text);
}

bool is_molecule_dataset(std::string_view name) { return name == kPcqm4mv2 || name == "molecules"; }

void check_molecule_options(const PrepareOptions& options, const MoleculeOptions& molecules) {
  if (options.inputs.size() != 1) {
    throw ConfigError("molecules are made from one CSV file, {} inputs are given",
                      options.inputs.size());
  }
  check_split_options(molecules);
  const bool named = !molecules.smiles.empty() && !molecules.target.empty();
  if (options.name == kPcqm4mv2) {
    if (molecules.smiles.empty() && molecules.target.empty()) return;
    throw ConfigError("--smiles and --target are for `molecules`: pcqm4mv2 has columns of its own");
  }
  if (named) return;
  const CsvReader csv(options.inputs.front());
  throw ConfigError(
      "`molecules` needs --smiles COLUMN and --target COLUMN; '{}' has the columns: {}",
      options.inputs.front(), fmt::join(csv.columns(), ", "));
}

MoleculesInfo make_molecules(const PrepareOptions& options, const MoleculeOptions& molecules,
                             FolderWriter& writer) {
  return MoleculeMaker(options, molecules, writer).run(writer);
}

}  // namespace ssa
