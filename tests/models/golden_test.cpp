// The golden run: PyTorch's results for a tiny decoder (scripts/make_golden.py) against the
// engine's reference backend in f64 and its other backends in f32.

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/models/decoder_lm.h"
#include "ssa/storage/safetensors.h"

namespace ssa {
namespace {

// As in the script, and in tests/fixtures/golden/golden.json.
constexpr int64_t kBytes = 256, kWords = 150, kBatch = 2, kLength = 20;
constexpr double kLearningRate = 1e-2, kBeta1 = 0.9, kBeta2 = 0.999, kEps = 1e-8, kClipNorm = 1.0;

bool is_adaptive(const std::string& run) { return run.starts_with("adaptive"); }

int64_t vocabulary_of(const std::string& run) { return is_adaptive(run) ? kWords : kBytes; }

ModelConfig model_config(const std::string& run) {
  ModelConfig model;
  model.layers = 2;
  model.width = 24;
  model.ffn_width = 56;
  model.heads = 3;
  if (!is_adaptive(run)) return model;
  const bool tied = run == "adaptive";
  model.final_norm = false;
  model.embedding = {EmbeddingKind::adaptive, {30, 70}, 3, tied, tied};
  return model;
}

/// The device and dtype of a run, and its largest error against PyTorch's f64 values, relative to
/// the largest value of a tensor. PyTorch itself in f32 is within 2e-6 for gradients and logits and
/// within 3e-7 for losses and norms, the tenth step's included.
struct Machine {
  Device device;
  DType dtype;
  double tensor_tolerance;
  double loss_tolerance;
  double norm_tolerance;
};
const Machine kReference = {Device::reference, DType::f64, 1e-10, 1e-10, 1e-10};
const Machine kCpu = {Device::cpu, DType::f32, 2e-5, 5e-6, 5e-6};
// Adam's steps amplify rounding: with sums in another order the tenth norm is off by up to 3e-5.
const Machine kCuda = {Device::cuda, DType::f32, 2e-5, 5e-6, 1e-4};

/// Includes the GPU if there is one, real or emulated.
std::vector<Machine> machines() {
  std::vector<Machine> all = {kReference, kCpu};
  if (is_usable(Device::cuda)) all.push_back(kCuda);
  return all;
}

/// Gradients are compared relative to at least this, because gradients of keys' biases are rounding
/// noise. The largest gradient of every other parameter is above it.
constexpr double kSmallestGradient = 0.01;

std::vector<double> values(const Tensor& of) {
  const Tensor tensor = of.on_host();
  std::vector<double> result(static_cast<size_t>(tensor.numel()));
  visit_floating(tensor.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* data = tensor.data<T>();
    for (size_t i = 0; i < result.size(); ++i) result[i] = static_cast<double>(data[i]);
  });
  return result;
}

/// Every |actual - expected| ≤ tolerance · max(|expected|, floor).
void check_close(const std::string& what, const Tensor& actual, const Tensor& expected,
                 double tolerance, double floor = 0) {
  INFO(what);
  REQUIRE(actual.defined());
  REQUIRE(actual.numel() == expected.numel());
  const std::vector<double> got = values(actual), wanted = values(expected);
  double scale = floor;
  for (double value : wanted) scale = std::max(scale, std::abs(value));
  REQUIRE(scale > 0);
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::abs(got[i] - wanted[i]) <= tolerance * scale) continue;  // NaN does not pass
    INFO("element " << i << ": " << got[i] << " instead of " << wanted[i] << ", off by "
                    << (got[i] - wanted[i]) / scale << " of the largest");
    FAIL();
  }
}

/// The tiny decoder with a fixture's weights, batch and plans.
class GoldenRun {
 public:
  GoldenRun(const std::string& name, const Machine& machine)
      : file_(SSA_SOURCE_DIR "/tests/fixtures/golden/" + name + ".safetensors"),
        machine_(machine),
        store_(machine.device, machine.dtype, 1),
        model_(model_config(name), vocabulary_of(name), store_) {
    for (const Parameter& parameter : store_.all()) {
      Tensor to = parameter.variable.value();
      const Tensor from = load("weights." + parameter.name);
      REQUIRE(to_string(from.shape()) == to_string(to.shape()));
      engine().copy(from, to);
    }
    for (int64_t layer = 0; layer < model_config(name).layers; ++layer) {
      const std::string plan = "plans." + std::to_string(layer);
      plans_.push_back({load(plan + ".targets"), load(plan + ".sources")});
    }
    ids_ = load("inputs").view({kBatch * kLength});
    targets_ = load("targets").view({kBatch * kLength});
    const Tensor targets = targets_.on_host();
    const auto* target = std::as_const(targets).data<int32_t>();
    scored_ = kBatch * kLength - std::count(target, target + kBatch * kLength, -1);
  }

  Tensor load(const std::string& name) const {
    return file_.load(name, machine_.device, MemoryCategory::activations);
  }
  /// A tensor of PyTorch's results, on the host.
  Tensor golden(const std::string& name) const {
    return file_.load(name, Device::reference, MemoryCategory::activations);
  }
  const SafetensorsFile& file() const { return file_; }
  const ParameterStore& store() const { return store_; }
  DecoderLm& model() { return model_; }

