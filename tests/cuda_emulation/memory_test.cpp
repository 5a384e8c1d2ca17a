// Device memory: the host cannot access it, and its bounds are checked.

#include <csignal>
#include <cstdlib>
#include <cstring>

#include <sys/wait.h>
#include <unistd.h>

#include "emulated.h"

namespace emulation {
namespace {

using Catch::Contains;
using ssa::cuda::launch;

__global__ void write_at(int* out, int64_t index) { out[index] = 1; }

struct Nested {
  int count;
  const int* pointer;
};
/// As long as the arguments of attention.
struct Wide {
  uint32_t low_half;  // padding follows
  const int* pointer;
  int64_t numbers[48];
};
__global__ void read_wide(Wide in, int* out) { *out = *in.pointer; }

__global__ void read_nested(Nested in, int* out) { *out = *in.pointer + in.count; }

/// Calls f() in a child process and returns how that ended.
template <class F>
int status_of_child(F&& f) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (const int number : {SIGSEGV, SIGBUS}) std::signal(number, SIG_DFL);
    f();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

TEST_CASE("host code that touches device memory faults") {
  DeviceArray<int> array(std::vector<int>(10, 7));
  const volatile int* pointer = array.data();
  const int reading = status_of_child([&] { _exit(*pointer == 7 ? 1 : 2); });
  CHECK(WIFSIGNALED(reading));
  CHECK(WTERMSIG(reading) == SIGSEGV);
  const int writing = status_of_child([&] { *array.data() = 3; });
  CHECK(WIFSIGNALED(writing));
  CHECK(array.values() == std::vector<int>(10, 7));
  CHECK(status_of_child([] {}) == 0);
}

TEST_CASE("emulated kernels that write outside an allocation are reported") {
  DeviceArray<int> first(10), second(13);
  CHECK(launch_error(write_at, 1, 1, second.data(), 12).empty());
#ifdef __SANITIZE_ADDRESS__  // which ends the program at the write itself
  CHECK(status_of_child([&] { launch_error(write_at, 1, 1, second.data(), 13); }) != 0);
  CHECK(status_of_child([&] { launch_error(write_at, 1, 1, first.data(), -1); }) != 0);
#else
  CHECK_THAT(launch_error(write_at, 1, 1, second.data(), 13),
             Contains("memory behind an allocation of 52 bytes"));
  CHECK_THAT(launch_error(write_at, 1, 1, first.data(), -1),
             Contains("memory before an allocation of 40 bytes"));
#endif
}

TEST_CASE("device memory is handed out again, filled with NaN") {
  int *a = nullptr, *b = nullptr;
  REQUIRE(cudaMalloc(&a, 1000) == cudaSuccess);
  REQUIRE(cudaMalloc(&b, 3000) == cudaSuccess);
  CHECK(reinterpret_cast<uintptr_t>(b) % 256 == 0);
  CHECK(cudaMemset(a, 0, 1000) == cudaSuccess);
  CHECK(cudaFree(a) == cudaSuccess);
  float* again = nullptr;
  REQUIRE(cudaMalloc(&again, 900) == cudaSuccess);
  float value = 0;
  CHECK(cudaMemcpy(&value, again + 224, 4, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(std::isnan(value));
  CHECK(static_cast<void*>(again) == static_cast<void*>(a));
  CHECK(cudaFree(again) == cudaSuccess);
  CHECK(cudaFree(b) == cudaSuccess);
  CHECK(cudaFree(b) == cudaErrorInvalidValue);
}

TEST_CASE("device memory runs out") {
  size_t free_bytes = 0, total = 0;
  REQUIRE(cudaMemGetInfo(&free_bytes, &total) == cudaSuccess);
  void* all = nullptr;
  CHECK(cudaMalloc(&all, total + 1) == cudaErrorMemoryAllocation);
  CHECK(all == nullptr);
  DeviceArray<int> some(1000);
  size_t left = 0;
  REQUIRE(cudaMemGetInfo(&left, &total) == cudaSuccess);
  CHECK(left == free_bytes - 4000);
}

TEST_CASE("emulated kernels get no addresses of pageable host memory") {
  DeviceArray<int> out(1), in(std::vector<int>(1, 5));
  const std::vector<int> host(1, 5);
  CHECK_THAT(launch_error(read_nested, 1, 1, Nested{1, host.data()}, out.data()),
             Contains("argument 0 of a kernel holds an address of the host"));
  launch("nested", read_nested, 1, 1, 0, Nested{1, in.data()}, out.data());
  CHECK(out.values()[0] == 6);
  int* pinned = nullptr;
  REQUIRE(cudaMallocHost(&pinned, 4) == cudaSuccess);
  *pinned = 8;
  launch("nested", read_nested, 1, 1, 0, Nested{1, pinned}, out.data());
  CHECK(out.values()[0] == 9);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

TEST_CASE("old addresses in the padding of an argument are not taken for arguments") {
  DeviceArray<int> out(1), in(std::vector<int>(1, 5));
  const std::vector<int> host(1, 5);
  Wide wide{};
  const auto* stale = host.data();
  std::memcpy(static_cast<void*>(&wide), &stale, sizeof(stale));
  wide.pointer = in.data();
  launch("wide", read_wide, 1, 1, 0, wide, out.data());
  CHECK(out.values()[0] == 5);
}

}  // namespace
}  // namespace emulation
