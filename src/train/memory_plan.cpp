#include "ssa/train/memory_plan.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <vector>

#include <unistd.h>

#include "ssa/models/cost.h"
#include "ssa/models/decoder_lm.h"
#include "ssa/models/decoder_plans.h"
#include "ssa/models/precision.h"

#include "train/bucket_layout.h"

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

/// The bands of an adaptive embedding; one of the whole vocabulary for a plain one.
std::vector<nn::Band> bands_of(const Config& config) {
  const EmbeddingConfig& embedding = config.model.embedding;
  const bool adaptive = embedding.kind == EmbeddingKind::adaptive;
  return nn::vocabulary_bands(vocabulary_size(config),
                              adaptive ? embedding.cutoffs : std::vector<int64_t>{},
                              config.model.width, embedding.factor);
}

/// Σ 1/n over the first words, by which the part of a text that they make up is guessed: the word
/// of rank n comes as often as 1/n (Zipf).
double harmonic(int64_t words) {
  constexpr double kEuler = 0.5772156649;
  return words > 0 ? std::log(static_cast<double>(words)) + kEuler : 0.0;
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
        length_(static_cast<double>(config.data.length)),
        matrices_(matrix_columns(config)),
        kept_matrices_(config.model.attention_dropout > 0 ? 2 : 1),
        bands_(bands_of(config)),
        adaptive_(config.model.embedding.kind == EmbeddingKind::adaptive),
        checkpointing_(config.train.activation_checkpointing) {}

  /// Kept from forward to backward by all blocks, and by an adaptive input.
  double kept() const {
    double blocks = 0;
    for (const double matrix : matrices_) blocks += kept_by_block(matrix);
    return blocks + (adaptive_ ? looked_up() : 0);
  }

  /// The most that is alive beyond that: around the logits, or in a block's backward pass, when
  /// the blocks behind it have given back what they kept. That is the last block, unless an earlier
  /// one stores a larger matrix.
  double transient() const {
    double most = adaptive_ ? adaptive_output() : plain_output(), given_back = 0;
    for (auto matrix = matrices_.rbegin(); matrix != matrices_.rend(); ++matrix) {
      most = std::max(most, block_backward(*matrix) - given_back);
      given_back += kept_by_block(*matrix);
    }
    return most;
  }

 private:
  /// Of each layer, the logits of a position that are stored: none in fused attention.
  static std::vector<double> matrix_columns(const Config& config) {
    std::vector<double> columns;
    for (const PlanSpec& spec :
         decoder_plan_specs(config.ssa, config.model.layers, config.data.length)) {
      const bool stored = config.model.attention == AttentionKind::materialized;
      columns.push_back(stored ? static_cast<double>(config.model.heads) * sampled_fraction(spec) *
                                     static_cast<double>(spec.positions)
                               : 0.0);
    }
    return columns;
  }

  double kept_by_block(double matrix) const {
    switch (checkpointing_) {
      case Checkpointing::none:
        return attention_half(matrix) + ffn_half();
      case Checkpointing::attention:
        return values(width_) + ffn_half();
      case Checkpointing::block:
        return values(width_);
    }
    return 0;
  }

  /// The most that is alive in either half beyond what all blocks keep.
  double block_backward(double matrix) const {
    const bool block = checkpointing_ == Checkpointing::block;
    const bool attention = checkpointing_ != Checkpointing::none;
    const double ffn = values(width_ + hidden_) + (block ? attention_half(matrix) + ffn_half() : 0);
    // The feed-forward half is gone by then.
    const double mixing = mixing_backward(matrix) + (attention ? attention_half(matrix) : 0) -
                          (block ? 0 : ffn_half());
    return std::max(ffn, mixing);
  }

  /// Gradients of attention and of the residual, and of query, key and value.
  double mixing_backward(double matrix) const {
    // Rounded to bf16, sums of keys' and values' gradients are in f32 before.
    if (matrix == 0) return values(5 * width_) + (element_ < 4 ? floats(2 * width_) : 0);
    // The matrix's gradient; gradients of query and key as rows, the rows of one, and two windows
    // of them. The result itself is not looked at again.
    const double window = matrix / (heads_ * length_);
    return values(7 * width_ + 2 * width_ * window + matrix);
  }

  double plain_output() const {
    const auto vocabulary = static_cast<double>(bands_.front().size);
    const double narrow_copy = element_ < 4 ? values(vocabulary) : 0;
    return values(3 * width_) + floats(vocabulary) + narrow_copy;
  }

  /// Around linear_cross_entropy() of one band: its chunk of logits, their gradient for products,
  /// the hidden rows before and after dropout with their gradient, and the tails' part of them.
  double adaptive_output() const {
    double most = 0, tails = 0;
    for (const nn::Band& band : bands_) {
      const bool head = band.first == 0;
      const double rows =
          head ? rows_ : std::min(rows_, rows_ * share(band) + static_cast<double>(nn::kRowsUnit));
      const double columns =
          static_cast<double>(band.size) + (head ? static_cast<double>(bands_.size() - 1) : 0);
      const double fit = std::max(32.0, static_cast<double>(ops::kLogitsBytes) / (columns * 4));
      most = std::max(most, std::min(rows, fit) * columns * (element_ < 4 ? 4 + element_ : 4));
      const double columns_of_row = width_ + 2 * static_cast<double>(band.width);
      if (!head) tails += rows * columns_of_row * element_;
    }
    return values(3 * width_) + tails + most;
  }

  /// The rows of the bands' tables, before they are projected.
  double looked_up() const {
    double columns = 0;
    for (const nn::Band& band : bands_) columns += share(band) * static_cast<double>(band.width);
    return values(columns);
  }

  /// Guessed part of a text that is in a band.
  double share(const nn::Band& band) const {
    const nn::Band& last = bands_.back();
    return (harmonic(band.first + band.size) - harmonic(band.first)) /
           harmonic(last.first + last.size);
  }

  double values(double columns) const { return rows_ * columns * element_; }
  double floats(double columns) const { return rows_ * columns * 4; }
  /// Input, query, key, value, attention's output; the norm's statistics and log-sum-exps.
  /// Of materialised attention the weights, before and after dropout, instead of the latter.
  double attention_half(double matrix) const {
    return values(5 * width_) +
           (matrix == 0 ? floats(2 + heads_) : floats(2) + values(kept_matrices_ * matrix));
  }
  /// Input, hidden layer before its activation, the norm's statistics.
  double ffn_half() const { return values(width_ + hidden_) + floats(2); }

  double element_, rows_, width_, hidden_, heads_, length_;
  std::vector<double> matrices_;  // columns by layer
  double kept_matrices_;
  std::vector<nn::Band> bands_;
  bool adaptive_;
  Checkpointing checkpointing_;
};

