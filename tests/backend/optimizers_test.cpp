#include <functional>

#include "backend/cases.h"

namespace ssa {
namespace {

using namespace testing;

TEST_CASE("Adam equals the reference over several steps") {
  for_each_variant([] {
    for (const int64_t size : {1, 17, 1000, 16384 + 3}) {
      for (const bool decoupled : {false, true}) {
        INFO("size " << size << " decoupled " << decoupled);
        Guarded p(random_tensor({size}, 1)),
            m(Tensor::zeros({size}, DType::f32, device_under_test())),
            v(Tensor::zeros({size}, DType::f32, device_under_test()));
        AdamArgs args{.parameter = p.tensor,
                      .gradient = {},
                      .first_moment = m.tensor,
                      .second_moment = v.tensor,
                      .learning_rate = 0.01,
                      .weight_decay = 0.05,
                      .decoupled = decoupled,
                      .gradient_scale = 0.3};
        AdamArgs exact = args;
        exact.parameter = for_reference(p.tensor);
        exact.first_moment = for_reference(m.tensor);
        exact.second_moment = for_reference(v.tensor);
        for (int step = 1; step <= 4; ++step) {
          args.step = exact.step = step;
          args.gradient = random_tensor({size}, static_cast<uint32_t>(10 + step));
          exact.gradient = for_reference(args.gradient);
          tested().adam_step({args});
          reference_backend().adam_step({exact});
        }
        CHECK(worst_error(p.tensor, exact.parameter, 0.1) < 1e-6);
        CHECK(worst_error(m.tensor, exact.first_moment, 0.01) < 1e-6);
        CHECK(worst_error(v.tensor, exact.second_moment, 1e-4) < 1e-6);
        CHECK((p.intact() && m.intact() && v.intact()));
      }
    }
  });
}

TEST_CASE("SGD equals the reference over several steps") {
  for_each_variant([] {
    for (const int64_t size : {1, 17, 1000, 16384 + 3}) {
      for (const bool nesterov : {false, true}) {
        INFO("size " << size << " nesterov " << nesterov);
        Guarded p(random_tensor({size}, 1)), buffer({size});  // NaN at first: must not be read
        SgdArgs args{.parameter = p.tensor,
                     .gradient = {},
                     .momentum_buffer = buffer.tensor,
                     .learning_rate = 0.05,
                     .momentum = 0.9,
                     .nesterov = nesterov,
                     .weight_decay = 0.02,
                     .gradient_scale = 0.5};
        SgdArgs exact = args;
        exact.parameter = for_reference(p.tensor);
        exact.momentum_buffer = for_reference(buffer.tensor);
        for (int step = 1; step <= 3; ++step) {
          args.first_step = exact.first_step = step == 1;
          args.gradient = random_tensor({size}, static_cast<uint32_t>(20 + step));
          exact.gradient = for_reference(args.gradient);
          tested().sgd_step({args});
          reference_backend().sgd_step({exact});
        }
        CHECK(worst_error(p.tensor, exact.parameter, 0.1) < 1e-6);
        CHECK(worst_error(buffer.tensor, exact.momentum_buffer, 0.1) < 1e-6);
        CHECK((p.intact() && buffer.intact()));
      }
    }
  });
}

/// Calls step(begin, length) for all of 0 … size-1, or for parts whose ends are aligned to no
/// vector width.
void in_parts(bool cut, int64_t size, const std::function<void(int64_t, int64_t)>& step) {
  if (!cut) return step(0, size);
  int64_t begin = 0;
  for (const int64_t length : {1, 2, 3, 5, 7, 13, 16, 31, 64, 129, 16384 + 5}) {
    step(begin, length);
    begin += length;
  }
  step(begin, size - begin);
}

TEST_CASE("an update's bits do not depend on how the parameter is cut") {
  constexpr int64_t kSize = 17000;
  for_each_variant([] {
    const auto updated = [](bool cut, bool adam) {
      const Tensor p = random_tensor({kSize}, 1), gradient = random_tensor({kSize}, 2);
      const Tensor first = random_tensor({kSize}, 3);
      const Tensor second = Tensor::zeros({kSize}, DType::f32, device_under_test());
      in_parts(cut, kSize, [&](int64_t begin, int64_t length) {
        const auto part = [&](const Tensor& whole) { return whole.slice(0, begin, length); };
        if (!adam) {
          return tested().sgd_step({{.parameter = part(p),
                                     .gradient = part(gradient),
                                     .momentum_buffer = part(first),
                                     .learning_rate = 0.05,
                                     .momentum = 0.9,
                                     .weight_decay = 0.02,
                                     .gradient_scale = 0.7}});
        }
        for (int step = 1; step <= 2; ++step) {
          tested().adam_step({{.parameter = part(p),
                               .gradient = part(gradient),
                               .first_moment = part(first),
                               .second_moment = part(second),
                               .learning_rate = 0.01,
                               .weight_decay = 0.05,
                               .decoupled = step == 1,
                               .gradient_scale = 0.3,
                               .step = step}});
        }
      });
      return std::vector<Tensor>{p, first, second};
    };
    for (const bool adam : {true, false}) {
      const std::vector<Tensor> whole = updated(false, adam), cut = updated(true, adam);
      for (size_t i = 0; i < whole.size(); ++i) {
        CAPTURE(adam, i);
        CHECK(same_bits(whole[i], cut[i]));
      }
    }
  });
}

TEST_CASE("SGD without momentum follows the weights as a moving average") {
  for_each_variant([] {
    for (const double decay : {0.5, 0.9999}) {
      for (const int64_t size : {1, 17, 1000, 16384 + 3}) {
        CAPTURE(decay, size);
        Guarded average(random_tensor({size}, 1));
        const Tensor weight = random_tensor({size}, 2), exact = for_reference(average.tensor);
        const SgdArgs step{.parameter = average.tensor,
                           .gradient = weight,
                           .learning_rate = 1 - decay,
                           .nesterov = false,
                           .weight_decay = 1,
                           .gradient_scale = -1};
        SgdArgs exact_step = step;
        exact_step.parameter = exact;
        exact_step.gradient = for_reference(weight);
        const Tensor before = for_reference(average.tensor);
        tested().sgd_step({step});
        reference_backend().sgd_step({exact_step});
        CHECK(worst_error(average.tensor, exact, 0.1) < 1e-6);
        CHECK(average.intact());
        for (int64_t i = 0; i < size; i += 997) {
          CHECK(at(exact, i) == Approx(decay * at(before, i) + (1 - decay) * at(weight, i)));
        }
      }
    }
  });
}

TEST_CASE("SGD without momentum needs no buffer") {
  Guarded p(random_tensor({21}, 1));
  const Tensor before = for_reference(p.tensor), gradient = random_tensor({21}, 2);
  tested().sgd_step(
      {{.parameter = p.tensor, .gradient = gradient, .learning_rate = 0.1, .nesterov = false}});
  for (int64_t i = 0; i < 21; ++i) {
    CHECK(at(p.tensor, i) == Approx(at(before, i) - 0.1 * at(gradient, i)));
  }
}

}  // namespace
}  // namespace ssa
