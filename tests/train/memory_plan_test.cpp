#include "ssa/train/memory_plan.h"

#include <cmath>
#include <filesystem>
#include <functional>

#include <fmt/ranges.h>

#include "ssa/tasks/cost.h"
#include "ssa/tasks/language_model.h"
#include "ssa/train/counted_step.h"
#include "ssa/train/gradient_reducer.h"
#include "ssa/train/stepper.h"

#include "dist/thread_ranks.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

struct Measured {
  int64_t parameters, gradients, optimizer, total;
};

/// The peak of the allocator in two training steps.
Measured measure(const Config& config) {
  CachingAllocator& allocator = host_allocator();
  allocator.trim();
  const MemoryStats before = allocator.stats();  // other tests may have left something
  allocator.reset_peaks();
  const LanguageModelTask task(config);
  Stepper stepper(task, Device::cpu);
  for (int64_t step = 0; step < 2; ++step) stepper.step(step, typical_step(task));
  const MemoryStats stats = allocator.stats();
  const auto of = [&](MemoryCategory category) {
    const auto i = static_cast<size_t>(category);
    return stats.bytes[i] - before.bytes[i];
  };
  return {of(MemoryCategory::parameters), of(MemoryCategory::gradients),
          of(MemoryCategory::optimizer), stats.peak_total_bytes - before.total_bytes};
}

void compare(const Config& config) {
  const MemoryPlan plan = plan_memory(config, config.train.micro_batch);
  const Measured measured = measure(config);
  INFO("planned " << plan.total() << ", measured " << measured.total << "; activations "
                  << plan.activations << ", workspace " << plan.workspace << ", the rest measured "
                  << measured.parameters + measured.gradients + measured.optimizer);
  CHECK(static_cast<double>(plan.total()) ==
        Approx(static_cast<double>(measured.total)).epsilon(0.08));
  // Small buffers are rounded up to 64 bytes.
  CHECK(static_cast<double>(plan.parameters + plan.packed_weights) ==
        Approx(static_cast<double>(measured.parameters)).epsilon(0.05));
  CHECK(static_cast<double>(plan.gradients) ==
        Approx(static_cast<double>(measured.gradients)).epsilon(0.05));
  CHECK(static_cast<double>(plan.optimizer) ==
        Approx(static_cast<double>(measured.optimizer)).epsilon(0.05));
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
    return plan_memory(config, config.train.batch_size).total();
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
    const int64_t memory = 2 * plan_memory(config, expected).total();
    CHECK(resolve_micro_batch(config, memory) == expected);
    CHECK(resolve_micro_batch(config, memory - 2) < std::max<int64_t>(expected, 2));
  }
}

