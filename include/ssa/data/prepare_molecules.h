#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ssa/data/molecules.h"
#include "ssa/data/prepare.h"

namespace ssa {

/// What becomes of a row whose SMILES RDKit refuses. All but `error` name, count and list them.
enum class OnBadSmiles {
  error,   ///< the program ends
  skip,    ///< the row is left out
  rescue,  ///< refused for a valence alone, it is read without that check; else it is left out
};
std::string_view name(OnBadSmiles choice);
/// Throws ConfigError for anything but "error", "skip" and "rescue".
OnBadSmiles on_bad_smiles_from_name(std::string_view text);

/// What `ssa-data prepare pcqm4mv2` and `molecules` take beside PrepareOptions.
struct MoleculeOptions {
  std::string smiles;  ///< molecules: the column of the SMILES
  std::string target;  ///< molecules: the column of the targets
  OnBadSmiles on_bad_smiles = OnBadSmiles::error;
  // Where the splits come from: one of the next three. The default is a tenth for validation, for
  // pcqm4mv2 its own first row of validation.
  std::string split;                                    ///< a file: .npz, or a text
  std::optional<int64_t> valid_from;                    ///< rows with a target from this number on
  std::optional<double> valid_fraction, test_fraction;  ///< a random split
  uint64_t seed = 1;                                    ///< of the random split
  int64_t threads = 0;  ///< 0: as many as there are processors; changes nothing but the time
};

/// Whether this name is that of a data set of molecules, which prepare_molecules() makes.
bool is_molecule_dataset(std::string_view name);
/// Makes a prepared folder of molecules (dataset.json, graphs.bin, molecules.bin, skipped.csv) as
/// prepare_dataset() does, streaming: in memory are a few thousand rows, and about 60 bytes for
/// each molecule. Throws ConfigError without RDKit too, and DataError for rows that cannot be read.
MoleculesInfo prepare_molecules(const PrepareOptions& options, const MoleculeOptions& molecules);

}  // namespace ssa
