#include "dist/roll_call_ranks.h"

#include <thread>

namespace ssa::testing {

std::unique_ptr<dist::RollCall> joined(int rank, int size, int port, const std::string& token,
                                       const std::string& address) {
  return dist::RollCall::join(rank, size, {address}, port, std::chrono::seconds(10), token);
}

Ranks::Ranks(int size) {
  ranks_.push_back(dist::RollCall::serve(size, 0));
  const int port = ranks_.front()->port();
  for (int rank = 1; rank < size; ++rank) ranks_.push_back(joined(rank, size, port));
}

bool within(double seconds, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace ssa::testing
