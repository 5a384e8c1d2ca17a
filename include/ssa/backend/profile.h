#pragma once

#include <map>
#include <string>

#include "ssa/backend/backend.h"

namespace ssa {

/// Seconds spent in each primitive of a backend, by name, while this object lives: every call of
/// backend(device) in between goes through a wrapper that measures. One at a time.
class BackendProfile {
 public:
  explicit BackendProfile(Device device);
  ~BackendProfile();
  BackendProfile(const BackendProfile&) = delete;
  BackendProfile& operator=(const BackendProfile&) = delete;

  const std::map<std::string, double>& seconds() const;
  void reset();

 private:
  class Wrapper;
  Wrapper* wrapper_;
};

}  // namespace ssa
