// The only file that knows cuBLASLt. cuBLASLt is column-major, and a row-major matrix is the
// transpose of a column-major one. So out = a·b is computed as outᵀ = bᵀ·aᵀ: the operands change
// places.

#include <algorithm>
#include <compare>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

#include <cublasLt.h>
#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/core/tensor.h"

#include "backend/cuda/launch.h"
#include "backend/cuda/matmul.h"

namespace ssa::cuda {

namespace {

constexpr size_t kMostWorkspace = size_t{32} << 20;  // what cuBLAS recommends for sm_90

bool environment_says(const char* name, std::string_view what) {
  const char* value = std::getenv(name);
  return value && value == what;
}

/// SSA_CUDA_EPILOGUES=0 replaces epilogues by separate calls, to measure what they save.
bool epilogues_are_off() {
  static const bool off = environment_says("SSA_CUDA_EPILOGUES", "0");
  return off;
}

/// SSA_CUDA_TF32=1 allows TensorFloat-32, which rounds f32 operands to 10 bits of mantissa.
bool tf32_is_asked_for() {
  static const bool asked = environment_says("SSA_CUDA_TF32", "1");
  return asked;
}

void require(cublasStatus_t status, const Product& product) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ExitCode::usage,
              fmt::format("cuBLASLt's product of {} ({}, {}) and ({}, {}) failed: {}",
                          name(product.dtype), product.rows, product.inner, product.inner,
                          product.columns, cublasLtGetStatusString(status)));
}

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    default:
      return CUDA_R_32F;
  }
}

cublasLtHandle_t handle() {
  static const cublasLtHandle_t instance = [] {
    cublasLtHandle_t made = nullptr;
    if (const cublasStatus_t status = cublasLtCreate(&made); status != CUBLAS_STATUS_SUCCESS) {
      throw Error(ExitCode::usage,
                  fmt::format("cuBLASLt cannot be used: {}", cublasLtGetStatusString(status)));
    }
    return made;
  }();
  return instance;
}

