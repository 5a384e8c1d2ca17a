// ssa-bench loader: how fast training examples are read, without training on them.

#include <chrono>
#include <iostream>

#include <fmt/format.h>

#include "ssa/data/read_ahead.h"
#include "ssa/tasks/load.h"

#include "apps/bench.h"

namespace ssa::bench {

int run_loader(const Options& options) {
  const Config wanted = load_task_config(options.config, options.set);
  const auto data = make_task(wanted)->open_data();
  const Config config = data->settled(wanted);
  const auto training = data->training(config);
  const int64_t batch = config.train.batch_size, steps = options.repeats;
  const auto read = [&](int64_t step) { return training->batch(step * batch, batch); };
  read(steps);  // files come into memory, threads start

  const auto started = std::chrono::steady_clock::now();
  ReadAhead<Batch> batches(read, 0, steps);
  for (int64_t step = 0; step < steps; ++step) batches.next();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const double rate = static_cast<double>(batch * steps) / seconds;
  const TaskTraits& traits = traits_of(config.task);
  std::cout << fmt::format("{} {} in {:.3f} s: {:.1f} {}/s\n", batch * steps, traits.examples,
                           seconds, rate, traits.examples);
  finish(options, {{"examples", batch * steps},
                   {"seconds", seconds},
                   {"examples_per_second", rate},
                   {"workers", config.data.workers}});
  return 0;
}

}  // namespace ssa::bench
