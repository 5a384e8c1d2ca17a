// Swin-T with weights and images made by a formula, against timm's results in f64
// (tests/fixtures/swin_golden.json).

#include <cmath>
#include <fstream>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "ssa/models/decoder_plans.h"
#include "ssa/models/swin.h"

#include "support/tensors.h"

namespace ssa {
namespace {

using namespace testing;
using nlohmann::json;

constexpr int64_t kImages = 2;  ///< the fixture's loss is their mean

/// Element i of tensor t, in (-1, 1).
double golden_value(uint32_t tensor, uint32_t element) {
  uint32_t x = (element + 1) * 2654435761U + (tensor + 1) * 2246822519U;
  x ^= x >> 15;
  x *= 2246822519U;
  x ^= x >> 13;
  x *= 3266489917U;
  x ^= x >> 16;
  return x / 2147483648.0 - 1.0;
}

/// A parameter's values are a part of one of timm's tensors, which are numbered in timm's order.
struct Place {
  std::string name;
  uint32_t tensor = 0;
  double factor = 0;
  double base = 0;
  int64_t part = 0;  ///< query, key and value are the three parts of one tensor
};

std::vector<Place> places(const SwinShape& shape) {
  std::vector<Place> all;
  uint32_t tensor = 0;
  const auto add = [&](const std::string& name, double factor, double base = 0) {
    all.push_back({name, tensor++, factor, base, 0});
  };
  const auto map = [&](const std::string& name) {
    add(name + ".weight", 0.08);
    add(name + ".bias", 0.1);
  };
  const auto norm = [&](const std::string& name) {
    add(name + ".weight", 0.2, 1.0);
    add(name + ".bias", 0.1);
  };
  add("patch_embedding.weight", 0.3);
  add("patch_embedding.bias", 0.1);
  norm("patch_norm");
  for (size_t s = 0; s < shape.depths.size(); ++s) {
    const std::string stage = fmt::format("stages.{}", s);
    if (s > 0) {
      norm(stage + ".merge_norm");
      add(stage + ".merge.weight", 0.08);
    }
    for (int64_t i = 0; i < shape.depths[s]; ++i) {
      const std::string block = fmt::format("{}.blocks.{}", stage, i);
      norm(block + ".attention_norm");
      add(block + ".attention.relative_bias", 1.5);
      for (const auto& [kind, factor] : {std::pair{".weight", 0.08}, std::pair{".bias", 0.1}}) {
        int64_t part = 0;
        for (const char* which : {"query", "key", "value"}) {
          all.push_back({block + ".attention." + which + kind, tensor, factor, 0.0, part++});
        }
        ++tensor;
      }
      map(block + ".attention.output");
      norm(block + ".ffn_norm");
      map(block + ".ffn.up");
      map(block + ".ffn.down");
    }
  }
  norm("final_norm");
  map("head");
  return all;
}

/// The dtype, and the largest errors: of logits relative to the largest, of the norm of a gradient
/// relative to itself.
struct Precision {
  Device device;
  DType dtype;
  double logits;
  double gradients;
};
const Precision kDouble = {Device::reference, DType::f64, 1e-10, 1e-10};
const Precision kSingle = {Device::cpu, DType::f32, 1e-5, 2e-5};

Tensor as(const Tensor& values, const Precision& precision) {
  Tensor result = Tensor::empty(values.shape(), precision.dtype, Device::reference);
  backend(Device::reference).copy(values, result);
  return result.to(precision.device, MemoryCategory::data);
}

/// Fills a parameter by the formula.
void fill(const Parameter& parameter, const Place& place, const Precision& precision) {
  const int64_t count = parameter.shape.numel();
  Tensor values = Tensor::empty(parameter.shape, DType::f64, Device::reference);
  for (int64_t i = 0; i < count; ++i) {
    const auto element = static_cast<uint32_t>(place.part * count + i);
    values.data<double>()[i] = place.base + place.factor * golden_value(place.tensor, element);
  }
  Tensor to = parameter.variable.value();
  backend(to.device()).copy(as(values, precision), to);
}

/// (count, S, S, 3): the first of the images that the formula gives as (B, 3, S, S).
Tensor images(int64_t count, int64_t side) {
  Tensor result = Tensor::empty({count, side, side, 3}, DType::f64, Device::reference);
  for (int64_t b = 0, i = 0; b < count; ++b) {
    for (int64_t pixel = 0; pixel < side * side; ++pixel) {
      for (int64_t channel = 0; channel < 3; ++channel, ++i) {
        const int64_t element = (b * 3 + channel) * side * side + pixel;
        result.data<double>()[i] = 2 * golden_value(1000, static_cast<uint32_t>(element));
      }
    }
  }
  return result;
}

/// A plan in which cell k of window n is landed on by its cell (45k + 7n) mod 196; `whole` is the
/// plan of the same block with whole windows of 14 x 14.
SourcePlan fixed_plan(const SourcePlan& whole) {
  constexpr int64_t kWindow = 14, kSub = 7, kCells = kWindow * kWindow;
  SourcePlan plan = whole;
  plan.windows *= 4;
  plan.targets_per_window = plan.sources_per_window = kSub * kSub;
  plan.targets.clear();
  plan.sources.clear();
  for (int64_t n = 0; n < whole.windows; ++n) {
    for (int64_t sub = 0; sub < 4; ++sub) {
      const size_t first = plan.sources.size();
      for (int64_t i = 0; i < kSub * kSub; ++i) {
        const int64_t row = sub / 2 * kSub + i / kSub, column = sub % 2 * kSub + i % kSub;
        const int64_t cell = row * kWindow + column;
        const auto at = [&](int64_t k) {
          return whole.targets[static_cast<size_t>(n * kCells + k)];
        };
        plan.targets.push_back(at(cell));
        plan.sources.push_back(at((45 * cell + 7 * n) % kCells));
      }
      std::sort(plan.sources.begin() + static_cast<std::ptrdiff_t>(first), plan.sources.end());
    }
  }
  return plan;
}

class GoldenSwin {
 public:
  /// Blocks first … last-1 have the fixed plan.
  GoldenSwin(int64_t window, size_t first, size_t last, const Precision& precision,
             int64_t count = kImages)
      : precision_(precision), store_(precision.device, precision.dtype, 1) {
    shape_.window = window;
    model_.emplace(shape_, store_);
    std::map<std::string, const Parameter*> by_name;
    for (const Parameter& parameter : store_.all()) by_name[parameter.name] = &parameter;
    const std::vector<Place> all = places(shape_);
    REQUIRE(all.size() == by_name.size());
    for (const Place& place : all) {
      INFO(place.name);
      REQUIRE(by_name.count(place.name) == 1);
      fill(*by_name[place.name], place, precision);
    }
    std::vector<SourcePlan> plans = draw_plans(swin_plan_specs(shape_, {}), {});
    for (size_t block = first; block < last; ++block) plans[block] = fixed_plan(plans[block]);
    input_.examples = count;
    input_.plans = to_tensors(plans, precision.device);
    input_.fields = {
        {"images", as(images(count, shape_.image_size), precision)},
        {"labels", i32({3, 7}, {kImages, 1}).to(precision.device, MemoryCategory::data)},
        {"weights", as(f64({1, 1}, {kImages, 1}), precision)}};
  }

