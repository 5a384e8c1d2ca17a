#include "eval/shared_work.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace ssa {

namespace {

constexpr char kGoOn = '1', kStop = '0';

/// A rank's message in a round: whether to continue, and its item's numbers.
std::string message(bool stop, const std::vector<double>& numbers) {
  std::string text(1, stop ? kStop : kGoOn);
  text.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double));
  return text;
}

std::vector<double> numbers_in(const std::string& message) {
  std::vector<double> numbers((message.size() - 1) / sizeof(double));
  std::memcpy(numbers.data(), message.data() + 1, numbers.size() * sizeof(double));
  return numbers;
}

bool says_stop(const std::string& message) { return message.front() == kStop; }

}  // namespace

bool share_work(Communicator& ranks, const SharedWork& work) {
  const int64_t size = ranks.size();
  bool stop = false;
  for (int64_t first = 0; first < work.items; first += size) {
    const int64_t own = first + ranks.rank(), end = std::min(first + size, work.items);
    std::vector<double> numbers;
    if (own < end && !stop) numbers = work.compute(own);
    const std::vector<std::string> round = ranks.gather(
        message(stop, numbers),
        fmt::format("evaluation round {} of {}", first / size + 1, (work.items + size - 1) / size));
    if (std::any_of(round.begin(), round.end(), says_stop)) return false;
    for (int64_t item = first; item < end; ++item) {
      work.take(numbers_in(round[static_cast<size_t>(item - first)]));
    }
    stop = !work.go_on();
  }
  return true;
}

}  // namespace ssa
