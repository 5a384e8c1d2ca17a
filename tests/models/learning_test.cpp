// The whole model learns: a few steps of Adam on one batch.

#include "models/tiny_decoder.h"

namespace ssa {
namespace {

using namespace testing;

/// Adam's state for every parameter of a store.
class Adam {
 public:
  explicit Adam(const ParameterStore& store) : store_(store) {
    for (const Parameter& parameter : store.all()) {
      first_.push_back(Tensor::zeros(parameter.shape, store.dtype(), store.device()));
      second_.push_back(Tensor::zeros(parameter.shape, store.dtype(), store.device()));
    }
  }
  void step(double learning_rate) {
    ++steps_;
    for (size_t i = 0; i < first_.size(); ++i) {
      const Variable& variable = store_.all()[i].variable;
      backend(store_.device())
          .adam_step({{.parameter = variable.value(),
                       .gradient = variable.grad(),
                       .first_moment = first_[i],
                       .second_moment = second_[i],
                       .learning_rate = learning_rate,
                       .step = steps_}});
    }
    store_.zero_grad();
  }

 private:
  const ParameterStore& store_;
  std::vector<Tensor> first_, second_;
  int64_t steps_ = 0;
};

double mean(const Tensor& losses) {
  return backend(losses.device()).sum(losses) / static_cast<double>(losses.numel());
}

TEST_CASE("learning: a fixed batch is learnt by heart", "[models]") {
  const SsaKind kind = GENERATE(SsaKind::none, SsaKind::local, SsaKind::unbiased);
  CAPTURE(static_cast<int>(kind));
  ModelConfig model = tiny_model();
  model.dropout = 0.05;
  TinyDecoder tiny(model);
  tiny.decoder.set_activation_checkpointing(kind == SsaKind::local ? Checkpointing::block
                                                                   : Checkpointing::none);
  Adam adam(tiny.store);
  const auto dense_loss = [&] {  // as in renorm inference
    const NoGrad guard;
    const std::vector<PlanTensors> dense = tiny_plans(SsaKind::none);
    return mean(tiny.decoder.losses(tiny.input(dense), tiny.targets, {}).value());
  };
  const double before = dense_loss();
  CHECK(before > 2.0);  // of log 11 = 2.4
  const int64_t rows = kTinyBatch * kTinyLength;
  const Tensor mean_weight =
      f64(std::vector<double>(static_cast<size_t>(rows), 1.0 / static_cast<double>(rows)));
  for (uint32_t step = 0; step < 60; ++step) {
    const std::vector<PlanTensors> plans = tiny_plans(kind, step);
    const nn::Context context{true, {.seed = 2, .step = step}};
    tiny.decoder.losses(tiny.input(plans), tiny.targets, context).backward(mean_weight);
    adam.step(0.01);
  }
  CHECK(dense_loss() < (kind == SsaKind::none ? 0.1 : 0.5) * before);
}

}  // namespace
}  // namespace ssa
