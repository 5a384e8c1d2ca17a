#include "eval/reading.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "ssa/core/allocator.h"
#include "ssa/core/device_memory.h"
#include "ssa/core/error.h"
#include "ssa/core/system_limits.h"
#include "ssa/models/decoder_plans.h"

namespace ssa {

ReadingPlans reading_plans(const std::vector<PlanSpec>& specs, RngKey key, int64_t samples,
                           Device device) {
  ReadingPlans plans;
  for (size_t layer = 0; layer < specs.size(); ++layer) {
    const PlanSpec& spec = specs[layer];
    std::vector<ReadingPlan>& of_layer = plans.emplace_back();
    for (int64_t r = 0; r < (spec.kind == PlanKind::dense ? 1 : samples); ++r) {
      key.rank = static_cast<uint16_t>(r);
      of_layer.emplace_back(draw_plan(spec, key.with_layer(static_cast<int64_t>(layer))), device);
    }
  }
  return plans;
}

std::vector<double> finite_scores(const Tensor& on_device, const std::string& of) {
  const Tensor scores = on_device.on_host();
  std::vector<double> values(static_cast<size_t>(scores.numel()));
  visit_floating(scores.dtype(), [&]<class T>(TypeTag<T>) {
    const T* from = scores.data<T>();
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(from[i]);
  });
  if (std::any_of(values.begin(), values.end(), [](double score) {
        return std::isnan(score) || score == std::numeric_limits<double>::infinity();
      })) {
    throw DivergedError("the model's prediction for {} is not finite: the run has diverged", of);
  }
  return values;
}

std::vector<double> mean_prediction(const std::vector<double>& scores, int64_t vocabulary,
                                    int64_t first, int64_t step) {
  const int64_t rows = std::ssize(scores) / vocabulary;
  std::vector<double> mean(static_cast<size_t>(vocabulary), 0.0);
  int64_t averaged = 0;
  for (int64_t r = first; r < rows; r += step, ++averaged) {
    const auto row = scores.begin() + r * vocabulary, end = row + vocabulary;
    const double highest = *std::max_element(row, end);
    double total = 0;
    for (auto score = row; score != end; ++score) total += std::exp(*score - highest);
    for (size_t i = 0; i < mean.size(); ++i) {
      mean[i] += std::exp(row[static_cast<int64_t>(i)] - highest) / total;
    }
  }
  for (double& value : mean) value = std::log(value / static_cast<double>(averaged));
  return mean;
}

int64_t side_by_side(int64_t each, int64_t free, int64_t count, const char* what, int64_t samples) {
  if (each > free) {
    throw OutOfMemoryError(fmt::format(
        "out of memory: the keys and values of a {} need {:.0f} MiB for {} sub-models, but "
        "only {:.0f} MiB are free. Free memory, raise its limit, or draw with fewer sub-models "
        "(--samples)",
        what, static_cast<double>(each) / 0x1p20, samples, static_cast<double>(free) / 0x1p20));
  }
  return std::clamp<int64_t>(free / 2 / each, 1, count);
}

int64_t free_on(Device device) {
  if (device != Device::cuda) return std::min(free_memory(), free_addresses());
  return device_memory(device).capacity() - allocator(device).stats().total_bytes;
}

}  // namespace ssa
