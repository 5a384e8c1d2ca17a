#include "molecule_record.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr size_t kBondBytes = 2 * sizeof(uint16_t) + kBondFeatures;

size_t encoding_bytes(size_t atoms) { return atoms * kEncodingRank * sizeof(float); }

bool in_range(const std::vector<uint8_t>& features) {
  for (size_t i = 0; i < features.size(); ++i) {
    if (features[i] >= kAtomFeatureSizes[i % kAtomFeatureSizes.size()]) return false;
  }
  return true;
}

bool in_range(const Bond& bond, int64_t atoms) {
  for (size_t f = 0; f < bond.features.size(); ++f) {
    if (bond.features[f] >= kBondFeatureSizes[f]) return false;
  }
  return bond.begin < bond.end && bond.end < atoms;
}

}  // namespace

int64_t MoleculeEntry::record_bytes() const {
  const size_t bytes =
      encoding_bytes(atoms) + size_t{atoms} * kAtomFeatures + size_t{bonds} * kBondBytes;
  return static_cast<int64_t>((bytes + 3) / 4 * 4);
}

MoleculeEntry write_record(const Molecule& molecule, std::vector<uint8_t>& record) {
  MoleculeEntry entry{.idx = molecule.idx, .target = molecule.target};
  entry.atoms = static_cast<uint32_t>(molecule.atoms);
  entry.bonds = static_cast<uint32_t>(molecule.bonds.size());
  for (size_t k = 0; k < molecule.signs.size(); ++k) {
    if (molecule.signs[k] < 0) entry.negative |= static_cast<uint8_t>(1u << k);
  }
  const size_t begin = record.size();
  record.resize(begin + static_cast<size_t>(entry.record_bytes()));
  uint8_t* out = record.data() + begin;
  std::memcpy(out, molecule.encodings.data(), encoding_bytes(entry.atoms));
  out += encoding_bytes(entry.atoms);
  out = std::ranges::copy(molecule.atom_features, out).out;
  for (const Bond& bond : molecule.bonds) {
    std::memcpy(out, &bond.begin, sizeof(uint16_t));
    std::memcpy(out + 2, &bond.end, sizeof(uint16_t));
    out = std::ranges::copy(bond.features, out + 4).out;
  }
  return entry;
}

Molecule read_record(const MoleculeEntry& entry, std::span<const uint8_t> record,
                     const std::string& where) {
  Molecule molecule;
  molecule.idx = entry.idx;
  molecule.target = entry.target;
  molecule.atoms = entry.atoms;
  const uint8_t* in = record.data();
  molecule.encodings.resize(entry.atoms * static_cast<size_t>(kEncodingRank));
  std::memcpy(molecule.encodings.data(), in, encoding_bytes(entry.atoms));
  in += encoding_bytes(entry.atoms);
  molecule.atom_features.assign(in, in + entry.atoms * kAtomFeatures);
  in += entry.atoms * kAtomFeatures;
  molecule.bonds.resize(entry.bonds);
  bool sound = in_range(molecule.atom_features) &&
               std::ranges::all_of(molecule.encodings, [](float x) { return std::isfinite(x); });
  for (Bond& bond : molecule.bonds) {
    std::memcpy(&bond.begin, in, sizeof(uint16_t));
    std::memcpy(&bond.end, in + 2, sizeof(uint16_t));
    std::copy_n(in + 4, bond.features.size(), bond.features.begin());
    in += kBondBytes;
    sound = sound && in_range(bond, molecule.atoms);
  }
  for (size_t k = 0; k < molecule.signs.size(); ++k) {
    molecule.signs[k] = (entry.negative >> k & 1) != 0 ? -1 : 1;
  }
  if (sound) return molecule;
  throw DataError(
      "{} is damaged: a feature, a bond or an encoding is out of range. Prepare the "
      "data set again.",
      where);
}

}  // namespace ssa
