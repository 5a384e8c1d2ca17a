#include "ssa/tasks/task.h"

namespace ssa {

namespace {

std::string size_text(const DataIdentity& data) {
  return data.checksum.empty()
             ? fmt::format("{} bytes", data.bytes)
             : fmt::format("{} bytes with checksum {}", data.bytes, data.checksum);
}

/// What either of them does not state is not compared.
bool differ(const std::string& a, const std::string& b) {
  return !a.empty() && !b.empty() && a != b;
}

}  // namespace

std::string to_text(const DataIdentity& data) {
  return data.name.empty() ? size_text(data) : fmt::format("{} ({})", data.name, size_text(data));
}

std::string data_difference(const DataIdentity& run, const DataIdentity& data) {
  const bool is_known = run.bytes > 0 || !run.checksum.empty();  // not of imported weights
  if ((is_known && run.bytes != data.bytes) || differ(run.checksum, data.checksum)) {
    return fmt::format("{}, the run's data {}", size_text(data), size_text(run));
  }
  if (differ(run.vocabulary_checksum, data.vocabulary_checksum)) {
    return fmt::format("a vocabulary with checksum {}, the run's data one with {}",
                       data.vocabulary_checksum, run.vocabulary_checksum);
  }
  return {};
}

}  // namespace ssa
