#include "ssa/data/molecules.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/mapped_file.h"

#include "byte_tally.h"
#include "dataset_files.h"
#include "dataset_json.h"
#include "find_data.h"
#include "molecule_encoding.h"
#include "molecule_record.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostPiece = int64_t{1} << 20;
constexpr auto kEntryBytes = static_cast<int64_t>(sizeof(MoleculeEntry));

/// Calls visit(piece) for all bytes of a file, a piece of whole entries at a time.
template <class Visit>
void read_through(const MappedFile& file, Visit visit) {
  std::vector<uint8_t> buffer(static_cast<size_t>(std::min(file.size(), kMostPiece)));
  for (int64_t done = 0; done < file.size();) {
    const auto piece = std::span(buffer).first(
        static_cast<size_t>(std::min<int64_t>(file.size() - done, std::ssize(buffer))));
    file.read(done, piece);
    visit(std::span<const uint8_t>(piece));
    done += std::ssize(piece);
  }
}

MoleculeEntry entry_at(std::span<const uint8_t> bytes, size_t offset) {
  MoleculeEntry entry;
  std::memcpy(&entry, bytes.data() + offset, sizeof entry);
  return entry;
}

}  // namespace

/// What an open folder has in memory: two bytes for each molecule.
struct Molecules::Contents {
  Contents(std::string folder_path, MoleculesInfo described)
      : folder(std::move(folder_path)),
        info(std::move(described)),
        graphs((fs::path(folder) / kGraphFile).string()),
        entries((fs::path(folder) / kMoleculeFile).string()) {
    check_files();
    atoms.reserve(static_cast<size_t>(info.molecules()));
    read_through(entries, [this](std::span<const uint8_t> piece) {
      for (size_t at = 0; at < piece.size(); at += sizeof(MoleculeEntry)) add(entry_at(piece, at));
    });
  }

  void check_files() const {
    check_file(entries.path(), info.molecules() * kEntryBytes);
    check_file(graphs.path(), info.bytes - info.molecules() * kEntryBytes);
  }

  /// Checks an entry, and keeps its number of atoms.
  void add(const MoleculeEntry& entry) {
    const auto number = std::ssize(atoms);
    const bool test = number >= info.splits[static_cast<size_t>(Split::test)].begin;
    const bool sound = entry.atoms >= 1 && entry.atoms <= info.largest &&
                       entry.bonds <= entry.atoms * (entry.atoms - 1) / 2 && entry.offset >= 0 &&
                       entry.offset <= graphs.size() - entry.record_bytes() &&
                       (std::isfinite(entry.target) || (test && std::isnan(entry.target)));
    if (!sound) {
      throw DataError("'{}' is damaged: entry {} is out of range. Prepare the data set again.",
                      entries.path(), number);
    }
    atoms.push_back(static_cast<uint16_t>(entry.atoms));
  }

  std::string folder;
  MoleculesInfo info;
  MappedFile graphs;
  MappedFile entries;
  std::vector<uint16_t> atoms;
};

Molecules::Molecules(std::shared_ptr<const Contents> contents) : contents_(std::move(contents)) {}

Molecules Molecules::open(const std::string& path) {
  const fs::path folder = find_data(path);
  const fs::path description = folder / kDatasetFile;
  std::error_code ignored;
  if (!fs::exists(description, ignored)) {
    throw DataError(
        "'{}' is no prepared data set of molecules: it has no {}. Make one with `ssa-data prepare "
        "pcqm4mv2` or `ssa-data prepare molecules`.",
        folder.string(), kDatasetFile);
  }
  MoleculesInfo info = molecules_from_json(read_text(description), description.string());
  return Molecules(std::make_shared<const Contents>(folder.string(), std::move(info)));
}

const MoleculesInfo& Molecules::info() const { return contents_->info; }
const std::string& Molecules::path() const { return contents_->folder; }

int64_t Molecules::atoms(int64_t i) const {
  SSA_CHECK(i >= 0 && i < info().molecules(), "molecule {} of the {} in '{}'", i,
            info().molecules(), path());
  return contents_->atoms[static_cast<size_t>(i)];
}

Molecule Molecules::molecule(int64_t i) const {
  const int64_t expected_atoms = atoms(i);
  std::array<uint8_t, sizeof(MoleculeEntry)> bytes{};
  contents_->entries.read(i * kEntryBytes, bytes);
  const MoleculeEntry entry = entry_at(bytes, 0);
  const std::string where = fmt::format("molecule {} of '{}'", i, path());
  if (entry.atoms != expected_atoms) throw DataError("{} has changed since it was opened", where);
  std::vector<uint8_t> record(static_cast<size_t>(entry.record_bytes()));
  contents_->graphs.read(entry.offset, record);
  return read_record(entry, record, where);
}

void Molecules::verify() const {
  ByteTally tally;
  for (const MappedFile* file : {&contents_->graphs, &contents_->entries}) {
    read_through(*file, [&](std::span<const uint8_t> piece) { tally.add(piece); });
  }
  if (tally.checksum() == info().checksum) return;
  throw DataError(
      "'{}' is damaged: the XXH3-64 checksum of graphs and entries is {}, but {} is expected. "
      "Prepare the data set again.",
      path(), tally.checksum(), info().checksum);
}

}  // namespace ssa
