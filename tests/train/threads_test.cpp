#include <spdlog/spdlog.h>

#include "ssa/train/stop_signal.h"
#include "ssa/train/trainer.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

// Our own kernels add up in an order that does not depend on the number of threads
// (tests/backend/test_cpu_threads.cpp). oneDNN promises that only for equal numbers of threads; at
// the sizes here (and at width 192, length 256, where it was tried by hand) it keeps to one order,
// so that the whole run is compared bit by bit.
TEST_CASE("one and two threads train the same bits", "[slow]") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const auto train = [&](int threads) {
    omp_set_num_threads(threads);
    const StopSignal stop;
    const std::string folder = run.dir / ("threads-" + std::to_string(threads));
    Trainer trainer(run.config({"train.steps=4", "ssa.finetune_fraction=0.25"}),
                    {folder, "none", Device::cpu});
    REQUIRE(trainer.train() == TrainOutcome::finished);
    omp_set_num_threads(1);
    return read_bytes(folder + "/checkpoints/step-4/model.safetensors") +
           read_bytes(folder + "/checkpoints/step-4/optimizer.safetensors");
  };
  const std::string expected = train(1);
  REQUIRE(expected.size() > 100000);
  CHECK(train(2) == expected);
}
