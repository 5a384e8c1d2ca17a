// Steps of a decoder on several ranks, which are threads, against steps on one.

#include <cmath>
#include <mutex>

#include "ssa/backend/backend.h"
#include "ssa/train/gradient_reducer.h"
#include "ssa/train/optimizer.h"

#include "dist/thread_ranks.h"
#include "models/tiny_decoder.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kBatch = 12, kSteps = 3;

struct Setup {
  Device device = Device::reference;
  DType dtype = DType::f64;
  DistributedConfig distributed = {.bucket_mib = 0};  // a bucket for each parameter
  OptimizerConfig optimizer;
  double clip_norm = 0;
  int64_t micro_batches = 1;  // per rank
  Checkpointing checkpointing = Checkpointing::none;
};

ModelConfig adaptive_model() {
  ModelConfig model = tiny_model();
  model.embedding = {EmbeddingKind::adaptive, {3, 7}, 2, true, true};
  return model;
}

/// A rank's copy of the model, and its steps.
class Rank {
 public:
  Rank(const Setup& setup, Communicator& ranks)
      : setup_(setup),
        ranks_(ranks),
        store_(setup.device, setup.dtype, 1),
        model_(adaptive_model(), kTinyVocabulary, store_),
        reducer_(store_, ranks, setup.distributed),
        optimizer_(setup.optimizer, store_, reducer_.pieces()) {
    model_.set_activation_checkpointing(setup.checkpointing);
  }

  /// Returns the norm of the gradient.
  double step(int64_t number) {
    store_.zero_grad();
    const int64_t share = kBatch / ranks_.size(), micro = share / setup_.micro_batches;
    for (int64_t first = 0; first < share; first += micro) {
      const bool last = first + micro == share;
      backward(number, ranks_.rank() * share + first, micro, last);
    }
    reducer_.finish();
    double squares = 0;
    const std::vector<double> own = {optimizer_.sum_squares()};
    const std::vector<double> all = ranks_.gather(own, "norms");
    for (const double part : all) squares += part;
    if (!setup_.distributed.shard_optimizer) squares = own.front();
    const double norm = std::sqrt(squares), limit = setup_.clip_norm;
    optimizer_.step(0.01, limit > 0 ? std::min(1.0, limit / norm) : 1.0);
    reducer_.share_parameters();
    return norm;
  }

  std::vector<double> parameters() const {
    std::vector<double> all;
    for (const Parameter& parameter : store_.all()) {
      const Tensor value = parameter.variable.value();
      visit_floating(value.dtype(), [&]<class T>(TypeTag<T>) {
        const T* data = value.data<T>();
        for (int64_t i = 0; i < value.numel(); ++i) all.push_back(static_cast<double>(data[i]));
      });
    }
    return all;
  }

 private:
  /// Sequences first … first+count-1 of the global batch.
  void backward(int64_t step, int64_t first, int64_t count, bool last) {
    std::vector<int32_t> ids, targets;
    for (int64_t row = first; row < first + count; ++row) {
      const RngKey key{.seed = 8, .step = static_cast<uint32_t>(step * kBatch + row)};
      const auto token = [&](int64_t i) {
        return static_cast<int32_t>(key.word(static_cast<uint64_t>(i)) % kTinyVocabulary);
      };
      for (int64_t i = 0; i < kTinyLength; ++i) {
        ids.push_back(token(i));
        targets.push_back(token(i + 1));
      }
    }
    SsaConfig ssa{.kind = SsaKind::local, .windows = 2, .sigma = {0.3, 0.6}};
    const RngKey key{.seed = 5, .purpose = RngPurpose::plan, .step = static_cast<uint32_t>(step)};
    const std::vector<PlanTensors> plans =
        to_tensors(draw_plans(decoder_plan_specs(ssa, 2, kTinyLength), key), setup_.device);
    const nn::Context context{true, {.seed = 4, .step = static_cast<uint32_t>(step)}};
    const Variable losses = model_.losses({count, kTinyLength, model_.tokens(ids), &plans},
                                          model_.tokens(targets), context);
    Tensor grad = Tensor::empty_like(losses.value());
    ssa::backend(setup_.device).fill(grad, 1.0 / static_cast<double>(kBatch * kTinyLength));
    if (last) reducer_.begin_last_backward();
    losses.backward(grad);
  }

  const Setup setup_;
  Communicator& ranks_;
  ParameterStore store_;
  DecoderLm model_;
  GradientReducer reducer_;
  Optimizer optimizer_;
};

