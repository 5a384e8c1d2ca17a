#pragma once

#include <map>
#include <string>
#include <vector>

#include "ssa/backend/backend.h"

namespace ssa {

/// Work of a device, in its own time: seconds since the first work of a profile.
struct DeviceWork {
  const char* name = "";
  double begin = 0, end = 0;
};

/// Measures each primitive of a backend, by name. While it lives, backend(device) returns a wrapper
/// that times every call, which is a TraceRange too. Only one may live at a time.
class BackendProfile {
 public:
  enum class Timing {
    wait,  ///< for the device after every call: seconds() are those of the calls
    marks  ///< the device notes the times itself and is not slowed down: see device_work()
  };
  explicit BackendProfile(Device device, Timing timing = Timing::wait);
  ~BackendProfile();
  BackendProfile(const BackendProfile&) = delete;
  BackendProfile& operator=(const BackendProfile&) = delete;

  const std::map<std::string, double>& seconds() const;
  void reset();
  /// Timing::marks: what the device has done, in its order, and the trace_clock() of the first
  /// call. Waits for the device.
  std::vector<DeviceWork> device_work() const;
  int64_t first_call() const;

 private:
  class Wrapper;
  Wrapper* wrapper_;
};

}  // namespace ssa
