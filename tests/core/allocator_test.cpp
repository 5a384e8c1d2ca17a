#include "ssa/core/allocator.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"

namespace ssa {

using Category = MemoryCategory;

TEST_CASE("Sizes are rounded up a little, never down", "[allocator]") {
  CHECK(CachingAllocator::rounded_size(0) == 64);
  CHECK(CachingAllocator::rounded_size(1) == 64);
  CHECK(CachingAllocator::rounded_size(64) == 64);
  CHECK(CachingAllocator::rounded_size(65) == 128);
  CHECK(CachingAllocator::rounded_size(1024) == 1024);
  CHECK(CachingAllocator::rounded_size(1025) == 1152);
  for (size_t bytes = 1; bytes < 200000; bytes += 37) {
    const size_t rounded = CachingAllocator::rounded_size(bytes);
    REQUIRE(rounded >= bytes);
    REQUIRE(rounded % 64 == 0);
    REQUIRE(CachingAllocator::rounded_size(rounded) == rounded);
    if (bytes > 512) REQUIRE(rounded <= bytes + bytes / 8);
  }
  CHECK(CachingAllocator::rounded_size(std::numeric_limits<size_t>::max()) ==
        std::numeric_limits<size_t>::max());
}

TEST_CASE("Buffers are aligned and writable, and come back", "[allocator]") {
  CachingAllocator allocator;
  void* first = allocator.allocate(1000, Category::activations);
  CHECK(reinterpret_cast<uintptr_t>(first) % 64 == 0);
  std::memset(first, 0x5a, CachingAllocator::rounded_size(1000));
  void* second = allocator.allocate(1000, Category::activations);
  CHECK(second != first);
  CHECK(allocator.stats().system_allocations == 2);

  allocator.release(first, 1000, Category::activations);
  CHECK(allocator.stats().cached_bytes == 1024);
  // A request of another size in the same class, for another category, gets the kept buffer.
  CHECK(allocator.allocate(1020, Category::workspace) == first);
  CHECK(allocator.stats().cached_bytes == 0);
  CHECK(allocator.stats().system_allocations == 2);
  // A request of another class does not.
  void* third = allocator.allocate(3000, Category::workspace);
  CHECK(allocator.stats().system_allocations == 3);

  allocator.release(first, 1020, Category::workspace);
  allocator.release(second, 1000, Category::activations);
  allocator.release(third, 3000, Category::workspace);
  allocator.trim();
  CHECK(allocator.stats().cached_bytes == 0);
  CHECK(allocator.stats().total_bytes == 0);
}

TEST_CASE("Statistics are kept by category, with peaks", "[allocator]") {
  CachingAllocator allocator;
  const auto of = [](const auto& values, Category category) {
    return values[static_cast<size_t>(category)];
  };
  void* weights = allocator.allocate(1024, Category::parameters);
  void* hidden = allocator.allocate(2048, Category::activations);
  MemoryStats stats = allocator.stats();
  CHECK(of(stats.bytes, Category::parameters) == 1024);
  CHECK(of(stats.bytes, Category::activations) == 2048);
  CHECK(of(stats.bytes, Category::gradients) == 0);
  CHECK(stats.total_bytes == 3072);

  allocator.release(hidden, 2048, Category::activations);
  stats = allocator.stats();
  CHECK(of(stats.bytes, Category::activations) == 0);
  CHECK(of(stats.peak_bytes, Category::activations) == 2048);
  CHECK(stats.total_bytes == 1024);
  CHECK(stats.peak_total_bytes == 3072);

  allocator.reset_peaks();
  stats = allocator.stats();
  CHECK(of(stats.peak_bytes, Category::activations) == 0);
  CHECK(of(stats.peak_bytes, Category::parameters) == 1024);
  CHECK(stats.peak_total_bytes == 1024);
  allocator.release(weights, 1024, Category::parameters);
}

TEST_CASE("Gradients share the memory of a kept buffer, which comes back whole", "[allocator]") {
  CachingAllocator allocator;
  void* large = allocator.allocate(1 << 20, Category::activations);
  allocator.release(large, 1 << 20, Category::activations);
  REQUIRE(allocator.stats().system_allocations == 1);

  std::vector<char*> parts;
  for (int i = 0; i < 4; ++i) {
    parts.push_back(static_cast<char*>(allocator.allocate(200 << 10, Category::gradients)));
    CHECK(parts.back() == static_cast<char*>(large) + i * (208 << 10));  // rounded up to a class
    CHECK(reinterpret_cast<uintptr_t>(parts.back()) % 64 == 0);
  }
  CHECK(allocator.stats().system_allocations == 1);
  CHECK(allocator.stats().bytes[static_cast<size_t>(Category::gradients)] == 4 * (208 << 10));
  CHECK(allocator.stats().cached_bytes == (1 << 20) - 4 * (208 << 10));
  // The rest is too small for a fifth one, and nobody else gets the buffer meanwhile.
  void* fifth = allocator.allocate(200 << 10, Category::gradients);
  void* other = allocator.allocate(1 << 20, Category::activations);
  CHECK(allocator.stats().system_allocations == 3);
  CHECK(other != large);
  allocator.trim();  // frees no buffer that has parts in use
  std::memset(parts[3], 0x5a, 200 << 10);

  for (char* part : parts) allocator.release(part, 200 << 10, Category::gradients);
  CHECK(allocator.stats().cached_bytes == 1 << 20);
  CHECK(allocator.allocate(1 << 20, Category::workspace) == large);
  allocator.release(large, 1 << 20, Category::workspace);
  allocator.release(fifth, 200 << 10, Category::gradients);
  allocator.release(other, 1 << 20, Category::activations);
  CHECK(allocator.stats().total_bytes == 0);
}

TEST_CASE("A buffer of their own size is kept for others than gradients", "[allocator]") {
  CachingAllocator allocator;
  void* exact = allocator.allocate(4096, Category::parameters);
  void* large = allocator.allocate(65536, Category::activations);
  allocator.release(exact, 4096, Category::parameters);
  allocator.release(large, 65536, Category::activations);
  void* gradient = allocator.allocate(4096, Category::gradients);
  CHECK(gradient == large);
  CHECK(allocator.allocate(4096, Category::parameters) == exact);
  allocator.release(gradient, 4096, Category::gradients);
  allocator.release(exact, 4096, Category::parameters);
  CHECK(allocator.stats().bytes_at_peak[static_cast<size_t>(Category::activations)] == 65536);
}

TEST_CASE("A request that fails says what is in use and which key to lower", "[allocator]") {
  CachingAllocator allocator;
  void* held = allocator.allocate(2 << 20, Category::optimizer);
  allocator.fail_after(2);
  void* served = allocator.allocate(4096, Category::activations);
  const MemoryStats before = allocator.stats();
  try {
    allocator.allocate(3 << 20, Category::activations);
    FAIL("the second request was to fail");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::usage);
    CHECK_THAT(error.what(), Catch::Contains("out of memory: 3.0 MiB more for activations"));
    CHECK_THAT(error.what(), Catch::Matches("(.|\\n)*optimizer +2\\.0 MiB(.|\\n)*"));
    CHECK_THAT(error.what(), Catch::Contains("train.micro_batch"));
  }
  // The failure has no lasting effect: the next request succeeds.
  CHECK(allocator.stats().bytes == before.bytes);
  CHECK(allocator.stats().peak_total_bytes == before.peak_total_bytes);
  void* again = allocator.allocate(3 << 20, Category::activations);
  CHECK(again != nullptr);
  allocator.release(again, 3 << 20, Category::activations);
  allocator.release(served, 4096, Category::activations);
  allocator.release(held, 2 << 20, Category::optimizer);
}