/// The largest power of two, up to 256, that divides the address and, if given, the step to the
/// next matrix.
uint32_t alignment_of(const void* address, uint64_t step_bytes = 0) {
  constexpr uintptr_t kMost = 256;
  const auto bits = reinterpret_cast<uintptr_t>(address) | step_bytes | kMost;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

uint64_t bytes_of(int64_t elements, DType dtype) {
  return static_cast<uint64_t>(elements) * size_of(dtype);
}

/// Everything that the choice of algorithm depends on.
struct ProductKey {
  int64_t rows, columns, inner, a_stride, b_stride, added_stride, out_stride;
  uint32_t a_alignment, b_alignment, added_alignment, out_alignment;
  DType dtype, out_dtype;
  uint32_t bias_alignment, beside_alignment;  // 0: none
  bool a_transposed, b_transposed, added;
  Epilogue epilogue;
  Batch batch;
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes `default` for a null pointer.
  auto operator<=>(const ProductKey&) const = default;

  explicit ProductKey(const Product& product)
      : rows(product.rows),
        columns(product.columns),
        inner(product.inner),
        a_stride(product.a.row_stride),
        b_stride(product.b.row_stride),
        added_stride(product.added.row_stride),
        out_stride(product.out_row_stride()),
        a_alignment(alignment_of(product.a.data, bytes_of(product.batch.a_step, product.dtype))),
        b_alignment(alignment_of(product.b.data, bytes_of(product.batch.b_step, product.dtype))),
        added_alignment(
            alignment_of(product.added.data, bytes_of(product.batch.out_step, product.out_dtype))),
        out_alignment(
            alignment_of(product.out, bytes_of(product.batch.out_step, product.out_dtype))),
        dtype(product.dtype),
        out_dtype(product.out_dtype),
        bias_alignment(product.bias ? alignment_of(product.bias) : 0),
        beside_alignment(product.beside ? alignment_of(product.beside) : 0),
        a_transposed(product.a.transposed),
        b_transposed(product.b.transposed),
        added(product.added.data != nullptr),
        epilogue(product.epilogue),
        batch(product.batch) {}
};

/// A row-major matrix, described as its column-major transpose. The matrices of a batch are
/// `batch_step` elements apart.
class Layout {
 public:
  Layout(const Product& product, DType dtype, int64_t rows, int64_t columns, int64_t row_stride,
         int64_t batch_step) {
    require(cublasLtMatrixLayoutCreate(&layout_, data_type(dtype), static_cast<uint64_t>(columns),
                                       static_cast<uint64_t>(rows), row_stride),
            product);
    if (product.batch.count == 1) return;
    set(product, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(product.batch.count));
    set(product, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, batch_step);
  }
  /// op(matrix) is (rows, columns).
  Layout(const Product& product, const MatrixView& matrix, int64_t rows, int64_t columns,
         int64_t batch_step)
      : Layout(product, product.dtype, matrix.transposed ? columns : rows,
               matrix.transposed ? rows : columns, matrix.row_stride, batch_step) {}
  ~Layout() { cublasLtMatrixLayoutDestroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  cublasLtMatrixLayout_t get() const { return layout_; }

 private:
  template <class T>
  void set(const Product& product, cublasLtMatrixLayoutAttribute_t attribute, T value) {
    require(cublasLtMatrixLayoutSetAttribute(layout_, attribute, &value, sizeof value), product);
  }
  cublasLtMatrixLayout_t layout_ = nullptr;
};

/// The product to compute, on the transposes.
class Description {
 public:
  explicit Description(const Product& product) {
    const bool tf32 = product.dtype == DType::f32 && tf32_is_asked_for();
    const auto compute = tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    require(cublasLtMatmulDescCreate(&description_, compute, CUDA_R_32F), product);
    const auto operation = [](const MatrixView& matrix) {
      return matrix.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    };
    set(product, CUBLASLT_MATMUL_DESC_TRANSA, operation(product.b));
    set(product, CUBLASLT_MATMUL_DESC_TRANSB, operation(product.a));
    set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(product));
    if (product.bias || product.epilogue == Epilogue::sums) {
      const DType dtype = product.bias ? product.out_dtype : DType::f32;
      set(product, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(dtype));
    }
    if (keeps_rows(product)) {
      set(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, product.columns);
    }
    set_places(product);
  }
  ~Description() { cublasLtMatmulDescDestroy(description_); }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  cublasLtMatmulDesc_t get() const { return description_; }

  /// Sets the pointers, which change from call to call.
  void set_places(const Product& product) {
    const bool sums = product.epilogue == Epilogue::sums;
    if (const void* bias = sums ? product.beside : product.bias) {
      set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    if (keeps_rows(product)) {
      set(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, product.beside);
    }
  }

 private:
  static bool keeps_rows(const Product& product) {
    return product.epilogue == Epilogue::gelu || product.epilogue == Epilogue::gelu_gradient;
  }
  /// cuBLASLt's name of the epilogue. "B" of the transposed product is a.
  static cublasLtEpilogue_t epilogue_of(const Product& product) {
    switch (product.epilogue) {
      case Epilogue::none:
        return product.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
      case Epilogue::sums:
        return CUBLASLT_EPILOGUE_BGRADB;
      case Epilogue::gelu:
        return product.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
      case Epilogue::gelu_gradient:
        return CUBLASLT_EPILOGUE_DGELU;
    }
    return CUBLASLT_EPILOGUE_DEFAULT;
  }

  template <class T>
  void set(const Product& product, cublasLtMatmulDescAttributes_t attribute, T value) {
    require(cublasLtMatmulDescSetAttribute(description_, attribute, &value, sizeof value), product);
  }
  cublasLtMatmulDesc_t description_ = nullptr;
};

/// Limits the choice of algorithms: to the workspace, the operands' alignment, and reductions in a
/// fixed order.
class Preference {
 public:
  Preference(const Product& product, const ProductKey& key) {
    require(cublasLtMatmulPreferenceCreate(&preference_), product);
    set(product, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
    set(product, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    set(product, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.b_alignment);
    set(product, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.a_alignment);
    set(product, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        key.added ? key.added_alignment : key.out_alignment);
    set(product, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.out_alignment);
  }
  ~Preference() { cublasLtMatmulPreferenceDestroy(preference_); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  template <class T>
  void set(const Product& product, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    require(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof value),
            product);
  }
  cublasLtMatmulPreference_t preference_ = nullptr;
};

/// The descriptions of one kind of product, and its algorithm if there is one.
class Plan {
 public:
  Plan(const Product& product, const ProductKey& key)
      : description_(product),
        a_(product, product.a, product.rows, product.inner, product.batch.a_step),
        b_(product, product.b, product.inner, product.columns, product.batch.b_step),
        added_(product, product.out_dtype, product.rows, product.columns,
               key.added ? product.added.row_stride : key.out_stride, product.batch.out_step),
        out_(product, product.out_dtype, product.rows, product.columns, key.out_stride,
             product.batch.out_step) {
    const Preference preference(product, key);
    cublasLtMatmulHeuristicResult_t found = {};
    int count = 0;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle(), description_.get(), b_.get(),
                                                           a_.get(), added_.get(), out_.get(),
                                                           preference.get(), 1, &found, &count);
    if (status == CUBLAS_STATUS_SUCCESS) {
      status = count > 0 ? found.state : CUBLAS_STATUS_NOT_SUPPORTED;
    }
    possible_ = take(product, status);
    algorithm_ = found.algo;
    workspace_bytes_ = static_cast<int64_t>(found.workspaceSize);
  }

  /// Returns false if cuBLASLt does not support the epilogue. Some cases only fail here.
  bool run(const Product& product) {
    if (!possible_) return false;
    description_.set_places(product);
    Tensor workspace =
        Tensor::empty({workspace_bytes_}, DType::u8, Device::cuda, MemoryCategory::workspace);
    const float alpha = 1.0f, beta = product.added.data ? 1.0f : 0.0f;
    const cublasStatus_t status = cublasLtMatmul(
        handle(), description_.get(), &alpha, product.b.data, b_.get(), product.a.data, a_.get(),
        &beta, product.added.data ? product.added.data : product.out, added_.get(), product.out,
        out_.get(), &algorithm_, workspace.raw(), static_cast<size_t>(workspace_bytes_), stream());
    return possible_ = take(product, status);
  }

 private:
  /// Whether the call succeeded. On failure, throws unless the product can be computed without the
  /// epilogue.
  static bool take(const Product& product, cublasStatus_t status) {
    if (product.epilogue == Epilogue::none) require(status, product);
    return status == CUBLAS_STATUS_SUCCESS;
  }

  Description description_;
  Layout a_, b_, added_, out_;
  bool possible_ = false;
  cublasLtMatmulAlgo_t algorithm_ = {};
  int64_t workspace_bytes_ = 0;
};

}  // namespace

bool multiply(const Product& product) {
  constexpr size_t kMost = 1024;  // a training step uses some tens
  static std::mutex mutex;
  static std::map<ProductKey, Plan> plans;
  const std::lock_guard lock(mutex);
  if (product.epilogue != Epilogue::none && epilogues_are_off()) return false;
  // Rows of the auxiliary output must be multiples of 16 bytes.
  if (product.epilogue > Epilogue::sums && product.columns % 8 != 0) return false;
  const ProductKey key(product);
  auto found = plans.find(key);
  if (found == plans.end()) {
    if (plans.size() >= kMost) plans.clear();
    found = plans.try_emplace(key, product, key).first;
  }
  return found->second.run(product);
}

std::string multiplier() {
  const size_t version = cublasLtGetVersion();
  return fmt::format("cuBLASLt {}.{}.{}; f32 products in {}", version / 10000, version / 100 % 100,
                     version % 100, tf32_is_asked_for() ? "TF32, as SSA_CUDA_TF32 asks" : "f32");
}

}  // namespace ssa::cuda
