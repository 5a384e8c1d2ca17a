#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csv_reader.h"

namespace ssa {

/// A row of a table of molecules.
struct MoleculeRow {
  int64_t row = 0;   ///< from 0, the names of the columns not counted
  int64_t line = 0;  ///< in the file, from 1
  int64_t idx = 0;   ///< its number in the data set
  std::string smiles;
  float target = 0;  ///< NaN: none
};

/// Reads a CSV file of molecules. Every function throws DataError with path and row.
class MoleculeTable {
 public:
  /// Without a column `idx` (an empty name) the numbers are those of the rows.
  MoleculeTable(const std::string& path, const std::string& idx, const std::string& smiles,
                const std::string& target);

  /// The next row, with a higher idx than the one before; false at the end.
  bool next(MoleculeRow& row);
  int64_t rows() const { return rows_; }
  int64_t consumed() const { return csv_.consumed(); }
  /// "'data.csv.gz', row 5 (line 7), idx 5", for messages.
  std::string where(const MoleculeRow& row) const;

 private:
  int64_t read_idx(const MoleculeRow& row) const;
  float read_target(const MoleculeRow& row) const;

  std::string path_;
  CsvReader csv_;
  size_t idx_ = 0, smiles_ = 0, target_ = 0;  // columns
  bool has_idx_ = false;
  std::vector<std::string> fields_;
  int64_t rows_ = 0;
  int64_t last_idx_ = -1;
};

}  // namespace ssa
