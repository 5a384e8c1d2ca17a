#include "backend/cpu/window_shapes.h"

#include <map>

namespace ssa::cpu {

namespace {

/// Appends the codes of some positions, less `origin`.
void append_codes(const int32_t* positions, int64_t count, const std::vector<int32_t>& codes,
                  int32_t origin, std::vector<int32_t>& to) {
  for (int64_t i = 0; i < count; ++i) {
    to.push_back(codes[static_cast<size_t>(positions[i])] - origin);
  }
}

}  // namespace

WindowShapes::WindowShapes(const PlanTensors& plan, const std::vector<int32_t>& codes) {
  const int64_t targets = plan.targets_per_window(), sources = plan.sources_per_window();
  std::map<std::vector<int32_t>, int32_t> known;
  for (int64_t window = 0; window < plan.windows(); ++window) {
    const int32_t* target = plan.targets.data<int32_t>() + window * targets;
    const int32_t* source = plan.sources.data<int32_t>() + window * sources;
    const int32_t origin = codes[static_cast<size_t>(target[0])];
    std::vector<int32_t> offsets;
    append_codes(target, targets, codes, origin, offsets);
    append_codes(source, sources, codes, origin, offsets);
    const auto [shape, is_new] =
        known.try_emplace(std::move(offsets), static_cast<int32_t>(known.size()));
    if (is_new) first_windows_.push_back(window);
    of_windows_.push_back(shape->second);
  }
}

}  // namespace ssa::cpu
