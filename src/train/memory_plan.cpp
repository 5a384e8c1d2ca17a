#include "ssa/train/memory_plan.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <vector>

#include <unistd.h>

#include "ssa/train/counted_step.h"

namespace ssa {

namespace {

/// An eighth of the range of an int64_t leaves room for the sum of all parts.
constexpr int64_t kMostBytes = std::numeric_limits<int64_t>::max() / 8;

/// A config may need more bytes than an int64_t holds. The plan then says kMostBytes.
int64_t whole_bytes(double bytes) {
  return bytes < static_cast<double>(kMostBytes) ? static_cast<int64_t>(bytes) : kMostBytes;
}

/// The lowest limit in the files `name` of a control group and of the groups above it. In a
/// container the group's own path may not be visible; the topmost group is.
int64_t lowest_limit(const std::string& mount, std::filesystem::path group,
                     const std::string& name) {
  int64_t lowest = std::numeric_limits<int64_t>::max();
  for (;; group = group.parent_path()) {
    std::ifstream file(mount + group.string() + "/" + name);
    if (int64_t limit = 0; file >> limit && limit > 0) lowest = std::min(lowest, limit);
    if (group == group.parent_path()) return lowest;  // "max" is no number: no limit
  }
}

std::vector<int64_t> divisors_descending(int64_t number) {
  std::vector<int64_t> divisors;
  for (int64_t small = 1; small <= number / small; ++small) {
    if (number % small != 0) continue;
    divisors.push_back(small);
    if (small != number / small) divisors.push_back(number / small);
  }
  std::sort(divisors.rbegin(), divisors.rend());
  return divisors;
}

/// The plan for a length or a batch that no memory can hold. Parts that depend on neither are
/// exact.
MemoryPlan beyond_measure(const Config& config, int64_t ranks) {
  Config shortest = config;
  shortest.ssa.kind = SsaKind::none;
  shortest.data.length = 1;
  MemoryPlan plan = count_step(shortest, 1, ranks).memory;
  plan.activations = plan.workspace = kMostBytes;
  return plan;
}

/// Extrapolates from the plans for a number of sequences and for twice as many.
MemoryPlan extrapolated(const MemoryPlan& once, const MemoryPlan& twice, double factor) {
  const auto part = [&](int64_t MemoryPlan::*bytes) {
    const auto first = static_cast<double>(once.*bytes);
    return whole_bytes(first + (static_cast<double>(twice.*bytes) - first) * (factor - 1));
  };
  return {part(&MemoryPlan::parameters),  part(&MemoryPlan::packed_weights),
          part(&MemoryPlan::gradients),   part(&MemoryPlan::optimizer),
          part(&MemoryPlan::activations), part(&MemoryPlan::workspace)};
}

/// Plans of one config for several micro-batch sizes. Steps of up to kMostSequences and kMostTokens
/// are counted. Beyond that, memory grows linearly except for the allocator's rounding, which is
/// the same after halving and doubling.
class MemoryPlans {
 public:
  MemoryPlans(const Config& config, int64_t ranks) : config_(config), ranks_(ranks) {}

  MemoryPlan of(int64_t sequences) {
    if (config_.data.length > kMostCountedPositions) return beyond_measure(config_, ranks_);
    try {
      int64_t base = sequences;
      while (base > 1 && (base > kMostSequences || base * config_.data.length > kMostTokens)) {
        base = (base + 1) / 2;
      }
      if (base == sequences) return counted(base);
      const double factor = static_cast<double>(sequences) / static_cast<double>(base);
      return extrapolated(counted(base), counted(2 * base), factor);
    } catch (const OutOfMemoryError&) {
      return beyond_measure(config_, ranks_);
    }
  }

 private:
  static constexpr int64_t kMostSequences = 64, kMostTokens = int64_t{1} << 18;

  const MemoryPlan& counted(int64_t sequences) {
    const auto found = counted_.find(sequences);
    if (found != counted_.end()) return found->second;
    return counted_.emplace(sequences, count_step(config_, sequences, ranks_).memory).first->second;
  }

  const Config& config_;
  int64_t ranks_;
  std::map<int64_t, MemoryPlan> counted_;
};

}  // namespace

MemoryPlan plan_memory(const Config& config, int64_t sequences, int64_t ranks) {
  return MemoryPlans(config, ranks).of(sequences);
}

int64_t usable_memory(const std::string& root) {
  int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  const std::string mount = root + "/sys/fs/cgroup";
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") memory = std::min(memory, lowest_limit(mount, path, "memory.max"));
    if (controllers.find(",memory,") != std::string::npos) {  // version 1
      memory = std::min(memory, lowest_limit(mount + "/memory", path, "memory.limit_in_bytes"));
    }
  }
  return memory;
}

int64_t usable_memory(Device device) {
  return device == Device::cuda ? device_memory(device).capacity() : usable_memory();
}

int64_t resolve_micro_batch(const Config& config, int64_t memory, int64_t ranks) {
  if (config.train.micro_batch > 0) return config.train.micro_batch;
  MemoryPlans plans(config, ranks);
  for (const int64_t candidate : divisors_descending(config.train.batch_size / ranks)) {
    if (plans.of(candidate).total() <= memory / 2) return candidate;
  }
  return 1;
}

}  // namespace ssa
