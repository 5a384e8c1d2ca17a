// The host's side of the record of invalid ids.

#include <string_view>

#include "ssa/core/error.h"

#include "backend/cuda/error_record.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/recording.h"

namespace ssa::cuda {

namespace {

constexpr size_t kRecordBytes = kRecordWords * sizeof(ErrorRecord);

/// The record, and the host's copy of it. Never freed: kernels may use it until the process ends.
struct Places {
  ErrorRecord* device = nullptr;
  ErrorRecord* host = nullptr;  // pinned
};

const Places& places() {
  static const Places instance = [] {
    Places made;
    check(cudaMalloc(reinterpret_cast<void**>(&made.device), kRecordBytes),
          "allocating the error record");
    check(cudaMallocHost(reinterpret_cast<void**>(&made.host), kRecordBytes),
          "allocating the error record's copy");
    check(cudaMemsetAsync(made.device, 0, kRecordBytes, stream()), "clearing the error record");
    return made;
  }();
  return instance;
}

struct Words {
  std::string_view primitive, ids;
};

Words words_for(Lookup primitive) {
  switch (primitive) {
    case Lookup::gather_rows_backward:
      return {"gather_rows_backward", "rows"};
    case Lookup::gather_rows:
      return {"gather_rows", "rows"};
    case Lookup::soft_cross_entropy_backward:
      return {"soft_cross_entropy_backward", "labels"};
    case Lookup::soft_cross_entropy:
      return {"soft_cross_entropy", "labels"};
    case Lookup::cross_entropy_backward:
      return {"cross_entropy_backward", "targets"};
    case Lookup::cross_entropy:
      return {"cross_entropy", "targets"};
    case Lookup::embedding_backward:
      return {"embedding_backward", "ids"};
    case Lookup::embedding:
      return {"embedding", "ids"};
    case Lookup::attention_sources:
      return {"attention", "sources"};
    case Lookup::attention_targets:
      return {"attention", "targets"};
    case Lookup::graph_classes:
      return {"graph_attention", "classes"};
    case Lookup::graph_sources:
      return {"graph_attention", "sources"};
    case Lookup::graph_offsets:
      return {"graph_attention", "nodes, sampled or pairs"};
  }
  return {"a primitive", "ids"};
}

}  // namespace

ErrorRecord* error_record() { return places().device; }

void wait_and_check() {
  require_not_recording("waiting for the device");
  const auto& [device, host] = places();
  check(cudaMemcpyAsync(host, device, kRecordBytes, cudaMemcpyDeviceToHost, stream()),
        "reading the error record");
  check(cudaStreamSynchronize(stream()), "waiting for the device");
  const ErrorRecord word = host[0];
  if (word == 0) return;
  check(cudaMemsetAsync(device, 0, kRecordBytes, stream()), "clearing the error record");
  const auto number = static_cast<uint32_t>(word >> 60);
  const auto [primitive, ids] = words_for(static_cast<Lookup>(number));
  constexpr ErrorRecord kLargest = (ErrorRecord{1} << 28) - 1;
  const ErrorRecord range = host[number];
  throw ShapeError("{}: {} has {} at {}, outside {} … {}", primitive, ids,
                   static_cast<int32_t>(word), kLargest - (word >> 32 & kLargest),
                   static_cast<int32_t>(range), static_cast<int64_t>(range >> 32) - 1);
}

}  // namespace ssa::cuda
