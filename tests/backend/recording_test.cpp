// Work that is captured and replayed. Backends without support return null.

#include "backend/attention_cases.h"

namespace ssa {
namespace {

using namespace testing;

/// Work like that of a step: random numbers in two kernels, a product, sums, buffers of its own.
struct Work {
  explicit Work(DType dtype)
      : c{.batch = 2, .length = 48, .heads = 2, .head_size = 32, .causal = true},
        weights(converted(random_tensor({64, 40}, 5), dtype)),
        result(filled_with({96, 40}, dtype, std::nan(""))),
        sums(filled_with({40}, DType::f32, std::nan(""))) {
    c.sources = Sources::local;
    c.windows = 4;
    c.dropout = 0.3;
    c.dtype = dtype;
    inputs.emplace(c);
  }

  void ask(uint32_t step) {
    AttentionArgs args = inputs->args;
    args.dropout.key.step = step;
    args.out = Tensor::empty({c.batch, c.length, c.heads, c.head_size}, c.dtype, Device::cuda);
    args.lse = Tensor::empty({c.batch, c.heads, c.length}, DType::f32, Device::cuda);
    tested().attention(args);
    Tensor rows = args.out.view({96, 64});
    tested().dropout({0.2, RngKey{.seed = 4, .step = step}}, rows, Tensor(), rows);
    tested().matmul({.a = rows, .b = weights, .out = result});
    tested().column_sum(result, sums, false);
  }
  std::vector<double> values() const {
    std::vector<double> all;
    for (const Tensor& tensor : {for_reference(result), for_reference(sums)}) {
      all.insert(all.end(), tensor.data<double>(), tensor.data<double>() + tensor.numel());
    }
    return all;
  }

  AttentionCase c;
  std::optional<AttentionInputs> inputs;
  Tensor weights, result, sums;
};

std::vector<double> asked(Work& work, uint32_t step) {
  work.ask(step);
  return work.values();
}

TEST_CASE("recorded work is done again, with the random numbers of any step") {
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  CAPTURE(name(dtype));
  Work work(dtype);
  const std::vector<double> at_7 = asked(work, 7), at_8 = asked(work, 8), at_3 = asked(work, 3);
  REQUIRE(at_7 != at_8);
  const auto recorded = tested().record(7, [&] { work.ask(7); });
  REQUIRE(recorded);
  CHECK(recorded->usable());
  CHECK(work.values() == at_3);  // capturing runs nothing
  const auto replayed = [&](uint32_t step) {
    recorded->replay(step);
    return work.values();
  };
  CHECK(replayed(7) == at_7);
  CHECK(replayed(8) == at_8);
  CHECK(asked(work, 8) == at_8);  // not shifted by the replay before
  CHECK(replayed(3) == at_3);
  // Nobody else gets the buffers of captured work.
  std::vector<Tensor> others;
  for (int i = 0; i < 4; ++i) others.push_back(filled_with({2, 48, 2, 32}, dtype, 5.0));
  CHECK(replayed(8) == at_8);
  for (const Tensor& other : others) {
    CHECK(worst_error(other, for_reference(filled_with(other.shape(), dtype, 5.0)), 1) == 0);
  }
  // Its inputs may change between replays.
  tested().fill(work.weights, 0.0);
  CHECK(replayed(8) == std::vector<double>(at_8.size(), 0.0));
}

TEST_CASE("a stopwatch times the device's work") {
  Tensor some = random_tensor({1000}, 1);
  const auto watch = device_memory(Device::cuda).start_stopwatch();
  watch->mark();
  for (int lap = 0; lap < 3; ++lap) {
    tested().scale(some, 0.5, some);
    watch->mark();
  }
  const std::vector<double> laps = watch->laps();
  REQUIRE(laps.size() == 3);
  for (const double seconds : laps) CHECK((seconds >= 0 && seconds < 60));
}

TEST_CASE("what waits for the device, or copies from the host, cannot be recorded") {
  Tensor some = random_tensor({10}, 1);
  const std::vector<float> values(10, 1.0f);
  const std::pair<const char*, std::function<void()>> calls[] = {
      {"waiting for the device", [&] { tested().sum(some); }},
      {"waiting for the device", [&] { some.on_host(); }},
      {"a copy from the host", [&] { Tensor::from(values, {10}, Device::cuda); }}};
  const double before = tested().sum(some);
  for (const auto& [what, call] : calls) {
    CHECK_THROWS_WITH(tested().record(0, call), Catch::Contains(what));
    CHECK(tested().sum(some) == before);  // and the backend still works
  }
  const std::unique_ptr<RecordedWork> next = tested().record(0, [&] { tested().fill(some, 2.0); });
  next->replay(1);
  CHECK(tested().sum(some) == 20.0);
}

}  // namespace
}  // namespace ssa
