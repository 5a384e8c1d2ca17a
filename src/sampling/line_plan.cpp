// Plans over a sequence: dense, unbiased, local.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sampling/noisy_order.h"
#include "sampling/plan_kinds.h"

namespace ssa {

namespace {

/// The last `kept` elements of the noised order of positions 0 … end-1, in any order.
///
/// A normal of a 32-bit word is bounded, so that no position is noised farther than `reach`.
/// Positions are drawn from the end of the line backwards until none is left that could still get
/// among the last: the cost depends on `kept` and `scale`, not on how long the line is.
void draw_last(const RngKey& key, int64_t end, int64_t kept, double scale,
               std::vector<Noised>& last) {
  static const double kLargestNormal = -normal_from_word(0);
  const double reach = scale * kLargestNormal;
  last.clear();
  int64_t drawn = end - kept;  // this position and all after it
  add_noised_places(key, drawn, end, scale, last);
  double smallest = std::min_element(last.begin(), last.end())->place;
  // Rounding is monotone, so that the place of `drawn - 1` is at most this sum as computed.
  while (drawn > 0 && static_cast<double>(drawn - 1) + reach >= smallest) {
    const double farthest = std::max(smallest - reach, 0.0);
    const int64_t begin = std::max<int64_t>(drawn - kept, 0);
    const int64_t next = std::clamp(static_cast<int64_t>(farthest), begin, drawn - 1);
    add_noised_places(key, next, drawn, scale, last);
    keep_last(kept, last);
    smallest = last.front().place;
    drawn = next;
  }
}

void draw_causal(const PlanSpec& spec, const RngKey& key, SourcePlan& plan) {
  const int64_t window_size = plan.targets_per_window;
  const double scale = noise_scale(spec.sigma, spec.positions);
  std::vector<Noised> last;
  for (int64_t v = 0; v < plan.windows; ++v) {
    const int64_t first = v * window_size;
    draw_last(key.with_stream(v), first + window_size, window_size, scale, last);
    int32_t* sources = &plan.sources[static_cast<size_t>(first)];
    std::transform(last.begin(), last.end(), sources,
                   [](const Noised& element) { return element.index; });
    std::sort(sources, sources + window_size);
  }
}

}  // namespace

SourcePlan draw_dense(const PlanSpec& spec) {
  SourcePlan plan = plan_in_order(spec);
  plan.sources = plan.targets;
  return plan;
}

int64_t kept_sources(double drop, int64_t candidates) {
  return std::llround((1.0 - drop) * static_cast<double>(candidates));
}

std::vector<int32_t> draw_kept_positions(int64_t positions, double drop, const RngKey& key) {
  return draw_sample(key, positions, kept_sources(drop, positions));
}

SourcePlan draw_unbiased(const PlanSpec& spec, const RngKey& key) {
  SourcePlan plan = plan_in_order(spec);
  plan.sources = draw_kept_positions(spec.positions, spec.drop, key.with_stream(0));
  return plan;
}

std::vector<int32_t> draw_noisy_order(int64_t positions, double sigma, const RngKey& key) {
  std::vector<Noised> line;
  noise_places(draw_normals(key, positions).data(), positions, 1, noise_scale(sigma, positions),
               line);
  std::sort(line.begin(), line.end());
  std::vector<int32_t> order;
  order.reserve(line.size());
  for (const Noised& element : line) order.push_back(element.index);
  return order;
}

SourcePlan draw_local_1d(const PlanSpec& spec, const RngKey& key) {
  SourcePlan plan = plan_in_order(spec);
  const int64_t window_size = plan.targets_per_window;
  if (spec.causal) {
    draw_causal(spec, key, plan);
    return plan;
  }
  plan.sources = draw_noisy_order(spec.positions, spec.sigma, key.with_stream(0));
  for (auto first = plan.sources.begin(); first != plan.sources.end(); first += window_size) {
    std::sort(first, first + window_size);
  }
  return plan;
}

}  // namespace ssa
