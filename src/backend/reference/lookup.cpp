// Rows in and out of a vocabulary: embedding and softmax cross-entropy.

#include <algorithm>
#include <cmath>

#include "backend/reference/elements.h"
#include "backend/reference/reference_backend.h"

namespace ssa {

using reference::get;
using reference::set;
using reference::Wide;

void ReferenceBackend::embedding(const Tensor& table, const Tensor& ids, double factor,
                                 Tensor& out) {
  const int64_t rows = out.dim(0), columns = out.dim(1);
  visit_floating(out.dtype(), [&]<class T>(TypeTag<T>) {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t id = ids.data<int32_t>()[r];
      SSA_CHECK(id >= 0 && id < table.dim(0), "embedding: id {} at {} is outside 0 … {}", id, r,
                table.dim(0) - 1);
      for (int64_t n = 0; n < columns; ++n) {
        set(out.data<T>()[r * columns + n], factor * get(table.data<Wide<T>>()[id * columns + n]));
      }
    }
  });
}

void ReferenceBackend::embedding_backward(const Tensor& ids, double factor, const Tensor& grad_out,
                                          Tensor& grad_table) {
  const int64_t rows = grad_out.dim(0), columns = grad_out.dim(1);
  visit_floating(grad_out.dtype(), [&]<class T>(TypeTag<T>) {
    for (int64_t r = 0; r < rows; ++r) {
      Wide<T>* to = grad_table.data<Wide<T>>() + int64_t{ids.data<int32_t>()[r]} * columns;
      const T* from = grad_out.data<T>() + r * columns;
      for (int64_t n = 0; n < columns; ++n) set(to[n], get(to[n]) + factor * get(from[n]));
    }
  });
}

void ReferenceBackend::cross_entropy(const Tensor& logits, const Tensor& targets, Tensor& loss,
                                     Tensor& lse) {
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  visit_floating(logits.dtype(), [&]<class T>(TypeTag<T>) {
    {
      using S = Wide<T>;
      for (int64_t r = 0; r < rows; ++r) {
        const T* x = logits.data<T>() + r * columns;
        double highest = get(x[0]), total = 0;
        for (int64_t n = 0; n < columns; ++n) highest = std::max(highest, get(x[n]));
        for (int64_t n = 0; n < columns; ++n) total += std::exp(get(x[n]) - highest);
        const double log_total = highest + std::log(total);
        const int32_t target = targets.data<int32_t>()[r];
        SSA_CHECK(target >= -1 && target < columns, "cross_entropy: target {} at {} is outside {}",
                  target, r, columns);
        set(lse.data<S>()[r], log_total);
        set(loss.data<S>()[r], target < 0 ? 0.0 : log_total - get(x[target]));
      }
    }
  });
}

void ReferenceBackend::cross_entropy_backward(const Tensor& logits, const Tensor& targets,
                                              const Tensor& lse, const Tensor& grad_loss,
                                              Tensor& grad_logits) {
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  visit_floating(logits.dtype(), [&]<class T>(TypeTag<T>) {
    {
      using S = Wide<T>;
      for (int64_t r = 0; r < rows; ++r) {
        const int32_t target = targets.data<int32_t>()[r];
        const double grad = target < 0 ? 0.0 : get(grad_loss.data<S>()[r]);
        for (int64_t n = 0; n < columns; ++n) {
          const double probability =
              std::exp(get(logits.data<T>()[r * columns + n]) - get(lse.data<S>()[r]));
          set(grad_logits.data<T>()[r * columns + n],
              grad * (probability - (n == target ? 1.0 : 0.0)));
        }
      }
    }
  });
}

namespace {

/// The probability that row r's targets give class v (p of SoftTargets).
template <class T>
double wanted_probability(const SoftTargets& targets, int64_t r, int64_t v, int64_t classes) {
  const int64_t labels = targets.labels.dim(1);
  double labelled = 0;
  for (int64_t k = 0; k < labels; ++k) {
    const int32_t label = targets.labels.data<int32_t>()[r * labels + k];
    SSA_CHECK(label >= 0 && label < classes,
              "soft_cross_entropy: label {} of row {} is outside 0 … {}", label, r, classes - 1);
    if (label == v) labelled += get(targets.weights.data<Wide<T>>()[r * labels + k]);
  }
  return targets.smoothing / static_cast<double>(classes) + (1.0 - targets.smoothing) * labelled;
}

}  // namespace

void ReferenceBackend::soft_cross_entropy(const Tensor& logits, const SoftTargets& targets,
                                          Tensor& loss, Tensor& lse) {
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  visit_floating(logits.dtype(), [&]<class T>(TypeTag<T>) {
    for (int64_t r = 0; r < rows; ++r) {
      const T* x = logits.data<T>() + r * columns;
      double highest = get(x[0]), total = 0, wanted = 0;
      for (int64_t v = 0; v < columns; ++v) highest = std::max(highest, get(x[v]));
      for (int64_t v = 0; v < columns; ++v) {
        total += std::exp(get(x[v]) - highest);
        wanted += wanted_probability<T>(targets, r, v, columns) * get(x[v]);
      }
      set(lse.data<Wide<T>>()[r], highest + std::log(total));
      set(loss.data<Wide<T>>()[r], highest + std::log(total) - wanted);
    }
  });
}

void ReferenceBackend::soft_cross_entropy_backward(const Tensor& logits, const SoftTargets& targets,
                                                   const Tensor& lse, const Tensor& grad_loss,
                                                   Tensor& grad_logits) {
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  visit_floating(logits.dtype(), [&]<class T>(TypeTag<T>) {
    for (int64_t r = 0; r < rows; ++r) {
      const double grad = get(grad_loss.data<Wide<T>>()[r]);
      for (int64_t v = 0; v < columns; ++v) {
        const double probability =
            std::exp(get(logits.data<T>()[r * columns + v]) - get(lse.data<Wide<T>>()[r]));
        set(grad_logits.data<T>()[r * columns + v],
            grad * (probability - wanted_probability<T>(targets, r, v, columns)));
      }
    }
  });
}

}  // namespace ssa
