#include "molecule_writer.h"

#include <algorithm>

namespace ssa {

void MoleculeWriter::add(const MoleculeSplits::Place& place, MoleculeEntry entry,
                         std::span<const uint8_t> record) {
  entry.offset = tally_.bytes();
  writer_.write(record);
  tally_.add(record);
  placed_[place.part].push_back({place.position, entry});
  if (parts_[place.part].split == Split::train) train_sum_ += static_cast<double>(entry.target);
  largest_ = std::max<int64_t>(largest_, entry.atoms);
}

void MoleculeWriter::finish(MoleculesInfo& info) {
  writer_.start_file(kMoleculeFile);
  for (const Split split : kSplits) {
    const int64_t split_begin = written_;
    for (size_t part = 0; part < parts_.size(); ++part) {
      if (parts_[part].split != split) continue;
      const int64_t begin = written_;
      write_part(part);
      if (parts_[part].name != name(split) && written_ > begin) {
        info.test_parts.push_back({parts_[part].name, {begin, written_}});
      }
    }
    info.splits[static_cast<size_t>(split)] = {split_begin, written_};
  }
  info.train_mean = train_sum_ / static_cast<double>(info.split_size(Split::train));
  info.largest = largest_;
  info.bytes = tally_.bytes();
  info.checksum = tally_.checksum();
}

void MoleculeWriter::write_part(size_t part) {
  std::vector<Placed>& placed = placed_[part];
  std::ranges::sort(placed, {}, &Placed::position);
  for (const Placed& one : placed) {
    writer_.write(one.entry.as_bytes());
    tally_.add(one.entry.as_bytes());
  }
  written_ += std::ssize(placed);
}

}  // namespace ssa