TEST_CASE("A size beyond any machine fails instead of wrapping around", "[allocator]") {
  CachingAllocator allocator;
  for (const size_t bytes : {std::numeric_limits<size_t>::max(), size_t{1} << 63, size_t{1} << 48,
                             static_cast<size_t>(int64_t{-4})}) {
    CHECK_THROWS_WITH(allocator.allocate(bytes, Category::workspace),
                      Catch::Contains("out of memory"));
  }
  CHECK(allocator.stats().total_bytes == 0);
}

TEST_CASE("Threads may share an allocator", "[allocator]") {
  CachingAllocator allocator;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&allocator, t] {
      for (size_t i = 1; i <= 200; ++i) {
        const size_t bytes = i * 100;
        void* pointer = allocator.allocate(bytes, Category::data);
        std::memset(pointer, t, bytes);
        allocator.release(pointer, bytes, Category::data);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(allocator.stats().total_bytes == 0);
}

TEST_CASE("Reserved buffers are not handed out to others", "[allocator]") {
  CachingAllocator allocator;
  void* before = allocator.allocate(1000, Category::activations);
  auto reservation = allocator.reserve();
  void* used = allocator.allocate(1000, Category::activations);
  allocator.release(used, 1000, Category::activations);
  CHECK(allocator.allocate(1000, Category::workspace) ==
        used);  // the open reservation may get it again
  allocator.release(used, 1000, Category::workspace);
  void* kept = allocator.allocate(2000, Category::gradients);
  reservation->close();
  allocator.release(kept, 2000, Category::gradients);
  allocator.release(before, 1000, Category::activations);
  CHECK(allocator.stats().total_bytes == 0);
  CHECK(allocator.stats().cached_bytes == 1024 + 1024 + 2048);

  CHECK(allocator.allocate(1000, Category::activations) == before);
  void* other = allocator.allocate(1000, Category::activations);
  void* larger = allocator.allocate(2000, Category::activations);
  CHECK(other != used);
  CHECK(larger != kept);
  allocator.release(before, 1000, Category::activations);
  allocator.release(other, 1000, Category::activations);
  allocator.release(larger, 2000, Category::activations);
  allocator.trim();  // frees no reserved buffer
  CHECK(allocator.stats().cached_bytes == 1024 + 2048);
  CHECK(reservation->holds());

  reservation.reset();
  CHECK(allocator.allocate(1000, Category::activations) == used);
  CHECK(allocator.allocate(2000, Category::activations) == kept);
  allocator.release(used, 1000, Category::activations);
  allocator.release(kept, 2000, Category::activations);
}

}  // namespace ssa
