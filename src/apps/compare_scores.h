#pragma once

#include "apps/scored.h"
#include "apps/term_losses.h"

namespace ssa {

/// What a score has to be over for another one to compare with it.
struct ComparedTerms {
  std::string task, split;
  DataIdentity data;
  int64_t terms = 0;
  int64_t items = 0;  ///< of tasks whose terms have no losses of their own; otherwise 0
};
ComparedTerms terms_of(const StoredLosses& stored);
/// Throws ConfigError, naming what `b_name` has instead, unless both are over the same terms.
void require_comparable(const ComparedTerms& a, const ComparedTerms& b, const std::string& b_name);

/// The other side of `ssa-eval --compare`.
struct OtherScore {
  std::string name;                 ///< the run folder, or the file of stored losses
  std::string what;                 ///< "test renorm of step 600"
  std::vector<double> losses;       ///< of each term; empty: the task has none
  ScoreMeans means = ScoreMeans();  ///< over the items, where there are no losses
  nlohmann::json json;              ///< for the comparison's JSON
};
OtherScore score_of(const StoredLosses& stored);

/// How the scores of A and B differ over the same items.
struct Comparison {
  std::vector<MetricValue> differences;  ///< A less B, of each metric of the task
  int64_t items = 0;
};
Comparison compare(const Scored& a, const OtherScore& b, const EvalSet& set);

/// Prints both scores, their difference and which is better.
void print(const Scored& a, const std::string& a_name, const OtherScore& b,
           const Comparison& comparison);
nlohmann::json to_json(const Scored& a, const OtherScore& b, const Comparison& comparison);

}  // namespace ssa