TEST_CASE("ranks divide the batch, and the memory that each has") {
  const TinyRun run;
  const Config config = run.config({"train.micro_batch=auto", "train.batch_size=24"});
  for (const int64_t expected : {8, 4, 2, 1}) {
    const int64_t memory = 2 * plan_memory(config, expected, 3).total();
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
  ssa::testing::on_ranks(kRanks, [&](Communicator& ranks) {
    omp_set_num_threads(1);
    ModelSession session(LanguageModelTask(config), Device::cpu);
    GradientReducer reducer(session.parameters(), ranks, config.distributed);
    const Optimizer optimizer(config.train.optimizer, session.parameters(), reducer.pieces());
    ranks.barrier("all are there");
    reducer.begin_last_backward();
    reducer.finish();
  });
  const MemoryPlan plan = plan_memory(config, 1, kRanks);
  const auto peak_of_rank = [&](MemoryCategory category) {
    const auto i = static_cast<size_t>(category);
    return static_cast<double>(allocator.stats().peak_bytes[i] - before.bytes[i]) / kRanks;
  };
  // A rank may have given copies back before another has made its own.
  const auto gradients = static_cast<double>(plan.gradients);
  CHECK(peak_of_rank(MemoryCategory::gradients) < 1.05 * gradients);
  CHECK(peak_of_rank(MemoryCategory::gradients) >
        0.95 * gradients * (precision == "bf16" ? 2.0 / 3 : 1.0));
  CHECK(peak_of_rank(MemoryCategory::optimizer) ==
        Approx(static_cast<double>(plan.optimizer)).epsilon(0.05));

  const MemoryPlan alone = plan_memory(config, 1);
  // The allocator gives up to an eighth more than is asked for, on top of padding.
  CHECK(static_cast<double>(plan.gradients) ==
        Approx(static_cast<double>(alone.gradients) * (precision == "bf16" ? 1.5 : 1.0))
            .epsilon(0.15));
  CHECK(static_cast<double>(plan.optimizer) ==
        Approx(static_cast<double>(alone.optimizer) / (sharded ? kRanks : 1)).epsilon(0.05));
  // At the moment when most is alive, copies to be sent may have taken the place of activations.
  CHECK(plan.activations <= alone.activations);
  CHECK(plan.total() > plan.parameters + plan.packed_weights + plan.gradients + plan.optimizer);
}

TEST_CASE("sizes beyond all measure give a plan beyond all measure, at once") {
  const TinyRun run;
  const Config config = run.config({"train.micro_batch=auto", "train.batch_size=2147483647",
                                    "data.length=2147483644", "model.layers=64"});
  const MemoryPlan plan = plan_memory(config, 2147483647);
  CHECK(plan.activations > int64_t{1} << 58);
  CHECK(plan.workspace > int64_t{1} << 58);
  CHECK(plan.total() > plan.activations);
  CHECK(resolve_micro_batch(config) == 1);
}

TEST_CASE("counting more sequences than are counted gives about what counting them would") {
  const TinyRun run;
  const Config config = run.config({"train.micro_batch=auto", "data.length=64"});
  // 64 are counted; the plan for 100 follows from those for 50 and 100.
  const auto exact = static_cast<double>(count_step(config, 100).memory.total());
  CHECK(static_cast<double>(plan_memory(config, 100).total()) == Approx(exact).epsilon(1e-9));
  const auto larger = static_cast<double>(count_step(config, 200).memory.total());
  CHECK(static_cast<double>(plan_memory(config, 200).total()) == Approx(larger).epsilon(0.01));
}

TEST_CASE("a model larger than any memory is counted, and alike every time") {
  const TinyRun run;
  const Config config = run.config({"train.micro_batch=auto", "model.layers=48", "model.width=8192",
                                    "model.ffn_width=32768", "model.heads=64", "data.length=4096"});
  const MemoryPlan plan = plan_memory(config, 64);
  CHECK(plan.parameters > int64_t{100} << 30);
  CHECK(plan.activations > plan.parameters);
  const MemoryStats before = host_allocator().stats();
  CHECK(plan_memory(config, 64).total() == plan.total());
  CHECK(host_allocator().stats().total_bytes == before.total_bytes);
}

TEST_CASE("the products of a step are those of its layers and its vocabulary") {
  const TinyRun run;
  const Config config = run.config({"ssa.kind=none", "model.width=16", "model.ffn_width=48"});
  const Tally tally = count_step(config, 2).tally;
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

TEST_CASE("a control group's memory limit counts, its own or one above") {
  const TempDir dir;
  const std::string root = dir / "root";
  const int64_t machine = usable_memory(root);  // no /proc there: no limit
  REQUIRE(machine > int64_t{1} << 20);
  const auto put = [&](const std::string& path, const std::string& text) {
    make_directories(std::filesystem::path(root + path).parent_path().string());
    write_bytes(root + path, text);
  };
  put("/proc/self/cgroup", "0::/job/step\n");
  CHECK(usable_memory(root) == machine);
  put("/sys/fs/cgroup/job/step/memory.max", "max\n");
  CHECK(usable_memory(root) == machine);
  put("/sys/fs/cgroup/job/memory.max", "1048576\n");
  CHECK(usable_memory(root) == 1048576);
  put("/sys/fs/cgroup/job/step/memory.max", "4096\n");
  CHECK(usable_memory(root) == 4096);

  put("/proc/self/cgroup", "5:cpu,memory:/docker/unseen\n3:cpuset:/\n");
  CHECK(usable_memory(root) == machine);
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(usable_memory(root) == machine);
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "8192\n");
  CHECK(usable_memory(root) == 8192);
}
