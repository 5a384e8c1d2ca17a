// One table: the gradient of every input of every op against finite differences, odd sizes, f64.

#include "ssa/ops/ops.h"

#include "support/gradient_check.h"
#include "support/plans.h"

namespace ssa {
namespace {

using testing::i32;

struct InputSpec {
  std::string name;
  Shape shape;
};

struct OpCase {
  std::string name;
  std::vector<InputSpec> inputs;
  std::function<Variable(const std::vector<Variable>&)> function;
};

const RngKey kDropoutKey{.seed = 11, .purpose = RngPurpose::dropout, .step = 3, .layer = 2};

OpCase activation_case(const std::string& name, Activation kind) {
  return {name, {{"x", {3, 7}}}, [kind](const auto& in) {
            // From -3 to 3, both tails included.
            return ops::activation(kind, ops::scale(in[0], 3));
          }};
}

std::vector<OpCase> elementwise_cases() {
  return {
      {"add",
       {{"a", {3, 5}}, {"b", {3, 5}}},
       [](const auto& in) { return ops::add(in[0], in[1]); }},
      {"add of itself", {{"x", {3, 5}}}, [](const auto& in) { return ops::add(in[0], in[0]); }},
      {"scale", {{"x", {3, 5}}}, [](const auto& in) { return ops::scale(in[0], -1.7); }},
      {"reshape",
       {{"x", {3, 10}}},
       [](const auto& in) {
         return ops::reshape(in[0], {5, 3, 2});
       }},
      activation_case("gelu", Activation::gelu),
      activation_case("gelu_tanh", Activation::gelu_tanh),
      activation_case("relu", Activation::relu),
      activation_case("elu", Activation::elu),
      {"dropout",
       {{"x", {5, 7}}},
       [](const auto& in) {
         return ops::dropout(in[0], {0.4, kDropoutKey});
       }},
      {"dropout with a residual",
       {{"x", {5, 7}}, {"r", {5, 7}}},
       [](const auto& in) {
         return ops::dropout(in[0], {0.4, kDropoutKey}, in[1]);
       }},
      {"drop path with a residual",
       {{"x", {5, 7}}, {"r", {5, 7}}},
       [](const auto& in) {
         return ops::dropout(in[0], {0.4, kDropoutKey, 7}, in[1]);
       }},
      {"absolute_error",
       {{"prediction", {3, 5}}},
       [](const auto& in) {
         // Two apart, on either side: the slope changes where they meet.
         return ops::absolute_error(
             ops::scale(in[0], 0.5),
             testing::f64({2, -2, 2, 2, -2, -2, 2, -2, 2, 2, 2, -2, 2, -2, 2}, {3, 5}));
       }},
      {"dropout of nothing with a residual",
       {{"x", {5, 7}}, {"r", {5, 7}}},
       [](const auto& in) { return ops::dropout(in[0], {}, in[1]); }},
      {"dropout of nothing",
       {{"x", {5, 7}}},
       [](const auto& in) { return ops::scale(ops::dropout(in[0], {}), 2); }},
  };
}

std::vector<OpCase> row_cases() {
  return {
      {"linear with bias",
       {{"x", {3, 5}}, {"weight", {7, 5}}, {"bias", {7}}},
       [](const auto& in) {
         return ops::linear(in[0], {in[1], in[2]});
       }},
      {"linear without bias",
       {{"x", {3, 5}}, {"weight", {7, 5}}},
       [](const auto& in) {
         return ops::linear(in[0], {in[1], Variable()});
       }},
      {"linear of one row",
       {{"x", {1, 1}}, {"weight", {3, 1}}, {"bias", {3}}},
       [](const auto& in) {
         return ops::linear(in[0], {in[1], in[2]});
       }},
      {"linear of itself",
       {{"x", {5, 5}}},
       [](const auto& in) {
         return ops::linear(in[0], {in[0], Variable()});
       }},
      {"linear of stacked weights, with a residual",
       {{"x", {3, 5}}, {"w1", {4, 5}}, {"w2", {2, 5}}, {"b1", {4}}, {"b2", {2}}, {"r", {3, 6}}},
       [](const auto& in) {
         return ops::linear(in[0], {ops::PackedWeights({in[1], in[2]}), {in[3], in[4]}}, in[5]);
       }},
      {"linear with itself as the residual",
       {{"x", {3, 5}}, {"weight", {5, 5}}},
       [](const auto& in) {
         return ops::linear(in[0], {in[1], Variable()}, in[0]);
       }},
      {"norm_linear",
       {{"x", {3, 5}}, {"gain", {5}}, {"shift", {5}}, {"weight", {4, 5}}, {"bias", {4}}},
       [](const auto& in) {
         return ops::norm_linear(in[0], in[1], in[2], 1e-5, {in[3], in[4]});
       }},
      {"norm_linear around a residual, one variable for gain and shift",
       {{"x", {3, 5}}, {"gain", {5}}, {"weight", {5, 5}}},
       [](const auto& in) {
         const Variable x = ops::scale(in[0], 2), g = ops::scale(in[1], 3);
         return ops::add(x, ops::norm_linear(x, g, g, 1e-5, {in[2], Variable()}));
       }},
      {"activation_linear",
       {{"x", {3, 5}}, {"weight", {4, 5}}, {"bias", {4}}},
       [](const auto& in) {
         return ops::activation_linear(Activation::gelu, in[0], {}, {in[1], in[2]});
       }},
      {"activation_linear of an intermediate, with dropout and residual",
       {{"x", {3, 5}}, {"weight", {4, 5}}, {"r", {3, 4}}},
       [](const auto& in) {
         return ops::activation_linear(Activation::elu, ops::scale(in[0], 2), {0.4, kDropoutKey},
                                       {in[1], Variable()}, in[2]);
       }},
      {"gather_rows",
       {{"x", {10, 3}}},
       [](const auto& in) {
         return ops::gather_rows(in[0], 2, i32({4, 0, 3}));
       }},
      {"gather_rows of what is used elsewhere",
       {{"x", {10, 3}}},
       [](const auto& in) {
         const Variable x = ops::scale(in[0], 2);
         return ops::add(ops::gather_rows(x, 2, i32({4, 0, 1, 3, 2})), x);
       }},
      {"mean_positions",
       {{"x", {6, 5}}},
       [](const auto& in) { return ops::mean_positions(in[0], 2); }},
      {"soft_cross_entropy with smoothing and a label that occurs twice",
       {{"logits", {3, 5}}},
       [](const auto& in) {
         const SoftTargets targets{i32({0, 4, 2, 2, 1, 3}).view({3, 2}),
                                   testing::f64({0.3, 0.7, 0.5, 0.5, 1, 0}, {3, 2}), 0.1};
         return ops::soft_cross_entropy(ops::scale(in[0], 2), targets);
       }},
      {"layer_norm",
       {{"x", {5, 7}}, {"gain", {7}}, {"shift", {7}}},
       [](const auto& in) { return ops::layer_norm(in[0], in[1], in[2], 1e-5); }},
      {"layer_norm with a large eps",
       {{"x", {3, 5}}, {"gain", {5}}, {"shift", {5}}},
       [](const auto& in) { return ops::layer_norm(in[0], in[1], in[2], 0.3); }},
      {"embedding",
       {{"table", {7, 5}}},  // rows 1 and 6 never looked up, row 3 three times
       [](const auto& in) {
         return ops::embedding(in[0], i32({3, 0, 3, 5, 2, 3, 4}), 1.7, DType::f64);
       }},
      {"embedding tied to the output matrix",
       {{"table", {7, 5}}},
       [](const auto& in) {
         const Variable rows = ops::embedding(in[0], i32({3, 0, 6, 3}), 2.2, DType::f64);
         return ops::linear(rows, {in[0], Variable()});
       }},
      {"cross_entropy",
       {{"logits", {5, 7}}},
       [](const auto& in) {
         return ops::cross_entropy(ops::scale(in[0], 4), i32({0, 6, 3, 3, 1}));
       }},
      {"cross_entropy with ignored targets",
       {{"logits", {5, 7}}},
       [](const auto& in) {
         return ops::cross_entropy(in[0], i32({-1, 6, -1, 3, -1}));
       }},
      {"cross_entropy of one class",
       {{"logits", {3, 1}}},
       [](const auto& in) {
         return ops::cross_entropy(in[0], i32({0, 0, -1}));
       }},
  };
}

struct AttentionCases {
  bool materialized;
  OpCase operator()(const std::string& name, const PlanTensors& plan, bool causal,
                    bool alibi = false, double dropout = 0.0) const;
  ops::AttentionOptions options(const PlanTensors& plan, bool causal, double dropout = 0.0) const {
    ops::AttentionOptions result{plan, causal, {}, {dropout, kDropoutKey}};
    result.materialized = materialized;
    return result;
  }
  std::vector<OpCase> all() const;
};

/// Attention with a learned 2-D bias, whose table is the last of the inputs.
OpCase relative_case(const std::string& name, const PlanTensors& plan, bool causal,
                     const ops::RelativeBias& relative, const Tensor& regions = {}) {
  const Shape shape{2, testing::kPlanLength, 3, 5};  // (B, N, H, D)
  const int64_t ways =
      (2 * relative.rows - 1) * (2 * relative.columns - 1) * (2 * relative.channels - 1);
  return {"attention with a learned 2-D bias, " + name,
          {{"query", shape}, {"key", shape}, {"value", shape}, {"table", {ways, 3}}},
          [=](const auto& in) {
            ops::AttentionOptions options{plan, causal, {}, {0.2, kDropoutKey}};
            options.relative = relative;
            options.relative.table = in[3];
            options.regions = regions;
            return ops::attention(ops::scale(in[0], 2), in[1], in[2], options);
          }};
}

std::vector<OpCase> relative_cases() {
  using namespace testing;
  // The windows of a grid of 3 × 3 that is shifted by one: 2 × 2 cells need not touch in it.
  const PlanTensors shifted{i32({4, 5, 3, 7, 8, 6, 1, 2, 0}, {3, 3}),
                            i32({5, 3, 4, 8, 6, 7, 0, 1, 2}, {3, 3})};
  const Tensor shared = i32({0, 0, 0, 0, 3, 3, 3, -1, -1}, {1, 9});
  const Tensor own = i32({0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 5}, {2, 9});
  return {
      relative_case("a causal grid of 5 columns", dense_plan(9), true, {{}, 2, 5, 5}),
      relative_case("local windows, targets that see nothing", local_plan(), true, {{}, 3, 3, 3}),
      relative_case("shifted windows", shifted, false, {{}, 2, 2, 3}),
      relative_case("pixels of three channels", local_plan(), true, {{}, 3, 1, 1, 1, 3}),
      relative_case("pixels of three channels, told apart", dense_plan(9), true,
                    {{}, 2, 2, 2, 3, 3}),
      relative_case("regions", shuffled_plan(), false, {{}, 3, 3, 3}, shared),
      relative_case("regions of each sequence", dense_plan(9), true, {{}, 2, 3, 3}, own),
  };
}

OpCase AttentionCases::operator()(const std::string& name, const PlanTensors& plan, bool causal,
                                  bool alibi, double dropout) const {
  ops::AttentionOptions chosen = options(plan, causal, dropout);
  if (alibi) {
    chosen.alibi_slopes =
        Tensor::from(std::vector<float>{0.5f, 0.25f, 0.0625f}, {3}, Device::reference);
  }
  const Shape shape{2, testing::kPlanLength, 3, 5};  // (B, N, H, D)
  return {"attention, " + name,
          {{"query", shape}, {"key", shape}, {"value", shape}},
          [chosen](const auto& in) {
            // Scaled, so that the weights are far from uniform.
            return ops::attention(ops::scale(in[0], 3), in[1], in[2], chosen);
          }};
}

std::vector<OpCase> AttentionCases::all() const {
  using namespace testing;
  const AttentionCases& attention_case = *this;
  const PlanTensors dense = dense_plan(kPlanLength);
  const ops::AttentionOptions local = options(local_plan(), true),
                              all_visible = options(local_plan(), false);
  ops::AttentionOptions compact = options(unbiased_plan(), true, 0.3);
  compact.compact_sources = true;
  return {
      attention_case("dense", dense, false),
      attention_case("dense, causal", dense, true),
      attention_case("dense, ALiBi", dense, false, true),
      attention_case("dense, causal, ALiBi, dropout", dense, true, true, 0.3),
      attention_case("local", local_plan(), false),
      attention_case("local, causal, targets that see nothing", local_plan(), true),
      attention_case("local, causal, ALiBi", local_plan(), true, true),
      attention_case("local, causal, ALiBi, dropout", local_plan(), true, true, 0.3),
      attention_case("shuffled windows", shuffled_plan(), false),
      attention_case("shuffled windows, causal, ALiBi, dropout", shuffled_plan(), true, true, 0.2),
      attention_case("unbiased", unbiased_plan(), false),
      attention_case("unbiased, causal, targets that see nothing", unbiased_plan(), true),
      attention_case("unbiased, causal, dropout", unbiased_plan(), true, false, 0.5),
      {"attention of three ranges of heads of one tensor",
       {{"all", {2, 9, 6, 5}}},
       [local](const auto& in) {
         const Variable all = ops::scale(in[0], 2);
         return ops::attention({all, 0, 2}, {all, 2, 2}, {all, 4, 2}, local);
       }},
      {"attention of ranges that overlap, with heads left over",
       {{"all", {2, 9, 4, 5}}},
       [all_visible](const auto& in) {
         return ops::attention({in[0], 0, 2}, {in[0], 1, 2}, {in[0], 1, 2}, all_visible);
       }},
      {"attention over compact sources",
       {{"query", {2, 9, 2, 5}}, {"pairs", {2, 4, 4, 5}}},
       [compact](const auto& in) {
         return ops::attention(in[0], {in[1], 0, 2}, {in[1], 2, 2}, compact);
       }},
      {"attention of itself",
       {{"x", {1, 9, 1, 3}}},
       [local](const auto& in) { return ops::attention(in[0], in[0], in[0], local); }},
  };
}

void check_all(const std::vector<OpCase>& cases) {
  for (const OpCase& op : cases) {
    DYNAMIC_SECTION(op.name) {
      std::vector<Variable> variables;
      std::vector<testing::NamedLeaf> leaves;
      for (const InputSpec& input : op.inputs) {
        const auto stream = static_cast<uint32_t>(100 + leaves.size());
        variables.push_back(testing::leaf(testing::random_f64(input.shape, stream)));
        leaves.push_back({input.name, variables.back()});
      }
      testing::check_gradients(op.name, leaves, [&] { return op.function(variables); });
    }
  }
}

TEST_CASE("gradients: elementwise ops", "[ops]") { check_all(elementwise_cases()); }
TEST_CASE("gradients: ops on rows", "[ops]") { check_all(row_cases()); }
TEST_CASE("gradients: attention", "[ops]") { check_all(AttentionCases{false}.all()); }
TEST_CASE("gradients: attention with a learned 2-D bias", "[ops]") { check_all(relative_cases()); }
TEST_CASE("gradients: materialized attention", "[ops]") { check_all(AttentionCases{true}.all()); }

TEST_CASE("gradients: an op in the middle of a graph passes on what it gets", "[ops]") {
  // The inputs are not leaves, and each is used elsewhere too, so that gradients arrive in every
  // order.
  const Variable x = testing::leaf(testing::random_f64({6, 9}, 1));
  const Variable weight = testing::leaf(testing::random_f64({9, 9}, 2));
  const Variable gain = testing::leaf(testing::random_f64({9}, 3));
  const auto function = [&] {
    const Variable a = ops::scale(x, 1.5), g = ops::scale(gain, 2), w = ops::scale(weight, 0.5);
    const Variable normed = ops::layer_norm(a, g, g, 1e-5);
    const Variable mixed = ops::linear(ops::add(normed, a), {w, g});
    const Variable looked_up = ops::embedding(w, i32({1, 1, 0, 8, 3, 5}), 0.7, DType::f64);
    const Variable act = ops::activation(Activation::gelu, ops::add(mixed, looked_up));
    return ops::add(ops::linear(act, {w, Variable()}), a);
  };
  testing::check_gradients("graph", {{"x", x}, {"weight", weight}, {"gain", gain}}, function);
}

}  // namespace
}  // namespace ssa
