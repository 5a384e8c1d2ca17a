#include "apps/measure.h"

#include <algorithm>
#include <chrono>

#include "ssa/core/device_memory.h"
#include "ssa/core/philox.h"

namespace ssa::bench {

namespace {

std::vector<double> seconds_of_calls(int64_t repeats, Device device,
                                     const std::function<void()>& call) {
  DeviceMemory& memory = device_memory(device);
  std::vector<double> seconds;
  call();
  memory.wait();
  for (int64_t i = 0; i < repeats; ++i) {
    const auto started = std::chrono::steady_clock::now();
    call();
    memory.wait();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  }
  return seconds;
}

}  // namespace

double median_seconds(int64_t repeats, Device device, const std::function<void()>& call) {
  return median(seconds_of_calls(repeats, device, call));
}

std::vector<double> queued_seconds(int64_t repeats, Device device,
                                   const std::function<void()>& call) {
  if (device != Device::cuda) return seconds_of_calls(repeats, device, call);
  const double once = median_seconds(1, device, call);
  const auto calls = static_cast<int64_t>(std::clamp(0.02 / once, 1.0, 200.0));
  const auto watch = device_memory(device).start_stopwatch();
  watch->mark();
  for (int64_t lap = 0; lap < repeats; ++lap) {
    for (int64_t i = 0; i < calls; ++i) call();
    watch->mark();
  }
  std::vector<double> seconds = watch->laps();
  for (double& lap : seconds) lap /= static_cast<double>(calls);
  return seconds;
}

double median(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

Tensor random_tensor(const Shape& shape, DType dtype, Device device, uint32_t stream) {
  Tensor values = Tensor::empty(shape, DType::f32, Device::cpu);
  const RngKey key = RngKey{.purpose = RngPurpose::test}.with_stream(stream);
  float* data = values.data<float>();
  // Large tensors repeat the first part: drawing all of it would take longer than the measurement.
  const int64_t drawn = std::min<int64_t>(values.numel(), (int64_t{1} << 20) + 7);
  for (int64_t i = 0; i < drawn; ++i) {
    data[i] = static_cast<float>(2 * uniform_open(key.word(static_cast<uint64_t>(i))) - 1);
  }
  for (int64_t i = drawn; i < values.numel(); i += drawn) {
    std::copy_n(data, std::min(drawn, values.numel() - i), data + i);
  }
  values = values.to(device);
  if (dtype == DType::f32) return values;
  Tensor converted = Tensor::empty(shape, dtype, device);
  backend(device).copy(values, converted);
  return converted;
}

double product_seconds(const Product& product, DType dtype, Device device, int64_t repeats) {
  Backend& compute = backend(device);
  const auto [kind, m, n, k] = product;
  MatmulArgs args;
  if (kind == Product::Kind::weights) {
    args.a = random_tensor({m, k}, dtype, device, 1);
    args.packed_b =
        compute.pack({random_tensor({n, k}, wide(dtype), device, 2)}, true, dtype, nullptr);
    args.out = Tensor::empty({m, n}, dtype, device);
  } else {
    args.a = random_tensor({k, m}, dtype, device, 1);
    args.transpose_a = true;
    args.b = random_tensor({k, n}, dtype, device, 2);
    args.out = Tensor::empty({m, n}, wide(dtype), device);
  }
  return median(queued_seconds(repeats, device, [&] { compute.matmul(args); }));
}

double measured_peak(DType dtype, Device device, int64_t repeats) {
  std::vector<int64_t> sizes{768, 1536};
  if (device == Device::cuda) sizes = {4096, 8192};
  if (device == Device::reference) sizes = {96};  // it would take minutes for the others
  double best = 0;
  for (const int64_t size : sizes) {
    const Product square{Product::Kind::weights, size, size, size};
    best = std::max(best, square.flop() / product_seconds(square, dtype, device, repeats));
  }
  return best;
}

}  // namespace ssa::bench
