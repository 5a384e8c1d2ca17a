#include "apps/bench.h"

#include <map>

#include "apps/app.h"

namespace ssa::bench {

DType chosen_dtype(const Options& options, Device device) {
  static const std::map<std::string, DType> known = {
      {"", DType::f32}, {"fp32", DType::f32}, {"bf16", DType::bf16}, {"fp16", DType::f16}};
  const auto found = known.find(options.precision);
  if (found == known.end()) {
    throw ConfigError("--precision {}: there are fp32, bf16 and fp16", options.precision);
  }
  if (!backend(device).supports(found->second)) {
    throw ConfigError("--precision {}: the {} backend does not compute in it", options.precision,
                      name(device));
  }
  return found->second;
}

PlanSpec local_spec(const Options& options) {
  PlanSpec spec;
  spec.kind = options.windows > 1 ? PlanKind::local_1d : PlanKind::dense;
  spec.positions = options.length;
  spec.causal = options.causal;
  spec.windows = options.windows;
  spec.sigma = options.sigma;
  validate(spec);
  return spec;
}

void finish(const Options& options, const nlohmann::json& json) {
  if (!options.json.empty()) write_json(options.json, json);
}

}  // namespace ssa::bench
