#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/data/dataset_info.h"
#include "ssa/data/molecule.h"
#include "ssa/data/pair_classes.h"

namespace ssa {

/// A part of a split that has a name of its own.
struct NamedRange {
  std::string name;  ///< "test-dev"
  TokenRange range;  ///< of molecules
  bool operator==(const NamedRange&) const = default;
};

/// What dataset.json of a prepared folder of molecules says.
struct MoleculesInfo {
  std::string name;  ///< as given to `ssa-data prepare`: "pcqm4mv2" or "molecules"
  std::vector<std::string> sources;
  std::string prepare_options;  ///< of the `ssa-data prepare` that made it, apart from inputs
  std::string smiles_name;      ///< the column of the SMILES
  std::string target_name;      ///< the column of the targets: "homolumogap"
  std::string rdkit_version;    ///< that read the SMILES; other versions may give other graphs
  std::string on_bad_smiles;    ///< "error" or "skip"
  std::string split_rule;       ///< where the splits come from, in words

  /// Of molecules, in the order of Split; valid and test may be empty. Every molecule of train and
  /// valid has a finite target; in test it may be NaN.
  std::array<TokenRange, 3> splits;
  /// PCQM4Mv2 has two test splits. They are kept one behind the other as Split::test, in the order
  /// in which OGB's evaluator knows them: test-dev, test-challenge. Empty where there is one only.
  std::vector<NamedRange> test_parts;

  int64_t rows = 0;                  ///< of the input
  std::array<int64_t, 3> skipped{};  ///< left out of each split: no readable SMILES
  std::array<int64_t, 3>
      missing_targets{};  ///< left out of train and valid, kept in test: no target
  int64_t rescued = 0;    ///< read without RDKit's check of valences, which refused them
  int64_t largest = 0;    ///< atoms of the largest molecule
  double train_mean = 0;  ///< of the train split's targets: a prediction for what was left out
  int64_t bytes = 0;      ///< of graphs and index
  std::string checksum;   ///< XXH3-64 of the graphs, then the index, as stored

  int64_t molecules() const { return splits.back().end; }
  int64_t split_size(Split split) const { return splits[static_cast<size_t>(split)].size(); }
  /// "official PCQM4Mv2 split" or "custom split", for reports and logs.
  std::string split_description() const;
};

inline constexpr const char* kGraphFile = "graphs.bin";        // atoms, bonds and encodings
inline constexpr const char* kMoleculeFile = "molecules.bin";  // an entry per molecule
inline constexpr const char* kSkippedFile = "skipped.csv";     // what was left out, and why

std::string dataset_to_json(const MoleculesInfo& info);
/// Reads the text of a dataset.json; `path` stands for it in messages. Throws DataError that names
/// the key if it is malformed or contradicts itself.
MoleculesInfo molecules_from_json(std::string_view json, const std::string& path);
/// Whether a prepared folder holds molecules. False for a plain file. Throws DataError if nothing
/// is there.
bool holds_molecules(const std::string& path);

/// Molecules with a target each, in three splits. Copies share the mappings. Every function is
/// thread safe.
class Molecules {
 public:
  /// Opens a prepared folder, looked for as TokenDataset::open() does. Throws DataError if it is
  /// not there, holds something else, or has an index that contradicts it.
  static Molecules open(const std::string& folder);

  const MoleculesInfo& info() const;
  /// The folder.
  const std::string& path() const;
  /// Atoms of molecule 0 ≤ i < info().molecules(); cheap.
  int64_t atoms(int64_t i) const;
  /// Throws DataError if the file has shrunk since it was opened, or is damaged; ShapeError for a
  /// number that is not there.
  Molecule molecule(int64_t i) const;
  /// Throws DataError if the files do not have the checksum that dataset.json states.
  void verify() const;

 private:
  struct Contents;
  explicit Molecules(std::shared_ptr<const Contents> contents);

  std::shared_ptr<const Contents> contents_;
};

}  // namespace ssa
