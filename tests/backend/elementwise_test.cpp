#include "backend/cases.h"

namespace ssa {
namespace {

using namespace testing;

const std::vector<int64_t> kSizes = {1, 3, 4, 15, 16, 17, 63, 100, 1001, 16384 + 5, 40003};

TEST_CASE("add and scale equal the reference, in place too") {
  for_each_variant([] {
    for (const int64_t size : kSizes) {
      INFO("size " << size);
      const Tensor a = random_tensor({size}, 1), b = random_tensor({size}, 2);
      Guarded sum({size}), in_place(b);
      tested().add(a, b, sum.tensor);
      tested().add(a, in_place.tensor, in_place.tensor);
      Tensor exact = reference_zeros({size});
      reference_backend().add(for_reference(a), for_reference(b), exact);
      CHECK(worst_error(sum.tensor, exact, 0.0) < 6e-8);
      CHECK(same_bits(sum.tensor, in_place.tensor));

      Guarded scaled({size});
      tested().scale(a, -0.37, scaled.tensor);
      reference_backend().scale(for_reference(a), -0.37, exact);
      CHECK(worst_error(scaled.tensor, exact, 0.0) < 2e-7);
      CHECK((sum.intact() && in_place.intact() && scaled.intact()));
    }
  });
}

Tensor activation_inputs() {
  Tensor x = random_on_host({5001}, 3, 12.0);
  const std::vector<float> special = {0.0f,  -0.0f, 1e-30f, -1e-30f, 1e-4f, -1e-4f,
                                      -0.3f, -0.4f, 20.0f,  -20.0f,  80.0f, -80.0f,
                                      1e4f,  -1e4f, -87.3f, -87.4f,  3e38f, -3e38f};
  for (size_t i = 0; i < special.size(); ++i) x.data<float>()[i] = special[i];
  return on_device(x);
}

TEST_CASE("activations and their gradients equal the reference") {
  const Tensor x = activation_inputs(), grad = random_tensor(x.shape(), 4);
  for_each_variant([&] {
    for (const Activation kind : kActivations) {
      INFO("kind " << static_cast<int>(kind));
      Guarded y(x.shape()), dx(x.shape());
      Tensor none;
      tested().activation(kind, x, y.tensor);
      tested().activation_backward(kind, x, grad, dx.tensor, none);
      Tensor exact_y = reference_zeros(x.shape()), exact_dx = reference_zeros(x.shape());
      reference_backend().activation(kind, for_reference(x), exact_y);
      reference_backend().activation_backward(kind, for_reference(x), for_reference(grad), exact_dx,
                                              none);
      // GELU: below x = -5 only the absolute error is small. The tanh version multiplies the
      // rounding error of its exponent by the exponent's size.
      const double bound = kind == Activation::gelu_tanh ? 1e-6 : 5e-7;
      CHECK(worst_error(y.tensor, exact_y, is_gelu(kind) ? 1e-4 : 0.0) < bound);
      CHECK(worst_error(dx.tensor, exact_dx, 0.1) < 5e-7);
      CHECK((y.intact() && dx.intact()));
      Guarded in_place(grad);
      tested().activation_backward(kind, x, in_place.tensor, in_place.tensor, none);
      CHECK(same_bits(in_place.tensor, dx.tensor));
    }
  });
}

TEST_CASE("GELU keeps its relative accuracy in the tail") {
  Tensor x = Tensor::empty({400}, DType::f32, Device::cpu);
  Tensor exact = reference_zeros({400});
  for (int i = 0; i < 400; ++i) {
    const auto value = static_cast<float>(-0.02 * i);
    x.data<float>()[i] = value;
    exact.data<double>()[i] = 0.5 * value * std::erfc(-value / std::sqrt(2.0));
  }
  x = on_device(x);
  for_each_variant([&] {
    Guarded y({400});
    tested().activation(Activation::gelu, x, y.tensor);
    CHECK(worst_error(y.tensor, exact, 1e-30) < 4e-6);
  });
}

TEST_CASE("activations pass NaN on") {
  Tensor x = Tensor::from<float>({std::nanf(""), 1.0f}, {2}, device_under_test());
  for_each_variant([&] {
    Guarded y({2});
    for (const Activation kind : {Activation::gelu, Activation::gelu_tanh, Activation::elu}) {
      tested().activation(kind, x, y.tensor);
      CHECK(std::isnan(at(y.tensor, 0)));
      CHECK(std::isfinite(at(y.tensor, 1)));
    }
  });
}

TEST_CASE("dropout draws the mask of the reference") {
  const RngKey key{.seed = 0x123456789abcdef,
                   .purpose = RngPurpose::dropout,
                   .step = 7,
                   .rank = 3,
                   .layer = 5,
                   .stream = 0xabcdef};
  for_each_variant([&] {
    for (const int64_t size : kSizes) {
      for (const double probability : {0.1, 0.5, 0.999}) {
        INFO("size " << size << " probability " << probability);
        const Dropout dropout{probability, key};
        Tensor x = random_on_host({size}, 5);
        for (int64_t i = 0; i < size; ++i) x.data<float>()[i] += 2.0f;  // never 0
        x = on_device(x);
        Guarded y({size}), in_place(x);
        tested().dropout(dropout, x, Tensor(), y.tensor);
        tested().dropout(dropout, in_place.tensor, Tensor(), in_place.tensor);
        Tensor exact = reference_zeros({size});
        reference_backend().dropout(dropout, for_reference(x), Tensor(), exact);
        CHECK(worst_error(y.tensor, exact, 0.0) < 2e-7);  // a wrong mask gives 1 or infinity
        CHECK(same_bits(y.tensor, in_place.tensor));
        CHECK((y.intact() && in_place.intact()));
      }
    }
  });
}

TEST_CASE("sums equal the reference") {
  for_each_variant([] {
    for (const int64_t size : kSizes) {
      INFO("size " << size);
      const Tensor x = random_tensor({size}, 6);
      const Tensor wide = for_reference(x);
      CHECK(tested().sum(x) == Approx(reference_backend().sum(wide)).epsilon(1e-12));
      CHECK(tested().sum_squares({x}) ==
            Approx(reference_backend().sum_squares({wide})).epsilon(1e-12));
    }
  });
}

TEST_CASE("fill and copy") {
  SECTION("fill sets every element of any dtype and nothing else") {
    Guarded y({1003});
    tested().fill(y.tensor, 1.5);
    CHECK(same_bits(y.tensor, filled_with({1003}, DType::f32, 1.5)));
    CHECK(y.intact());
    Tensor ids = Tensor::empty({5}, DType::i32, device_under_test());
    tested().fill(ids, -1);
    CHECK(same_bits(ids, Tensor::from<int32_t>({-1, -1, -1, -1, -1}, {5}, Device::cpu)));
  }
  SECTION("copy follows any strides") {
    const Tensor wide = random_tensor({5, 7, 9, 4}, 7);
    const std::vector<Tensor> views = {wide, wide.slice(2, 3, 4), wide.transpose(0, 2),
                                       wide.transpose(1, 3).slice(0, 1, 1), wide.slice(0, 2, 1)};
    for (const Tensor& view : views) {
      Guarded y(view.shape());
      tested().copy(view, y.tensor);
      CHECK(worst_error(y.tensor, view, 0.0) == 0.0);
      CHECK(y.intact());
    }
  }
  SECTION("copy into a slice leaves the rest alone") {
    Tensor wide = Tensor::zeros({6, 10}, DType::f32, device_under_test());
    Tensor part = wide.slice(1, 2, 5);
    const Tensor values = random_tensor({6, 5}, 8);
    tested().copy(values, part);
    CHECK(worst_error(part, values, 0.0) == 0.0);
    CHECK(tested().sum_squares({wide}) == Approx(tested().sum_squares({values})));
  }
  SECTION("copy converts, rounding to nearest even") {
    const Tensor x = random_tensor({40, 1000}, 9);
    for (const DType dtype : {DType::bf16, DType::f16, DType::f64}) {
      Tensor y = Tensor::empty(x.shape(), dtype, device_under_test());
      Tensor exact = Tensor::empty(x.shape(), dtype, Device::reference);
      tested().copy(x, y);
      reference_backend().copy(host(x), exact);
      CHECK(same_bits(y, exact));
    }
  }
}

const std::vector<DType> kFloating = {DType::f64, DType::f32, DType::bf16, DType::f16};

TEST_CASE("copy converts between all floating dtypes, along any strides") {
  const Tensor wide = random_tensor({3, 6, 10, 24}, 10, 100.0);
  for (const DType from : kFloating) {
    const Tensor x = converted(wide, from);
    for (const Tensor& view : {x, x.slice(3, 8, 16), x.slice(3, 3, 17), x.transpose(1, 2),
                               x.transpose(0, 3), x.slice(2, 4, 1)}) {
      for (const DType to : kFloating) {
        INFO(name(from) << " to " << name(to) << ", " << to_string(view.shape()));
        Tensor exact = Tensor::empty(view.shape(), to, Device::cpu);
        reference_backend().copy(host(view), exact);
        for_each_variant([&] {
          Guarded y(view.shape(), to);
          tested().copy(view, y.tensor);
          CHECK(same_bits(y.tensor, exact));
          CHECK(y.intact());
        });
      }
    }
  }
}

TEST_CASE("copy moves ids and bytes along any strides") {
  std::vector<int32_t> ids;
  std::vector<uint8_t> bytes;
  for (int i = 0; i < 7 * 48; ++i) {
    ids.push_back(i * 1000 - 5);
    bytes.push_back(static_cast<uint8_t>(i * 7));
  }
  for (const Tensor& x : {Tensor::from(ids, {7, 48}, device_under_test()),
                          Tensor::from(bytes, {7, 48}, device_under_test())}) {
    for (const Tensor& view : {x, x.slice(1, 16, 32), x.slice(1, 5, 20), x.transpose(0, 1)}) {
      Tensor exact = Tensor::empty(view.shape(), x.dtype(), Device::cpu);
      reference_backend().copy(host(view), exact);
      for_each_variant([&] {
        Tensor y = Tensor::empty(view.shape(), x.dtype(), device_under_test());
        tested().copy(view, y);
        CHECK(same_bits(y, exact));
      });
    }
  }
}

TEST_CASE("fill rounds to the dtype it fills") {
  for (const DType dtype : kFloating) {
    for (const int64_t size : {1, 7, 64, 1003}) {
      INFO(name(dtype) << " size " << size);
      Guarded y({size}, dtype);
      tested().fill(y.tensor, 0.1);
      CHECK(same_bits(y.tensor, filled_with({size}, dtype, 0.1)));
      CHECK(y.intact());
    }
  }
  Tensor bytes = Tensor::empty({5}, DType::u8, device_under_test());
  tested().fill(bytes, 200);
  CHECK(same_bits(bytes, Tensor::from<uint8_t>({200, 200, 200, 200, 200}, {5}, Device::cpu)));
}

/// The results of add, activation_backward and dropout for x and y.
std::vector<Tensor> elementwise_results(const Tensor& x, const Tensor& y) {
  std::vector<Tensor> results;
  for (int i = 0; i < 5; ++i) results.push_back(Guarded(x.shape(), x.dtype()).tensor);
  tested().add(x, y, results[0]);
  tested().scale(x, 0.3, results[1]);
  tested().activation_backward(Activation::gelu, x, y, results[2], results[3]);
  tested().dropout({0.4, RngKey{.seed = 5}}, x, y, results[4]);
  return results;
}

TEST_CASE("elementwise primitives do not care where arrays begin") {
  for (const DType dtype : data_dtypes()) {
    for (const int64_t size : {1, 7, 64, 1003}) {
      INFO(name(dtype) << " size " << size);
      const Tensor x = converted(random_tensor({size + 8}, 1), dtype);
      const Tensor y = converted(random_tensor({size + 8}, 2), dtype);
      for (const int64_t start : {1, 3, 8}) {
        const Tensor x_part = x.slice(0, start, size), y_part = y.slice(0, 8 - start, size);
        for_each_variant([&] {
          const std::vector<Tensor> expected =
              elementwise_results(converted(x_part, dtype), converted(y_part, dtype));
          const std::vector<Tensor> results = elementwise_results(x_part, y_part);
          for (size_t i = 0; i < results.size(); ++i) {
            INFO("start " << start << " result " << i);
            CHECK(same_bits(results[i], expected[i]));
          }
        });
      }
    }
  }
}

TEST_CASE("elementwise primitives of nothing do nothing") {
  Tensor none = Tensor::empty({0, 4}, DType::f32, device_under_test()), undefined;
  CHECK_NOTHROW(tested().add(none, none, none));
  CHECK_NOTHROW(tested().scale(none, 2, none));
  CHECK_NOTHROW(tested().activation(Activation::relu, none, none));
  CHECK_NOTHROW(tested().activation_backward(Activation::elu, none, none, none, undefined));
  CHECK_NOTHROW(tested().dropout({0.5, RngKey{}}, none, undefined, none));
  CHECK_NOTHROW(tested().fill(none, 1));
  Tensor wide = Tensor::empty({0, 4}, DType::f64, device_under_test());
  CHECK_NOTHROW(tested().copy(none, none));
  CHECK_NOTHROW(tested().copy(none, wide));
}

}  // namespace
}  // namespace ssa
