// Patches of pictures, means over positions, and absolute errors.

#include "backend/low_precision_cases.h"

namespace ssa {
namespace {

using namespace testing;

struct Pictures {
  int64_t count, height, width, channels, side;
  Shape shape() const { return {count, height, width, channels}; }
  Shape rows() const { return {count * (height / side) * (width / side), channels * side * side}; }
};

const std::vector<Pictures> kPictures = {
    {1, 1, 1, 1, 1}, {2, 4, 4, 3, 4}, {3, 6, 9, 3, 3}, {1, 20, 8, 5, 2}, {2, 32, 32, 3, 4}};

Tensor random_bytes(const Shape& shape) {
  std::mt19937 engine(5);
  std::vector<uint8_t> bytes(static_cast<size_t>(shape.numel()));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(engine() & 255u);
  return Tensor::from(bytes, shape, device_under_test());
}

PatchArgs arguments(const Pictures& pictures, const Tensor& in, const Tensor& out) {
  PatchArgs args{.in = in, .side = pictures.side, .mean = {}, .deviation = {}, .out = out};
  for (int64_t c = 0; c < pictures.channels; ++c) {
    args.mean.push_back(0.485 - 0.03 * static_cast<double>(c));
    args.deviation.push_back(0.229 + 0.01 * static_cast<double>(c));
  }
  return args;
}

TEST_CASE("patches of bytes and of floats equal the reference") {
  for (const DType dtype : data_dtypes()) {
    for (const Pictures& pictures : kPictures) {
      CAPTURE(pictures.height, pictures.width, pictures.channels, pictures.side);
      const Tensor bytes = random_bytes(pictures.shape());
      const Tensor floats = random_tensor(pictures.shape(), 1);
      check_low_precision(1.0, dtype, [&](Run& run) {
        run.backend.patches(arguments(pictures, run.in(bytes), run.data(pictures.rows())));
        run.backend.patches(arguments(pictures, run.in(floats), run.data(pictures.rows())));
      });
    }
  }
}

TEST_CASE("a patch's elements are in the order of a convolution's weight") {
  // Two pictures of 2×4 pixels and 2 channels, patches of 2×2: value 100·picture + 8·row +
  // 2·column + channel.
  std::vector<float> pixels;
  for (const int picture : {0, 1}) {
    for (int i = 0; i < 16; ++i) pixels.push_back(static_cast<float>(100 * picture + i));
  }
  PatchArgs args{.in = Tensor::from(pixels, {2, 2, 4, 2}, device_under_test()),
                 .side = 2,
                 .mean = {0, 1},
                 .deviation = {1, 0.5},
                 .out = Tensor::empty({4, 8}, DType::f32, device_under_test())};
  // Channel 1 is (value - 1)·2.
  const std::vector<double> expected = {0,   2,   8,   10,  0,   4,   16,  20,   // picture 0, left
                                        4,   6,   12,  14,  8,   12,  24,  28,   // right
                                        100, 102, 108, 110, 200, 204, 216, 220,  // picture 1
                                        104, 106, 112, 114, 208, 212, 224, 228};
  for_each_variant([&] {
    tested().patches(args);
    for (int64_t i = 0; i < 32; ++i) CHECK(at(args.out, i) == expected[static_cast<size_t>(i)]);
  });
}

TEST_CASE("patches says what does not fit") {
  const Pictures pictures{1, 6, 8, 3, 4};
  const Tensor in = random_bytes(pictures.shape());
  Tensor out = Tensor::empty({2, 48}, DType::f32, device_under_test());
  CHECK_THROWS_WITH(tested().patches(arguments(pictures, in, out)),
                    Catch::Contains("6×8 do not divide into patches of 4×4"));
  PatchArgs args = arguments({1, 6, 8, 3, 2}, in, Tensor::empty_like(out));
  CHECK_THROWS_WITH(tested().patches(args), Catch::Contains("out has shape (2, 48)"));
  args.deviation.pop_back();
  CHECK_THROWS_WITH(tested().patches(args), Catch::Contains("2 deviations for 3 channels"));
}

TEST_CASE("mean_positions and its gradient equal the reference") {
  struct Extent {
    int64_t examples, positions, width;
  };
  for (const DType dtype : data_dtypes()) {
    for (const auto& [examples, positions, width] :
         std::vector<Extent>{{1, 1, 1}, {2, 3, 5}, {3, 49, 70}, {2, 9, 768}, {1, 3000, 33}}) {
      CAPTURE(examples, positions, width);
      const Tensor in = random_data({examples, positions, width}, 1);
      const Tensor grad = random_data({examples, width}, 2);
      check_low_precision(0.1, dtype, [&, b = examples, n = positions, c = width](Run& run) {
        run.backend.mean_positions(run.in(in), run.data({b, c}));
        run.backend.mean_positions_backward(run.in(grad), run.data({b, n, c}));
      });
    }
  }
}

TEST_CASE("absolute_error and its gradient equal the reference, 0 where it is hit") {
  for (const int64_t size : {1, 3, 16, 17, 1001, 16384 + 5}) {
    CAPTURE(size);
    Tensor prediction = random_on_host({size}, 1), target = random_on_host({size}, 2);
    for (int64_t i = 0; i < size; i += 3) target.data<float>()[i] = prediction.data<float>()[i];
    const Tensor x = on_device(prediction), wanted = on_device(target);
    const Tensor grad = random_tensor({size}, 3);
    Tensor exact = reference_zeros({size}), exact_grad = reference_zeros({size});
    reference_backend().absolute_error(for_reference(x), for_reference(wanted), exact);
    reference_backend().absolute_error_backward(for_reference(x), for_reference(wanted),
                                                for_reference(grad), exact_grad);
    for_each_variant([&] {
      Guarded loss({size}), dx({size});
      tested().absolute_error(x, wanted, loss.tensor);
      tested().absolute_error_backward(x, wanted, grad, dx.tensor);
      CHECK(worst_error(loss.tensor, exact, 1e-3) < 1e-6);
      CHECK(worst_error(dx.tensor, exact_grad, 0.0) == 0.0);
      CHECK((loss.intact() && dx.intact()));
    });
  }
  const Tensor nan = filled_with({2}, DType::f32, std::nan("")),
               one = filled_with({2}, DType::f32, 1);
  Tensor out = Tensor::empty({2}, DType::f32, device_under_test());
  tested().absolute_error_backward(nan, one, one, out);
  CHECK(std::isnan(at(out, 1)));
}

}  // namespace
}  // namespace ssa
