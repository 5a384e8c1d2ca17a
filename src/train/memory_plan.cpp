#include "ssa/train/memory_plan.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <vector>

#include <unistd.h>

#include "ssa/models/cost.h"

namespace ssa {

namespace {

/// Sizes are computed in double: a config may ask for more than an int64_t holds, and has to be
/// told so. An eighth of its range leaves room for the sum of all parts.
int64_t whole_bytes(double bytes) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 8;
  return bytes < static_cast<double>(kMost) ? static_cast<int64_t>(bytes) : kMost;
}

/// The lowest limit that a file `name` states in a control group or one of those above it. In a
/// container the group's own path may not be visible, the topmost then is.
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

}  // namespace

MemoryPlan plan_memory(const Config& config, int64_t sequences) {
  const double element = config.train.precision == Precision::fp32 ? 4 : 2;
  const double rows = static_cast<double>(sequences) * static_cast<double>(config.data.length);
  const auto scalars = static_cast<double>(parameter_count(config));
  const double moments = config.train.optimizer.kind == OptimizerKind::sgd ? 1 : 2;
  const auto width = static_cast<double>(config.model.width);
  const auto hidden = static_cast<double>(config.model.ffn_width);
  const auto layers = static_cast<double>(config.model.layers);
  const auto heads = static_cast<double>(config.model.heads);

  // Kept by a block for each token: input, both norms' outputs, query, key, value, attention's
  // output, the sum after attention (8·width), and the hidden layer before and after its
  // activation; means, deviations and log-sum-exps in f32.
  const double saved = rows * ((8 * width + 2 * hidden) * element + (4 + heads) * 4);
  // Live at once in the middle of a block's backward pass.
  const double transient = rows * (3 * width + hidden) * element;
  const double logits = rows * static_cast<double>(vocabulary_size(config)) * element;

  // With checkpointing, every block's input; the logits are gone when the first block is computed
  // again.
  const double blocks = config.train.activation_checkpointing
                            ? rows * width * element * layers + std::max(saved, logits)
                            : saved * layers + logits;
  MemoryPlan plan;
  plan.parameters = whole_bytes(scalars * 4);
  plan.gradients = whole_bytes(scalars * 4);
  plan.optimizer = whole_bytes(scalars * 4 * moments);
  plan.activations = whole_bytes(blocks + 2 * rows * width * element);
  plan.workspace = whole_bytes(std::max(transient, logits));
  return plan;
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

int64_t resolve_micro_batch(const Config& config, int64_t memory) {
  if (config.train.micro_batch > 0) return config.train.micro_batch;
  for (const int64_t candidate : divisors_descending(config.train.batch_size)) {
    if (plan_memory(config, candidate).total() <= memory / 2) return candidate;
  }
  return 1;
}

}  // namespace ssa
