// Buckets of gradients, summed over ranks that are threads.

#include "ssa/train/gradient_reducer.h"

#include <atomic>
#include <cmath>

#include "ssa/ops/ops.h"
#include "ssa/train/optimizer.h"

#include "dist/thread_ranks.h"
#include "train/bucket_layout.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// Five parameters, in three buckets of a MiB: {4, 3}, {2, 1}, {0}.
const std::vector<int64_t> kSizes = {150001, 70003, 120000, 17, 200000};

std::unique_ptr<ParameterStore> make_store() {
  auto store = std::make_unique<ParameterStore>(Device::cpu, DType::f32, 5);
  for (size_t i = 0; i < kSizes.size(); ++i) {
    store->add(fmt::format("p{}", i), {kSizes[i]}, Init::normal(1.0));
  }
  return store;
}

DistributedConfig one_mib() {
  DistributedConfig config;
  config.bucket_mib = 1;
  return config;
}

/// The gradient of element k of parameter i on a rank: a whole number, so that sums are exact.
float gradient_at(size_t parameter, int64_t k, int rank) {
  return static_cast<float>((k * 7 + static_cast<int64_t>(parameter) * 3) % 101 - 50) +
         static_cast<float>(1000 * (rank + 1));
}

Tensor gradient_of(size_t parameter, int rank) {
  Tensor gradient = Tensor::empty({kSizes[parameter]}, DType::f32, Device::cpu);
  float* data = gradient.data<float>();
  for (int64_t k = 0; k < gradient.numel(); ++k) data[k] = gradient_at(parameter, k, rank);
  return gradient;
}

using Log = std::vector<std::string>;

/// A backward pass that brings parameters their gradients in a given order.
void backward(const ParameterStore& store, int rank, const std::vector<size_t>& order,
              Log* log = nullptr) {
  const Tensor one = Tensor::zeros({1}, DType::f32, Device::cpu);
  Variable y(one);
  for (auto next = order.rbegin(); next != order.rend(); ++next) {
    const size_t parameter = *next;
    const Variable& leaf = store.all()[parameter].variable;
    y = Variable::record(one, {y, leaf}, [=, to_y = y.slot(), to_leaf = leaf.slot()](auto& grad) {
      if (log) log->push_back(store.all()[parameter].name);
      to_leaf.accumulate(gradient_of(parameter, rank));
      to_y.accumulate(grad);
    });
  }
  y.backward(one);
}

const std::vector<size_t> kBackwards = {4, 3, 2, 1, 0};

/// A communicator that records the asynchronous collectives.
class Noting : public Communicator {
 public:
  Noting(Communicator& inner, Log& log) : inner_(inner), log_(log) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  int local_rank() const override { return inner_.local_rank(); }
  int local_size() const override { return inner_.local_size(); }
  std::string description() const override { return inner_.description(); }
  PendingCollective all_reduce(const CollectiveBuffer& buffer, std::string what) override {
    log_.push_back("all_reduce " + what);
    return inner_.all_reduce(buffer, what);
  }
  PendingCollective reduce_scatter(const CollectiveBuffer& buffer, std::string what) override {
    log_.push_back("reduce_scatter " + what);
    return inner_.reduce_scatter(buffer, what);
  }
  PendingCollective all_gather(const CollectiveBuffer& buffer, std::string what) override {
    log_.push_back("all_gather " + what);
    return inner_.all_gather(buffer, what);
  }
  using Communicator::gather;
  std::vector<std::string> gather(const std::string& own, const std::string& what) override {
    return inner_.gather(own, what);
  }
  void set_step(int64_t step) override { inner_.set_step(step); }
  void set_timeout(std::chrono::duration<double> timeout) override { inner_.set_timeout(timeout); }
  bool announce_failure(ExitCode code, const std::string& message) noexcept override {
    return inner_.announce_failure(code, message);
  }
  void end_job(ExitCode code) noexcept override { inner_.abort(code); }
  CommunicatorStats stats() const override { return inner_.stats(); }

 private:
  Communicator& inner_;
  Log& log_;
};

/// As values(), without Catch's macros, which are for one thread only.
std::vector<double> elements(const Tensor& tensor) {
  const float* data = tensor.data<float>();
  return {data, data + tensor.numel()};
}

