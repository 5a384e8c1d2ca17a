#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "dist/roll_call.h"

namespace ssa::testing {

std::unique_ptr<dist::RollCall> joined(int rank, int size, int port, const std::string& token = "",
                                       const std::string& address = "127.0.0.1");

/// A roll call whose ranks are all in this process.
class Ranks {
 public:
  explicit Ranks(int size);
  dist::RollCall& operator[](int rank) { return *ranks_.at(static_cast<size_t>(rank)); }
  /// Destroys it.
  void end(int rank) { ranks_.at(static_cast<size_t>(rank)).reset(); }

 private:
  std::vector<std::unique_ptr<dist::RollCall>> ranks_;
};

/// Whether the condition becomes true in that many seconds.
bool within(double seconds, const std::function<bool()>& condition);

}  // namespace ssa::testing
