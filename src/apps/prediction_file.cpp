#include "apps/prediction_file.h"

#include <filesystem>
#include <iostream>

#include "ssa/core/error.h"
#include "ssa/train/stop_signal.h"

namespace ssa {

namespace {

ConfigError unwritable(const std::string& option, const std::string& path,
                       const std::string& reason) {
  return ConfigError("{} {}: cannot be written: {}", option, path, reason);
}

}  // namespace

PredictionFile::PredictionFile(const std::string& path, std::string option)
    : path_(path), option_(std::move(option)) {
  if (path_ == "-") return;
  std::error_code ignored;
  if (std::filesystem::is_fifo(path_, ignored)) {
    StopSignal::nothing_to_save();
  } else {
    StopSignal::requested();  // from here on a stop has a file to remove
  }
  try {
    replacement_.emplace(path_);
  } catch (const CheckpointError& error) {
    throw unwritable(option_, path_, error.what());
  }
}

void PredictionFile::add(std::string_view line) {
  if (!replacement_) {
    std::cout << line << '\n';
    return;
  }
  if (failure_) return;
  try {
    replacement_->file().write(std::string(line) + '\n');
  } catch (const CheckpointError& error) {
    failure_ = error.what();
  }
}

void PredictionFile::finish() {
  if (!replacement_) return;  // the program checks standard output at its end
  if (failure_) throw unwritable(option_, path_, *failure_);
  try {
    replacement_->commit();
  } catch (const CheckpointError& error) {
    throw unwritable(option_, path_, error.what());
  }
}

}  // namespace ssa
