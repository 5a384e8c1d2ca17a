#pragma once

#include <exception>
#include <functional>
#include <string>

#include "ssa/config/config.h"
#include "ssa/dist/communicator.h"

namespace ssa {

/// A config that is read before the ranks join, since it says how long they wait for each other.
/// What is wrong with it, get() throws: all ranks have it, and once they have joined it is said
/// once.
class EarlyConfig {
 public:
  explicit EarlyConfig(const std::function<Config()>& load);
  const Config& get() const;
  double timeout_seconds() const { return config_.distributed.timeout_seconds; }

 private:
  Config config_;
  std::exception_ptr error_;
};

/// As run_on_ranks() in app.h. The ranks have distributed.timeout_seconds to join; a signal
/// meanwhile ends the process at once. `body` gets the config.
int run_on_ranks(const std::string& program, const EarlyConfig& config,
                 const std::function<int(Communicator&, const Config&)>& body);

}  // namespace ssa
