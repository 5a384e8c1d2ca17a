#pragma once

#include <map>
#include <string>

#include "ssa/backend/backend.h"

namespace ssa {

/// Measures the seconds spent in each primitive of a backend, by name. While it lives,
/// backend(device) returns a wrapper that times every call. Only one may live at a time.
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
