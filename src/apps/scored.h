#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "ssa/eval/evaluate.h"

#include "apps/score_record.h"

namespace ssa {

/// Items of a split, such as molecules, that have no target.
struct WithoutTarget {
  int64_t items = 0, of = 0;
};

/// A score with all that is said about it.
struct Scored {
  ScoreSubject subject;
  const TaskTraits* traits;
  int ranks;
  std::string device;
  EvalResult result;
  std::vector<EvalTable> tables;
  WithoutTarget without_target;

  bool is_ensemble() const { return subject.mode == "ensemble"; }
  /// A mean over the few items that have a target would pass for the split's.
  bool has_score() const { return without_target.items == 0; }
};

/// The file of a score: docs/reference/run-folder.md.
nlohmann::json to_json(const Scored& scored);

/// "0.0123"; a dash where there is no standard error.
std::string error_text(double standard_error);

/// "test ensemble of 10 of step 600"
std::string name_of(const Scored& scored);
/// Prints a score for people, with the scores of 1, 2, … samples if `curve`.
void print(const Scored& scored, bool curve);
/// Prints the scores of several splits as one table, and then their curves if `curve`.
void print_table(const std::vector<Scored>& all, bool curve);

}  // namespace ssa
