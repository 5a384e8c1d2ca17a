// Patches of pictures, means over positions, and the error of a regression.

#include <cmath>

#include "backend/reference/elements.h"
#include "backend/reference/reference_backend.h"

namespace ssa {

using reference::get;
using reference::set;

void ReferenceBackend::absolute_error(const Tensor& prediction, const Tensor& target,
                                      Tensor& loss) {
  reference::map(prediction, target, loss, [](double x, double y) { return std::abs(x - y); });
}

void ReferenceBackend::absolute_error_backward(const Tensor& prediction, const Tensor& target,
                                               const Tensor& grad_loss, Tensor& grad_prediction) {
  visit_floating(prediction.dtype(), [&]<class T>(TypeTag<T>) {
    for (int64_t i = 0; i < prediction.numel(); ++i) {
      const double grad = get(grad_loss.data<T>()[i]);
      const double difference = get(prediction.data<T>()[i]) - get(target.data<T>()[i]);
      const double slope = difference > 0 ? grad : -grad;
      // Equal: 0. A NaN stays NaN.
      set(grad_prediction.data<T>()[i], difference > 0 || difference < 0 ? slope : difference);
    }
  });
}

namespace {

template <class In, class Out>
void cut_patches(const PatchArgs& args) {
  const int64_t height = args.in.dim(1), width = args.in.dim(2), channels = args.in.dim(3);
  const int64_t side = args.side, across = width / side;
  const double factor = args.in.dtype() == DType::u8 ? 1.0 / 255.0 : 1.0;
  const In* pixels = args.in.data<In>();
  Tensor out = args.out;
  Out* to = out.data<Out>();
  for (int64_t row = 0; row < out.dim(0); ++row) {
    const int64_t picture = row / (height / side * across), patch = row % (height / side * across);
    for (int64_t c = 0; c < channels; ++c) {
      const auto channel = static_cast<size_t>(c);
      for (int64_t y = 0; y < side; ++y) {
        for (int64_t x = 0; x < side; ++x) {
          const int64_t pixel_row = patch / across * side + y, column = patch % across * side + x;
          const In pixel = pixels[((picture * height + pixel_row) * width + column) * channels + c];
          set(*to++, (get(pixel) * factor - args.mean[channel]) / args.deviation[channel]);
        }
      }
    }
  }
}

}  // namespace

void ReferenceBackend::patches(const PatchArgs& args) {
  visit_floating(args.out.dtype(), [&]<class T>(TypeTag<T>) {
    if (args.in.dtype() == DType::u8) {
      cut_patches<uint8_t, T>(args);
    } else {
      cut_patches<reference::Wide<T>, T>(args);
    }
  });
}

void ReferenceBackend::mean_positions(const Tensor& in, Tensor& out) {
  const int64_t positions = in.dim(1), width = in.dim(2);
  visit_floating(in.dtype(), [&]<class T>(TypeTag<T>) {
    for (int64_t i = 0; i < out.numel(); ++i) {
      const T* x = in.data<T>() + i / width * positions * width + i % width;
      double total = 0;
      for (int64_t n = 0; n < positions; ++n) total += get(x[n * width]);
      set(out.data<T>()[i], total / static_cast<double>(positions));
    }
  });
}

void ReferenceBackend::mean_positions_backward(const Tensor& grad_out, Tensor& grad_in) {
  const int64_t positions = grad_in.dim(1), width = grad_in.dim(2);
  visit_floating(grad_in.dtype(), [&]<class T>(TypeTag<T>) {
    for (int64_t i = 0; i < grad_in.numel(); ++i) {
      const int64_t example = i / (positions * width);
      const T grad = grad_out.data<T>()[example * width + i % width];
      set(grad_in.data<T>()[i], get(grad) / static_cast<double>(positions));
    }
  });
}

}  // namespace ssa
