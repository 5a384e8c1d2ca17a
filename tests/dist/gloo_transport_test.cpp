#include "dist/gloo_transport.h"

#include <atomic>
#include <cmath>
#include <functional>
#include <thread>

#include <catch2/catch.hpp>

#include "dist/roll_call_ranks.h"

namespace ssa::dist {
namespace {

using Catch::Contains;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Ranks;

/// A transport a rank, in threads.
void on_transports(int size, const std::function<void(Transport&)>& body) {
  Ranks roll_call(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      LaunchInfo launch;
      launch.rank = launch.local_rank = rank;
      launch.size = launch.local_size = size;
      body(*make_gloo_transport(launch, roll_call[rank], seconds(30)));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

Request all_reduce(std::vector<float>& values) {
  return {Request::Kind::all_reduce,
          {values.data(), static_cast<int64_t>(values.size()), DType::f32}};
}

TEST_CASE("Gloo's transport ends requests within their time", "[dist][gloo]") {
  std::string message;
  on_transports(2, [&](Transport& transport) {
    std::vector<float> values(1000, 1.0f);
    transport.start(all_reduce(values), seconds(30));
    if (transport.rank() == 1) return;  // gone without a goodbye …
    try {
      transport.start(all_reduce(values), seconds(30));
    } catch (const std::exception& error) {
      message = error.what();
    }
  });
  CHECK_FALSE(message.empty());
  CHECK_THAT(message, !Contains(".cc"));  // … which is known at once

  on_transports(2, [&](Transport& transport) {
    if (transport.rank() == 1) return std::this_thread::sleep_for(milliseconds(600));
    std::vector<float> values(1000, 1.0f);
    try {
      transport.start(all_reduce(values), milliseconds(200));
    } catch (const std::exception& error) {
      message = error.what();
    }
  });
  CHECK_THAT(message, Contains("Timed out"));
}

TEST_CASE("Gloo's transports part in peace", "[dist][gloo]") {
  std::atomic<int> right = 0, parted = 0;
  on_transports(4, [&](Transport& transport) {
    std::vector<float> values(10'007, 1.0f);
    for (int i = 0; i < 20; ++i) transport.start(all_reduce(values), seconds(30));
    if (values == std::vector<float>(10'007, std::pow(4.0f, 20.0f))) ++right;
    transport.shut_down();
    ++parted;
  });
  CHECK(right == 4);
  CHECK(parted == 4);
}

TEST_CASE("Gloo's transport says who is missing", "[dist][gloo]") {
  Ranks roll_call(3);
  roll_call.end(1);
  LaunchInfo launch;
  launch.rank = 2;
  launch.size = launch.local_size = 3;
  CHECK_THROWS_WITH(make_gloo_transport(launch, roll_call[2], seconds(30)),
                    Contains("rank 1 is gone"));
}

}  // namespace
}  // namespace ssa::dist
