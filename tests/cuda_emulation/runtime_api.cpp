// The emulated runtime, apart from streams (streams.cpp). It refuses calls whose effect a device
// would leave undefined.

#include "emulation/runtime_api.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <sys/mman.h>

#include "errors.h"
#include "fibers.h"
#include "memory.h"
#include "streams.h"

using emulation::failed;

namespace {

using emulation::DeviceHeap;

constexpr size_t kSharedWithoutAsking = size_t{48} << 10, kSharedOptIn = size_t{163} << 10;

/// The state of the runtime beside the device's memory. DeviceHeap::Access guards it. Each host
/// thread has its own last error.
struct Runtime {
  std::map<emulation::AnyKernel, size_t> shared_allowed;
  std::map<const std::byte*, size_t> pinned;
  std::string damage;  // found already; reported once
};

Runtime& runtime() {
  static Runtime& instance = *new Runtime;
  return instance;
}

thread_local cudaError_t last_error = cudaSuccess;
thread_local std::string last_message;

/// The error if a canary was overwritten since the last check.
cudaError_t report_damage() {
  const std::string damage = DeviceHeap::instance().damage();
  const std::string before = std::exchange(runtime().damage, damage);
  if (damage.empty() || damage == before) return cudaSuccess;
  return failed(cudaErrorIllegalAddress, damage);
}

bool is_pinned(const void* pointer) {
  const auto* address = static_cast<const std::byte*>(pointer);
  auto found = runtime().pinned.upper_bound(address);
  if (found == runtime().pinned.begin()) return false;
  --found;
  return address < found->first + found->second;
}

/// Describes what is wrong with one end of a copy, if anything.
std::string end_of_copy(const char* which, const void* pointer, size_t bytes, bool on_device) {
  const DeviceHeap& heap = DeviceHeap::instance();
  if (on_device && !heap.owns(pointer, bytes)) {
    return fmt::format("the {} of a copy, {} + {} bytes, is not in one device allocation", which,
                       pointer, bytes);
  }
  if (!on_device && heap.contains(pointer)) {
    return fmt::format("the {} of a copy, {}, is device memory, not the host's", which, pointer);
  }
  return "";
}

/// At once.
cudaError_t copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                      size_t height, cudaMemcpyKind kind) {
  if (width == 0 || height == 0) return cudaSuccess;
  const DeviceHeap::Access access;
  const DeviceHeap& heap = DeviceHeap::instance();
  const bool automatic = kind == cudaMemcpyDefault;
  const bool to_device = automatic
                             ? heap.contains(to)
                             : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = automatic
                               ? heap.contains(from)
                               : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  std::string wrong = end_of_copy("target", to, (height - 1) * to_pitch + width, to_device);
  if (wrong.empty()) {
    wrong = end_of_copy("source", from, (height - 1) * from_pitch + width, from_device);
  }
  if (!wrong.empty()) return failed(cudaErrorInvalidValue, wrong);
  for (size_t row = 0; row < height; ++row) {
    std::memcpy(static_cast<std::byte*>(to) + row * to_pitch,
                static_cast<const std::byte*>(from) + row * from_pitch, width);
  }
  return cudaSuccess;
}

bool is_pinned_memory(const void* pointer) {
  const DeviceHeap::Access access;
  return is_pinned(pointer);
}

/// Copies in the order of a stream. Like CUDA, which stages pageable memory, reads pageable host
/// memory now, and waits for copies to it. Neither can be captured in a graph.
cudaError_t copy_rows_in_order(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                               size_t width, size_t height, cudaMemcpyKind kind,
                               cudaStream_t stream) {
  const auto copy = [=](const void* source) {
    return copy_rows(to, to_pitch, source, from_pitch, width, height, kind);
  };
  const bool from_pageable = kind == cudaMemcpyHostToDevice && !is_pinned_memory(from);
  const bool to_pageable = kind == cudaMemcpyDeviceToHost && !is_pinned_memory(to);
  if (from_pageable || to_pageable) {
    if (const auto error = emulation::refuse_during_capture("a copy of pageable memory")) {
      return error;
    }
  }
  if (!from_pageable || width == 0 || height == 0) {
    const cudaError_t error = emulation::submit(stream, [=] { return copy(from); });
    return to_pageable && error == cudaSuccess ? cudaStreamSynchronize(stream) : error;
  }
  const auto* first = static_cast<const std::byte*>(from);
  const std::vector<std::byte> staged(first, first + (height - 1) * from_pitch + width);
  return emulation::submit(stream, [=] { return copy(staged.data()); });
}

}  // namespace

cudaError_t emulation::failed(cudaError_t error, std::string message) {
  last_error = error;
  last_message = std::move(message);
  return error;
}

// ---- errors ------------------------------------------------------------------------------------

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      return "cudaError";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  const bool known = error != cudaSuccess && !last_message.empty();
  return known ? last_message.c_str() : cudaGetErrorName(error);
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

// ---- devices -----------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device == 0) return cudaSuccess;
  return failed(cudaErrorInvalidDevice, fmt::format("there is no device {}", device));
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  std::strcpy(properties->name, "emulated device");
  properties->totalGlobalMem = DeviceHeap::total_bytes();
  properties->sharedMemPerBlock = kSharedWithoutAsking;
  properties->sharedMemPerBlockOptin = kSharedOptIn;
  properties->sharedMemPerMultiprocessor = kSharedOptIn + 1024;
  properties->regsPerBlock = 65536;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->multiProcessorCount = 2;  // few, so that small tests occupy them more than once
  properties->major = 8;
  properties->l2CacheSize = 1 << 20;
  return cudaSetDevice(device);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, device);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(kSharedOptIn);
      break;
  }
  return error;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

