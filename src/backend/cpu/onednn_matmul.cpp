// The only file that knows oneDNN, versions 2.6 and 3.x. Every product is one matmul primitive.
// Bias, residual and accumulation are its post-ops, applied while the result is in cache.

#include "backend/cpu/onednn_matmul.h"

#include <map>
#include <mutex>
#include <new>
#include <tuple>

#include <fmt/format.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

#include "ssa/core/error.h"
#include "ssa/core/out_of_memory.h"

#include "backend/cpu/cpu_backend.h"

namespace ssa::cpu {

namespace {

using dnnl::memory;

const dnnl::engine& host_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& host_stream() {
  thread_local dnnl::stream stream(host_engine());
  return stream;
}

// oneDNN does not check its own allocations. It makes kernels for a new primitive, and a few small
// objects for every call.
constexpr size_t kRoomForPrimitive = size_t{32} << 20;
constexpr size_t kRoomForCall = size_t{32} << 10;

bool no_memory(const dnnl::error& error) { return error.status == dnnl_out_of_memory; }

/// Runs f. Turns an exception of oneDNN into an Error that names the product.
template <class F>
auto in_words(std::string_view what, int64_t rows, int64_t columns, int64_t inner, const F& f) {
  try {
    return f();
  } catch (const dnnl::error& error) {
    if (no_memory(error)) throw std::bad_alloc();
    throw Error(ExitCode::usage, fmt::format("oneDNN's {} of ({}, {}) and ({}, {}) failed: {} "
                                             "(status {})",
                                             what, rows, inner, inner, columns, error.what(),
                                             static_cast<int>(error.status)));
  }
}

memory::data_type data_type(DType dtype) {
  return dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc describe(int64_t rows, int64_t columns, DType dtype, int64_t row_stride,
                      bool transposed = false) {
  const memory::dims strides =
      transposed ? memory::dims{1, row_stride} : memory::dims{row_stride, 1};
  return {{rows, columns}, data_type(dtype), strides};
}

memory::desc describe(int64_t rows, int64_t columns, DType dtype) {
  return describe(rows, columns, dtype, columns);
}

dnnl::matmul::primitive_desc describe_product(const memory::desc& a, const memory::desc& b,
                                              const memory::desc* bias, const memory::desc& out,
                                              const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  if (bias) return {host_engine(), a, b, *bias, out, attributes};
  return {host_engine(), a, b, out, attributes};
#else
  if (bias) return {dnnl::matmul::desc(a, b, *bias, out), attributes, host_engine()};
  return {dnnl::matmul::desc(a, b, out), attributes, host_engine()};
#endif
}

/// A memory object without an address, which each call sets.
memory unbound(const memory::desc& description) {
  return {description, host_engine(), DNNL_MEMORY_NONE};
}

void bind(memory& view, const void* data) {
  // oneDNN takes its inputs as writable pointers, but does not write to them.
  view.set_data_handle(const_cast<void*>(data));
}

// ---- packed weights --------------------------------------------------------------------------

/// The layout that oneDNN prefers for b, if it accepts this layout for products of one row too;
/// otherwise plain rows.
memory::desc packed_layout(int64_t inner, int64_t columns, DType dtype) {
  constexpr int64_t kTypicalRows = 4096;
  const auto product_of = [&](int64_t rows, const memory::desc& b) {
    return describe_product(describe(rows, inner, dtype), b, nullptr,
                            describe(rows, columns, dtype), {});
  };
  const memory::desc any({inner, columns}, data_type(dtype), memory::format_tag::any);
  try {
    const memory::desc layout = product_of(kTypicalRows, any).weights_desc();
    product_of(1, layout);
    return layout;
  } catch (const dnnl::error& error) {
    if (no_memory(error)) throw;
    return describe(inner, columns, dtype);
  }
}

/// One layout per shape, so that equal shapes share primitives.
const memory::desc& shared_layout(int64_t inner, int64_t columns, DType dtype) {
  static std::mutex mutex;
  static std::map<std::tuple<int64_t, int64_t, DType>, memory::desc> layouts;
  const std::lock_guard lock(mutex);
  const std::tuple key(inner, columns, dtype);
  const auto found = layouts.find(key);
  if (found != layouts.end()) return found->second;
  require_room(kRoomForPrimitive);
  return layouts.emplace(key, packed_layout(inner, columns, dtype)).first->second;
}

/// Rounds and rearranges one f32 matrix into (a part of) packed weights.
void reorder(const void* from, const memory::desc& description, memory to) {
  require_room(kRoomForPrimitive);
  memory source(description, host_engine(), const_cast<void*>(from));
  dnnl::reorder(source, to).execute(host_stream(), source, to);
  host_stream().wait();
}

/// Position and size of a part of n rows in the (inner, columns) matrix.
struct Place {
  memory::dims extent, offset;
};

Place place_of(const Tensor& part, int64_t first_row, bool transpose) {
  if (transpose) return {{part.dim(1), part.dim(0)}, {0, first_row}};
  return {{part.dim(0), part.dim(1)}, {first_row, 0}};
}

memory::desc describe_part(const Tensor& part, bool transpose) {
  const int64_t stride = part.dim(0) > 1 ? part.stride(0) : part.dim(1);
  const Place place = place_of(part, 0, transpose);
  return describe(place.extent[0], place.extent[1], DType::f32, stride, transpose);
}

Tensor stack(const std::vector<Tensor>& parts, int64_t rows) {
  Tensor stacked = Tensor::empty({rows, parts.front().dim(1)}, DType::f32, Device::cpu,
                                 MemoryCategory::workspace);
  int64_t first = 0;
  for (const Tensor& part : parts) {
    Tensor place = stacked.slice(0, first, part.dim(0));
    cpu_backend().copy(part, place);
    first += part.dim(0);
  }
  return stacked;
}

}  // namespace

struct OnednnWeights::State {
  int64_t inner, columns;
  DType dtype;
  memory::desc layout;
  Tensor buffer;
  memory view;

