#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "ssa/data/molecule.h"

namespace ssa {

// How a prepared folder stores molecules, little endian. molecules.bin has an entry of 32 bytes for
// each, in the order of the splits. graphs.bin has a record for each, in the order of the input:
//
//     encodings      (atoms, 8) f32
//     atom features  (atoms, 9) u8
//     bonds          (bonds): begin u16, end u16, 3 features u8
//     zeros          up to a multiple of four bytes

/// An entry of molecules.bin.
struct MoleculeEntry {
  int64_t idx = 0;
  int64_t offset = 0;  ///< of its record in graphs.bin
  float target = 0;
  uint32_t atoms = 0;
  uint32_t bonds = 0;
  uint8_t negative = 0;  ///< bit k: eigenvalue k is negative
  std::array<uint8_t, 3> zeros{};

  /// Size of the record.
  int64_t record_bytes() const;
  std::span<const uint8_t> as_bytes() const {
    return {reinterpret_cast<const uint8_t*>(this), sizeof(*this)};
  }
};
static_assert(sizeof(MoleculeEntry) == 32);

/// Entry (offset 0) of a molecule; appends its record to `record`.
MoleculeEntry write_record(const Molecule& molecule, std::vector<uint8_t>& record);
/// The molecule of an entry and its record, which has entry.record_bytes(). Throws DataError,
/// behind `where`, if a number in it is none that write_record() writes.
Molecule read_record(const MoleculeEntry& entry, std::span<const uint8_t> record,
                     const std::string& where);

}  // namespace ssa
