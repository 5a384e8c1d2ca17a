// The whole decoder against finite differences: every parameter, every way of running it.

#include "ssa/ops/ops.h"

#include "models/tiny_decoder.h"
#include "support/gradient_check.h"

namespace ssa {
namespace {

using namespace testing;

struct RunCase {
  std::string name;
  SsaKind attention;
  bool tied;
  bool dropout;
  bool checkpointing;
  ActivationKind activation = ActivationKind::gelu;
  PositionKind position = PositionKind::alibi;
  bool final_norm = true;
};

const std::vector<RunCase> kCases = {
    {"dense, tied", SsaKind::none, true, false, false},
    {"dense, untied, dropout", SsaKind::none, false, true, false},
    {"local, tied, dropout", SsaKind::local, true, true, false},
    {"local, untied", SsaKind::local, false, false, false},
    {"local, tied, dropout, checkpointing", SsaKind::local, true, true, true},
    {"unbiased, untied, dropout, checkpointing", SsaKind::unbiased, false, true, true},
    {"dense, ELU, no positions, no final norm", SsaKind::none, true, false, false,
     ActivationKind::elu, PositionKind::none, false},
};

ModelConfig model_of(const RunCase& run) {
  ModelConfig model = tiny_model();
  model.embedding.tie_weights = run.tied;
  model.activation = run.activation;
  model.position = run.position;
  model.final_norm = run.final_norm;
  if (run.dropout) {
    model.dropout = 0.2;
    model.attention_dropout = 0.1;
    model.activation_dropout = 0.1;
  }
  return model;
}

const nn::Context kTraining{true, {.seed = 4, .step = 9, .rank = 1, .stream = 2}};

TEST_CASE("decoder gradients: every parameter against finite differences", "[models]") {
  for (const RunCase& run : kCases) {
    DYNAMIC_SECTION(run.name) {
      TinyDecoder tiny(model_of(run));
      tiny.disturb();
      tiny.decoder.set_activation_checkpointing(run.checkpointing ? Checkpointing::block
                                                                  : Checkpointing::none);
      tiny.targets.data<int32_t>()[3] = -1;  // ignored
      const std::vector<PlanTensors> plans = tiny_plans(run.attention);
      std::vector<NamedLeaf> leaves;
      for (const Parameter& parameter : tiny.store.all()) {
        leaves.push_back({parameter.name, parameter.variable});
      }
      // All elements of biases and norms, a random part of the matrices.
      check_gradients(
          run.name, leaves,
          [&] { return tiny.decoder.losses(tiny.input(plans), tiny.targets, kTraining); },
          {.step = 1e-5, .tolerance = 5e-8, .max_elements = 24});
    }
  }
}

/// Losses and every gradient of one step.
std::vector<std::vector<double>> step(const RunCase& run, Checkpointing checkpointing) {
  TinyDecoder tiny(model_of(run));
  tiny.decoder.set_activation_checkpointing(checkpointing);
  const std::vector<PlanTensors> plans = tiny_plans(run.attention);
  const Variable losses = tiny.decoder.losses(tiny.input(plans), tiny.targets, kTraining);
  losses.backward(random_f64(losses.shape(), 1));
  std::vector<std::vector<double>> all = {values(losses.value())};
  for (const Parameter& parameter : tiny.store.all()) {
    all.push_back(values(parameter.variable.grad()));
  }
  return all;
}

TEST_CASE("decoder gradients: bitwise the same with activation checkpointing", "[models]") {
  for (const RunCase& run : kCases) {
    DYNAMIC_SECTION(run.name) {
      const auto plain = step(run, Checkpointing::none);
      CHECK(step(run, Checkpointing::attention) == plain);
      CHECK(step(run, Checkpointing::block) == plain);
    }
  }
}

TEST_CASE("decoder gradients: two micro-batches add up to the whole batch", "[models]") {
  const RunCase run{"", SsaKind::local, true, false, false};
  const std::vector<PlanTensors> plans = tiny_plans(run.attention);
  const Tensor seed = random_f64({kTinyBatch * kTinyLength}, 1);
  TinyDecoder whole(model_of(run)), parts(model_of(run));
  whole.decoder.losses(whole.input(plans), whole.targets, kTraining).backward(seed);
  for (int64_t sequence = 0; sequence < kTinyBatch; ++sequence) {
    const auto part = [&](const Tensor& t) {
      return t.slice(0, sequence * kTinyLength, kTinyLength);
    };
    parts.decoder.losses({1, kTinyLength, part(parts.ids), &plans}, part(parts.targets), kTraining)
        .backward(part(seed));
  }
  for (size_t i = 0; i < whole.store.all().size(); ++i) {
    const auto expected = values(whole.store.all()[i].variable.grad());
    const auto got = values(parts.store.all()[i].variable.grad());
    INFO(whole.store.all()[i].name);
    for (size_t k = 0; k < got.size(); ++k) {
      REQUIRE(got[k] == Approx(expected[k]).epsilon(1e-10).margin(1e-12));
    }
  }
}

}  // namespace
TEST_CASE("decoder: of a large vocabulary, losses and gradients are those of all logits at once",
          "[models]") {
  ModelConfig model = tiny_model();
  model.embedding.tie_weights = GENERATE(true, false);
  TinyDecoder tiny(model, 5000);
  tiny.disturb();
  const std::vector<PlanTensors> plans = tiny_plans(SsaKind::local);
  const Tensor seed = random_f64({kTinyBatch * kTinyLength}, 9);
  const auto run = [&](const Variable& losses) {
    std::vector<std::vector<double>> results = {values(losses.value())};
    losses.backward(seed);
    for (const auto& parameter : tiny.store.all()) {
      results.push_back(values(parameter.variable.grad()));
      parameter.variable.zero_grad();
    }
    return results;
  };
  const auto together =
      run(ops::cross_entropy(tiny.decoder.logits(tiny.input(plans), {}), tiny.targets));
  const auto chunks = run(tiny.decoder.losses(tiny.input(plans), tiny.targets, {}));
  REQUIRE(chunks.size() == together.size());
  for (size_t i = 0; i < chunks.size(); ++i) {
    for (size_t k = 0; k < chunks[i].size(); ++k) {
      REQUIRE(chunks[i][k] == Approx(together[i][k]).epsilon(1e-11).margin(1e-13));
    }
  }
}

}  // namespace ssa
