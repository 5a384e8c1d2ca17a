#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ssa/dist/communicator.h"
#include "ssa/storage/checkpoint.h"
#include "ssa/train/model_session.h"

namespace ssa {

/// The command line of ssa-eval.
struct Options {
  std::string run, checkpoint, config;
  std::string mode;
  int64_t samples = 0;
  std::string split = "test";
  std::vector<std::string> set;
  std::string device = "auto";
  int64_t max_tokens = 0;
  std::string weights;
  bool curve = false;
  bool no_analysis = false;
  std::string json;
  std::string predictions;
  std::string per_token;
  std::string compare;
  std::string text;
  bool per_line = false;
  std::string coverage;
  int64_t strongest = 8;

  /// Standard output holds text, or what is written there.
  bool print_text() const { return json != "-" && predictions != "-" && coverage != "-"; }
  bool in_int8() const { return weights == "int8"; }
  bool wants_term_losses() const { return !per_token.empty() || !compare.empty() || per_line; }
};

EvalMode mode_for(const Options& options, const Config& config);
int64_t samples_for(const Options& options, const Config& config);
EvalWeights weights_for(const Options& options, const Config& config);

/// Throws ConfigError for options that do not go together.
void check_options(const Options& options);
/// Throws ConfigError for a --strongest that no target can have.
void check_strongest(const Options& options, const Config& config);
/// Options that change nothing in the mode that the config says.
void warn_of_idle_options(const Options& options, const Config& config);

/// A trained model, and the data that it was made for.
struct OpenModel {
  LoadedCheckpoint checkpoint;
  std::unique_ptr<TaskData> data;  ///< null: a text is scored, which needs none
  std::unique_ptr<Task> task;
  Config run_config;
  ModelSession session;
};

/// Opens the model that the command line names, on every rank.
OpenModel open_model(Communicator& ranks, const Config& given, const Options& options);
/// The config that the command line gives. Throws ConfigError for a command line that makes no
/// sense.
Config given_config(const Options& options);

}  // namespace ssa
