#include "molecule_table.h"

#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "dataset_json.h"

namespace ssa {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

}  // namespace

MoleculeTable::MoleculeTable(const std::string& path, const std::string& idx,
                             const std::string& smiles, const std::string& target)
    : path_(path), csv_(path), has_idx_(!idx.empty()) {
  if (has_idx_) idx_ = csv_.column(idx);
  smiles_ = csv_.column(smiles);
  target_ = csv_.column(target);
}

std::string MoleculeTable::where(const MoleculeRow& row) const {
  return fmt::format("'{}', row {} (line {}), idx {}", path_, row.row, row.line, row.idx);
}

bool MoleculeTable::next(MoleculeRow& row) {
  if (!csv_.next(fields_)) return false;
  row.row = rows_++;
  row.line = csv_.line();
  row.idx = row.row;
  if (has_idx_) row.idx = read_idx(row);
  last_idx_ = row.idx;
  row.smiles = trimmed(fields_[smiles_]);
  row.target = read_target(row);
  return true;
}

int64_t MoleculeTable::read_idx(const MoleculeRow& row) const {
  const std::string_view text = trimmed(fields_[idx_]);
  int64_t idx = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), idx);
  if (error != std::errc() || end != text.data() + text.size() || idx < 0 || idx > kMostItems) {
    throw DataError("'{}', row {} (line {}): the {} '{}' is no number from 0", path_, row.row,
                    row.line, csv_.columns()[idx_], text);
  }
  if (idx <= last_idx_) {
    throw DataError(
        "'{}', row {} (line {}): idx {} follows idx {}. Each molecule has an idx of its own; sort "
        "the rows by it",
        path_, row.row, row.line, idx, last_idx_);
  }
  return idx;
}

float MoleculeTable::read_target(const MoleculeRow& row) const {
  const std::string_view text = trimmed(fields_[target_]);
  if (text.empty()) return std::numeric_limits<float>::quiet_NaN();
  double value = 0;
  const size_t sign = text.starts_with('+') ? 1 : 0;
  const auto [end, error] = std::from_chars(text.data() + sign, text.data() + text.size(), value);
  const auto narrow = static_cast<float>(value);
  if (error == std::errc() && end == text.data() + text.size() && !std::isinf(narrow)) {
    // "nan" is read as one of many NaNs.
    return std::isnan(narrow) ? std::numeric_limits<float>::quiet_NaN() : narrow;
  }
  throw DataError("{}: the target '{}' in column '{}' is no number that an f32 can hold",
                  where(row), text, csv_.columns()[target_]);
}

}  // namespace ssa