/// Calls body(rank's communicator, its number as an index) on threads of one OpenMP thread each.
void on_ranks(int size, const std::function<void(Communicator&, size_t)>& body) {
  ssa::testing::on_ranks(size, [&](Communicator& ranks) {
    omp_set_num_threads(1);
    body(ranks, static_cast<size_t>(ranks.rank()));
  });
}

/// The sums that the ranks have; NaN where no rank has one. If sharded, each element is on one rank
/// only; otherwise it is the same on all.
struct Sums {
  explicit Sums(int size) : by_rank(static_cast<size_t>(size)) {}
  struct OfRank {
    std::vector<ParameterPiece> pieces;
    std::vector<std::vector<double>> elements;  // by piece; empty: no gradient
  };
  std::vector<OfRank> by_rank;

  void take(size_t rank, const ParameterStore& store, const GradientReducer& reducer) {
    OfRank& own = by_rank[rank];
    own.pieces = reducer.pieces();
    for (const ParameterPiece& piece : own.pieces) {
      const Tensor gradient = store.all()[piece.parameter].variable.grad();
      own.elements.push_back(gradient.defined() ? elements(elements_of(piece, gradient))
                                                : std::vector<double>());
    }
  }

  /// Every piece is what `expected(parameter, element)` says, and the pieces of all ranks (of each,
  /// if not sharded) make up the parameters.
  template <class F>
  void check(bool sharded, const F& expected) const {
    std::vector<std::vector<int>> seen;
    for (const int64_t size : kSizes) seen.emplace_back(static_cast<size_t>(size), 0);
    int64_t wrong = 0;
    for (const OfRank& own : by_rank) {
      for (size_t i = 0; i < own.pieces.size(); ++i) {
        const ParameterPiece& piece = own.pieces[i];
        REQUIRE(own.elements[i].size() == static_cast<size_t>(piece.numel()));
        for (int64_t k = piece.begin; k < piece.end; ++k) {
          ++seen[piece.parameter][static_cast<size_t>(k)];
          wrong +=
              own.elements[i][static_cast<size_t>(k - piece.begin)] != expected(piece.parameter, k);
        }
      }
    }
    CHECK(wrong == 0);
    const int copies = sharded ? 1 : static_cast<int>(by_rank.size());
    for (const std::vector<int>& parameter : seen) {
      CHECK(std::count(parameter.begin(), parameter.end(), copies) ==
            static_cast<int64_t>(parameter.size()));
    }
  }
};

}  // namespace

TEST_CASE("buckets: parameters in reverse order, aligned, up to the size asked for") {
  const auto store = make_store();
  const auto offsets = [](const BucketLayout& bucket) {
    std::vector<std::pair<size_t, int64_t>> result;
    for (const BucketSlot& slot : bucket.slots) result.emplace_back(slot.parameter, slot.offset);
    return result;
  };
  using Offsets = std::vector<std::pair<size_t, int64_t>>;
  DistributedConfig config = one_mib();
  std::vector<BucketLayout> buckets = lay_out_buckets(store->all(), DType::f32, config, 3);
  REQUIRE(buckets.size() == 3);
  CHECK(offsets(buckets[0]) == Offsets{{4, 0}, {3, 200000}});
  CHECK(offsets(buckets[1]) == Offsets{{2, 0}, {1, 120000}});
  CHECK(offsets(buckets[2]) == Offsets{{0, 0}});
  CHECK(buckets[0].count == 200032);
  CHECK(buckets[2].count == 150016);  // the next multiple of 16 floats

  config.shard_optimizer = true;
  buckets = lay_out_buckets(store->all(), DType::f32, config, 3);
  CHECK(buckets[0].count == 200064);  // of 48
  CHECK(lay_out_buckets(store->all(), DType::f64, config, 3).size() == 4);

  // A parameter larger than a bucket has one of its own.
  ParameterStore large(Device::cpu, DType::f32, 1);
  large.add("a", {300000}, Init::zeros());
  large.add("b", {10}, Init::zeros());
  buckets = lay_out_buckets(large.all(), DType::f32, one_mib(), 2);
  REQUIRE(buckets.size() == 2);
  CHECK(offsets(buckets[0]) == Offsets{{1, 0}});
  CHECK(offsets(buckets[1]) == Offsets{{0, 0}});
}

