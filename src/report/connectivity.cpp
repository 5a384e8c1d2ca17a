#include "report/connectivity.h"

#include <algorithm>
#include <bit>

#include "report/source_map.h"

namespace ssa::report {

namespace {

constexpr double kMostWork = 1e8;  // words of 64 positions joined in all draws

/// A set of positions for each position.
class PositionSets {
 public:
  explicit PositionSets(int64_t positions)
      : positions_(static_cast<size_t>(positions)),
        words_((positions_ + 63) / 64),
        bits_(positions_ * words_, 0) {
    for (size_t i = 0; i < positions_; ++i) row(i)[i / 64] |= uint64_t{1} << (i % 64);
  }

  size_t words() const { return words_; }
  uint64_t* row(size_t position) { return bits_.data() + position * words_; }
  const uint64_t* row(size_t position) const { return bits_.data() + position * words_; }

  double mean_part(bool causal) const {
    double sum = 0;
    for (size_t i = 0; i < positions_; ++i) {
      int64_t members = 0;
      for (size_t w = 0; w < words_; ++w) members += std::popcount(row(i)[w]);
      sum += static_cast<double>(members) / static_cast<double>(causal ? i + 1 : positions_);
    }
    return sum / static_cast<double>(positions_);
  }

 private:
  size_t positions_, words_;
  std::vector<uint64_t> bits_;
};

void join(uint64_t* set, const uint64_t* other, size_t words) {
  for (size_t w = 0; w < words; ++w) set[w] |= other[w];
}

/// The positions that reach each target through one more layer.
PositionSets through(const PositionSets& below, const SourcePlan& plan, bool causal) {
  PositionSets above = below;  // the residual connection
  std::vector<uint64_t> seen(below.words());
  for (int64_t window = 0; window < plan.windows; ++window) {
    const auto first = plan.targets.begin() + window * plan.targets_per_window;
    std::vector<int32_t> targets(first, first + plan.targets_per_window);
    std::sort(targets.begin(), targets.end());
    auto source = plan.sources.begin() + window * plan.sources_per_window;  // ascending
    const auto end = source + plan.sources_per_window;
    std::fill(seen.begin(), seen.end(), 0);
    for (const int32_t target : targets) {
      for (; source != end && (!causal || *source <= target); ++source) {
        join(seen.data(), below.row(static_cast<size_t>(*source)), below.words());
      }
      join(above.row(static_cast<size_t>(target)), seen.data(), below.words());
    }
  }
  return above;
}

}  // namespace

std::vector<double> reached_parts(const std::vector<SourcePlan>& plans, bool causal) {
  std::vector<double> parts;
  if (plans.empty() || plans.front().positions == 0) return parts;
  PositionSets reached(plans.front().positions);
  for (const SourcePlan& plan : plans) {
    reached = through(reached, plan, causal);
    parts.push_back(reached.mean_part(causal));
  }
  return parts;
}

Connectivity estimate_connectivity(std::vector<PlanSpec> specs, int64_t first_layer,
                                   const RngKey& key, int draws) {
  Connectivity result;
  const auto connects = [&](const PlanSpec& spec) {
    return spec.positions == specs.front().positions && !is_shifted(spec);
  };
  if (specs.empty() || !std::all_of(specs.begin(), specs.end(), connects)) return result;
  for (PlanSpec& spec : specs) spec = shortened(spec);
  const bool causal = specs.front().causal;
  result.positions = specs.front().positions;
  const auto positions = static_cast<double>(result.positions);
  double work = 0;  // of one draw; a causal plan shuffles again for each window
  for (const PlanSpec& spec : specs) {
    work += 4 * positions * (positions / 64) + positions * static_cast<double>(spec.windows);
  }
  result.draws = static_cast<int>(std::min<double>(draws, kMostWork / work));
  if (result.draws < 1) {
    result.draws = 0;
    return result;
  }
  result.reached.assign(specs.size(), 0.0);
  for (int draw = 0; draw < result.draws; ++draw) {
    RngKey step_key = key;
    step_key.step = static_cast<uint32_t>(draw);
    std::vector<SourcePlan> plans;
    for (size_t i = 0; i < specs.size(); ++i) {
      plans.push_back(
          draw_plan(specs[i], step_key.with_layer(first_layer + static_cast<int64_t>(i))));
    }
    const std::vector<double> parts = reached_parts(plans, causal);
    for (size_t i = 0; i < parts.size(); ++i) result.reached[i] += parts[i] / result.draws;
  }
  return result;
}

}  // namespace ssa::report
