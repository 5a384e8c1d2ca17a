#pragma once

#include <memory>
#include <string>

namespace ssa {

/// While one exists, log messages also go to a file, with date and time, behind what is there
/// already.
class LogFile {
 public:
  /// Throws CheckpointError if the file cannot be opened.
  explicit LogFile(const std::string& path);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

 private:
  struct Sink;
  std::unique_ptr<Sink> sink_;
};

}  // namespace ssa