TEST_CASE("buckets: gradients are the sums over the ranks") {
  const int size = GENERATE(2, 3, 4);
  const bool sharded = GENERATE(false, true), overlap = GENERATE(false, true);
  CAPTURE(size, sharded, overlap);
  DistributedConfig config = one_mib();
  config.shard_optimizer = sharded;
  config.overlap = overlap;
  Sums sums(size);
  std::vector<double> collectives(static_cast<size_t>(size));
  on_ranks(size, [&](Communicator& ranks, size_t own) {
    const auto store = make_store();
    GradientReducer reducer(*store, ranks, config);
    for (int step = 0; step < 2; ++step) {
      store->zero_grad();
      // Two passes only add up; the third is the last.
      for (int pass = 0; pass < 3; ++pass) {
        if (pass == 2) reducer.begin_last_backward();
        backward(*store, ranks.rank(), kBackwards);
      }
      reducer.finish();
    }
    sums.take(own, *store, reducer);
    collectives[own] = static_cast<double>(ranks.stats().collectives);
  });
  sums.check(sharded, [&](size_t parameter, int64_t k) {
    double sum = 0;
    for (int rank = 0; rank < size; ++rank) sum += 3 * gradient_at(parameter, k, rank);
    return sum;
  });
  // Once a step, however many passes there are; sharded, flags travel by themselves.
  CHECK(collectives == std::vector<double>(static_cast<size_t>(size), 2 * (sharded ? 4 : 3)));
}

TEST_CASE("buckets: in bf16, what each rank sends is rounded, and so is the sum") {
  const bool sharded = GENERATE(false, true);
  DistributedConfig config = one_mib();
  config.shard_optimizer = sharded;
  config.reduce_precision = ReducePrecision::bf16;
  constexpr int kSize = 3;
  Sums sums(kSize);
  std::atomic<int> narrow{0};
  on_ranks(kSize, [&](Communicator& ranks, size_t own) {
    const auto store = make_store();
    GradientReducer reducer(*store, ranks, config);
    reducer.begin_last_backward();
    backward(*store, ranks.rank(), kBackwards);
    reducer.finish();
    sums.take(own, *store, reducer);
    int64_t elements = 0;
    for (const int64_t count : kSizes) elements += count;
    narrow += ranks.stats().bytes < 2 * elements + 1000;
  });
  CHECK(narrow == kSize);  // half of the bytes
  int64_t rounded = 0;
  sums.check(sharded, [&](size_t parameter, int64_t k) {
    double sum = 0;
    for (int rank = 0; rank < kSize; ++rank) {
      const float exact = gradient_at(parameter, k, rank);
      const auto sent = static_cast<float>(BFloat16(exact));
      rounded += sent != exact;
      sum += sent;
    }
    return static_cast<double>(static_cast<float>(BFloat16(static_cast<float>(sum))));
  });
  CHECK(rounded > 100000);
}

TEST_CASE("buckets: sent in one order on all ranks, each as soon as it and those before are full") {
  const bool sharded = GENERATE(false, true);
  DistributedConfig config = one_mib();
  config.shard_optimizer = sharded;
  // Rank 0 completes in reverse order, rank 1 begins with the last bucket's parameter, rank 2 does
  // not use p3 at all.
  const std::vector<std::vector<size_t>> orders = {{4, 3, 2, 1, 0}, {0, 3, 4, 1, 2}, {4, 2, 1, 0}};
  std::vector<Log> logs(3);
  on_ranks(3, [&](Communicator& inner, size_t own) {
    Noting ranks(inner, logs[own]);
    const auto store = make_store();
    GradientReducer reducer(*store, ranks, config);
    backward(*store, ranks.rank(), orders[own]);
    reducer.begin_last_backward();
    logs[own].clear();
    backward(*store, ranks.rank(), orders[own], &logs[own]);
    logs[own].push_back("end");
    reducer.finish();
  });
  const std::string sum = sharded ? "reduce_scatter " : "all_reduce ";
  const std::string first = sum + "gradient bucket 1 of 3", second = sum + "gradient bucket 2 of 3",
                    third = sum + "gradient bucket 3 of 3", flags = "all_reduce gradient flags";
  const auto expected = [&](Log log) {
    if (!sharded) log.erase(std::remove(log.begin(), log.end(), flags), log.end());
    return log;
  };
  CHECK(logs[0] == expected({"p4", "p3", first, "p2", "p1", second, "p0", third, flags, "end"}));
  CHECK(logs[1] == expected({"p0", "p3", "p4", first, "p1", "p2", second, third, flags, "end"}));
  CHECK(logs[2] == expected({"p4", "p2", "p1", "p0", "end", first, second, third, flags}));
}

