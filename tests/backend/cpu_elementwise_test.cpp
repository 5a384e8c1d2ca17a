#include "backend/cases.h"

namespace ssa {
namespace {

using namespace test;

const std::vector<int64_t> kSizes = {1, 3, 4, 15, 16, 17, 63, 100, 1001, 16384 + 5, 40003};

TEST_CASE("cpu add and scale equal the reference, in place too") {
  for_each_isa([] {
    for (const int64_t size : kSizes) {
      INFO("size " << size);
      const Tensor a = random_tensor({size}, 1), b = random_tensor({size}, 2);
      Guarded sum({size}), in_place(b);
      cpu_backend().add(a, b, sum.tensor);
      cpu_backend().add(a, in_place.tensor, in_place.tensor);
      Tensor exact = reference_zeros({size});
      reference_backend().add(for_reference(a), for_reference(b), exact);
      CHECK(worst_error(sum.tensor, exact, 0.0) < 6e-8);
      CHECK(same_bits(sum.tensor, in_place.tensor));

      Guarded scaled({size});
      cpu_backend().scale(a, -0.37, scaled.tensor);
      reference_backend().scale(for_reference(a), -0.37, exact);
      CHECK(worst_error(scaled.tensor, exact, 0.0) < 2e-7);
      CHECK((sum.intact() && in_place.intact() && scaled.intact()));
    }
  });
}

Tensor activation_inputs() {
  Tensor x = random_tensor({5001}, 3, 12.0);
  const std::vector<float> special = {0.0f,  -0.0f, 1e-30f, -1e-30f, 1e-4f, -1e-4f,
                                      -0.3f, -0.4f, 20.0f,  -20.0f,  80.0f, -80.0f,
                                      1e4f,  -1e4f, -87.3f, -87.4f,  3e38f, -3e38f};
  for (size_t i = 0; i < special.size(); ++i) x.data<float>()[i] = special[i];
  return x;
}

TEST_CASE("cpu activations and their gradients equal the reference") {
  const Tensor x = activation_inputs(), grad = random_tensor(x.shape(), 4);
  for_each_isa([&] {
    for (const Activation kind : {Activation::gelu, Activation::relu, Activation::elu}) {
      INFO("kind " << static_cast<int>(kind));
      Guarded y(x.shape()), dx(x.shape());
      Tensor none;
      cpu_backend().activation(kind, x, y.tensor);
      cpu_backend().activation_backward(kind, x, grad, dx.tensor, none);
      Tensor exact_y = reference_zeros(x.shape()), exact_dx = reference_zeros(x.shape());
      reference_backend().activation(kind, for_reference(x), exact_y);
      reference_backend().activation_backward(kind, for_reference(x), for_reference(grad), exact_dx,
                                              none);
      // GELU: beyond x = -5 only the absolute error can be small, and it is.
      CHECK(worst_error(y.tensor, exact_y, kind == Activation::gelu ? 1e-4 : 0.0) < 5e-7);
      CHECK(worst_error(dx.tensor, exact_dx, 0.1) < 5e-7);
      CHECK((y.intact() && dx.intact()));
      Guarded in_place(grad);
      cpu_backend().activation_backward(kind, x, in_place.tensor, in_place.tensor, none);
      CHECK(same_bits(in_place.tensor, dx.tensor));
    }
  });
}

TEST_CASE("cpu GELU keeps its relative accuracy in the tail") {
  Tensor x = Tensor::empty({400}, DType::f32, Device::cpu);
  Tensor exact = reference_zeros({400});
  for (int i = 0; i < 400; ++i) {
    const auto value = static_cast<float>(-0.02 * i);
    x.data<float>()[i] = value;
    exact.data<double>()[i] = 0.5 * value * std::erfc(-value / std::sqrt(2.0));
  }
  for_each_isa([&] {
    Guarded y({400});
    cpu_backend().activation(Activation::gelu, x, y.tensor);
    CHECK(worst_error(y.tensor, exact, 1e-30) < 4e-6);
  });
}

TEST_CASE("cpu activations pass NaN on") {
  Tensor x = Tensor::from<float>({std::nanf(""), 1.0f}, {2}, Device::cpu);
  for_each_isa([&] {
    Guarded y({2});
    for (const Activation kind : {Activation::gelu, Activation::elu}) {
      cpu_backend().activation(kind, x, y.tensor);
      CHECK(std::isnan(y.tensor.data<float>()[0]));
      CHECK(std::isfinite(y.tensor.data<float>()[1]));
    }
  });
}

TEST_CASE("cpu dropout draws the mask of the reference") {
  const RngKey key{.seed = 0x123456789abcdef,
                   .purpose = RngPurpose::dropout,
                   .step = 7,
                   .rank = 3,
                   .layer = 5,
                   .stream = 0xabcdef};
  for_each_isa([&] {
    for (const int64_t size : kSizes) {
      for (const double probability : {0.1, 0.5, 0.999}) {
        INFO("size " << size << " probability " << probability);
        const Dropout dropout{probability, key};
        Tensor x = random_tensor({size}, 5);
        for (int64_t i = 0; i < size; ++i) x.data<float>()[i] += 2.0f;  // never 0
        Guarded y({size}), in_place(x);
        cpu_backend().dropout(dropout, x, Tensor(), y.tensor);
        cpu_backend().dropout(dropout, in_place.tensor, Tensor(), in_place.tensor);
        Tensor exact = reference_zeros({size});
        reference_backend().dropout(dropout, for_reference(x), Tensor(), exact);
        CHECK(worst_error(y.tensor, exact, 0.0) < 2e-7);  // a wrong mask gives 1 or infinity
        CHECK(same_bits(y.tensor, in_place.tensor));
        CHECK((y.intact() && in_place.intact()));
      }
    }
  });
}

TEST_CASE("cpu sums equal the reference") {
  for_each_isa([] {
    for (const int64_t size : kSizes) {
      INFO("size " << size);
      const Tensor x = random_tensor({size}, 6);
      const Tensor wide = for_reference(x);
      CHECK(cpu_backend().sum(x) == Approx(reference_backend().sum(wide)).epsilon(1e-12));
      CHECK(cpu_backend().sum_squares(x) ==
            Approx(reference_backend().sum_squares(wide)).epsilon(1e-12));
    }
  });
}

TEST_CASE("cpu fill and copy") {
  SECTION("fill sets every element of any dtype and nothing else") {
    Guarded y({1003});
    cpu_backend().fill(y.tensor, 1.5);
    for (int64_t i = 0; i < 1003; ++i) REQUIRE(y.tensor.data<float>()[i] == 1.5f);
    CHECK(y.intact());
    Tensor ids = Tensor::empty({5}, DType::i32, Device::cpu);
    cpu_backend().fill(ids, -1);
    for (int64_t i = 0; i < 5; ++i) CHECK(ids.data<int32_t>()[i] == -1);
  }
  SECTION("copy follows any strides") {
    const Tensor wide = random_tensor({5, 7, 9, 4}, 7);
    const std::vector<Tensor> views = {wide, wide.slice(2, 3, 4), wide.transpose(0, 2),
                                       wide.transpose(1, 3).slice(0, 1, 1), wide.slice(0, 2, 1)};
    for (const Tensor& view : views) {
      Guarded y(view.shape());
      cpu_backend().copy(view, y.tensor);
      CHECK(worst_error(y.tensor, view, 0.0) == 0.0);
      CHECK(y.intact());
    }
  }
  SECTION("copy into a slice leaves the rest alone") {
    Tensor wide = Tensor::zeros({6, 10}, DType::f32, Device::cpu);
    Tensor part = wide.slice(1, 2, 5);
    const Tensor values = random_tensor({6, 5}, 8);
    cpu_backend().copy(values, part);
    CHECK(worst_error(part, values, 0.0) == 0.0);
    CHECK(cpu_backend().sum_squares(wide) == Approx(cpu_backend().sum_squares(values)));
  }
  SECTION("copy converts, rounding to nearest even") {
    const Tensor x = random_tensor({40, 1000}, 9);
    for (const DType dtype : {DType::bf16, DType::f16, DType::f64}) {
      Tensor y = Tensor::empty(x.shape(), dtype, Device::cpu);
      Tensor exact = Tensor::empty(x.shape(), dtype, Device::reference);
      cpu_backend().copy(x, y);
      reference_backend().copy(x, exact);
      CHECK(same_bits(y, exact));
    }
  }
}

}  // namespace
}  // namespace ssa