  State(int64_t k, int64_t n, DType type)
      : inner(k),
        columns(n),
        dtype(type),
        layout(shared_layout(k, n, type)),
        buffer(Tensor::empty({static_cast<int64_t>(layout.get_size())}, DType::u8, Device::cpu,
                             MemoryCategory::parameters)),
        view(layout, host_engine(), buffer.raw()) {
    // oneDNN multiplies what lies between the ends of the matrix and of its blocks too.
    const bool padded = buffer.numel() > k * n * static_cast<int64_t>(size_of(type));
    if (padded) cpu_backend().fill(buffer, 0.0);
  }

  /// Returns false if a part ends inside a block of the layout.
  bool write_parts(const std::vector<Tensor>& parts, bool transpose) {
    std::vector<memory::desc> places;
    int64_t first = 0;
    for (const Tensor& part : parts) {
      const Place place = place_of(part, first, transpose);
      places.push_back(layout.submemory_desc(place.extent, place.offset, true));
      if (places.back() == memory::desc()) return false;
      first += part.dim(0);
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      reorder(parts[i].raw(), describe_part(parts[i], transpose),
              memory(places[i], host_engine(), buffer.raw()));
    }
    return true;
  }
};

OnednnWeights::OnednnWeights(int64_t inner, int64_t columns, DType dtype)
    : state_(in_words("weights", 0, columns, inner,
                      [&] { return std::make_unique<State>(inner, columns, dtype); })) {}

int64_t onednn_packed_bytes(int64_t inner, int64_t columns, DType dtype) {
  return in_words("weights", 0, columns, inner, [&] {
    return static_cast<int64_t>(shared_layout(inner, columns, dtype).get_size());
  });
}

OnednnWeights::~OnednnWeights() = default;

DType OnednnWeights::dtype() const { return state_->dtype; }

void OnednnWeights::write(const std::vector<Tensor>& parts, bool transpose) {
  in_words("packing", 0, state_->columns, state_->inner, [&] {
    if (parts.size() > 1 && state_->write_parts(parts, transpose)) return;
    const int64_t rows = transpose ? state_->columns : state_->inner;
    const Tensor whole = parts.size() == 1 ? parts.front() : stack(parts, rows);
    reorder(whole.raw(), describe_part(whole, transpose), state_->view);
  });
}

// ---- products --------------------------------------------------------------------------------

namespace {

/// Everything that a primitive depends on.
struct ProductKey {
  int64_t rows, columns, inner, a_stride, b_stride, residual_stride;  // b_stride 0: packed
  int64_t out_stride;
  DType dtype, out_dtype;
  bool a_transposed, b_transposed, bias, residual, accumulate;
  bool one_thread;  // a primitive divides its work among threads when it is created
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes `default` for a null pointer.
  auto operator<=>(const ProductKey&) const = default;