TEST_CASE("buckets: without overlap, nothing is sent before backward has ended") {
  DistributedConfig config = one_mib();
  config.overlap = false;
  std::vector<Log> logs(2);
  on_ranks(2, [&](Communicator& inner, size_t own) {
    Noting ranks(inner, logs[own]);
    const auto store = make_store();
    GradientReducer reducer(*store, ranks, config);
    reducer.begin_last_backward();
    backward(*store, ranks.rank(), kBackwards, &logs[own]);
    logs[own].push_back("end");
    reducer.finish();
  });
  REQUIRE(logs[0].size() == 9);
  CHECK(logs[0][5] == "end");
  CHECK(logs[0][6] == "all_reduce gradient bucket 1 of 3");
  CHECK(logs[1] == logs[0]);
}

TEST_CASE("buckets: a gradient on any rank is one on all, none on any stays none") {
  const bool sharded = GENERATE(false, true);
  const auto precision = GENERATE(ReducePrecision::fp32, ReducePrecision::bf16);
  DistributedConfig config = one_mib();
  config.shard_optimizer = sharded;
  config.reduce_precision = precision;
  // p1 has one on rank 2 only, p2 nowhere; before that, in a first step, everywhere.
  const std::vector<std::vector<size_t>> uses = {{4, 3, 0}, {4, 3, 0}, {4, 3, 1, 0}};
  std::vector<std::vector<int>> defined(3);
  std::vector<double> sums(3, -1), moved(3, -1), kept(3, -1);
  on_ranks(3, [&](Communicator& ranks, size_t own) {
    const auto store = make_store();
    GradientReducer reducer(*store, ranks, config);
    Optimizer optimizer({}, *store, reducer.pieces());
    for (int step = 0; step < 2; ++step) {
      store->zero_grad();
      reducer.begin_last_backward();
      backward(*store, ranks.rank(), step == 0 ? kBackwards : uses[own]);
      reducer.finish();
    }
    for (const Parameter& parameter : store->all()) {
      defined[own].push_back(parameter.variable.grad().defined());
    }
    sums[own] = moved[own] = kept[own] = 0;
    for (const ParameterPiece& piece : reducer.pieces()) {
      if (piece.parameter != 1) continue;
      const Tensor gradient = store->all()[1].variable.grad();
      for (int64_t k = piece.begin; k < piece.end; ++k) {
        const float expected = gradient_at(1, k, 2);
        const float got = std::as_const(gradient).data<float>()[k];
        sums[own] += std::abs(got - expected) > expected * 0.004f;
      }
    }
    // The optimizer does the same with them everywhere.
    const auto value = [&](size_t i) { return elements(store->all()[i].variable.value()); };
    const auto p1 = value(1), p2 = value(2);
    optimizer.step(0.1, 1.0);
    reducer.share_parameters();
    kept[own] = value(2) == p2;
    const auto now = value(1);
    for (size_t k = 0; k < now.size(); ++k) moved[own] += now[k] != p1[k];
  });
  for (size_t rank = 0; rank < 3; ++rank) {
    CAPTURE(rank, sharded);
    CHECK(defined[rank] == std::vector<int>{1, 1, 0, 1, 1});
    CHECK(sums[rank] == 0);
    CHECK(kept[rank] == 1);
    CHECK(moved[rank] == static_cast<double>(kSizes[1]));
  }
}

TEST_CASE("buckets: updated pieces reach all ranks, and packed copies notice") {
  constexpr int kSize = 3;
  DistributedConfig config = one_mib();
  config.shard_optimizer = true;
  std::vector<std::vector<double>> parameters(kSize);
  std::vector<int> versions_moved(kSize), forgotten(kSize);
  on_ranks(kSize, [&](Communicator& ranks, size_t own) {
    const auto store = make_store();
    GradientReducer reducer(*store, ranks, config);
    for (const ParameterPiece& piece : reducer.pieces()) {
      Tensor value = store->all()[piece.parameter].variable.value();
      for (int64_t k = piece.begin; k < piece.end; ++k) {
        value.data<float>()[k] = gradient_at(piece.parameter, k, 8);
      }
    }
    std::vector<uint64_t> before;
    for (const Parameter& parameter : store->all()) {
      before.push_back(parameter.variable.value().version());
    }
    reducer.begin_last_backward();
    backward(*store, ranks.rank(), kBackwards);
    reducer.finish();
    reducer.share_parameters();
    for (size_t i = 0; i < before.size(); ++i) {
      const Variable& variable = store->all()[i].variable;
      versions_moved[own] += variable.value().version() != before[i];
      forgotten[own] += !variable.grad().defined();
      const std::vector<double> value = elements(variable.value());
      parameters[own].insert(parameters[own].end(), value.begin(), value.end());
    }
  });
  std::vector<double> expected;
  for (size_t i = 0; i < kSizes.size(); ++i) {
    for (int64_t k = 0; k < kSizes[i]; ++k) expected.push_back(gradient_at(i, k, 8));
  }
  for (size_t rank = 0; rank < kSize; ++rank) {
    CHECK((parameters[rank] == expected));
    CHECK(versions_moved[rank] == 5);
    CHECK(forgotten[rank] == 5);
  }
}

