#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ssa/eval/evaluate.h"
#include "ssa/storage/file_io.h"

#include "apps/score_record.h"

namespace ssa {

/// The loss of each term, such as a token, of an evaluation: in the split's order.
struct TermLosses {
  std::vector<double> loss;     ///< nats
  std::vector<float> spread;    ///< of ensembles: standard deviation of the probability
  std::vector<int32_t> token;   ///< what came
  std::vector<int32_t> window;  ///< number of the window or picture that scored it

  void add(const EvalSet& set, const ItemPrediction& prediction);
};

/// Whether the terms of a set have losses of their own: tokens have, pictures of a class have not.
bool has_term_losses(const EvalSet& set);
/// Throws ConfigError, naming the option that asks for them, if they have not.
void require_term_losses(const EvalSet& set, const std::string& option, TaskKind task);

/// The means of another evaluation's losses over the windows of `set`.
ScoreMeans means_of(const std::vector<double>& losses, const EvalSet& set);

/// The file of `ssa-eval --per-token`: tensors loss, token and window, of ensembles also spread,
/// and what they are of as metadata.
class TermLossFile {
 public:
  /// Throws ConfigError if the file cannot be written.
  explicit TermLossFile(const std::string& path);
  void finish(const TermLosses& losses, const ScoreSubject& subject, TaskKind task);

 private:
  std::string path_;
  std::optional<FileReplacement> replacement_;
};

/// What such a file holds.
struct StoredLosses {
  std::string path;
  std::string mode, split, task;
  int64_t samples = 1, step = 0;
  DataIdentity data;
  std::vector<double> loss;
};

/// Throws ConfigError if the file is none of `ssa-eval --per-token`.
StoredLosses read_term_losses(const std::string& path);

}  // namespace ssa