  explicit ProductKey(const OnednnProduct& product)
      : rows(product.rows),
        columns(product.columns),
        inner(product.inner),
        a_stride(product.a.row_stride),
        b_stride(product.packed_b ? 0 : product.b.row_stride),
        residual_stride(product.residual.row_stride),
        out_stride(product.out_stride ? product.out_stride : product.columns),
        dtype(product.a.dtype),
        out_dtype(product.out_dtype),
        a_transposed(product.a.transposed),
        b_transposed(product.b.transposed),
        bias(product.bias != nullptr),
        residual(product.residual.data != nullptr),
        accumulate(product.accumulate),
        one_thread(omp_in_parallel() != 0) {}
};

/// A primitive with memory objects for its arguments.
class Product {
 public:
  Product(const ProductKey& key, const OnednnWeights::State* packed)
      : bias_desc_(describe(1, key.columns, DType::f32)),
        residual_desc_(describe(key.rows, key.columns, key.out_dtype, key.residual_stride)),
        description_(describe_product(
            describe(key.rows, key.inner, key.dtype, key.a_stride, key.a_transposed),
            packed ? packed->layout
                   : describe(key.inner, key.columns, key.dtype, key.b_stride, key.b_transposed),
            key.bias ? &bias_desc_ : nullptr,
            describe(key.rows, key.columns, key.out_dtype, key.out_stride), attributes(key))),
        primitive_(description_),
        a_(unbound(description_.src_desc())),
        b_(unbound(description_.weights_desc())),
        bias_(unbound(bias_desc_)),
        residual_(unbound(residual_desc_)),
        out_(unbound(description_.dst_desc())),
        scratch_(unbound(description_.scratchpad_desc())),
        scratch_bytes_(static_cast<int64_t>(description_.scratchpad_desc().get_size())),
        residual_argument_(DNNL_ARG_ATTR_MULTIPLE_POST_OP(key.accumulate ? 1 : 0) |
                           DNNL_ARG_SRC_1) {}

  void run(const OnednnProduct& product) {
    const Tensor scratch =
        Tensor::empty({scratch_bytes_}, DType::u8, Device::cpu, MemoryCategory::workspace);
    require_room(kRoomForCall);
    dnnl_exec_arg_t arguments[6];
    int count = 0;
    const auto pass = [&](int index, memory& view, const void* data) {
      bind(view, data);
      arguments[count++] = {index, view.get()};
    };
    pass(DNNL_ARG_SRC, a_, product.a.data);
    if (product.packed_b) {
      arguments[count++] = {DNNL_ARG_WEIGHTS, product.packed_b->state().view.get()};
    } else {
      pass(DNNL_ARG_WEIGHTS, b_, product.b.data);
    }
    if (product.bias) pass(DNNL_ARG_BIAS, bias_, product.bias);
    if (product.residual.data) pass(residual_argument_, residual_, product.residual.data);
    pass(DNNL_ARG_DST, out_, product.out);
    if (scratch_bytes_ > 0) pass(DNNL_ARG_SCRATCHPAD, scratch_, scratch.raw());
    // Avoids primitive::execute(), which builds a map of its arguments.
    dnnl::error::wrap_c_api(
        dnnl_primitive_execute(primitive_.get(), host_stream().get(), count, arguments),
        "could not execute a product");
    host_stream().wait();
  }

 private:
  dnnl::primitive_attr attributes(const ProductKey& key) const {
    dnnl::post_ops after;
    if (key.accumulate) after.append_sum(1.0f);
    if (key.residual) after.append_binary(dnnl::algorithm::binary_add, residual_desc_);
    dnnl::primitive_attr result;
    result.set_post_ops(after);
    result.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return result;
  }

  memory::desc bias_desc_, residual_desc_;
  dnnl::matmul::primitive_desc description_;
  dnnl::matmul primitive_;
  memory a_, b_, bias_, residual_, out_, scratch_;
  int64_t scratch_bytes_;
  int residual_argument_;
};

/// Each thread keeps its primitives: a training step uses some tens of shapes again and again.
Product& cached_product(const OnednnProduct& product) {
  constexpr size_t kMost = 512;
  thread_local std::map<ProductKey, Product> products;
  const ProductKey key(product);
  if (const auto found = products.find(key); found != products.end()) return found->second;
  if (products.size() >= kMost) products.clear();
  require_room(kRoomForPrimitive);
  const auto* packed = product.packed_b ? &product.packed_b->state() : nullptr;
  return products.try_emplace(key, key, packed).first->second;
}

}  // namespace

void onednn_matmul(const OnednnProduct& product) {
  in_words("matmul", product.rows, product.columns, product.inner,
           [&] { cached_product(product).run(product); });
}

std::string onednn_description() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

Bf16Instructions onednn_bf16_instructions() {
  const auto has = [](dnnl::cpu_isa wanted) {  // an instruction set is a bit mask
    const auto bits = static_cast<unsigned>(wanted);
    return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bits) == bits;
  };
  if (has(dnnl::cpu_isa::avx512_core_amx)) return Bf16Instructions::amx;
  if (has(dnnl::cpu_isa::avx512_core_bf16)) return Bf16Instructions::avx512_bf16;
  return Bf16Instructions::none;
}

}  // namespace ssa::cpu
