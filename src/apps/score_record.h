#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "ssa/config/differences.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// What a score is a score of, held against what the run itself would be scored on: its newest
/// checkpoint, its own data and config, the whole split.
struct ScoreSubject {
  std::string mode;  ///< renorm or ensemble
  std::string split;
  int64_t samples = 1;
  int64_t step = 0;
  int64_t newest_step = 0;   ///< of the run's checkpoints, valid or not
  bool has_average = false;  ///< the checkpoint has a moving average of the weights
  bool uses_average = false;
  bool in_int8 = false;     ///< the weights are rounded
  int64_t terms = 0;        ///< that were scored
  int64_t split_terms = 0;  ///< all there are
  DataIdentity data, run_data;
  Config config, run_config;
  std::vector<std::string> overrides;  ///< as given with --set
};

/// In what the subject differs from the run's own, a sentence each; none: the score is the run's.
std::vector<std::string> differences(const ScoreSubject& subject);

/// Its part of the JSON of a score.
nlohmann::json to_json(const ScoreSubject& subject);

/// Name of the file in the run folder: eval-MODE-SPLIT.json for the run's own score; every other
/// one has a name of its own, which says what it is of.
std::string file_name(const ScoreSubject& subject);

}  // namespace ssa