// ---- memory ------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  const DeviceHeap::Access access;
  *pointer = bytes == 0 ? nullptr : DeviceHeap::instance().allocate(bytes);
  if (*pointer || bytes == 0) return cudaSuccess;
  return failed(cudaErrorMemoryAllocation, fmt::format("no room for {} bytes", bytes));
}

cudaError_t cudaFree(void* pointer) {
  if (!pointer) return cudaSuccess;
  emulation::finish_all();  // like CUDA, which waits for the device
  const DeviceHeap::Access access;
  const cudaError_t error = report_damage();
  if (DeviceHeap::instance().free(pointer)) return error;
  return failed(cudaErrorInvalidValue, fmt::format("{} was not allocated", pointer));
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  const DeviceHeap::Access access;
  *pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*pointer)
    return failed(cudaErrorMemoryAllocation, fmt::format("no room for {} bytes", bytes));
  runtime().pinned[static_cast<const std::byte*>(*pointer)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  const DeviceHeap::Access access;
  if (pointer && runtime().pinned.erase(static_cast<const std::byte*>(pointer)) == 0) {
    return failed(cudaErrorInvalidValue, fmt::format("{} was not allocated", pointer));
  }
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const DeviceHeap::Access access;
  *free = DeviceHeap::instance().free_bytes();
  *total = DeviceHeap::total_bytes();
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return copy_rows(to, bytes, from, bytes, bytes, 1, kind);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return copy_rows_in_order(to, bytes, from, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return copy_rows_in_order(to, to_pitch, from, from_pitch, width, height, kind, stream);
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  if (bytes == 0) return cudaSuccess;
  const DeviceHeap::Access access;
  const std::string wrong = end_of_copy("target", to, bytes, true);
  if (!wrong.empty()) return failed(cudaErrorInvalidValue, wrong);
  std::memset(to, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return emulation::submit(stream, [=] { return cudaMemset(to, value, bytes); });
}

// ---- launches ----------------------------------------------------------------------------------

namespace emulation {

cudaError_t set_attribute(AnyKernel kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > kSharedOptIn) {
    return failed(cudaErrorInvalidValue,
                  fmt::format("{} bytes of shared memory asked for, at most {} are there", value,
                              kSharedOptIn));
  }
  const DeviceHeap::Access access;
  runtime().shared_allowed[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

namespace {

/// Checks every aligned word, since pointers may be anywhere in a structure. Other words are hardly
/// ever addresses of existing memory.
bool holds_host_address(const Argument& argument) {
  constexpr uintptr_t kPage = 4096, kLowest = uintptr_t{1} << 40, kEnd = uintptr_t{1} << 47;
  for (size_t at = 0; at + sizeof(uintptr_t) <= argument.bytes; at += sizeof(uintptr_t)) {
    uintptr_t word = 0;
    std::memcpy(&word, static_cast<const std::byte*>(argument.value) + at, sizeof(word));
    if (word < kLowest || word >= kEnd) continue;
    const auto* address = reinterpret_cast<const void*>(word);
    if (DeviceHeap::instance().contains(address) || is_pinned(address)) continue;
    unsigned char resident = 0;
    if (mincore(reinterpret_cast<void*>(word / kPage * kPage), 1, &resident) == 0) return true;
  }
  return false;
}

/// Returns the error that a device would report for this launch.
std::string wrong_configuration(const cudaLaunchConfig_t& config, AnyKernel kernel) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) {
    return fmt::format("a block of {}×{}×{} threads", block.x, block.y, block.z);
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 ||
      grid.z > 65535) {
    return fmt::format("a grid of {}×{}×{} blocks", grid.x, grid.y, grid.z);
  }
  const auto allowed = runtime().shared_allowed.find(kernel);
  const size_t limit = std::max(kSharedWithoutAsking,
                                allowed == runtime().shared_allowed.end() ? 0 : allowed->second);
  if (config.dynamicSmemBytes > limit) {
    return fmt::format("{} bytes of shared memory where {} are allowed", config.dynamicSmemBytes,
                       limit);
  }
  return "";
}

}  // namespace

cudaError_t check_launch(const cudaLaunchConfig_t& config, AnyKernel kernel,
                         std::span<const Argument> arguments) {
  const DeviceHeap::Access access;
  const std::string wrong = wrong_configuration(config, kernel);
  if (!wrong.empty()) return failed(cudaErrorInvalidConfiguration, wrong);
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!holds_host_address(arguments[i])) continue;
    return failed(cudaErrorInvalidValue,
                  fmt::format("argument {} of a kernel holds an address of the host", i));
  }
  return cudaSuccess;
}

cudaError_t launch(const cudaLaunchConfig_t& config, std::function<void()> run_thread) {
  return submit(config.stream, [config, run_thread = std::move(run_thread)] {
    const DeviceHeap::Access access;
    try {
      run_grid(config.gridDim, config.blockDim, config.dynamicSmemBytes, run_thread);
    } catch (const Fault& fault) {
      return failed(cudaErrorLaunchFailure, fault.what());
    }
    return report_damage();
  });
}

}  // namespace emulation
