#include "ssa/train/memory_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include <fmt/ranges.h>

#include "ssa/data/lm_batch.h"
#include "ssa/tasks/language_model.h"
#include "ssa/tasks/load.h"
#include "ssa/train/counted_step.h"
#include "ssa/train/gradient_reducer.h"
#include "ssa/train/stepper.h"

#include "dist/thread_ranks.h"
#include "tasks/majority_task.h"
#include "train/signal_self.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// What the allocator hands out for so many f32 elements.
int64_t buffer_bytes(int64_t elements) {
  return static_cast<int64_t>(CachingAllocator::rounded_size(static_cast<size_t>(4 * elements)));
}

RunMemory plan_memory(const Config& config, int64_t examples, int64_t ranks = 1) {
  return plan_memory(*make_task(config), examples, ranks);
}

MemoryPlan peak_plan(const Config& config, int64_t examples, int64_t ranks = 1) {
  return plan_memory(config, examples, ranks).peak();
}

int64_t resolve_micro_batch(const Config& config, int64_t memory = usable_memory(),
                            int64_t ranks = 1) {
  return resolve_micro_batch(*make_task(config), memory, ranks);
}

/// Tokens drawn from a vocabulary, the r-th word with a probability that is proportional to 1 / r
/// (Zipf's law): drawn apart from Task::typical_batch(), which the plan is counted with.
class ZipfWords {
 public:
  explicit ZipfWords(int64_t vocabulary) {
    double sum = 0;
    for (int64_t rank = 1; rank <= vocabulary; ++rank) {
      cumulative_.push_back(sum += 1.0 / static_cast<double>(rank));
    }
  }
  Batch batch(int64_t examples, int64_t length) {
    const Shape shape{examples, length};
    std::vector<int32_t> tokens(static_cast<size_t>(shape.numel()) + 1);
    std::generate(tokens.begin(), tokens.end(), [this] { return draw(); });
    const std::span<const int32_t> all(tokens);
    Batch batch(examples);
    batch.add(kIdsField, shape, all.first(all.size() - 1));
    batch.add(kTargetsField, shape, all.last(all.size() - 1));
    return batch;
  }

 private:
  int32_t draw() {
    const double place = cumulative_.back() * uniform_open(key_.word(drawn_++));
    const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), place);
    return static_cast<int32_t>(found - cumulative_.begin());
  }

  std::vector<double> cumulative_;
  RngKey key_{.seed = 77};
  uint64_t drawn_ = 0;
};

struct Measured {
  int64_t parameters, optimizer, rest, total;
};

/// The peak of the allocator in two training steps, the first of which is number `first`.
Measured measure(const Config& config, int64_t first) {
  CachingAllocator& allocator = host_allocator();
  allocator.trim();
  const MemoryStats before = allocator.stats();  // other tests may have left something
  allocator.reset_peaks();
  const LanguageModelTask task(config);
  ZipfWords words(vocabulary_size(config));
  Stepper stepper(task, Device::cpu);
  for (int64_t step = first; step < first + 2; ++step) {
    StepItem item;
    for (int64_t i = 0; i < config.train.batch_size; i += config.train.micro_batch) {
      item.micro_batches.push_back(words.batch(config.train.micro_batch, config.data.length));
    }
    item.plans = plans_of_step(task, item.micro_batches, step);
    stepper.step(step, item);
  }
  const MemoryStats stats = allocator.stats();
  const auto of = [&](MemoryCategory category) {
    const auto i = static_cast<size_t>(category);
    return stats.bytes[i] - before.bytes[i];
  };
  const int64_t parameters = 4 * stepper.session().parameters().count();
  const int64_t optimizer = of(MemoryCategory::optimizer);
  const int64_t total = stats.peak_total_bytes - before.total_bytes;
  return {parameters, optimizer, total - parameters - optimizer, total};
}

void compare(const MemoryPlan& plan, const Measured& measured) {
  INFO("planned " << plan.total() << ", measured " << measured.total << "; packed weights "
                  << plan.packed_weights << ", gradients " << plan.gradients << ", activations "
                  << plan.activations << ", workspace " << plan.workspace << ", together measured "
                  << measured.rest);
  CHECK(static_cast<double>(plan.total()) ==
        Approx(static_cast<double>(measured.total)).epsilon(0.08));
  // Small buffers are rounded up to 64 bytes.
  CHECK(static_cast<double>(plan.parameters) ==
        Approx(static_cast<double>(measured.parameters)).epsilon(0.05));
  CHECK(static_cast<double>(plan.optimizer) ==
        Approx(static_cast<double>(measured.optimizer)).epsilon(0.05));
}