struct Result {
  std::vector<double> parameters;
  std::vector<double> norms;  // by step
};

/// The parameters after kSteps. The test fails unless they are the same on all ranks.
Result train(const Setup& setup, int size) {
  std::vector<Result> results(static_cast<size_t>(size));
  ssa::testing::on_ranks(size, [&](Communicator& ranks) {
    omp_set_num_threads(1);
    Rank rank(setup, ranks);
    Result& result = results[static_cast<size_t>(ranks.rank())];
    for (int64_t step = 0; step < kSteps; ++step) result.norms.push_back(rank.step(step));
    result.parameters = rank.parameters();
  });
  for (const Result& result : results) {
    CHECK((result.parameters == results.front().parameters));
    CHECK(result.norms == results.front().norms);
  }
  return results.front();
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  REQUIRE(a.size() > 1000);
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("data parallel: ranks with a share of the batch each do what one does with all of it") {
  const Result alone = train({}, 1);
  REQUIRE(alone.norms.front() > 0.1);
  const auto compare = [&](const Setup& setup, int size) {
    const Result shared = train(setup, size);
    CHECK(largest_difference(shared.parameters, alone.parameters) < 1e-10);
    for (size_t step = 0; step < kSteps; ++step) {
      CHECK(shared.norms[step] == Approx(alone.norms[step]).epsilon(1e-10));
    }
  };
  for (const int size : {2, 3, 4}) {
    for (const bool sharded : {false, true}) {
      CAPTURE(size, sharded);
      Setup setup;
      setup.distributed.shard_optimizer = sharded;
      compare(setup, size);
      setup.micro_batches = 3;
      compare(setup, size);
    }
  }
  for (const Checkpointing kind : {Checkpointing::attention, Checkpointing::block}) {
    Setup setup;
    setup.checkpointing = kind;
    compare(setup, 3);
  }
}

TEST_CASE("data parallel: neither overlap nor the size of buckets changes a bit") {
  const int size = GENERATE(2, 3);
  const bool sharded = GENERATE(false, true);
  const auto precision = GENERATE(ReducePrecision::fp32, ReducePrecision::bf16);
  CAPTURE(size, sharded);
  Setup setup;
  setup.device = Device::cpu;
  setup.dtype = DType::f32;
  setup.distributed.shard_optimizer = sharded;
  setup.distributed.reduce_precision = precision;
  const Result expected = train(setup, size);
  setup.distributed.overlap = false;
  const Result without = train(setup, size);
  CHECK((without.parameters == expected.parameters));
  setup.distributed.bucket_mib = 1;  // room for all
  const Result one_bucket = train(setup, size);
  // The norm of shares is summed in another order, but nothing is clipped here.
  CHECK((one_bucket.parameters == expected.parameters));
}

TEST_CASE("data parallel: sums in bf16 are near those in fp32") {
  Setup setup;
  setup.device = Device::cpu;
  setup.dtype = DType::f32;
  setup.optimizer.kind = OptimizerKind::sgd;
  const Result exact = train(setup, 2);
  setup.distributed.reduce_precision = ReducePrecision::bf16;
  const Result rounded = train(setup, 2);
  CHECK(rounded.parameters != exact.parameters);
  CHECK(rounded.norms.front() != exact.norms.front());
  CHECK(rounded.norms.front() == Approx(exact.norms.front()).epsilon(0.005));
  CHECK(largest_difference(rounded.parameters, exact.parameters) <
        0.005 * 0.01 * 3 * exact.norms.front());
}

TEST_CASE("data parallel: a sharded optimizer does what a whole one does, bit by bit") {
  const OptimizerKind kind = GENERATE(OptimizerKind::adamw, OptimizerKind::sgd);
  const double clip_norm = GENERATE(0.0, 0.05);
  const int size = GENERATE(2, 3, 4);
  CAPTURE(static_cast<int>(kind), clip_norm, size);
  Setup setup;
  setup.device = Device::cpu;
  setup.dtype = DType::f32;
  setup.optimizer.kind = kind;
  setup.optimizer.weight_decay = 0.1;
  setup.clip_norm = clip_norm;
  const Result whole = train(setup, size);
  REQUIRE(whole.norms.front() > 0.05);
  setup.distributed.shard_optimizer = true;
  const Result sharded = train(setup, size);
  CHECK((sharded.parameters == whole.parameters));
  for (size_t step = 0; step < kSteps; ++step) {
    CHECK(sharded.norms[step] == Approx(whole.norms[step]).epsilon(1e-14));
  }
}