  void check_forward(const json& golden) const {
    const NoGrad guard;
    const std::vector<double> logits = values(model_->logits(input_, {}).value());
    double squares = 0, largest = 0;
    for (const double logit : logits) {
      squares += logit * logit;
      largest = std::max(largest, std::abs(logit));
    }
    for (size_t i = 0; i < golden["first_logits"].size(); ++i) {
      const double wanted = golden["first_logits"][i];
      CHECK(std::abs(logits[i] - wanted) <= precision_.logits * largest);
    }
    if (input_.examples < kImages) return;
    const double wanted = golden["sum_of_squares"];
    CHECK(std::abs(squares - wanted) <= precision_.logits * wanted);
  }

  void check_backward(const json& golden) const {
    const Variable losses = model_->losses(input_, {});
    double loss = 0;
    for (const double each : values(losses.value())) loss += each / kImages;
    const double wanted = golden["loss"];
    CHECK(std::abs(loss - wanted) <= precision_.logits * wanted);
    losses.backward(as(f64({0.5, 0.5}), precision_));

    std::map<std::string, double> squares;
    double total = 0;
    for (const Parameter& parameter : store_.all()) {
      double sum = 0;
      for (const double g : values(parameter.variable.grad())) sum += g * g;
      squares[parameter.name] = sum;
      total += sum;
    }
    const auto check = [this](double square, double norm) {
      CHECK(std::abs(std::sqrt(square) - norm) <= precision_.gradients * norm);
    };
    check(total, golden["gradient_norm"]);
    if (!golden.contains("gradient_norms")) return;
    const json& norms = golden["gradient_norms"];
    check(squares["patch_embedding.weight"], norms["patch_embed.proj.weight"]);
    check(squares["stages.0.blocks.1.attention.relative_bias"],
          norms["layers.0.blocks.1.attn.relative_position_bias_table"]);
    check(squares["stages.1.merge.weight"], norms["layers.1.downsample.reduction.weight"]);
    const std::string attention = "stages.2.blocks.3.attention.";
    check(squares[attention + "query.weight"] + squares[attention + "key.weight"] +
              squares[attention + "value.weight"],
          norms["layers.2.blocks.3.attn.qkv.weight"]);
    check(squares["stages.3.blocks.1.ffn.down.weight"], norms["layers.3.blocks.1.mlp.fc2.weight"]);
    check(squares["head.bias"], norms["head.fc.bias"]);
  }

 private:
  Precision precision_;
  SwinShape shape_;
  ParameterStore store_;
  std::optional<Swin> model_;
  ModelInput input_;
};

struct GoldenCase {
  const char* name;
  int64_t window;
  size_t first, last;  ///< blocks with the fixed plan
};
const std::vector<GoldenCase> kCases = {
    {"w7", 7, 0, 0}, {"w14", 14, 0, 0}, {"w14_s10", 14, 0, 10}, {"w14_s6", 14, 4, 10}};

json golden() {
  std::ifstream file(SSA_SOURCE_DIR "/tests/fixtures/swin_golden.json");
  return json::parse(file);
}

}  // namespace

TEST_CASE("Swin-T computes what timm computes", "[slow]") {
  for (const GoldenCase& each : kCases) {
    INFO(each.name);
    const GoldenSwin run(each.window, each.first, each.last, kSingle);
    run.check_forward(golden()[each.name]);
    run.check_backward(golden()[each.name]);
  }
}

TEST_CASE("Swin-T computes in f64 what timm computes in f64", "[slow]") {
  const GoldenCase& each = kCases[2];
  // One image, for the reference takes its time.
  const GoldenSwin run(each.window, each.first, each.last, kDouble, 1);
  run.check_forward(golden()[each.name]);
}

}  // namespace ssa