/// Each phase of the run.
void compare(const Config& config) {
  const RunMemory plan = plan_memory(config, config.train.micro_batch);
  if (plan.sampled) compare(*plan.sampled, measure(config, 0));
  if (plan.finetune) compare(*plan.finetune, measure(config, finetune_start(config)));
}

void compare(const Overrides& overrides) {
  const std::string what = fmt::format("{}", fmt::join(overrides, " "));
  CAPTURE(what);
  const TinyRun run(12000);
  Config config = run.config(overrides);
  config.train.micro_batch = resolve_micro_batch(config);
  compare(config);
}

const Overrides kMicroAuto = {"train.micro_batch=auto"};
const Overrides kNoDropout = {"train.micro_batch=auto", "model.dropout=0",
                              "model.attention_dropout=0", "model.activation_dropout=0"};

const Overrides kLarger = {"model.layers=4", "model.width=64", "model.ffn_width=256",
                           "model.heads=4", "data.length=128"};

}  // namespace

TEST_CASE("the predicted memory is within 8% of what a step takes") {
  compare(kMicroAuto + kLarger + Overrides{"ssa.kind=unbiased", "ssa.drop=0.5"});
  compare(kMicroAuto + kLarger + Overrides{"train.batch_size=8", "train.micro_batch=2"});
  compare(kNoDropout + kLarger);
  compare(kMicroAuto + kLarger);
  compare(kMicroAuto + kLarger + Overrides{"train.optimizer.kind=sgd"});
  compare(kMicroAuto + kLarger + Overrides{"train.micro_batch=1"});
  for (const std::string precision : {"fp32", "bf16"}) {
    for (const std::string kept : {"none", "attention", "block"}) {
      compare(kMicroAuto + kLarger +
              Overrides{"train.precision=" + precision, "train.activation_checkpointing=" + kept});
    }
  }
  compare(kNoDropout + kLarger + Overrides{"ssa.kind=none", "model.layers=8"});
}

TEST_CASE("the predicted memory holds for attention that stores its weights") {
  const Overrides stored =
      kLarger + Overrides{"model.attention=materialized", "train.micro_batch=auto"};
  for (const std::string precision : {"fp32", "bf16"}) {
    for (const std::string kept : {"none", "attention", "block"}) {
      compare(stored +
              Overrides{"train.precision=" + precision, "train.activation_checkpointing=" + kept});
    }
  }
  const Overrides dense = stored + Overrides{"ssa.kind=none"};
  compare(dense);
  compare(dense + Overrides{"model.attention_dropout=0"});
  compare(stored + Overrides{"ssa.kind=unbiased", "ssa.layers=0", "ssa.drop=0.5"});
  // The first layers are dense: around them, not at the end, more is alive than anywhere else.
  compare(stored + Overrides{"ssa.layers=1", "model.layers=2", "data.length=256",
                             "train.activation_checkpointing=attention"});
  const auto planned = [](const Overrides& overrides) {
    const Config config = TinyRun().config(overrides);
    return plan_memory(config, config.train.batch_size).sampled->total();
  };
  CHECK(planned(dense) > planned(stored));
  CHECK(planned(stored) > planned(stored + Overrides{"model.attention=fused"}));
}

TEST_CASE("the predicted memory holds for words, in bands and not") {
  const Overrides words = kMicroAuto + kLarger +
                          Overrides{"task=word_lm", "data.vocabulary=5003", "train.batch_size=8"};
  const Overrides bands = {"model.embedding.kind=adaptive", "model.embedding.cutoffs=[400, 1500]",
                           "model.embedding.factor=2", "model.softmax_dropout=0.2"};
  for (const std::string precision : {"fp32", "bf16"}) {
    compare(words + Overrides{"train.precision=" + precision});
    compare(words + bands + Overrides{"train.precision=" + precision});
  }
  compare(words + bands + Overrides{"model.embedding.tie_projections=false"});
  compare(words + bands + Overrides{"train.activation_checkpointing=block"});
}

