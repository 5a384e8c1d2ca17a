#include "train/start_record.h"

#include <chrono>

#include <fmt/chrono.h>
#include <nlohmann/json.hpp>

#include "ssa/core/version.h"

namespace ssa {

std::string start_record(const std::string& device, int ranks, const DataIdentity& data) {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  const nlohmann::json record = {{"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now))},
                                 {"device", device},
                                 {"ranks", ranks},
                                 {"engine", {{"version", version()}, {"commit", git_commit()}}},
                                 {"data",
                                  {{"name", data.name},
                                   {"path", data.path},
                                   {"bytes", data.bytes},
                                   {"checksum", data.checksum}}}};
  return record.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace ssa