/// Scalars of both packed copies of a matrix (out, in) that may be narrow: columns come in blocks.
double packed_copies(int64_t out, int64_t in) {
  constexpr int64_t kBlock = 64;
  const auto whole_blocks = [](int64_t n) { return (n + kBlock - 1) / kBlock * kBlock; };
  return static_cast<double>(in) * static_cast<double>(whole_blocks(out)) +
         static_cast<double>(out) * static_cast<double>(whole_blocks(in));
}

/// The same for all matrices of input and output that enter products.
double packed_vocabulary(const Config& config) {
  const EmbeddingConfig& embedding = config.model.embedding;
  const int64_t width = config.model.width;
  if (embedding.kind == EmbeddingKind::plain) {
    return 2 * static_cast<double>(width) * static_cast<double>(vocabulary_size(config));
  }
  const std::vector<nn::Band> bands = bands_of(config);
  const auto tails = static_cast<int64_t>(bands.size()) - 1;
  double total = 0;
  for (const nn::Band& band : bands) {
    const bool head = band.first == 0;
    total += packed_copies(band.size + (head ? tails : 0), band.width);
    total += packed_copies(width, band.width);
    if (!head && !embedding.tie_projections) total += packed_copies(band.width, width);
  }
  return total;
}

/// Bytes of the packed copies of the weights: one for forward, one for backward.
double packed_bytes(const Config& config) {
  const auto width = static_cast<double>(config.model.width);
  const auto hidden = static_cast<double>(config.model.ffn_width);
  const double block = 4 * width * width + 2 * width * hidden;
  const double scalars =
      2 * block * static_cast<double>(config.model.layers) + packed_vocabulary(config);
  return scalars * static_cast<double>(size_of(to_dtype(config.train.precision)));
}

/// Of one of several ranks: buckets of gradients with gaps and padding, and the copies of them that
/// are sent.
struct BucketSizes {
  BucketSizes(const Config& config, const ParameterStore& store, int64_t ranks) {
    const bool copies = config.distributed.reduce_precision == ReducePrecision::bf16;
    for (const BucketLayout& bucket :
         lay_out_buckets(store.all(), DType::f32, config.distributed, ranks)) {
      const auto count = static_cast<size_t>(bucket.count);
      scalars += static_cast<double>(count);
      bytes += static_cast<double>(CachingAllocator::rounded_size(count * 4));
      if (copies) bytes += static_cast<double>(CachingAllocator::rounded_size(count * 2));
    }
  }
  double scalars = 0, bytes = 0;
};

}  // namespace

MemoryPlan plan_memory(const Config& config, int64_t sequences, int64_t ranks) {
  ParameterStore store = ParameterStore::dry();
  const DecoderLm model(config.model, vocabulary_size(config), store);
  const auto scalars = static_cast<double>(store.count());
  double gradients = scalars * 4, updated = scalars;
  if (ranks > 1) {
    const BucketSizes buckets(config, store, ranks);
    gradients = buckets.bytes;
    if (config.distributed.shard_optimizer) updated = buckets.scalars / static_cast<double>(ranks);
  }
  const double moments = config.train.optimizer.kind == OptimizerKind::sgd ? 1 : 2;
  const ActivationBytes activations(config, sequences);
  MemoryPlan plan;
  plan.parameters = whole_bytes(scalars * 4);
  plan.packed_weights = whole_bytes(packed_bytes(config));
  plan.gradients = whole_bytes(gradients);
  plan.optimizer = whole_bytes(updated * 4 * moments);
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

int64_t usable_memory(Device device) {
  return device == Device::cuda ? device_memory(device).capacity() : usable_memory();
}

int64_t resolve_micro_batch(const Config& config, int64_t memory, int64_t ranks) {
  if (config.train.micro_batch > 0) return config.train.micro_batch;
  for (const int64_t candidate : divisors_descending(config.train.batch_size / ranks)) {
    if (plan_memory(config, candidate, ranks).total() <= memory / 2) return candidate;
  }
  return 1;
}

}  // namespace ssa
