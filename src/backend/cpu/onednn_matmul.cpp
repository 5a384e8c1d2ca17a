// The only file that knows oneDNN. Products without a bias go to its sgemm, which needs no
// preparation and is as fast as its matmul primitive; products with a bias go to the primitive,
// which adds it while the result is in cache. Versions 2.6 and 3.x.

#include "backend/cpu/onednn_matmul.h"

#include <map>
#include <tuple>

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.hpp>

#include "ssa/core/error.h"

namespace ssa::cpu {

namespace {

using dnnl::memory;

void multiply(int64_t rows, int64_t columns, int64_t inner, const MatrixView& a,
              const MatrixView& b, bool accumulate, float* out) {
  const dnnl_status_t status = dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', rows,
                                          columns, inner, 1.0f, a.data, a.row_stride, b.data,
                                          b.row_stride, accumulate ? 1.0f : 0.0f, out, columns);
  if (status != dnnl_success) {
    throw Error(ExitCode::usage,
                fmt::format("oneDNN's sgemm of ({}, {}) and ({}, {}) failed: status {}", rows,
                            inner, inner, columns, static_cast<int>(status)));
  }
}

/// Everything that a primitive depends on.
struct ProductKey {
  int64_t rows, columns, inner, a_stride, b_stride;
  bool a_transposed, b_transposed;
  auto operator<=>(const ProductKey&) const = default;
};

memory::desc describe(int64_t rows, int64_t columns, int64_t row_stride, bool transposed) {
  const memory::dims strides =
      transposed ? memory::dims{1, row_stride} : memory::dims{row_stride, 1};
  return {{rows, columns}, memory::data_type::f32, strides};
}

const dnnl::engine& host_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

struct Product {
  memory::desc a, b, bias, out;
  dnnl::matmul primitive;

  explicit Product(const ProductKey& key)
      : a(describe(key.rows, key.inner, key.a_stride, key.a_transposed)),
        b(describe(key.inner, key.columns, key.b_stride, key.b_transposed)),
        bias(describe(1, key.columns, key.columns, false)),
        out(describe(key.rows, key.columns, key.columns, false)),
        primitive(make_description()) {}

 private:
  dnnl::matmul::primitive_desc make_description() const {
#if DNNL_VERSION_MAJOR >= 3
    return {host_engine(), a, b, bias, out};
#else
    return {dnnl::matmul::desc(a, b, bias, out), host_engine()};
#endif
  }
};

/// Kept a thread: a training step uses some tens of shapes over and over.
Product& cached_product(const ProductKey& key) {
  constexpr size_t kMost = 256;
  thread_local std::map<ProductKey, Product> products;
  if (const auto found = products.find(key); found != products.end()) return found->second;
  if (products.size() >= kMost) products.clear();
  return products.try_emplace(key, key).first->second;
}

/// oneDNN takes writable pointers for its inputs too; it does not write to them.
memory wrap(const memory::desc& description, const float* data) {
  return {description, host_engine(), const_cast<float*>(data)};
}

void multiply_with_bias(const ProductKey& key, const float* a, const float* b, const float* bias,
                        float* out) {
  thread_local dnnl::stream stream(host_engine());
  Product& product = cached_product(key);
  product.primitive.execute(stream, {{DNNL_ARG_SRC, wrap(product.a, a)},
                                     {DNNL_ARG_WEIGHTS, wrap(product.b, b)},
                                     {DNNL_ARG_BIAS, wrap(product.bias, bias)},
                                     {DNNL_ARG_DST, wrap(product.out, out)}});
  stream.wait();
}

}  // namespace

void onednn_matmul(int64_t rows, int64_t columns, int64_t inner, const MatrixView& a,
                   const MatrixView& b, const float* bias, bool accumulate, float* out) {
  if (!bias) return multiply(rows, columns, inner, a, b, accumulate, out);
  if (accumulate) {  // rare: nothing in a training step needs it
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) out[r * columns + c] += bias[c];
    }
    return multiply(rows, columns, inner, a, b, true, out);
  }
  const ProductKey key{rows,         columns,      inner,       a.row_stride,
                       b.row_stride, a.transposed, b.transposed};
  try {
    multiply_with_bias(key, a.data, b.data, bias, out);
  } catch (const dnnl::error& error) {
    throw Error(ExitCode::usage,
                fmt::format("oneDNN's matmul of ({}, {}) and ({}, {}) failed: {} (status {})", rows,
                            inner, inner, columns, error.what(), static_cast<int>(error.status)));
  }
}

std::string onednn_description() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace ssa::cpu
