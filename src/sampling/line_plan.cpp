// Plans over a sequence: dense, unbiased, local.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sampling/noisy_order.h"
#include "sampling/plan_kinds.h"

namespace ssa {

namespace {

/// Writes the indices of [first, last) to `sources`, ascending.
void write_sources(std::vector<Noised>::const_iterator first,
                   std::vector<Noised>::const_iterator last, int32_t* sources) {
  int32_t* end =
      std::transform(first, last, sources, [](const Noised& element) { return element.index; });
  std::sort(sources, end);
}

void draw_causal(const PlanSpec& spec, const RngKey& key, SourcePlan& plan) {
  const int64_t window_size = plan.targets_per_window;
  const double scale = noise_scale(spec.sigma, spec.positions);
  std::vector<Noised> line;
  for (int64_t v = 0; v < plan.windows; ++v) {
    const int64_t first = v * window_size;  // of the last T entries of the order
    const int64_t visible = first + window_size;
    noise_places(draw_normals(key.with_stream(v), visible).data(), visible, 1, scale, line);
    // Only which elements are among the last T matters, not their order.
    std::nth_element(line.begin(), line.begin() + first, line.end());
    write_sources(line.begin() + first, line.end(), &plan.sources[static_cast<size_t>(first)]);
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
