#include "ssa/dist/communicator.h"

#include <algorithm>
#include <cstring>

#include "dist/leave_process.h"

namespace ssa {

std::vector<double> Communicator::gather(std::span<const double> own, const std::string& what) {
  const std::string bytes(reinterpret_cast<const char*>(own.data()), own.size_bytes());
  std::vector<double> all;
  all.reserve(own.size() * static_cast<size_t>(size()));
  for (const std::string& part : gather(bytes, what)) {
    SSA_CHECK(part.size() == bytes.size(), "gather of {}: {} values from one rank, {} from another",
              what, part.size() / sizeof(double), own.size());
    const size_t before = all.size();
    all.resize(before + own.size());
    std::memcpy(all.data() + before, part.data(), part.size());
  }
  return all;
}

std::string Communicator::broadcast(const std::string& from_rank_0, const std::string& what) {
  return gather(rank() == 0 ? from_rank_0 : std::string(), what).front();
}

bool Communicator::any(bool own, const std::string& what) {
  const std::vector<std::string> all = gather(std::string(1, own ? '1' : '0'), what);
  return std::any_of(all.begin(), all.end(), [](const std::string& flag) { return flag == "1"; });
}

void Communicator::abort(ExitCode code) noexcept {
  end_job(code);
  dist::leave_process(code);
}

}  // namespace ssa