TEST_CASE("the predicted memory has the tables of a learned 2-D bias and their gradients") {
  omp_set_num_threads(1);
  const Config config = parse_config(
      "task: image_generation\n"
      "model: {layers: 2, width: 16, ffn_width: 16, heads: 16, position: relative_2d}\n"
      "ssa: {kind: local, windows: 4, sigma: 0.25}\n"  // small windows: the bias is in tiles
      "data: {path: none, image_size: 16}\n"
      "train: {steps: 2, batch_size: 4, micro_batch: 4}\n",
      "pictures.yaml");
  const std::unique_ptr<Task> task = make_task(config);
  CachingAllocator& allocator = host_allocator();
  allocator.trim();
  const MemoryStats before = allocator.stats();
  allocator.reset_peaks();
  Stepper stepper(*task, Device::cpu);
  for (int64_t step = 0; step < 2; ++step) {
    StepItem item{{task->typical_batch(4)}, {}};
    item.plans = plans_of_step(*task, item.micro_batches, step);
    stepper.step(step, item);
  }
  const int64_t measured = allocator.stats().peak_total_bytes - before.total_bytes;
  CHECK(static_cast<double>(plan_memory(config, 4).peak().total()) ==
        Approx(static_cast<double>(measured)).epsilon(0.08));
}

TEST_CASE("the predicted memory of a run is that of its larger phase, and both are told") {
  const TinyRun run;
  const Overrides larger =
      kNoDropout + kLarger + Overrides{"model.attention=materialized", "data.length=256"};
  const RunMemory both = plan_memory(run.config(larger), 4);
  REQUIRE(both.sampled);
  REQUIRE(both.finetune);
  CHECK(both.finetune->total() > both.sampled->total());  // dense attention weights
  CHECK(both.peak().total() == both.finetune->total());
  CHECK(contains(both.text(), "in the dense +FT phase"));

  const RunMemory sampled =
      plan_memory(run.config(larger + Overrides{"ssa.finetune_fraction=0"}), 4);
  CHECK_FALSE(sampled.finetune);
  CHECK(sampled.peak().total() == both.sampled->total());
  CHECK_FALSE(contains(sampled.text(), "+FT"));
  const RunMemory dense = plan_memory(run.config(larger + Overrides{"ssa.finetune_fraction=1"}), 4);
  CHECK_FALSE(dense.sampled);
  CHECK(dense.peak().total() == both.finetune->total());
  CHECK_FALSE(plan_memory(run.config(larger + Overrides{"ssa.kind=none"}), 4).finetune);
}

TEST_CASE("the memory of a task of its own is planned on its own model") {
  const TinyRun run;
  const auto planned = [&](const Overrides& more) {
    const MajorityTask task(run.config(Overrides{"data.length=40", "ssa.kind=none"} + more));
    return plan_memory(task, 8).peak();
  };
  const MemoryPlan plan = planned({});
  // Embedding of two symbols and an output of two classes; no vocabulary of 256.
  const MajorityTask task(run.config({"data.length=40"}));
  ParameterStore store(Device::cpu, DType::f32, 1);
  const auto model = task.make_model(store);
  int64_t bytes = 0;
  for (const Parameter& parameter : store.all()) {
    bytes += buffer_bytes(parameter.shape.numel());
  }
  CHECK(plan.parameters == bytes);
  CHECK(plan.activations > 0);
  CHECK(planned({"data.length=80"}).activations > plan.activations);
  CHECK(planned({"data.length=80"}).parameters == plan.parameters);
}

TEST_CASE("a micro-batch is the whole batch where that fits, else its largest part that does") {
  const TinyRun run;
  CHECK(resolve_micro_batch(run.config({"train.micro_batch=2"})) == 2);
  CHECK(resolve_micro_batch(run.config({"train.micro_batch=auto"})) == 4);
  // 2^20 sequences of 4096 tokens fit nowhere; a divisor of the batch comes out.
  const Config large = run.config({"train.micro_batch=auto", "train.batch_size=1048576",
                                   "data.length=4096", "model.width=1024", "model.heads=8"});
  const int64_t micro = resolve_micro_batch(large);
  CHECK(micro < 1048576);
  CHECK(1048576 % micro == 0);
}

TEST_CASE("the largest part of the batch that fits into half of the memory is taken") {
  const TinyRun run;
  const Config config = run.config({"train.micro_batch=auto", "train.batch_size=12"});
  for (const int64_t expected : {12, 6, 4, 3, 2, 1}) {
    const int64_t memory = 2 * peak_plan(config, expected).total();
    CHECK(resolve_micro_batch(config, memory) == expected);
    CHECK(resolve_micro_batch(config, memory - 2) < std::max<int64_t>(expected, 2));
  }
}

