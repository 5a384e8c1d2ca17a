#include "ssa/data/worker_pool.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"

#include "support/tensors.h"

using namespace ssa;
using namespace ssa::testing;

TEST_CASE("a worker pool does each task once, for several callers at a time") {
  WorkerPool pool(3);
  CHECK(pool.workers() == 3);
  constexpr int64_t kCallers = 4, kTasks = 200;
  std::vector<std::vector<int>> done(kCallers, std::vector<int>(kTasks));
  std::vector<std::thread> callers;
  for (std::vector<int>& mine : done) {
    callers.emplace_back([&pool, &mine] {
      for (int again = 0; again < 3; ++again) {
        pool.run(kTasks, [&mine](int64_t i) { ++mine[static_cast<size_t>(i)]; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const std::vector<int>& mine : done) CHECK(mine == std::vector<int>(kTasks, 3));
  pool.run(0, [](int64_t) { throw std::runtime_error("no task"); });
}

TEST_CASE("tasks of a pool run side by side") {
  WorkerPool pool(2);
  std::atomic<int> arrived = 0;
  pool.run(2, [&](int64_t) {  // with one at a time the first would wait for ever
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  CHECK(arrived == 2);
}

TEST_CASE("of the tasks that fail the first one's exception is thrown, and the others are done") {
  WorkerPool pool(4);
  std::atomic<int> done = 0;
  const auto fail = [&] {
    pool.run(50, [&](int64_t i) {
      ++done;
      if (i == 7 || i > 40) throw DataError("task {}", i);
    });
  };
  CHECK(message_of<DataError>(fail) == "task 7");
  CHECK(done == 50);
  CHECK(message_of<DataError>(fail) == "task 7");  // the pool goes on
  CHECK_THROWS_AS(WorkerPool(0), ShapeError);
}
