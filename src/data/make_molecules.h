#pragma once

#include "ssa/data/prepare_molecules.h"

#include "folder_writer.h"

namespace ssa {

/// Writes graphs.bin, molecules.bin and skipped.csv. Of the result, name and sources are not set.
MoleculesInfo make_molecules(const PrepareOptions& options, const MoleculeOptions& molecules,
                             FolderWriter& writer);
/// Throws ConfigError for options that contradict each other or miss a column.
void check_molecule_options(const PrepareOptions& options, const MoleculeOptions& molecules);

}  // namespace ssa