TEST_CASE("buckets: one rank alone keeps its gradients where they were") {
  Log log;
  const auto alone = make_single_process();
  Noting ranks(*alone, log);
  const auto store = make_store();
  const auto gradient_bytes = [] {
    return host_allocator().stats().bytes[static_cast<size_t>(MemoryCategory::gradients)];
  };
  const int64_t before = gradient_bytes();
  DistributedConfig config = one_mib();
  config.shard_optimizer = true;
  config.reduce_precision = ReducePrecision::bf16;
  GradientReducer reducer(*store, ranks, config);
  CHECK(gradient_bytes() == before);
  CHECK(reducer.pieces() == whole_parameters(*store));
  reducer.begin_last_backward();
  backward(*store, 0, kBackwards);
  reducer.finish();
  for (size_t i = 0; i < kSizes.size(); ++i) {
    const Tensor gradient = store->all()[i].variable.grad();
    CHECK(gradient.unique() == false);                       // the leaf's and this one
    CHECK((values(gradient) == values(gradient_of(i, 0))));  // not rounded
  }
  reducer.share_parameters();
  CHECK(store->all()[0].variable.grad().defined());
  CHECK(log.empty());
}

TEST_CASE("buckets: wrong use is refused, not silently wrong") {
  std::vector<std::string> messages(3);
  const auto caught = [](auto&& call) {
    try {
      call();
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  on_ranks(2, [&](Communicator& ranks, size_t own) {
    const auto store = make_store();
    GradientReducer reducer(*store, ranks, one_mib());
    const std::string early = caught([&] { reducer.finish(); });
    reducer.begin_last_backward();
    const std::string twice = caught([&] { reducer.begin_last_backward(); });
    backward(*store, ranks.rank(), kBackwards);
    const std::string late = caught([&] { backward(*store, ranks.rank(), {4}); });
    reducer.finish();
    if (own == 0) messages = {early, twice, late};
  });
  CHECK(contains(messages[0], "no backward pass was announced"));
  CHECK(contains(messages[1], "has not been finished"));
  CHECK(contains(messages[2], "p4 changes after it was complete"));
}

TEST_CASE("buckets: a rank that fails in the middle of backward ends the others, with its reason") {
  const bool sharded = GENERATE(false, true);
  DistributedConfig config;
  config.bucket_mib = 0;  // a bucket for each parameter
  config.shard_optimizer = sharded;
  std::vector<std::string> messages(3);
  const auto step = [&](Communicator& ranks, size_t own) {
    ParameterStore store(Device::cpu, DType::f32, 5);
    const Tensor one = Tensor::zeros({1}, DType::f32, Device::cpu);
    Variable y(one);
    for (int i = 0; i < 5; ++i) {
      y = ops::add(y, store.add(fmt::format("p{}", i), {1}, Init::zeros()));
    }
    GradientReducer reducer(store, ranks, config);
    // By then, sums of other parameters are being received into memory that is about to be freed.
    const auto fail = [] { throw OutOfMemoryError("no room on rank 1"); };
    if (own == 1) store.all()[1].variable.on_grad_complete(fail);
    reducer.begin_last_backward();
    try {
      y.backward(one);
      reducer.finish();
    } catch (const Error& error) {
      messages[own] = error.what();
      throw;
    }
  };
  CHECK_THROWS_AS(on_ranks(3, step), Error);
  CHECK(messages[1] == "no room on rank 1");
  for (const size_t other : {0, 2}) CHECK(contains(messages[other], "no room on rank 1"));
}
