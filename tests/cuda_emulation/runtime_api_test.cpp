// The emulation refuses calls that a device would refuse, or would not notice.

#include "emulated.h"

namespace emulation {
namespace {

using Catch::Contains;
using ssa::cuda::launch;

__global__ void nothing() {}

TEST_CASE("emulated copies check which side an address is on") {
  DeviceArray<int> a(std::vector<int>{1, 2, 3, 4}), b(4);
  std::vector<int> host(4, 0);
  const size_t bytes = 4 * sizeof(int);
  CHECK(cudaMemcpyAsync(b.data(), a.data(), bytes, cudaMemcpyDeviceToDevice) == cudaSuccess);
  CHECK(b.values() == a.values());
  CHECK(cudaMemcpy(host.data(), a.data(), bytes, cudaMemcpyDefault) == cudaSuccess);
  CHECK(host == a.values());
  for (const auto kind : {cudaMemcpyHostToDevice, cudaMemcpyHostToHost, cudaMemcpyDeviceToDevice}) {
    CHECK(cudaMemcpy(host.data(), a.data(), bytes, kind) == cudaErrorInvalidValue);
  }
  CHECK(cudaMemcpy(host.data(), a.data() + 1, bytes, cudaMemcpyDeviceToHost) ==
        cudaErrorInvalidValue);
  CHECK_THAT(cudaGetErrorString(cudaErrorInvalidValue),
             Contains("is not in one device allocation"));
  CHECK(cudaMemset(host.data(), 0, bytes) == cudaErrorInvalidValue);
  CHECK(cudaMemset(a.data(), 0, bytes + 1) == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("emulated copies of rows leave what is between them") {
  DeviceArray<int> wide(std::vector<int>(12, 9));
  const std::vector<int> rows = {1, 2, 3, 4, 5, 6};
  CHECK(cudaMemcpy2DAsync(wide.data(), 16, rows.data(), 8, 8, 3, cudaMemcpyHostToDevice) ==
        cudaSuccess);
  CHECK(wide.values() == std::vector<int>{1, 2, 9, 9, 3, 4, 9, 9, 5, 6, 9, 9});
}

TEST_CASE("emulated launches check their configuration") {
  CHECK_THAT(launch_error(nothing, 0, 32), Contains("a grid of 0×1×1 blocks"));
  CHECK_THAT(launch_error(nothing, dim3(1, 65536), 32), Contains("1×65536×1"));
  CHECK_THAT(launch_error(nothing, 1, 1025), Contains("a block of 1025×1×1 threads"));
  CHECK(launch_error(nothing, dim3(2, 65535), 1).empty());
}

struct Extent {
  int64_t size;
  bool aligned;
};
struct Twice {
  int operator()(int x) const { return 2 * x; }
};
template <class F>
__global__ void apply(int* out, Extent extent, F f, short number) {
  *out = f(static_cast<int>(extent.size)) + number + (extent.aligned ? 100 : 0);
}

TEST_CASE("emulated kernels get arguments of any kind") {
  DeviceArray<int> out(1);
  launch("apply", apply<Twice>, 1, 1, 0, out.data(), Extent{5, true}, Twice{}, 3);
  CHECK(out.values()[0] == 113);
}

__global__ void touch_shared(int* out) { *out = *ssa::cuda::dynamic_shared<int>(); }

TEST_CASE("emulated kernels must ask for more than 48 KiB of shared memory") {
  DeviceArray<int> out(1);
  cudaLaunchConfig_t config = {};
  config.dynamicSmemBytes = size_t{49} << 10;
  CHECK(cudaLaunchKernelEx(&config, touch_shared, out.data()) == cudaErrorInvalidConfiguration);
  launch("touch", touch_shared, 1, 1, config.dynamicSmemBytes, out.data());  // asks
  CHECK_THROWS_WITH(launch("touch", touch_shared, 1, 1, size_t{200} << 10, out.data()),
                    Contains("204800 bytes of shared memory asked for"));
}

TEST_CASE("emulated streams and events are done at once") {
  cudaStream_t stream = nullptr;
  cudaEvent_t from = nullptr, to = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaEventCreate(&from) == cudaSuccess);
  REQUIRE(cudaEventCreateWithFlags(&to, cudaEventDefault) == cudaSuccess);
  CHECK(cudaEventRecord(from, stream) == cudaSuccess);
  CHECK(cudaEventRecord(to, stream) == cudaSuccess);
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, from, to) == cudaSuccess);
  CHECK(milliseconds >= 0);
  CHECK(cudaStreamQuery(stream) == cudaSuccess);
  CHECK(cudaEventDestroy(from) == cudaSuccess);
  CHECK(cudaEventDestroy(to) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}

}  // namespace
}  // namespace emulation
