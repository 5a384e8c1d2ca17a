#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "ssa/config/config.h"
#include "ssa/train/run_forecast.h"

namespace ssa {

/// The machines that a dry run is about: those that are meant, or else this one.
struct MeantMachines {
  std::string device = "auto";
  int64_t ranks = 1, local_ranks = 1;  ///< of the job, and those that share a machine
  int64_t device_memory = 0;           ///< bytes that each rank has; 0: those of this machine
  double rank_tflops = 0;              ///< 10^12 operations a second on each rank; 0: not known
  bool measure = false;                ///< if they are not known, measure this machine's
};

/// What `ssa-train --dry-run` tells.
struct DryRun {
  struct Data {
    std::string description;
    std::optional<int64_t> examples_per_epoch;  ///< nothing: there is too little to learn from
  };

  Config config;             ///< completed by the data, where they are there
  std::optional<Data> data;  ///< nothing: they cannot be opened here
  std::string no_data;       ///< why not
  RunForecast forecast;
  int64_t device_memory = 0;
  bool this_machine = false;  ///< whose memory it is
  std::optional<double> flop_per_second;
  bool measured = false;  ///< flop_per_second
};

/// Throws DataError if the length of the run is given in epochs of data that are not there.
DryRun dry_run(const Config& config, const MeantMachines& machines);

std::string to_text(const DryRun& run);
nlohmann::json to_json(const DryRun& run);

}  // namespace ssa
