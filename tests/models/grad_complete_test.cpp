// When the decoder's parameters are told that their gradients are complete. The reduction of
// gradients during backward relies on this.

#include "models/tiny_decoder.h"

namespace ssa {
namespace {

using namespace testing;

struct Told {
  std::string name;
  std::vector<double> gradient;
};

/// Runs one step. Returns the parameters in the order in which they were told, with their gradients
/// at that time.
std::vector<Told> told_by_step(const ModelConfig& model, Checkpointing checkpointing) {
  TinyDecoder tiny(model);
  tiny.decoder.set_activation_checkpointing(checkpointing);
  std::vector<Told> told;
  for (const Parameter& parameter : tiny.store.all()) {
    parameter.variable.on_grad_complete([&told, &parameter] {
      told.push_back({parameter.name, values(parameter.variable.grad())});
    });
  }
  const std::vector<PlanTensors> plans = tiny_plans(SsaKind::local);
  const nn::Context training{true, {.seed = 4, .step = 9}};
  const Variable losses = tiny.decoder.losses(tiny.input(plans), tiny.targets, training);
  losses.backward(random_f64(losses.shape(), 3));
  REQUIRE(told.size() == tiny.store.all().size());
  for (const Parameter& parameter : tiny.store.all()) {
    CAPTURE(parameter.name);
    const auto same = [&](const Told& one) { return one.name == parameter.name; };
    REQUIRE(std::count_if(told.begin(), told.end(), same) == 1);
    const auto one = std::find_if(told.begin(), told.end(), same);
    CHECK(one->gradient == values(parameter.variable.grad()));
  }
  return told;
}

TEST_CASE("decoder: every parameter is told once, when its gradient is complete", "[models]") {
  const bool adaptive = GENERATE(false, true);
  const bool tied = GENERATE(true, false);
  const Checkpointing checkpointing =
      GENERATE(Checkpointing::none, Checkpointing::attention, Checkpointing::block);
  CAPTURE(adaptive, tied, static_cast<int>(checkpointing));
  ModelConfig model = tiny_model();
  model.dropout = 0.2;
  model.embedding.tie_weights = tied;
  if (adaptive) model.embedding = {EmbeddingKind::adaptive, {3, 7}, 2, tied, tied};

  // From the last block to the first, then the embedding, tied to the output or not.
  const std::vector<Told> told = told_by_step(model, checkpointing);
  const auto rank = [](const std::string& name) {
    return name.starts_with("embedding.") ? 2 : name.starts_with("blocks.0.") ? 1 : 0;
  };
  for (size_t i = 1; i < told.size(); ++i) {
    CAPTURE(told[i - 1].name, told[i].name);
    CHECK(rank(told[i - 1].name) <= rank(told[i].name));
  }
}

}  // namespace
}  // namespace ssa
