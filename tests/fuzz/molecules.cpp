// Opens a prepared folder of molecules: the first byte is 'f', a dataset.json and the two files of
// numbers ("=== NAME") follow. Or reads a table ('t', with its file of splits behind "=== split"),
// as far as that needs no SMILES.

#include "ssa/data/molecules.h"

#include <algorithm>
#include <cmath>

#include "ssa/core/error.h"

#include "data/molecule_splits.h"
#include "data/molecule_table.h"
#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

void check_round_trip(const std::string& json) {
  const auto info = parsed<DataError>([&] { return molecules_from_json(json, "input"); });
  if (!info) return;
  const std::string text = dataset_to_json(*info);
  require(dataset_to_json(molecules_from_json(text, "copy")) == text, "it survives a round trip");
}

void read_molecules() {
  const Molecules molecules = Molecules::open(folder().path());
  for (int64_t i = 0; i < molecules.info().molecules(); ++i) {
    const Molecule molecule = molecules.molecule(i);
    require(molecule.atoms == molecules.atoms(i), "the number of atoms is known");
    const std::vector<uint8_t> classes = pair_classes(molecule);
    require(std::ranges::all_of(classes, [](uint8_t c) { return c < PairClasses().count(); }),
            "every pair has a class");
  }
  molecules.verify();
}

void read_table(const Parts& parts) {
  write_parts(parts, folder().path(), {"table", "split"});
  MoleculeSplits splits = parts.contains("split") ? MoleculeSplits::from_file(folder() / "split")
                                                  : MoleculeSplits::random(0.1, 0.1, 1);
  MoleculeTable table(folder() / "table", "idx", "smiles", "gap");
  MoleculeRow row;
  while (table.next(row)) {
    require(row.idx >= 0 && !std::isinf(row.target), "a row has a number and no infinity");
    const auto place = splits.place(row.idx, !std::isnan(row.target));
    require(!place || place->part < splits.parts().size(), "a row's split is known");
  }
  splits.check_all_seen();
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text = text_of(data + 1, size - 1);
  if (data[0] == 't') {
    accepted<DataError>([&] { read_table(parts_of(text, "table")); });
  } else {
    const Parts parts = parts_of(text, kDatasetFile);
    check_round_trip(parts.at(kDatasetFile));
    write_parts(parts, folder().path(), {kDatasetFile, kGraphFile, kMoleculeFile});
    accepted<DataError>(read_molecules);
  }
  return 0;
}
