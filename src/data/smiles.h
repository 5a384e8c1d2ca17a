#pragma once

#include <string>

#include "ssa/data/molecule.h"

namespace ssa {

/// What RDKit makes of a SMILES string. A build without RDKit (SSA_RDKIT=OFF) has these functions,
/// and check_smiles_support() throws.
struct SmilesResult {
  Molecule molecule;     ///< atoms and bonds; idx, encodings and target are not set
  bool readable = true;  ///< false: RDKit refuses the string, or OGB has no number for a feature
  bool bad_valence = false;  ///< RDKit refuses it for the valence of an atom alone
  std::string problem;       ///< why it is not readable; empty: explain_smiles() knows
};

/// "2022.09.3"; empty without RDKit.
std::string rdkit_version();
/// Throws ConfigError without RDKit. Else gets RDKit ready: to be called on one thread before
/// others read SMILES. It also switches off RDKit's own log.
void check_smiles_support();

/// The graph as OGB's smiles2graph() makes it of the same version of RDKit. Thread safe.
SmilesResult read_smiles(const std::string& smiles);
/// The same without RDKit's check of valences, which its later versions have made stricter. Radical
/// electrons of an atom with too many bonds are then 1, where earlier versions say 0.
SmilesResult read_smiles_of_any_valence(const std::string& smiles);
/// RDKit's reason to refuse a string, which it only writes to its log. No other thread may read
/// SMILES meanwhile.
std::string explain_smiles(const std::string& smiles);

}  // namespace ssa
