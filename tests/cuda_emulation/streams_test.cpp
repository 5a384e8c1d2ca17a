// Streams that run late, and graphs.

#include "streams.h"

#include "emulated.h"

namespace emulation {
namespace {

using Catch::Contains;
using ssa::cuda::check;

constexpr size_t kBytes = sizeof(int);

__global__ void add_to(int* out, int value) { *out += value; }
__global__ void take(const int* from, int* out) { *out = *from; }

struct Stream {
  cudaStream_t handle = nullptr;
  explicit Stream(Pace pace) {
    check(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "making a stream");
    set_pace(handle, pace);
  }
  ~Stream() { cudaStreamDestroy(handle); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(Parameters...), Arguments... arguments) {
    cudaLaunchConfig_t config = {};
    config.gridDim = config.blockDim = dim3(1);
    config.stream = handle;
    check(cudaLaunchKernelEx(&config, kernel, arguments...), "launching");
  }
};

struct Event {
  cudaEvent_t handle = nullptr;
  Event() { check(cudaEventCreate(&handle), "making an event"); }
  ~Event() { cudaEventDestroy(handle); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
};

/// A number in pinned memory, as a source of copies.
struct Pinned {
  int* value = nullptr;
  explicit Pinned(int first) {
    check(cudaMallocHost(&value, kBytes), "allocating");
    *value = first;
  }
  ~Pinned() { cudaFreeHost(value); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
};

TEST_CASE("an emulated stream that is late works when it is waited for") {
  DeviceArray<int> number(std::vector<int>{1});
  Stream stream(Pace::late);
  stream.launch(add_to, number.data(), 5);
  CHECK(number.values()[0] == 1);
  check(cudaStreamSynchronize(stream.handle), "waiting");
  CHECK(number.values()[0] == 6);
  stream.launch(add_to, number.data(), 5);
  set_pace(stream.handle, Pace::soon);
  CHECK(number.values()[0] == 11);
}

TEST_CASE("an emulated copy reads pinned memory when its turn comes, pageable memory at once") {
  DeviceArray<int> number(1);
  Stream stream(Pace::late);
  Pinned pinned(1);
  int pageable = 1;
  const bool is_pinned = GENERATE(true, false);
  int& source = is_pinned ? *pinned.value : pageable;
  check(cudaMemcpyAsync(number.data(), &source, kBytes, cudaMemcpyHostToDevice, stream.handle),
        "copying");
  source = 2;
  check(cudaStreamSynchronize(stream.handle), "waiting");
  CHECK(number.values()[0] == (is_pinned ? 2 : 1));
}

TEST_CASE("an emulated copy to pageable memory waits for its stream") {
  DeviceArray<int> number(std::vector<int>{1});
  Stream stream(Pace::late);
  stream.launch(add_to, number.data(), 5);
  int got = 0;
  check(cudaMemcpyAsync(&got, number.data(), kBytes, cudaMemcpyDeviceToHost, stream.handle),
        "copying");
  CHECK(got == 6);
}

TEST_CASE("emulated streams run on only as far as an event that another waits for") {
  const Pace pace = GENERATE(Pace::soon, Pace::late);
  DeviceArray<int> first(std::vector<int>{1}), second(std::vector<int>{0});
  Stream producer(Pace::late), consumer(pace);
  Event ready;
  producer.launch(add_to, first.data(), 1);
  check(cudaEventRecord(ready.handle, producer.handle), "recording");
  producer.launch(add_to, first.data(), 10);
  check(cudaStreamWaitEvent(consumer.handle, ready.handle, 0), "ordering");
  consumer.launch(take, first.data(), second.data());
  check(cudaStreamSynchronize(consumer.handle), "waiting");
  CHECK(second.values()[0] == 2);
  CHECK(first.values()[0] == 2);
  check(cudaDeviceSynchronize(), "waiting");
  CHECK(first.values()[0] == 12);
}

TEST_CASE("without an event an emulated stream may come too early") {
  DeviceArray<int> first(std::vector<int>{1}), second(std::vector<int>{0});
  Stream producer(Pace::late), consumer(Pace::soon);
  producer.launch(add_to, first.data(), 1);
  consumer.launch(take, first.data(), second.data());
  CHECK(second.values()[0] == 1);
}

TEST_CASE("an emulated graph does what was captured, as often as it is launched") {
  DeviceArray<int> number(std::vector<int>{1});
  Stream stream(GENERATE(Pace::soon, Pace::late));
  Pinned pinned(100);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  check(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeRelaxed), "capturing");
  check(cudaMemcpyAsync(number.data(), pinned.value, kBytes, cudaMemcpyHostToDevice, stream.handle),
        "copying");
  stream.launch(add_to, number.data(), 5);
  check(cudaStreamEndCapture(stream.handle, &graph), "capturing");
  check(cudaGraphInstantiate(&exec, graph, 0), "instantiating");
  check(cudaGraphDestroy(graph), "destroying");
  CHECK(number.values()[0] == 1);
  for (const int start : {100, 200}) {
    *pinned.value = start;
    check(cudaGraphLaunch(exec, stream.handle), "launching");
    check(cudaStreamSynchronize(stream.handle), "waiting");
    CHECK(number.values()[0] == start + 5);
  }
  check(cudaGraphExecDestroy(exec), "destroying");
}

TEST_CASE("what cannot be captured spoils an emulated capture") {
  DeviceArray<int> number(1);
  Stream stream(Pace::soon);
  cudaGraph_t graph = nullptr;
  int pageable = 1;
  check(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeRelaxed), "capturing");
  const int call = GENERATE(0, 1, 2);
  const cudaError_t error = call == 0   ? cudaStreamSynchronize(stream.handle)
                            : call == 1 ? cudaDeviceSynchronize()
                                        : cudaMemcpyAsync(number.data(), &pageable, kBytes,
                                                          cudaMemcpyHostToDevice, stream.handle);
  CHECK(error == cudaErrorStreamCaptureUnsupported);
  CHECK_THAT(cudaGetErrorString(error), Contains("while calls are captured"));
  CHECK(cudaStreamEndCapture(stream.handle, &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(graph == nullptr);
  cudaGetLastError();
}

}  // namespace
}  // namespace emulation