TEST_CASE("ranks divide the batch, and the memory that each has") {
  const TinyRun run;
  const Config config = run.config({"train.micro_batch=auto", "train.batch_size=24"});
  for (const int64_t expected : {8, 4, 2, 1}) {
    const int64_t memory = 2 * peak_plan(config, expected, 3).total();
    CHECK(resolve_micro_batch(config, memory, 3) == expected);
  }
  CHECK(resolve_micro_batch(run.config({"train.micro_batch=2"}), 1 << 30, 3) == 2);
}

TEST_CASE("the predicted memory of gradients and optimizer holds for a rank of several") {
  const bool sharded = GENERATE(false, true);
  const std::string precision = GENERATE("fp32", "bf16");
  const int64_t bucket_mib = GENERATE(0, 1);
  CAPTURE(sharded, precision, bucket_mib);
  const TinyRun run;
  Config config = run.config(kLarger + Overrides{"distributed.reduce_precision=" + precision});
  config.distributed.shard_optimizer = sharded;
  config.distributed.bucket_mib = bucket_mib;
  constexpr int kRanks = 3;
  CachingAllocator& allocator = host_allocator();
  allocator.trim();
  allocator.reset_peaks();
  const MemoryStats before = allocator.stats();
  std::array<int64_t, kRanks> moments = {};  // bytes of the optimizer state of each rank
  ssa::testing::on_ranks(kRanks, [&](Communicator& ranks) {
    omp_set_num_threads(1);
    ModelSession session(LanguageModelTask(config), Device::cpu);
    GradientReducer reducer(session.parameters(), ranks, config.distributed);
    const Optimizer optimizer(config.train.optimizer, session.parameters(), reducer.pieces());
    for (const ParameterPiece& piece : reducer.pieces()) {
      moments[static_cast<size_t>(ranks.rank())] += 2 * buffer_bytes(piece.numel());
    }
    ranks.barrier("all are there");
    reducer.begin_last_backward();
    reducer.finish();
  });
  const MemoryPlan plan = peak_plan(config, 1, kRanks);
  const auto peak_of_rank = [&](MemoryCategory category) {
    const auto i = static_cast<size_t>(category);
    return static_cast<double>(allocator.stats().peak_bytes[i] - before.bytes[i]) / kRanks;
  };
  // A rank may have given copies back before another has made its own.
  const auto gradients = static_cast<double>(plan.gradients);
  CHECK(peak_of_rank(MemoryCategory::gradients) < 1.05 * gradients);
  CHECK(peak_of_rank(MemoryCategory::gradients) >
        0.95 * gradients * (precision == "bf16" ? 2.0 / 3 : 1.0));
  CHECK(plan.optimizer == moments[0]);
  const int64_t all_moments = std::accumulate(moments.begin(), moments.end(), int64_t{0});
  CHECK(peak_of_rank(MemoryCategory::optimizer) == static_cast<double>(all_moments) / kRanks);

  const MemoryPlan alone = peak_plan(config, 1);
  // The allocator gives up to an eighth more than is asked for, on top of padding.
  CHECK(static_cast<double>(plan.gradients) ==
        Approx(static_cast<double>(alone.gradients) * (precision == "bf16" ? 1.5 : 1.0))
            .epsilon(0.15));
  // A rank's pieces are cut at any element: the allocator rounds each of them up, by 1/8 at most.
  CHECK(static_cast<double>(plan.optimizer) ==
        Approx(static_cast<double>(alone.optimizer) / (sharded ? kRanks : 1)).epsilon(0.05));
  if (precision == "fp32") {
    CHECK(plan.activations == alone.activations);
  } else {
    // `gradients` has all bf16 copies. When most memory is in use, some of them are not made yet,
    // and the plan takes what is missing off the activations.
    CHECK(plan.activations <= alone.activations);
    CHECK(plan.activations + plan.gradients >= alone.activations + alone.gradients);
  }
  CHECK(plan.total() > plan.parameters + plan.packed_weights + plan.gradients + plan.optimizer);
}

TEST_CASE("sizes beyond all measure give a plan beyond all measure, at once") {
  const TinyRun run;
  const Config config = run.config({"train.micro_batch=auto", "train.batch_size=2147483647",
                                    "data.length=2147483644", "model.layers=64"});
  const MemoryPlan plan = peak_plan(config, 2147483647);
  CHECK(plan.activations > int64_t{1} << 58);
  CHECK(plan.workspace > int64_t{1} << 58);
  CHECK(plan.total() > plan.activations);
  CHECK(resolve_micro_batch(config) == 1);
}

