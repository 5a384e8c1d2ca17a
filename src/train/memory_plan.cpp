#include "ssa/train/memory_plan.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <vector>

#include <unistd.h>

#include "ssa/models/cost.h"
#include "ssa/train/lm_session.h"

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

/// Bytes of the activations of one micro-batch. What a block keeps for backward is what the ops'
/// lambdas capture (src/ops); what is alive for a moment is counted at the moments that may be the
/// highest.
class ActivationBytes {
 public:
  ActivationBytes(const Config& config, int64_t sequences)
      : element_(static_cast<double>(size_of(to_dtype(config.train.precision)))),
        rows_(static_cast<double>(sequences) * static_cast<double>(config.data.length)),
        width_(static_cast<double>(config.model.width)),
        hidden_(static_cast<double>(config.model.ffn_width)),
        heads_(static_cast<double>(config.model.heads)),
        layers_(static_cast<double>(config.model.layers)),
        vocabulary_(static_cast<double>(vocabulary_size(config))),
        checkpointing_(config.train.activation_checkpointing) {}

  /// Kept from forward to backward by all blocks.
  double kept() const {
    switch (checkpointing_) {
      case Checkpointing::none:
        return layers_ * (attention_half() + ffn_half());
      case Checkpointing::attention:
        return layers_ * (values(width_) + ffn_half());
      case Checkpointing::block:
        return layers_ * values(width_);
    }
    return 0;
  }

  /// The most that is alive beyond that: around the logits, or in the last block's backward pass,
  /// in either half of it.
  double transient() const {
    const double narrow_copy = element_ < 4 ? values(vocabulary_) : 0;
    const double logits = values(3 * width_) + floats(vocabulary_) + narrow_copy;
    const bool block = checkpointing_ == Checkpointing::block;
    const bool attention = checkpointing_ != Checkpointing::none;
    const double ffn = values(width_ + hidden_) + (block ? attention_half() + ffn_half() : 0);
    // The feed-forward half is gone by then. Rounded to bf16, sums of keys' and values' gradients
    // are in f32 before.
    const double sums = element_ < 4 ? floats(2 * width_) : 0;
    const double mixing =
        values(5 * width_) + sums + (attention ? attention_half() : 0) - (block ? 0 : ffn_half());
    return std::max({logits, ffn, mixing});
  }

 private:
  double values(double columns) const { return rows_ * columns * element_; }
  double floats(double columns) const { return rows_ * columns * 4; }
  /// Input, query, key, value, attention's output; the norm's statistics and log-sum-exps.
  double attention_half() const { return values(5 * width_) + floats(2 + heads_); }
  /// Input, hidden layer before its activation, the norm's statistics.
  double ffn_half() const { return values(width_ + hidden_) + floats(2); }

  double element_, rows_, width_, hidden_, heads_, layers_, vocabulary_;
  Checkpointing checkpointing_;
};

/// Bytes of the packed copies of the weights: one for forward, one for backward.
double packed_bytes(const Config& config) {
  const auto width = static_cast<double>(config.model.width);
  const auto hidden = static_cast<double>(config.model.ffn_width);
  const double block = 4 * width * width + 2 * width * hidden;
  const double matrices = block * static_cast<double>(config.model.layers) +
                          width * static_cast<double>(vocabulary_size(config));
  return 2 * matrices * static_cast<double>(size_of(to_dtype(config.train.precision)));
}

}  // namespace

MemoryPlan plan_memory(const Config& config, int64_t sequences) {
  const auto scalars = static_cast<double>(parameter_count(config));
  const double moments = config.train.optimizer.kind == OptimizerKind::sgd ? 1 : 2;
  const ActivationBytes activations(config, sequences);
  MemoryPlan plan;
  plan.parameters = whole_bytes(scalars * 4);
  plan.packed_weights = whole_bytes(packed_bytes(config));
  plan.gradients = whole_bytes(scalars * 4);
  plan.optimizer = whole_bytes(scalars * 4 * moments);
  plan.activations = whole_bytes(activations.kept());
  plan.workspace = whole_bytes(activations.transient());
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
