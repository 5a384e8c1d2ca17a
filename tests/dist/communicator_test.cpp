// What Communicator promises, on ranks that are threads; tests/dist/ranks_test.cpp asks the same of
// processes.

#include <catch2/catch.hpp>

#include "dist/thread_ranks.h"

namespace ssa {

TEST_CASE("one process is a communicator of one rank") {
  const auto alone = make_single_process();
  std::vector<float> values = {1, 2, 3};
  alone->all_reduce({values.data(), 3, DType::f32}, "values").wait();
  CHECK(values == std::vector<float>{1, 2, 3});
  CHECK(alone->gather(std::string("own"), "a string") == std::vector<std::string>{"own"});
  const std::vector<double> numbers = {1.5, -2};
  CHECK(alone->gather(numbers, "numbers") == numbers);
  CHECK(alone->broadcast("text", "a text") == "text");
  CHECK_FALSE(alone->any(false, "a flag"));
  CHECK(alone->any(true, "a flag"));
}

TEST_CASE("collectives combine what the ranks give") {
  const int size = GENERATE(2, 3);
  testing::on_ranks(size, [&](Communicator& ranks) {
    const auto rank = static_cast<float>(ranks.rank());
    std::vector<float> sum(6, rank + 1);
    const PendingCollective first = ranks.all_reduce({sum.data(), 6, DType::f32}, "a sum");

    std::vector<float> scattered(6);
    for (size_t i = 0; i < 6; ++i) scattered[i] = static_cast<float>(i) * (rank + 1);
    const PendingCollective second =
        ranks.reduce_scatter({scattered.data(), 6, DType::f32}, "parts of a sum");
    second.wait();
    first.wait();

    const auto total = static_cast<float>(size * (size + 1) / 2);
    const int64_t part = 6 / size;
    if (sum != std::vector<float>(6, total)) throw ConfigError("all_reduce: {}", sum[0]);
    for (int64_t i = ranks.rank() * part; i < (ranks.rank() + 1) * part; ++i) {
      const float expected = static_cast<float>(i) * total;
      if (scattered[static_cast<size_t>(i)] != expected)
        throw ConfigError("reduce_scatter at {}", i);
    }
    ranks.all_gather({scattered.data(), 6, DType::f32}, "the parts").wait();
    for (size_t i = 0; i < 6; ++i) {
      if (scattered[i] != static_cast<float>(i) * total) throw ConfigError("all_gather at {}", i);
    }
    const std::vector<double> own = {static_cast<double>(rank), 7};
    const std::vector<double> all = ranks.gather(own, "numbers");
    for (int other = 0; other < size; ++other) {
      if (all[static_cast<size_t>(2 * other)] != other) throw ConfigError("gather of numbers");
    }
    if (ranks.broadcast(ranks.rank() == 0 ? "from 0" : "mine", "text") != "from 0") {
      throw ConfigError("broadcast");
    }
    if (!ranks.any(ranks.rank() == size - 1, "flag")) throw ConfigError("any");
    if (ranks.any(false, "flag")) throw ConfigError("any of none");
  });
}

TEST_CASE("what one rank dies of reaches the others") {
  CHECK_THROWS_WITH(testing::on_ranks(3,
                                      [](Communicator& ranks) {
                                        if (ranks.rank() == 1) throw DataError("no such file");
                                        ranks.barrier("the end");
                                      }),
                    Catch::Matchers::Contains("rank 1 failed: no such file"));
}

}  // namespace ssa
