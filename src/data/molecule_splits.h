#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssa/data/dataset_info.h"

namespace ssa {

/// Decides which split each row of a table of molecules belongs to.
class MoleculeSplits {
 public:
  /// A list of rows with a name. PCQM4Mv2 has two that are parts of its test split.
  struct Part {
    std::string name;
    Split split = Split::train;
  };
  struct Place {
    size_t part = 0;
    int64_t position = 0;  ///< in the part
  };

  /// The splits of a file: an .npz with an array of row numbers for each part, or a text of lines
  /// such as "train: 0-3378605" and "valid: 7, 12-15". Parts are train, valid, and test, or
  /// test-dev and test-challenge. Throws DataError for another file, another name, and a row that
  /// is named twice.
  static MoleculeSplits from_file(const std::string& path);
  /// Rows without a target are test; of the others those from this number on are valid.
  static MoleculeSplits from_number(int64_t first_valid);
  /// Rows without a target are test. Each other row is valid or test with the given probabilities:
  /// a function of seed and number, so that more rows do not change the splits of the others.
  static MoleculeSplits random(double valid, double test, uint64_t seed);

  /// In the order of their splits.
  const std::vector<Part>& parts() const { return parts_; }
  /// Where the splits come from, for dataset.json.
  const std::string& rule() const { return rule_; }
  /// Whether rows of train and valid may lack a target.
  bool from_a_file() const { return !runs_.empty(); }

  /// The place of a row; nothing if a file does not name it. Rows have to come with rising numbers.
  /// Throws DataError if a row that the file names was passed over.
  std::optional<Place> place(int64_t number, bool has_target);
  /// Throws DataError if the file names a row after the last one.
  void check_all_seen() const;

 private:
  /// Rows first … first+count-1 at consecutive positions of a part.
  struct Run {
    int64_t first = 0;
    int64_t count = 0;
    Place place;
  };
  struct Drawn {
    double valid = 0, test = 0;
    uint64_t seed = 0;
  };

  void add_run(const Run& run);
  void sort_runs();
  [[noreturn]] void throw_not_there(int64_t number, const Run& run) const;
  size_t part_of(int64_t number, bool has_target) const;

  std::string path_;
  std::string rule_;
  std::vector<Part> parts_;
  std::vector<Run> runs_;  // by row
  size_t run_ = 0;         // the first that has rows to come
  int64_t seen_ = 0;       // rows of it
  std::optional<Drawn> drawn_;
  int64_t first_valid_ = 0;
  std::vector<int64_t> next_position_;  // of each part
};

}  // namespace ssa
