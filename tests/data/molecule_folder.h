#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/data/molecules.h"

#include "data/folder_writer.h"
#include "data/molecule_encoding.h"
#include "data/molecule_writer.h"

namespace ssa::testing {

/// A molecule of n atoms with random features, in which each pair has a bond with this probability.
inline Molecule random_molecule(int64_t n, double bond_probability, uint64_t seed) {
  const RngKey key{.seed = seed};
  uint64_t next = 0;
  const auto below = [&](int64_t count) {
    return static_cast<uint8_t>(key.word(next++) % static_cast<uint64_t>(count));
  };
  Molecule molecule;
  molecule.idx = static_cast<int64_t>(seed);
  molecule.atoms = n;
  for (int64_t i = 0; i < n; ++i) {
    for (const int64_t size : kAtomFeatureSizes) molecule.atom_features.push_back(below(size));
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i + 1; j < n; ++j) {
      if (uniform_open(key.word(next++)) > bond_probability) continue;
      Bond bond{.begin = static_cast<uint16_t>(i), .end = static_cast<uint16_t>(j)};
      for (size_t f = 0; f < bond.features.size(); ++f) {
        bond.features[f] = below(kBondFeatureSizes[f]);
      }
      molecule.bonds.push_back(bond);
    }
  }
  molecule.target = static_cast<float>(uniform_open(key.word(next++)));
  encode(molecule);
  return molecule;
}

/// Writes a prepared folder as `ssa-data prepare molecules` does. The parts are train, valid, test.
inline MoleculesInfo write_molecules(const std::string& folder,
                                     const std::array<std::vector<Molecule>, 3>& splits) {
  FolderWriter writer(folder, {});
  const std::vector<MoleculeSplits::Part> parts = {
      {"train", Split::train}, {"valid", Split::valid}, {"test", Split::test}};
  MoleculeWriter molecules(writer, parts);
  MoleculesInfo info;
  info.name = "molecules";
  info.smiles_name = "smiles";
  info.target_name = "gap";
  info.on_bad_smiles = "error";
  for (size_t part = 0; part < splits.size(); ++part) {
    for (int64_t i = 0; i < std::ssize(splits[part]); ++i) {
      std::vector<uint8_t> record;
      const MoleculeEntry entry = write_record(splits[part][static_cast<size_t>(i)], record);
      molecules.add({.part = part, .position = i}, entry, record);
    }
  }
  molecules.finish(info);
  info.rows = info.molecules();
  writer.start_file(kDatasetFile);
  writer.write(dataset_to_json(info));
  writer.commit();
  return info;
}

}  // namespace ssa::testing
