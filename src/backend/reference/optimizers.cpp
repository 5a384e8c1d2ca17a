#include <cmath>

#include "backend/reference/elements.h"
#include "backend/reference/reference_backend.h"

namespace ssa {

using reference::get;
using reference::set;

namespace {

// Kingma & Ba 2015, algorithm 1; decoupled decay as in Loshchilov & Hutter 2019.
void adam(const AdamArgs& args) {
  const double correction1 = 1.0 - std::pow(args.beta1, static_cast<double>(args.step));
  const double correction2 = 1.0 - std::pow(args.beta2, static_cast<double>(args.step));
  Tensor parameter = args.parameter, first = args.first_moment, second = args.second_moment;
  visit_floating(parameter.dtype(), [&]<class P>(TypeTag<P>) {
    visit_floating(args.gradient.dtype(), [&]<class G>(TypeTag<G>) {
      for (int64_t i = 0; i < parameter.numel(); ++i) {
        P& p = parameter.data<P>()[i];
        P& m = first.data<P>()[i];
        P& v = second.data<P>()[i];
        double value = get(p);
        double gradient = get(args.gradient.data<G>()[i]) * args.gradient_scale;
        if (args.decoupled) {
          value -= args.learning_rate * args.weight_decay * value;
        } else {
          gradient += args.weight_decay * value;
        }
        const double moment1 = args.beta1 * get(m) + (1 - args.beta1) * gradient;
        const double moment2 = args.beta2 * get(v) + (1 - args.beta2) * gradient * gradient;
        const double denominator = std::sqrt(moment2 / correction2) + args.eps;
        set(m, moment1);
        set(v, moment2);
        set(p, value - args.learning_rate * (moment1 / correction1) / denominator);
      }
    });
  });
}

// As PyTorch's SGD: buffer = momentum·buffer + gradient; Nesterov looks one step ahead.
void sgd(const SgdArgs& args) {
  Tensor parameter = args.parameter, momentum = args.momentum_buffer;
  const bool buffered = momentum.defined() || args.momentum != 0;
  visit_floating(parameter.dtype(), [&]<class P>(TypeTag<P>) {
    visit_floating(args.gradient.dtype(), [&]<class G>(TypeTag<G>) {
      for (int64_t i = 0; i < parameter.numel(); ++i) {
        P& p = parameter.data<P>()[i];
        P* const buffer = buffered ? momentum.data<P>() + i : nullptr;
        const double gradient =
            get(args.gradient.data<G>()[i]) * args.gradient_scale + args.weight_decay * get(p);
        const bool first = args.first_step || !buffered;
        const double moved = first ? gradient : args.momentum * get(*buffer) + gradient;
        const double direction = args.nesterov ? gradient + args.momentum * moved : moved;
        if (buffered) set(*buffer, moved);
        set(p, get(p) - args.learning_rate * direction);
      }
    });
  });
}

}  // namespace

void ReferenceBackend::adam_step(const std::vector<AdamArgs>& updates) {
  for (const AdamArgs& args : updates) adam(args);
}

void ReferenceBackend::sgd_step(const std::vector<SgdArgs>& updates) {
  for (const SgdArgs& args : updates) sgd(args);
}

}  // namespace ssa
