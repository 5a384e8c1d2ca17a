#include <cmath>

#include <spdlog/spdlog.h>

#include "ssa/train/stop_signal.h"
#include "ssa/train/trainer.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("a run that blows up is given up after max_skipped_steps, with what to do about it") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const StopSignal stop;
  // The first update sends the weights to 1e30; every product with them overflows.
  const Config config =
      run.config({"train.optimizer.lr=1e30", "train.schedule.warmup_steps=0",
                  "train.max_skipped_steps=2", "train.eval_every=0", "train.checkpoint_every=0"});
  Trainer trainer(config, {run.dir / "run", "none", Device::cpu});
  const std::string message = message_of<DivergedError>([&] { trainer.train(); });
  CAPTURE(message);
  CHECK(contains(message, "step 4: 3 updates in a row"));
  CHECK(contains(message, "train.optimizer.lr"));

  const std::vector<MetricsEvent> events = read_metrics(run.dir / "run/metrics.jsonl");
  REQUIRE(events.size() == 4);
  CHECK(std::isfinite(events[0].loss.value()));
  CHECK(std::isnan(events[3].loss.value()));
  CHECK(list_directory(run.dir / "run/checkpoints").empty());
  CHECK(contains(read_bytes(run.dir / "run/log.txt"), " error " + message));
}
