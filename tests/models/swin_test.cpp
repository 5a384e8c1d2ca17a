// Swin: sizes of its stages, plans of its blocks, parameters, gradients, drop path.

#include "ssa/models/swin.h"

#include <catch2/catch.hpp>

#include "ssa/backend/counting.h"
#include "ssa/models/decoder_plans.h"

#include "support/gradient_check.h"
#include "support/tensors.h"

namespace ssa {
namespace {

using namespace testing;

SwinShape windows_of(int64_t window) {
  SwinShape shape;
  shape.window = window;
  return shape;
}

SsaConfig sampled(int64_t layers, int64_t windows = 4) {
  SsaConfig ssa;
  ssa.kind = SsaKind::local;
  ssa.layers = layers;
  ssa.windows = windows;
  ssa.sigma = {0.75, 0.75};
  return ssa;
}

SsaConfig unbiased(int64_t layers, double drop = 0.75) {
  SsaConfig ssa;
  ssa.kind = SsaKind::unbiased;
  ssa.layers = layers;
  ssa.drop = drop;
  return ssa;
}

/// Operations of attention for one picture.
double attention_flop(const SwinShape& shape, const SsaConfig& ssa) {
  const Count count;
  const NoGrad guard;
  ParameterStore store(Device::counting, DType::f32, 0);
  const Swin model(shape, store);
  ModelInput input;
  input.examples = 1;
  input.plans = to_tensors(draw_plans(swin_plan_specs(shape, ssa), {}), Device::counting);
  const Shape picture{1, shape.image_size, shape.image_size, 3};
  input.fields = {{"images", Tensor::zeros(picture, DType::u8, Device::counting)}};
  model.logits(input, {});
  return count.tally().attention_flop;
}

/// Two stages of 8 x 8 and 4 x 4 cells with windows of 4, the first of which shifts.
SwinShape tiny_shape() {
  return {.image_size = 16,
          .patch = 2,
          .embed_width = 4,
          .depths = {2, 1},
          .heads = {1, 2},
          .window = 4,
          .ffn_ratio = 2,
          .drop_path = 0.4,
          .classes = 3};
}

struct TinySwin {
  explicit TinySwin(const SsaConfig& ssa = {})
      : store(Device::reference, DType::f64, 1), model(tiny_shape(), store) {
    for (size_t i = 0; i < store.all().size(); ++i) {
      Tensor value = store.all()[i].variable.value();
      backend(value.device())
          .add(value, random_f64(value.shape(), static_cast<uint32_t>(400 + i), -0.4, 0.4), value);
    }
    input.examples = 2;
    input.plans = to_tensors(
        draw_plans(swin_plan_specs(tiny_shape(), ssa), {.seed = 5, .purpose = RngPurpose::plan}),
        Device::reference);
    input.fields = {{"images", random_f64({2, 16, 16, 3}, 40)},
                    {"labels", i32({0, 2, 1, 1}, {2, 2})},
                    {"weights", f64({0.3, 0.7, 1.0, 0.0}, {2, 2})}};
  }
  ParameterStore store;
  Swin model;
  ModelInput input;
};

const nn::Context kTraining = {.training = true, .key = {.seed = 11, .step = 3}};

}  // namespace

TEST_CASE("Swin-T has the published numbers of parameters") {
  for (const auto& [window, parameters, decayed] :
       {std::tuple{7, 28288354, 28288354 - 88930}, {14, 28338754, 28338754 - 139330}}) {
    ParameterStore store = ParameterStore::dry();
    const Swin model(windows_of(window), store);
    CHECK(store.count() == parameters);
    int64_t count = 0;
    for (const Parameter& parameter : store.all()) {
      if (parameter.decayed) count += parameter.shape.numel();
    }
    CHECK(count == decayed);
  }
}

TEST_CASE("windows shift in every second block, but not where one covers the map") {
  const std::vector<SwinStageShape> stages = swin_stages(windows_of(14));
  REQUIRE(stages.size() == 4);
  CHECK(stages[2].window == 14);
  CHECK(stages[3].window == 7);
  CHECK(stages[3].side == 7);
  CHECK(stages[3].width == 768);
  CHECK(stages[3].first_block == 10);
  std::vector<int64_t> shifts;
  for (const PlanSpec& spec : swin_plan_specs(windows_of(14), {}))
    shifts.push_back(spec.shift_rows);
  CHECK(shifts == std::vector<int64_t>{0, 7, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0});
  shifts.clear();
  for (const PlanSpec& spec : swin_plan_specs(windows_of(7), {})) shifts.push_back(spec.shift_rows);
  CHECK(shifts == std::vector<int64_t>{0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 0});
}

TEST_CASE("the last blocks that can be sampled are sampled") {
  for (const auto& [layers, first] : {std::pair{10, 0}, {0, 0}, {6, 4}}) {
    const std::vector<PlanSpec> specs = swin_plan_specs(windows_of(14), sampled(layers));
    for (int block = 0; block < 12; ++block) {
      const bool is_sampled = block >= first && block < 10;
      const int64_t window = block < 10 ? 14 : 7;
      CHECK(specs[static_cast<size_t>(block)].block_rows == (is_sampled ? 7 : window));
    }
  }
}

TEST_CASE("sources in sampled windows stay inside their window, and differ from step to step") {
  const PlanSpec spec = swin_plan_specs(windows_of(14), sampled(10))[1];
  const SourcePlan plan = draw_plan(spec, {.purpose = RngPurpose::plan, .step = 1});
  const SourcePlan other = draw_plan(spec, {.purpose = RngPurpose::plan, .step = 2});
  CHECK(plan.windows == 64);
  CHECK(plan.sources_per_window == 49);
  CHECK(plan.targets == other.targets);
  CHECK(plan.sources != other.sources);
}

TEST_CASE("unbiased windows sample the same blocks, each window its own cells") {
  for (const auto& [layers, first] : {std::pair{10, 0}, {0, 0}, {6, 4}}) {
    const std::vector<PlanSpec> specs = swin_plan_specs(windows_of(14), unbiased(layers));
    const std::vector<PlanSpec> dense = swin_plan_specs(windows_of(14), {});
    for (int block = 0; block < 12; ++block) {
      const auto i = static_cast<size_t>(block);
      const bool is_sampled = block >= first && block < 10;
      const PlanShape shape = plan_shape(specs[i]), whole = plan_shape(dense[i]);
      CHECK(shape.windows == whole.windows);
      CHECK(shape.targets_per_window == whole.targets_per_window);
      CHECK(shape.sources_per_window == (is_sampled ? 49 : whole.sources_per_window));
      CHECK(specs[i].shift_rows == dense[i].shift_rows);
      CHECK(draw_plan(specs[i], {}).targets == draw_plan(dense[i], {}).targets);
    }
  }
  CHECK(message_of<ConfigError>([&] {
          swin_plan_specs(windows_of(14), unbiased(10, 0.999));
        }).find("none of 196 sources") != std::string::npos);
  CHECK(message_of<ConfigError>([&] {
          swin_plan_specs(windows_of(14), unbiased(11));
        }).find("valid: 0 (all of these) to 10") != std::string::npos);
}

TEST_CASE("a quarter of the sources costs as much as four sub-windows, or dense windows of 7") {
  const auto flop = [](double cells, double sources, double width) {
    return 4 * cells * sources * width;
  };
  const double first_stages = 2 * flop(3136, 196, 96) + 2 * flop(784, 196, 192);
  const double third = 6 * flop(196, 196, 384), last = 2 * flop(49, 49, 768);
  CHECK(attention_flop(windows_of(14), {}) == first_stages + third + last);
  CHECK(attention_flop(windows_of(14), unbiased(6)) == first_stages + third / 4 + last);
  CHECK(attention_flop(windows_of(14), unbiased(10)) == (first_stages + third) / 4 + last);
  CHECK(attention_flop(windows_of(14), unbiased(10)) ==
        attention_flop(windows_of(14), sampled(10)));
  CHECK(attention_flop(windows_of(14), unbiased(10)) == attention_flop(windows_of(7), {}));
}

TEST_CASE("sizes of a Swin that do not fit each other are refused with the nearest that do") {
  const auto message = [](auto change) {
    SwinShape shape;
    change(shape);
    return message_of<ConfigError>([&] { swin_stages(shape); });
  };
  CHECK(message([](SwinShape& s) { s.image_size = 230; }).ends_with("are 224 or 256"));
  CHECK(message([](SwinShape& s) { s.window = 6; }).find("6 do not divide the map of 56 x 56") !=
        std::string::npos);
  CHECK(message([](SwinShape& s) { s.heads[1] = 5; }).find("5 heads do not divide the width 192") !=
        std::string::npos);
  CHECK(message([](SwinShape& s) { s.heads.pop_back(); }).find("4 depths and 3") !=
        std::string::npos);
  for (const size_t stages : {33, 63, 64, 65, 100}) {
    CAPTURE(stages);
    CHECK(message([&](SwinShape& s) {
            s.depths.assign(stages, 1);
            s.heads.assign(stages, 1);
          }).find("at most 32") != std::string::npos);
  }
  const auto refused = [](const SsaConfig& ssa) {
    return message_of<ConfigError>([&] { swin_plan_specs(windows_of(14), ssa); });
  };
  CHECK(refused(sampled(11)).find("valid: 0 (all of these) to 10") != std::string::npos);
  CHECK(refused(sampled(10, 5)).ends_with("valid: 1, 4, 49, 196"));
  CHECK(refused(sampled(10, 9)).ends_with("valid: 1, 4, 49, 196"));
  CHECK(message_of<ConfigError>([&] {
          swin_plan_specs(windows_of(64), sampled(0));
        }).find("no map has whole windows of 64 x 64") != std::string::npos);
}

TEST_CASE("every gradient of a Swin is that of finite differences") {
  // With 4 of 16 cells some targets of windows that wrap around an edge see no source.
  for (const auto& [name, ssa] : {std::pair{"windows", SsaConfig{}},
                                  {"sub-windows", sampled(0)},
                                  {"unbiased windows", unbiased(0)}}) {
    const TinySwin tiny(ssa);
    std::vector<NamedLeaf> leaves;
    for (const Parameter& parameter : tiny.store.all()) {
      leaves.push_back({parameter.name, parameter.variable});
    }
    GradientCheck check;
    check.max_elements = 12;
    check_gradients(
        name, leaves, [&] { return tiny.model.losses(tiny.input, kTraining); }, check);
  }
}

TEST_CASE("a Swin that recomputes its activations has the same gradients") {
  std::vector<std::vector<double>> gradients;
  for (const Checkpointing what :
       {Checkpointing::none, Checkpointing::attention, Checkpointing::block}) {
    TinySwin tiny;
    tiny.model.set_activation_checkpointing(what);
    tiny.model.losses(tiny.input, kTraining).backward(f64({1, 1}));
    gradients.emplace_back();
    for (const Parameter& parameter : tiny.store.all()) {
      for (const double g : values(parameter.variable.grad())) gradients.back().push_back(g);
    }
  }
  CHECK(gradients[1] == gradients[0]);
  CHECK(gradients[2] == gradients[0]);
}

TEST_CASE("drop path acts in training only, and on whole images") {
  const TinySwin tiny;
  const auto losses = [&](const nn::Context& context) {
    return values(tiny.model.losses(tiny.input, context).value());
  };
  CHECK(losses({}) == losses({}));
  std::vector<std::vector<double>> seen;
  for (uint32_t step = 0; step < 16; ++step) {
    seen.push_back(losses({.training = true, .key = {.seed = 11, .step = step}}));
  }
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  CHECK(seen.size() > 4);
  CHECK(seen.size() < 16);  // two blocks drop: four branches, some of them drawn alike
}

TEST_CASE("predictions of a Swin are log-probabilities") {
  const TinySwin tiny;
  const std::vector<double> predicted = values(tiny.model.predictions(tiny.input));
  REQUIRE(predicted.size() == 6);
  for (size_t image = 0; image < 2; ++image) {
    double total = 0;
    for (size_t c = 0; c < 3; ++c) total += std::exp(predicted[image * 3 + c]);
    CHECK(total == Approx(1.0).epsilon(1e-12));
  }
  const std::vector<double> losses = values(tiny.model.losses(tiny.input, {}).value());
  CHECK(losses[0] == Approx(-0.3 * predicted[0] - 0.7 * predicted[2]));
  CHECK(losses[1] == Approx(-predicted[4]));
}

}  // namespace ssa
