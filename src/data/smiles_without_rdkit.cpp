#include "ssa/core/error.h"

#include "smiles.h"

namespace ssa {

namespace {

[[noreturn]] void refuse() {
  throw ConfigError(
      "this program was built without RDKit, which reads SMILES. Install librdkit-dev and "
      "libboost-dev (scripts/setup.sh does), configure again with -DSSA_RDKIT=ON, and build. A "
      "folder that was prepared elsewhere can be used as it is");
}

}  // namespace

std::string rdkit_version() { return {}; }
void check_smiles_support() { refuse(); }
SmilesResult read_smiles(const std::string&) { refuse(); }
SmilesResult read_smiles_of_any_valence(const std::string&) { refuse(); }
std::string explain_smiles(const std::string&) { refuse(); }

}  // namespace ssa
