#pragma once

#include <cstdint>
#include <vector>

#include "ssa/data/molecules.h"

#include "byte_tally.h"
#include "folder_writer.h"
#include "molecule_record.h"
#include "molecule_splits.h"

namespace ssa {

/// Writes graphs.bin and molecules.bin. Records are written as they come; entries are kept until
/// the end, since they are in the order of the splits.
class MoleculeWriter {
 public:
  MoleculeWriter(FolderWriter& writer, const std::vector<MoleculeSplits::Part>& parts)
      : writer_(writer), parts_(parts), placed_(parts.size()) {
    writer_.start_file(kGraphFile);
  }

  void add(const MoleculeSplits::Place& place, MoleculeEntry entry,
           std::span<const uint8_t> record);
  /// Bytes of the records so far.
  int64_t bytes() const { return tally_.bytes(); }
  /// Writes the entries, and fills in splits, test parts, the mean of the training targets, the
  /// largest molecule, bytes and checksum.
  void finish(MoleculesInfo& info);

 private:
  struct Placed {
    int64_t position = 0;
    MoleculeEntry entry;
  };
  void write_part(size_t part);

  FolderWriter& writer_;
  std::vector<MoleculeSplits::Part> parts_;
  std::vector<std::vector<Placed>> placed_;  // of each part
  ByteTally tally_;
  double train_sum_ = 0;
  int64_t largest_ = 0;
  int64_t written_ = 0;  // entries
};

}  // namespace ssa
