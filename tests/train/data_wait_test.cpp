#include "ssa/train/data_wait.h"

#include <spdlog/spdlog.h>

#include "tasks/majority_task.h"
#include "train/tiny_run.h"
#include "train/train_run.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("waiting of more than a hundredth of the step time is worth saying") {
  DataWait wait;
  CHECK(wait.text().empty());
  wait.add_step(2);
  wait.add_wait(0.02);
  CHECK(wait.text().empty());
  wait.add_wait(0.22);
  CHECK(wait.text() == "data 12 %");
  wait.add_step(0.4);
  CHECK(wait.text() == "data 10 %");
  CHECK(wait.take() == Approx(0.24));
  CHECK(wait.text().empty());
  CHECK(wait.take() == 0);
}

TEST_CASE("a training records how long its steps waited for data since the last line") {
  spdlog::set_level(spdlog::level::off);
  const TempDir dir;
  const Config config = parse_config(
      "task: byte_lm\n"
      "model: {layers: 1, width: 8, ffn_width: 8, heads: 1}\n"
      "data: {path: none, length: 5}\n"
      "train: {steps: 7, batch_size: 2, micro_batch: 2, log_every: 2, eval_every: 0,\n"
      "        checkpoint_every: 0}\n",
      "majority.yaml");
  const StopSignal stop;
  Trainer trainer(config, {.run_dir = dir / "run", .make_task = make_majority_task});
  REQUIRE(trainer.train() == TrainOutcome::finished);
  std::vector<double> waits;
  double elapsed = 0;
  for (const MetricsEvent& event : read_metrics(dir / "run/metrics.jsonl")) {
    if (event.split != "train") continue;
    waits.push_back(event.data_wait_seconds.value());
    elapsed = event.elapsed_seconds.value();
  }
  REQUIRE(waits.size() == 4);  // after steps 2, 4, 6 and 7
  // Taking an item takes time, even one that is there. The first item is taken before the first
  // step, the last one in step 6.
  CHECK((waits[0] > 0 && waits[1] > 0 && waits[2] > 0));
  CHECK(waits[3] == 0);
  CHECK(waits[0] + waits[1] + waits[2] < elapsed);
}