  Tensor logits() const {
    const NoGrad no_grad;
    return model_.logits(input(), {}).value();
  }

  /// Mean cross-entropy of the targets that are not ignored; leaves its gradients in the
  /// parameters.
  double loss_and_gradients() {
    store_.zero_grad();
    const Variable losses = model_.losses(input(), targets_, {});
    const auto count = static_cast<double>(scored_);
    const double mean = engine().sum(losses.value()) / count;
    Tensor grad = Tensor::empty_like(losses.value());
    engine().fill(grad, 1 / count);
    losses.backward(grad);
    return mean;
  }

  double gradient_norm() {
    double squares = 0;
    for (const Parameter& parameter : store_.all())
      squares += engine().sum_squares({parameter.variable.grad()});
    return std::sqrt(squares);
  }

  /// Adam after clipping as torch.nn.utils.clip_grad_norm_ does it.
  void update(double norm) {
    ++step_;
    moments_.resize(store_.all().size());
    for (size_t i = 0; i < moments_.size(); ++i) {
      const Tensor parameter = store_.all()[i].variable.value();
      for (Tensor& moment : moments_[i])
        if (!moment.defined())
          moment = Tensor::zeros(parameter.shape(), parameter.dtype(), machine_.device);
      AdamArgs args;
      args.parameter = parameter;
      args.gradient = store_.all()[i].variable.grad();
      args.first_moment = moments_[i][0];
      args.second_moment = moments_[i][1];
      args.learning_rate = kLearningRate;
      args.beta1 = kBeta1;
      args.beta2 = kBeta2;
      args.eps = kEps;
      args.gradient_scale = std::min(1.0, kClipNorm / (norm + 1e-6));
      args.step = step_;
      engine().adam_step({args});
    }
  }

 private:
  Backend& engine() const { return backend(machine_.device); }
  DecoderLm::Input input() const { return {kBatch, kLength, ids_, &plans_}; }

  SafetensorsFile file_;
  Machine machine_;
  ParameterStore store_;
  DecoderLm model_;
  std::vector<PlanTensors> plans_;
  Tensor ids_, targets_;                        // (B·N)
  std::vector<std::array<Tensor, 2>> moments_;  // first and second of each parameter
  int64_t scored_ = 0;
  int64_t step_ = 0;
};

TEST_CASE("golden: the model has exactly the documented parameters", "[golden]") {
  const std::string name = GENERATE("dense", "adaptive", "adaptive_untied");
  CAPTURE(name);
  const GoldenRun run(name, kReference);
  std::vector<std::string> documented, ours;
  for (const std::string& tensor : run.file().names())
    if (tensor.rfind("weights.", 0) == 0) documented.push_back(tensor.substr(8));
  for (const Parameter& parameter : run.store().all()) ours.push_back(parameter.name);
  std::sort(documented.begin(), documented.end());
  std::sort(ours.begin(), ours.end());
  CHECK(ours == documented);
  if (name == "dense") CHECK(run.store().count() == 16720);  // docs/reference/weights.md
}

TEST_CASE("golden: logits equal PyTorch's", "[golden]") {
  const std::string name = GENERATE("dense", "plan", "adaptive", "adaptive_untied");
  const Machine machine = GENERATE(from_range(machines()));
  CAPTURE(name, ssa::name(machine.device));
  const GoldenRun run(name, machine);
  check_close("logits", run.logits(), run.golden("logits"), machine.tensor_tolerance);
}

TEST_CASE("golden: every gradient equals PyTorch's", "[golden]") {
  const std::string name = GENERATE("dense", "plan", "adaptive", "adaptive_untied");
  const Machine machine = GENERATE(from_range(machines()));
  const auto checkpointing =
      GENERATE(Checkpointing::none, Checkpointing::attention, Checkpointing::block);
  CAPTURE(name, ssa::name(machine.device), static_cast<int>(checkpointing));
  GoldenRun run(name, machine);
  run.model().set_activation_checkpointing(checkpointing);
  run.loss_and_gradients();
  for (const Parameter& parameter : run.store().all())
    check_close(parameter.name, parameter.variable.grad(),
                run.golden("gradients." + parameter.name), machine.tensor_tolerance,
                kSmallestGradient);
}

TEST_CASE("golden: ten steps of Adam give PyTorch's losses", "[golden]") {
  const std::string name = GENERATE("dense", "plan", "adaptive", "adaptive_untied");
  const Machine machine = GENERATE(from_range(machines()));
  CAPTURE(name, ssa::name(machine.device));
  GoldenRun run(name, machine);
  const std::vector<double> losses = values(run.golden("losses"));
  const std::vector<double> norms = values(run.golden("gradient_norms"));
  REQUIRE(losses.size() == 10);
  for (size_t step = 0; step < losses.size(); ++step) {
    CAPTURE(step);
    CHECK(run.loss_and_gradients() == Approx(losses[step]).epsilon(machine.loss_tolerance));
    const double norm = run.gradient_norm();
    CHECK(norm == Approx(norms[step]).epsilon(machine.norm_tolerance));
    run.update(norm);
  }
}

}  // namespace
}  // namespace ssa
