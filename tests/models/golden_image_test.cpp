// The golden run of pictures: PyTorch's results for a tiny image decoder
// (scripts/make_golden_image.py) against the engine's reference backend in f64 and its other
// backends in f32.

#include <array>
#include <cmath>
#include <fstream>
#include <numeric>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "ssa/models/decoder_plans.h"
#include "ssa/models/image_decoder.h"

#include "support/tensors.h"

namespace ssa {
namespace {

using namespace testing;
using nlohmann::json;

// As in the script.
constexpr int64_t kSide = 4, kRows = kSide, kColumns = 3 * kSide, kLength = kRows * kColumns;
constexpr int64_t kPictures = 2;
constexpr uint32_t kPicturesSeed = 1000, kNoiseSeed = 2000;
constexpr double kLearningRate = 1e-2, kBeta1 = 0.9, kBeta2 = 0.999, kEps = 1e-8, kClipNorm = 1.0;

/// Gradients are compared relative to at least this: those of keys' biases are rounding noise.
constexpr double kSmallestGradient = 0.01;

/// A device and dtype, and its largest relative error against PyTorch's f64 values.
struct Machine {
  Device device;
  DType dtype;
  double tolerance;
};

/// Includes the GPU if there is one, real or emulated.
std::vector<Machine> machines() {
  std::vector<Machine> all = {{Device::reference, DType::f64, 1e-10},
                              {Device::cpu, DType::f32, 1e-5}};
  if (is_usable(Device::cuda)) all.push_back({Device::cuda, DType::f32, 2e-5});
  return all;
}

/// A number in [-1, 1) for element `i` of tensor `number`: a hash of its place.
double noise(uint32_t number, size_t i) {
  uint32_t x = (static_cast<uint32_t>(i) + 1) * 2654435761U + (number + 1) * 2246822519U;
  x = (x ^ (x >> 15)) * 2246822519U;
  x = (x ^ (x >> 13)) * 3266489917U;
  x ^= x >> 16;
  return x / 2147483648.0 - 1;
}

double scaled(const std::string& name, double value) {
  if (name.ends_with("relative_bias")) return 1.5 * value;
  if (name.ends_with(".bias")) return 0.2 * value;
  return name.find("norm") == std::string::npos ? 0.3 * value : 1 + 0.3 * value;
}

const std::vector<std::string> kRuns = {"dense", "bands", "causal_shared", "pixels",
                                        "pixels_and_channels"};

const json& golden() {
  static const json all = json::parse(
      std::ifstream(SSA_SOURCE_DIR "/tests/fixtures/golden/image.json", std::ios::binary));
  return all;
}

ModelConfig model_config(const json& run) {
  ModelConfig model;
  model.layers = 2;
  model.width = 32;
  model.ffn_width = 48;
  model.heads = 4;
  model.position = PositionKind::relative_2d;
  model.relative_rows = run["relative_rows"] == "causal" ? RelativeRows::causal : RelativeRows::all;
  const std::string columns = run["relative_columns"];
  model.relative_columns = columns == "pixels"                ? RelativeColumns::pixels
                           : columns == "pixels_and_channels" ? RelativeColumns::pixels_and_channels
                                                              : RelativeColumns::sub_pixels;
  model.relative_shared = run["relative_shared"];
  return model;
}

/// The tiny decoder with the script's weights, pictures and plans.
class GoldenImages {
 public:
  GoldenImages(const std::string& name, const Machine& machine)
      : run_(golden()[name]),
        machine_(machine),
        store_(machine.device, machine.dtype, 1),
        model_(model_config(run_), {kRows, kColumns, 3}, kAugmentations, store_) {
    for (uint32_t number = 0; const Parameter& parameter : store_.all()) {
      std::vector<float> values(static_cast<size_t>(parameter.variable.value().numel()));
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(scaled(parameter.name, noise(number, i)));
      }
      Tensor to = parameter.variable.value();
      engine().copy(Tensor::from(values, parameter.shape, machine.device), to);
      ++number;
    }
    store_.mark_written();
    make_input();
  }

  const json& run() const { return run_; }
  const ParameterStore& store() const { return store_; }
  ImageDecoder& model() { return model_; }
  std::vector<double> losses() const { return values(model_.predictions(input_)); }

  /// The mean loss; leaves its gradients in the parameters.
  double loss_and_gradients() {
    store_.zero_grad();
    const Variable losses = model_.losses(input_, {});
    Tensor grad = Tensor::empty_like(losses.value());
    engine().fill(grad, 1.0 / (kPictures * kLength));
    losses.backward(grad);
    return engine().sum(losses.value()) / (kPictures * kLength);
  }

  double gradient_norm() {
    double squares = 0;
    for (const Parameter& parameter : store_.all()) {
      squares += engine().sum_squares({parameter.variable.grad()});
    }
    return std::sqrt(squares);
  }

