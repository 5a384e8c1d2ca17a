// Patches of pictures, and means over positions.

#include <algorithm>
#include <vector>

#include "backend/checks.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/parallel.h"
#include "backend/picture_checks.h"

namespace ssa {

using cpu::parallel_parts;
using cpu::rows_per_part;
using cpu::visit_data;

namespace {

/// The 256 normalised values of a byte, for each channel. A byte is looked up, not computed.
template <class T>
std::vector<T> normalised_bytes(const PatchArgs& args) {
  std::vector<T> table;
  table.reserve(args.mean.size() * 256);
  for (size_t c = 0; c < args.mean.size(); ++c) {
    for (int byte = 0; byte < 256; ++byte) {
      const double value = (byte / 255.0 - args.mean[c]) / args.deviation[c];
      table.push_back(static_cast<T>(static_cast<float>(value)));
    }
  }
  return table;
}

/// Calls to = pixel(c, value) for every value of channel c, patch by patch.
template <class In, class Out, class F>
void cut_patches(const PatchArgs& args, const F& pixel) {
  const int64_t channels = args.in.dim(3), side = args.side, line = args.in.dim(2) * channels;
  const int64_t across = args.in.dim(2) / side, width = args.out.dim(1);
  const In* pixels = args.in.data<In>();
  Tensor out = args.out;
  Out* rows = out.data<Out>();
  parallel_parts(args.out.dim(0), rows_per_part(width), [&](int64_t row, int64_t count) {
    Out* to = rows + row * width;
    for (const int64_t end = row + count; row < end; ++row) {
      // Pictures follow each other in memory, and so do their rows of patches.
      const In* corner = pixels + row / across * side * line + row % across * side * channels;
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t y = 0; y < side; ++y) {
          const In* from = corner + y * line + c;
          for (int64_t x = 0; x < side; ++x) *to++ = pixel(c, from[x * channels]);
        }
      }
    }
  });
}

}  // namespace

void CpuBackend::patches(const PatchArgs& args) {
  checks::require_patches("patches", args);
  if (args.out.numel() == 0) return;
  visit_data(args.out.dtype(), [&]<class T>(TypeTag<T>, const auto&) {
    if (args.in.dtype() == DType::u8) {
      const std::vector<T> table = normalised_bytes<T>(args);
      cut_patches<uint8_t, T>(args, [values = table.data()](int64_t c, uint8_t byte) {
        return values[c * 256 + byte];
      });
    } else {
      const std::vector<double>&mean = args.mean, &deviation = args.deviation;
      cut_patches<float, T>(args, [&, m = mean.data(), d = deviation.data()](int64_t c, float x) {
        return static_cast<T>(static_cast<float>((static_cast<double>(x) - m[c]) / d[c]));
      });
    }
  });
}

void CpuBackend::mean_positions(const Tensor& in, Tensor& out) {
  constexpr int64_t kColumns = 256;
  checks::require_means("mean_positions", {"in", in}, {"out", out});
  const int64_t positions = in.dim(1), width = in.dim(2);
  const int64_t tiles = (width + kColumns - 1) / kColumns;
  visit_data(in.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
    const T* x = in.data<T>();
    T* y = out.data<T>();
    cpu::parallel_items(in.dim(0) * tiles, [&](int64_t item) {
      const int64_t example = item / tiles, first = item % tiles * kColumns;
      const int64_t columns = std::min(kColumns, width - first);
      float sums[kColumns] = {};
      kernels.add_rows(x + example * positions * width + first, width, positions, columns, sums);
      kernels.scale_from_f32(sums, 1.0f / static_cast<float>(positions),
                             y + example * width + first, columns);
    });
  });
}

void CpuBackend::mean_positions_backward(const Tensor& grad_out, Tensor& grad_in) {
  checks::require_means("mean_positions_backward", {"grad_in", grad_in}, {"grad_out", grad_out});
  const int64_t positions = grad_in.dim(1), width = grad_in.dim(2);
  const float factor = 1.0f / static_cast<float>(positions);
  visit_data(grad_in.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
    const T* dy = grad_out.data<T>();
    T* dx = grad_in.data<T>();
    parallel_parts(grad_in.dim(0) * positions, rows_per_part(width),
                   [&](int64_t row, int64_t count) {
                     for (const int64_t end = row + count; row < end; ++row) {
                       kernels.scale(dy + row / positions * width, factor, dx + row * width, width);
                     }
                   });
  });
}

}  // namespace ssa
