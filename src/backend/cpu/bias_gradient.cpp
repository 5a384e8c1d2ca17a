#include "backend/cpu/bias_gradient.h"

#include <algorithm>

namespace ssa::cpu {

namespace {

void add(const float* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace

BiasGradient::BiasGradient(const RelativeBias& bias, int64_t heads, bool wanted)
    : bias_(bias),
      shapes_(wanted ? bias.gradient_tiles() : 0),
      window_size_(!wanted       ? 0
                   : shapes_ > 0 ? bias.tile_size()
                                 : bias.band_size()),
      head_bands_({heads, wanted ? bias.band_size() : 0}),
      window_bands_({omp_get_max_threads(), shapes_ > 0 ? 0 : window_size_}),
      tiles_({omp_get_max_threads(), shapes_ * window_size_}) {}

void BiasGradient::add_at(float* sums, AttentionGradients& gradients) const {
  if (window_size_ > 0) (shapes_ > 0 ? gradients.relative_tile : gradients.relative_band) = sums;
}

void BiasGradient::begin_head(int64_t head) const {
  if (window_size_ == 0) return;
  std::fill_n(head_bands_.part(head), bias_.band_size(), 0.0f);
  if (shapes_ > 0) std::fill_n(thread_tile(0), shapes_ * window_size_, 0.0f);
}

float* BiasGradient::begin_window(int64_t window) const {
  if (window_size_ == 0) return nullptr;
  if (shapes_ > 0) return thread_tile(bias_.shape_of(window));
  std::fill_n(window_bands_.of_thread(), window_size_, 0.0f);
  return window_bands_.of_thread();
}

void BiasGradient::add_window(int64_t head, int64_t window, const float* sums) const {
  if (window_size_ == 0) return;
  float* to = shapes_ > 0 ? thread_tile(bias_.shape_of(window)) : head_bands_.part(head);
  if (sums != to) add(sums, window_size_, to);
}

void BiasGradient::end_head(int64_t head) const {
  for (int64_t shape = 0; shape < shapes_; ++shape) {
    bias_.add_tile(shape, thread_tile(shape), head_bands_.part(head));
  }
}

void BiasGradient::add_to(Tensor& grad_table, int64_t batch) const {
  if (window_size_ == 0) return;
  bias_.add_gradient(head_bands_.part(0), head_bands_.floats(), batch, grad_table);
}

}  // namespace ssa::cpu