  /// Adam after clipping as torch.nn.utils.clip_grad_norm_ does it.
  void update(double norm) {
    ++step_;
    moments_.resize(store_.all().size());
    for (size_t i = 0; i < moments_.size(); ++i) {
      const Tensor parameter = store_.all()[i].variable.value();
      for (Tensor& moment : moments_[i]) {
        if (moment.defined()) continue;
        moment = Tensor::zeros(parameter.shape(), parameter.dtype(), machine_.device);
      }
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
    store_.mark_written();
  }

 private:
  static constexpr std::array kAugmentations = {Augmentation::rotation,
                                                Augmentation::transposition};

  Backend& engine() const { return backend(machine_.device); }

  void make_input() {
    std::vector<int32_t> ids, inputs;
    for (int64_t i = 0; i < kPictures * kLength; ++i) {
      const double value = noise(kPicturesSeed, static_cast<size_t>(i));
      inputs.push_back(i % kLength == 0 ? static_cast<int32_t>(kPixelValues + i / kLength)
                                        : ids.back());
      ids.push_back(static_cast<int32_t>((value + 1) * 128));
    }
    const auto tensor = [this](const std::vector<int32_t>& of, const Shape& shape) {
      return Tensor::from(of, shape, machine_.device);
    };
    input_.examples = kPictures;
    input_.fields = {{"ids", tensor(ids, {kPictures, kLength})},
                     {"inputs", tensor(inputs, {kPictures, kLength})},
                     {"start.rotation", tensor({0, 3}, {kPictures})},
                     {"start.transposition", tensor({1, 0}, {kPictures})}};
    std::vector<int32_t> line(kLength);
    std::iota(line.begin(), line.end(), 0);
    for (const json& of_layer : run_["sources"]) {
      const auto windows = static_cast<int64_t>(of_layer.size()), each = kLength / windows;
      std::vector<int32_t> sources;
      for (const std::vector<int32_t> window : of_layer) {
        sources.insert(sources.end(), window.begin(), window.end());
      }
      input_.plans.push_back({tensor(line, {windows, each}), tensor(sources, {windows, each})});
    }
  }

  const json& run_;
  Machine machine_;
  ParameterStore store_;
  ImageDecoder model_;
  ModelInput input_;
  std::vector<std::array<Tensor, 2>> moments_;  // first and second of each parameter
  int64_t step_ = 0;
};

/// |actual - expected| ≤ tolerance · scale; NaN is not.
void check_close(double actual, double expected, double scale, double tolerance) {
  CHECK(std::abs(actual - expected) <= tolerance * scale);
}

TEST_CASE("golden pictures: the loss of every sub-pixel equals PyTorch's", "[golden]") {
  const std::string name = GENERATE(from_range(kRuns));
  const Machine machine = GENERATE(from_range(machines()));
  CAPTURE(name, ssa::name(machine.device));
  const GoldenImages images(name, machine);
  const auto expected = images.run()["of_each_sub_pixel"].get<std::vector<double>>();
  const std::vector<double> losses = images.losses();
  REQUIRE(losses.size() == expected.size());
  for (size_t i = 0; i < losses.size(); ++i) {
    CAPTURE(i);
    check_close(losses[i], expected[i], std::max(1.0, expected[i]), machine.tolerance);
  }
}

TEST_CASE("golden pictures: every gradient equals PyTorch's", "[golden]") {
  const std::string name = GENERATE(from_range(kRuns));
  const Machine machine = GENERATE(from_range(machines()));
  const auto checkpointing = GENERATE(Checkpointing::none, Checkpointing::block);
  CAPTURE(name, ssa::name(machine.device), static_cast<int>(checkpointing));
  GoldenImages images(name, machine);
  images.model().set_activation_checkpointing(checkpointing);
  images.loss_and_gradients();
  const json& gradients = images.run()["gradients"];
  REQUIRE(images.store().all().size() == gradients.size());
  for (const Parameter& parameter : images.store().all()) {
    CAPTURE(parameter.name);
    const json& expected = gradients.at(parameter.name);
    double squares = 0, with_noise = 0;
    for (size_t i = 0; const double value : values(parameter.variable.grad())) {
      squares += value * value;
      with_noise += value * noise(kNoiseSeed, i++);
    }
    const double scale = std::max(kSmallestGradient, expected["norm"].get<double>());
    check_close(std::sqrt(squares), expected["norm"], scale, machine.tolerance);
    check_close(with_noise, expected["with_noise"], scale, machine.tolerance);
  }
}

TEST_CASE("golden pictures: ten steps of Adam give PyTorch's losses", "[golden]") {
  const std::string name = GENERATE(from_range(kRuns));
  const Machine machine = GENERATE(from_range(machines()));
  CAPTURE(name, ssa::name(machine.device));
  GoldenImages images(name, machine);
  for (size_t step = 0; step < 10; ++step) {
    CAPTURE(step);
    const double loss = images.run()["losses"][step];
    const double norm = images.run()["gradient_norms"][step];
    check_close(images.loss_and_gradients(), loss, loss, machine.tolerance);
    const double own = images.gradient_norm();
    check_close(own, norm, norm, 10 * machine.tolerance);
    images.update(own);
  }
}

}  // namespace
}  // namespace ssa