TEST_CASE("plans of too many layers for the host to list are beyond all measure") {
  const TinyRun run;
  const auto activations = [&](const std::string& layers) {
    return peak_plan(run.config({"data.length=1048576", "ssa.windows=2", "ssa.layers=1",
                                 "model.layers=" + layers}),
                     1)
        .activations;
  };
  CHECK(activations("2") < int64_t{1} << 40);
  CHECK(activations("500") > int64_t{1} << 58);
}

TEST_CASE("counting more sequences than are counted gives about what counting them would") {
  const TinyRun run;
  const Config config = run.config({"train.micro_batch=auto", "data.length=64"});
  // 64 are counted; the plan for 100 follows from those for 50 and 100.
  const auto exact =
      static_cast<double>(count_step(*make_task(config), 100, 1, Sources::all).memory.total());
  CHECK(static_cast<double>(plan_memory(config, 100).finetune->total()) ==
        Approx(exact).epsilon(1e-9));
  const auto larger =
      static_cast<double>(count_step(*make_task(config), 200, 1, Sources::all).memory.total());
  CHECK(static_cast<double>(plan_memory(config, 200).finetune->total()) ==
        Approx(larger).epsilon(0.01));
}

TEST_CASE("a model larger than any memory is counted, and alike every time") {
  const TinyRun run;
  const Config config = run.config({"train.micro_batch=auto", "model.layers=48", "model.width=8192",
                                    "model.ffn_width=32768", "model.heads=64", "data.length=4096"});
  const MemoryPlan plan = peak_plan(config, 64);
  CHECK(plan.parameters > int64_t{100} << 30);
  CHECK(plan.activations > plan.parameters);
  const MemoryStats before = host_allocator().stats();
  CHECK(peak_plan(config, 64).total() == plan.total());
  CHECK(host_allocator().stats().total_bytes == before.total_bytes);
}

TEST_CASE("a signal ends the counting of a model") {
  const TinyRun run;
  const StopSignal signals;
  signal_self(SIGTERM);
  ExitCode code = ExitCode::ok;
  try {
    plan_memory(run.config(), 2);
  } catch (const Error& error) {
    code = error.code();
  }
  CHECK(code == ExitCode::interrupted);
}

TEST_CASE("an EGT's last layer multiplies for virtual nodes only, where no other layer looks") {
  const Config config = parse_config(
      "task: graph_regression\ndata: {path: d}\n"
      "model: {layers: 2, width: 16, ffn_width: 40, heads: 2, egt: {virtual_nodes: 3}}\n",
      "c.yaml", {}, [](ConfigCheck& check) { check_task(check); });
  const Tally tally = count_step(*make_task(config), 2).tally;
  std::map<int64_t, int64_t> times;  // the feed-forward part's first map, by its rows
  for (const auto& [product, count] : tally.products) {
    const bool is_weights = product.kind == CountedProduct::Kind::weights;
    if (is_weights && product.n == 40 && product.k == 16) times[product.m] += count;
  }
  REQUIRE(times.size() == 2);
  CHECK(times.begin()->first == 2 * 3);  // two graphs
  // Each map forward, and the second one's input gradient, which has the same shape.
  CHECK(times.begin()->second == 2);
  CHECK(times.rbegin()->second == 2);
}

TEST_CASE("the products of a step are those of its layers and its vocabulary") {
  const TinyRun run;
  const Config config = run.config({"ssa.kind=none", "model.width=16", "model.ffn_width=48"});
  const Tally tally = count_step(*make_task(config), 2).tally;
  const int64_t rows = 2 * 32, layers = 2;
  using Kind = CountedProduct::Kind;
  const auto times = [&](const CountedProduct& product) {
    const auto found = tally.products.find(product);
    return found == tally.products.end() ? 0 : found->second;
  };
  // Query, key and value; the feed-forward part's first map, and its second one's input gradient.
  CHECK(times({Kind::weights, rows, 48, 16}) == 3 * layers);
  CHECK(times({Kind::weight_gradient, 48, 16, rows}) == layers);
  CHECK(times({Kind::weight_gradient, 16, 48, rows}) == layers);
  CHECK(times({Kind::weight_gradient, 16, 16, rows}) == 4 * layers);
  CHECK(times({Kind::weights, rows, 256, 16, true}) == 1);
  CHECK(tally.attention_flop == 4.0 * layers * 2 * 32 * 32 * 16);
  CHECK(tally.attention_backward_flop == 2.5 * tally.attention_flop);
}
