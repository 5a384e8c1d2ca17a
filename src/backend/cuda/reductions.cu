// Sums in f64 that the host waits for. Each block sums one part; then one block adds up the parts.

#include "backend/checks.h"
#include "backend/cuda/chunk.cuh"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/error_record.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/tensor_list.cuh"
#include "backend/cuda/visit_data.h"

namespace ssa {
namespace cuda {
namespace {

constexpr int kBlock = 256, kLastBlock = 1024;
constexpr int64_t kPart = 16384;  ///< elements per block

template <class T>
struct Summand {
  const T* elements;
  int64_t count;
};

template <class T, bool kSquares>
__global__ void __launch_bounds__(kBlock) sum_parts(TensorList<Summand<T>> list, double* sums) {
  constexpr int kSize = Chunk<T>::kSize;
  const int mine = list.tensor_index();
  const Summand<T> in = list.entries[mine];
  const int64_t first = int64_t{blockIdx.x - list.first_block[mine]} * kPart;
  const int64_t end = first + kPart < in.count ? first + kPart : in.count;
  const bool aligned = is_aligned(in.elements);
  double total = 0;
#pragma unroll 4
  for (int64_t i = first + int64_t{threadIdx.x} * kSize; i < end; i += kBlock * kSize) {
    const Chunk<T> x = read_chunk(in.elements, i, end, aligned);
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      const auto value = static_cast<double>(x[k]);
      total += kSquares ? value * value : value;
    }
  }
  total = block_sum(total);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

/// Sums the parts, in one block.
__global__ void __launch_bounds__(kLastBlock)
    sum_sums(const double* sums, int64_t count, double* out) {
  double total = 0;
  for (int64_t i = threadIdx.x; i < count; i += kLastBlock) total += sums[i];
  total = block_sum(total);
  if (threadIdx.x == 0) *out = total;
}

/// Copies the sum to the host, and waits for it.
double fetch(const double* on_device) {
  static double* const pinned = [] {
    double* made = nullptr;
    check(cudaMallocHost(reinterpret_cast<void**>(&made), sizeof(double)),
          "allocating the place of a sum");
    return made;
  }();
  check(cudaMemcpyAsync(pinned, on_device, sizeof(double), cudaMemcpyDeviceToHost, stream()),
        "reading a sum");
  wait_and_check();
  return *pinned;
}

template <class T, bool kSquares>
double sum_all(std::string_view primitive, const std::vector<Tensor>& tensors) {
  int64_t parts = 0;
  for (const Tensor& tensor : tensors) parts += (tensor.numel() + kPart - 1) / kPart;
  Tensor sums =
      Tensor::empty({parts + 1}, DType::f64, Device::cuda, MemoryCategory::workspace);  // + total
  auto* first = sums.data<double>();
  int64_t done = 0;
  TensorListBuilder<Summand<T>> list(kPart, [&](const TensorList<Summand<T>>& full,
                                                unsigned blocks) {
    launch(primitive, sum_parts<T, kSquares>, dim3(blocks), dim3(kBlock), 0, full, first + done);
    done += blocks;
  });
  for (const Tensor& tensor : tensors) {
    list.add({tensor.data<T>(), tensor.numel()}, tensor.numel());
  }
  list.flush();
  launch(primitive, sum_sums, dim3(1), dim3(kLastBlock), 0, first, parts, first + parts);
  return fetch(first + parts);
}

template <bool kSquares>
double checked_sum(const checks::Op& op, const std::vector<Tensor>& tensors) {
  for (const Tensor& tensor : tensors) {
    checks::require_data_dtype(op, {"in", tensor});
    checks::require_packed(op, {"in", tensor}, tensors.front().dtype(), tensor.shape());
  }
  double total = 0;
  visit_data(tensors.front().dtype(),
             [&]<class T>(TypeTag<T>) { total = sum_all<T, kSquares>(op.name, tensors); });
  return total;
}

}  // namespace
}  // namespace cuda

double CudaBackend::sum_squares(const std::vector<Tensor>& in) {
  if (in.empty()) return 0;
  return cuda::checked_sum<true>({"sum_squares", Device::cuda}, in);
}

double CudaBackend::sum(const Tensor& in) {
  return cuda::checked_sum<false>({"sum", Device::cuda}, {in});
}

}  // namespace ssa
