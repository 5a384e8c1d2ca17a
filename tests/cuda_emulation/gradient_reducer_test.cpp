// Buckets of gradients in device memory, which the host cannot access.

#include "ssa/train/gradient_reducer.h"

#include <cmath>

#include "ssa/train/optimizer.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr float kFromTwin = 7;

/// Rank 0 of two. The other rank has the same numbers, and updates parameters to 7.
class Twins final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 2; }
  std::string description() const override { return "twins"; }

  PendingCollective all_reduce(const CollectiveBuffer& buffer, std::string) override {
    return change(buffer, [](float own, bool) { return 2 * own; });
  }
  PendingCollective reduce_scatter(const CollectiveBuffer& buffer, std::string) override {
    return change(buffer, [](float own, bool mine) { return mine ? 2 * own : std::nanf(""); });
  }
  PendingCollective all_gather(const CollectiveBuffer& buffer, std::string) override {
    return change(buffer, [](float own, bool mine) { return mine ? own : kFromTwin; });
  }
  using Communicator::gather;
  std::vector<std::string> gather(const std::string& own, const std::string&) override {
    return {own, own};
  }
  void set_step(int64_t) override {}
  void set_timeout(std::chrono::duration<double>) override {}
  bool announce_failure(ExitCode, const std::string&) noexcept override { return false; }
  void end_job(ExitCode) noexcept override {}
  CommunicatorStats stats() const override { return {}; }

 private:
  /// Applies f(element, whether it is in the first half), on the host.
  template <class F>
  static PendingCollective change(const CollectiveBuffer& buffer, const F& f) {
    DeviceMemory& memory = device_memory(Device::cuda);
    visit_floating(buffer.dtype, [&]<class T>(TypeTag<T>) {
      std::vector<T> host(static_cast<size_t>(buffer.count));
      memory.copy_out(host.data(), buffer.data, buffer.bytes());
      for (size_t i = 0; i < host.size(); ++i) {
        host[i] = T(f(static_cast<float>(host[i]), i < host.size() / 2));
      }
      memory.copy_in(buffer.data, host.data(), buffer.bytes());
    });
    return {};
  }
};

}  // namespace

TEST_CASE("gradients on the GPU are summed in buckets, flags and updated parameters included") {
  const bool sharded = GENERATE(false, true);
  const auto precision = GENERATE(ReducePrecision::fp32, ReducePrecision::bf16);
  const bool together = GENERATE(false, true);  // in one bucket, or each in its own
  CAPTURE(sharded, together);
  DistributedConfig config;
  config.bucket_mib = together ? 1 : 0;
  config.shard_optimizer = sharded;
  config.reduce_precision = precision;
  ParameterStore store(Device::cuda, DType::f32, 1);
  const std::vector<Shape> shapes = {{5, 7}, {3}, {40}};
  for (size_t i = 0; i < shapes.size(); ++i) {
    store.add(fmt::format("p{}", i), shapes[i], Init::normal(1.0));
  }
  Twins ranks;
  GradientReducer reducer(store, ranks, config);
  Optimizer optimizer({}, store, reducer.pieces());
  reducer.begin_last_backward();
  for (const size_t i : {2, 0}) {  // p1 gets none
    std::vector<float> gradient(static_cast<size_t>(shapes[i].numel()));
    for (size_t k = 0; k < gradient.size(); ++k) gradient[k] = 1.001f + static_cast<float>(k);
    store.all()[i].variable.backward(Tensor::from(gradient, shapes[i], Device::cuda));
  }
  reducer.finish();

  CHECK_FALSE(store.all()[1].variable.grad().defined());
  std::vector<std::vector<double>> before;
  for (const Parameter& parameter : store.all())
    before.push_back(values(parameter.variable.value()));
  double squares = 0;
  for (const ParameterPiece& piece : reducer.pieces()) {
    if (piece.parameter == 1) continue;
    const std::vector<double> sums = values(store.all()[piece.parameter].variable.grad());
    for (int64_t k = piece.begin; k < piece.end; ++k) {
      const float sent = 1.001f + static_cast<float>(k);
      const float sum = precision == ReducePrecision::fp32
                            ? 2 * sent
                            : static_cast<float>(BFloat16(2 * static_cast<float>(BFloat16(sent))));
      CHECK(sums[static_cast<size_t>(k)] == sum);
      squares += static_cast<double>(sum) * sum;
    }
  }
  CHECK(optimizer.sum_squares() == Approx(squares));

  optimizer.step(0.5, 1.0);
  reducer.share_parameters();
  for (size_t i = 0; i < shapes.size(); ++i) {
    std::vector<double> expected(before[i].size(), kFromTwin);
    for (const ParameterPiece& piece : reducer.pieces()) {
      if (piece.parameter != i) continue;
      for (int64_t k = piece.begin; k < piece.end; ++k) {
        // Adam's first step is the learning rate, whatever the gradient.
        const auto at = static_cast<size_t>(k);
        expected[at] = before[i][at] - (i == 1 ? 0.0 : 0.5);
      }
    }
    const std::vector<double> now = values(store.all()[i].variable.value());
    for (size_t k = 0; k < now.size(); ++k) {
      CAPTURE(i, k);
      CHECK(now[k] == Approx(expected[k]).margin(1e-5));
    }
  }
}
