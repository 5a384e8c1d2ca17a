// Elementwise and row primitives on bf16 and f16, if the backend has them. Other files test f32.

#include <array>

#include "backend/low_precision_cases.h"

namespace ssa {
namespace {

using namespace testing;

const std::vector<int64_t> kSizes = {1, 3, 16, 17, 63, 100, 1001, 16384 + 5};

struct Extent {
  int64_t rows, columns;
};
const std::vector<Extent> kExtents = {{1, 1},   {1, 16},   {2, 3},    {5, 17},   {64, 64},
                                      {65, 33}, {300, 24}, {7, 1000}, {4500, 10}};

TEST_CASE("add and scale of low precision equal the reference, in place too") {
  for (const int64_t size : kSizes) {
    INFO("size " << size);
    const Tensor a = random_data({size}, 1), b = random_data({size}, 2);
    check_low_precision(1e-6, [&](Run& run) {
      run.backend.add(run.in(a), run.in(b), run.data({size}));
      Tensor& in_place = run.inout(b);
      run.backend.add(run.in(a), in_place, in_place);
      run.backend.scale(run.in(a), -0.37, run.data({size}));
    });
  }
}

TEST_CASE("activations of low precision and their gradients equal the reference") {
  Tensor x = random_on_host({5001}, 3, 12.0);
  const std::vector<float> special = {0.0f, -0.0f, 1e-30f, -1e-30f, 20.0f, -20.0f, 80.0f, -80.0f,
                                      1e4f, -1e4f, -87.3f, -87.4f,  3e38f, -3e38f, 1e-40f};
  for (size_t i = 0; i < special.size(); ++i) x.data<float>()[i] = special[i];
  x = on_device(converted(x, DType::bf16));
  const Tensor grad = random_data(x.shape(), 4);
  for (const Activation kind : kActivations) {
    INFO("kind " << static_cast<int>(kind));
    check_low_precision(
        1e-4, [&](Run& run) { run.backend.activation(kind, run.in(x), run.data(x.shape())); });
    // The slope of GELU crosses 0 at x = -0.75, where only its absolute error can be small.
    check_low_precision(1e-2, [&](Run& run) {
      Tensor none;
      run.backend.activation_backward(kind, run.in(x), run.in(grad), run.data(x.shape()), none);
      Tensor &to_in = run.inout(grad), &again = run.inout(x);
      run.backend.activation_backward(kind, again, to_in, to_in, again);
    });
  }
}

TEST_CASE("activation_backward writes the bits of activation") {
  const Tensor grad = random_tensor({1003}, 4);
  for (const DType dtype : data_dtypes()) {
    const Tensor x = converted(random_tensor({1003}, 3, 5.0), dtype);
    const Tensor dy = converted(grad, dtype);
    for_each_variant([&] {
      for (const Activation kind : kActivations) {
        Guarded alone({1003}, dtype), dx_alone({1003}, dtype), again(x), dx(dy);
        Tensor none;
        tested().activation(kind, x, alone.tensor);
        tested().activation_backward(kind, x, dy, dx_alone.tensor, none);
        tested().activation_backward(kind, again.tensor, dx.tensor, dx.tensor, again.tensor);
        CHECK(same_bits(alone.tensor, again.tensor));
        CHECK(same_bits(dx_alone.tensor, dx.tensor));
        CHECK((again.intact() && dx.intact()));
      }
    });
  }
}

TEST_CASE("dropout of low precision draws the mask of the reference and adds the residual") {
  const RngKey key{.seed = 99, .purpose = RngPurpose::dropout, .step = 7, .layer = 5};
  for (const int64_t size : kSizes) {
    INFO("size " << size);
    const Tensor x = random_data({size}, 5), residual = random_data({size}, 6, 100.0);
    check_low_precision(1e-3, [&](Run& run) {
      const Dropout dropout{0.3, key};
      run.backend.dropout(dropout, run.in(x), Tensor(), run.data({size}));
      run.backend.dropout(dropout, run.in(x), run.in(residual), run.data({size}));
      Tensor &on_in = run.inout(x), &on_residual = run.inout(residual);
      run.backend.dropout(dropout, on_in, run.in(residual), on_in);
      run.backend.dropout(dropout, run.in(x), on_residual, on_residual);
    });
  }
}

TEST_CASE("dropout in groups drops neighbours together, with and without a residual") {
  const RngKey key{.seed = 99, .purpose = RngPurpose::dropout, .step = 7, .layer = 5};
  for (const DType dtype : data_dtypes()) {
    for (const int64_t group : {2, 7, 100, 16384 + 1}) {
      for (const int64_t size : {int64_t{1}, 3 * group, 5 * group + 1}) {
        CAPTURE(group, size);
        const Tensor x = random_data({size}, 5), residual = random_data({size}, 6);
        check_low_precision(1.0, dtype, [&](Run& run) {
          const Dropout dropout{0.4, key, group};
          run.backend.dropout(dropout, run.in(x), Tensor(), run.data({size}));
          run.backend.dropout(dropout, run.in(x), run.in(residual), run.data({size}));
          Tensor &on_in = run.inout(x), &on_residual = run.inout(residual);
          run.backend.dropout(dropout, on_in, run.in(residual), on_in);
          run.backend.dropout(dropout, run.in(x), on_residual, on_residual);
        });
      }
    }
  }
}

TEST_CASE("drop path keeps whole examples, scaled, or drops them") {
  const Dropout dropout{0.5, {.seed = 3, .purpose = RngPurpose::dropout, .stream = 4}, 5 * 7};
  const Tensor ones = filled_with({64, 5, 7}, DType::f32, 1.0);
  for_each_variant([&] {
    Guarded out(ones.shape());
    tested().dropout(dropout, ones, Tensor(), out.tensor);
    int64_t kept = 0;
    for (int64_t example = 0; example < 64; ++example) {
      const bool keeps = dropout.key.word(static_cast<uint64_t>(example)) >= dropout.threshold();
      const Tensor part = host(out.tensor).slice(0, example, 1);
      CHECK(worst_error(part, filled_with(part.shape(), DType::f32, keeps ? 2.0 : 0.0), 0.0) ==
            0.0);
      kept += keeps ? 1 : 0;
    }
    CHECK((kept > 16 && kept < 48));
    CHECK(out.intact());
  });
  Tensor out = Tensor::empty_like(ones);
  CHECK_THROWS_WITH(tested().dropout({0.5, {}, 0}, ones, Tensor(), out),
                    Catch::Contains("groups of 0 elements"));
}

TEST_CASE("sums of low precision equal the reference") {
  for (const int64_t size : kSizes) {
    for (const DType dtype : low_precisions()) {
      const Tensor x = converted(random_data({size}, 6), dtype), wide = for_reference(x);
      for_each_variant([&] {
        CHECK(tested().sum(x) == Approx(reference_backend().sum(wide)).epsilon(1e-12));
        CHECK(tested().sum_squares({x}) ==
              Approx(reference_backend().sum_squares({wide})).epsilon(1e-12));
      });
    }
  }
}

TEST_CASE("copy converts between f32 and low precision like the reference, bit for bit") {
  Tensor x = random_on_host({5, 7, 40}, 9, 3.0);
  const std::vector<float> special = {0.0f,          -0.0f,       1e-40f,      -1e-45f,
                                      3.4e38f,       -3.4e38f,    INFINITY,    1.0f,
                                      std::nanf(""), 1.00390625f, 1.01171875f, -1.00390625f};
  for (size_t i = 0; i < special.size(); ++i) x.data<float>()[i] = special[i];
  x = on_device(x);
  for (const DType low : low_precisions()) {
    for (const Tensor& view : {x, x.slice(2, 3, 33), x.transpose(0, 2), x.slice(1, 2, 3)}) {
      Tensor exact = Tensor::empty(view.shape(), low, Device::reference);
      Tensor back = Tensor::empty(view.shape(), DType::f32, Device::reference);
      reference_backend().copy(host(view), exact);
      reference_backend().copy(exact, back);
      for_each_variant([&] {
        Guarded narrow(view.shape(), low), wide(view.shape());
        tested().copy(view, narrow.tensor);
        tested().copy(narrow.tensor, wide.tensor);
        CHECK(same_bits(narrow.tensor, exact));
        CHECK(same_bits(wide.tensor, back));
        CHECK((narrow.intact() && wide.intact()));
      });
    }
  }
}

TEST_CASE("gather_rows and its gradient equal the reference") {
  const Tensor rows = Tensor::from<int32_t>({4, 0, 7, 3}, {4}, device_under_test());
  for (const int64_t width : {1, 5, 16, 70}) {
    INFO("width " << width);
    const Tensor in = random_data({3, 8, width}, 1), grad = random_data({3, 4, width}, 2);
    const Tensor before = random_data({3, 8, width}, 3);
    check_low_precision(1e-6, [&](Run& run) {
      run.backend.gather_rows(run.in(in), run.in(rows), run.data({3, 4, width}));
      run.backend.gather_rows_backward(run.in(rows), run.in(grad), run.inout(before));
    });
    Guarded picked({3, 4, width}), sums(converted(before, DType::f32));
    Tensor exact = reference_zeros({3, 4, width}), exact_sums = for_reference(before);
    tested().gather_rows(converted(in, DType::f32), rows, picked.tensor);
    tested().gather_rows_backward(rows, converted(grad, DType::f32), sums.tensor);
    reference_backend().gather_rows(for_reference(in), host(rows), exact);
    reference_backend().gather_rows_backward(host(rows), for_reference(grad), exact_sums);
    CHECK(worst_error(picked.tensor, exact, 0.0) == 0.0);
    CHECK(worst_error(sums.tensor, exact_sums, 0.1) < 1e-6);
    CHECK((picked.intact() && sums.intact()));
  }
  Guarded out({1, 1, 3});
  const Tensor bad = Tensor::from<int32_t>({8}, {1}, device_under_test());
  const auto gather = [&] {
    tested().gather_rows(random_tensor({1, 8, 3}, 1), bad, out.tensor);
    host(out.tensor);  // the error shows when the host waits for the device
  };
  CHECK_THROWS_WITH(gather(), Catch::Contains("8 at 0, outside 0 … 7"));
}

TEST_CASE("weight_gradient takes strided rows of any dtype") {
  for (const auto& [rows, out, in] :
       {std::array<int64_t, 3>{1, 1, 1}, {65, 33, 48}, {128, 64, 64}}) {
    CAPTURE(rows, out, in);
    const Tensor grad = random_data({rows, 2 * out}, 1).slice(1, out, out);
    const Tensor x = random_data({rows, in}, 2);
    const Tensor weight = random_tensor({out, in}, 3), bias = random_tensor({out}, 4);
    check_low_precision(std::sqrt(static_cast<double>(rows)), [&](Run& run) {
      for (const bool accumulate : {false, true}) {
        WeightGradientArgs args{.grad_out = run.in(grad), .in = run.in(x)};
        args.accumulate_weight = args.accumulate_bias = accumulate;
        args.grad_weight = accumulate ? run.inout(weight) : run.wide({out, in});
        args.grad_bias = accumulate ? run.inout(bias) : run.wide({out});
        run.backend.weight_gradient(args);
      }
    });
  }
}

TEST_CASE("products of low precision with an activation equal the reference") {
  for (const Activation kind : {Activation::gelu_tanh, Activation::gelu}) {
    for (const auto& [rows, columns, inner] :
         {std::array<int64_t, 3>{1, 1, 1}, {9, 40, 33}, {33, 37, 65}, {64, 128, 64}}) {
      CAPTURE(static_cast<int>(kind), rows, columns, inner);
      const Tensor a = random_data({rows, inner}, 1), b = random_data({inner, columns}, 2);
      const Tensor bias = random_tensor({columns}, 3), x = random_data({rows, columns}, 4, 3.0);
      check_low_precision(std::sqrt(static_cast<double>(inner)), [&](Run& run) {
        MatmulArgs args{.a = run.in(a), .b = run.in(b), .bias = run.in(bias)};
        args.out = run.data({rows, columns});
        run.backend.matmul_activation(args, kind, run.data({rows, columns}));
        args.bias = {};
        args.out = run.data({rows, columns});
        Tensor& again = run.inout(x);
        run.backend.matmul_activation_backward(args, kind, again, again);
      });
    }
  }
}

TEST_CASE("column_sum takes strided rows of any dtype") {
  for (const auto& [rows, columns] : kExtents) {
    INFO(rows << "×" << columns);
    const Tensor wider = random_data({rows, columns + 5}, 1), start = random_tensor({columns}, 2);
    check_low_precision(std::sqrt(static_cast<double>(rows)), [&](Run& run) {
      const Tensor strided = run.in(wider).slice(1, 2, columns);
      run.backend.column_sum(strided, run.wide({columns}), false);
      run.backend.column_sum(strided, run.inout(start), true);
    });
  }
}

TEST_CASE("layer norm of low precision equals the reference") {
  for (const auto& [rows, columns] : kExtents) {
    if (columns < 3) continue;  // almost no variance: rstd magnifies rounding errors
    INFO(rows << "×" << columns);
    const Tensor in = random_data({rows, columns}, 1, 3.0);
    const Tensor gain = random_tensor({columns}, 2), shift = random_tensor({columns}, 3);
    check_low_precision(1.0, [&](Run& run) {
      Tensor &out = run.data({rows, columns}), &mean = run.wide({rows}), &rstd = run.wide({rows});
      run.backend.layer_norm(run.in(in), run.in(gain), run.in(shift), 1e-5, out, mean, rstd);
    });
  }
}

TEST_CASE("layer norm backward of low precision adds, and gives the output again") {
  for (const auto& [rows, columns] : kExtents) {
    INFO(rows << "×" << columns);
    const Tensor in = random_data({rows, columns}, 1, 3.0), grad = random_data({rows, columns}, 5);
    const Tensor gain = random_tensor({columns}, 2), shift = random_tensor({columns}, 8);
    const Tensor mean = random_tensor({rows}, 3, 0.1), rstd = random_tensor({rows}, 4);
    const Tensor gain0 = random_tensor({columns}, 6), shift0 = random_tensor({columns}, 7);
    const Tensor before = random_data({rows, columns}, 9);
    check_low_precision(std::sqrt(static_cast<double>(rows)), [&](Run& run) {
      LayerNormBackwardArgs args{.in = run.in(in),
                                 .gain = run.in(gain),
                                 .shift = run.in(shift),
                                 .mean = run.in(mean),
                                 .rstd = run.in(rstd),
                                 .grad_out = run.in(grad),
                                 .grad_in = run.data({rows, columns}),
                                 .grad_gain = run.inout(gain0),
                                 .grad_shift = run.inout(shift0)};
      run.backend.layer_norm_backward(args);
      args.grad_in = run.inout(before);
      args.accumulate = true;
      args.out = run.data({rows, columns});
      run.backend.layer_norm_backward(args);
      args.grad_out = args.out = run.inout(grad);
      args.grad_in = run.inout(before);
      run.backend.layer_norm_backward(args);
    });
  }
}

TEST_CASE("layer norm backward in f32 adds, and gives the bits of the output again") {
  for (const auto& [rows, columns] : kExtents) {
    INFO(rows << "×" << columns);
    const Tensor in = random_tensor({rows, columns}, 1, 3.0), grad = random_tensor(in.shape(), 5);
    const Tensor gain = random_tensor({columns}, 2), shift = random_tensor({columns}, 8);
    const Tensor before = random_tensor({rows, columns}, 9);
    for_each_variant([&] {
      Guarded out(in.shape()), mean({rows}), rstd({rows}), alone(in.shape()), sum(before),
          again(grad);
      Tensor sums = Tensor::zeros({2, columns}, DType::f32, device_under_test());
      tested().layer_norm(in, gain, shift, 1e-2, out.tensor, mean.tensor, rstd.tensor);
      LayerNormBackwardArgs args{.in = in,
                                 .gain = gain,
                                 .shift = shift,
                                 .mean = mean.tensor,
                                 .rstd = rstd.tensor,
                                 .grad_out = grad,
                                 .grad_in = alone.tensor,
                                 .grad_gain = sums.slice(0, 0, 1).view({columns}),
                                 .grad_shift = sums.slice(0, 1, 1).view({columns})};
      tested().layer_norm_backward(args);
      args.grad_in = sum.tensor;
      args.accumulate = true;
      args.grad_out = args.out = again.tensor;
      tested().layer_norm_backward(args);
      tested().add(alone.tensor, before, alone.tensor);
      CHECK(worst_error(sum.tensor, alone.tensor, 1.0) < 1e-6);
      CHECK(worst_error(again.tensor, out.tensor, 1.0) < 1e-6);
      CHECK((sum.intact() && again.intact()));
    });
  }
}

TEST_CASE("embedding into low precision and its gradient equal the reference") {
  for (const auto& [rows, columns] : kExtents) {
    INFO(rows << "×" << columns);
    const Tensor table = random_tensor({11, columns}, 1), before = random_tensor({11, columns}, 4);
    const Tensor ids = random_ids(rows, 0, 11, 2), grad = random_data({rows, columns}, 3);
    check_low_precision(std::sqrt(static_cast<double>(rows)), [&](Run& run) {
      run.backend.embedding(run.in(table), run.in(ids), 1.7, run.data({rows, columns}));
      run.backend.embedding_backward(run.in(ids), 1.7, run.in(grad), run.inout(before));
    });
  }
}

TEST_CASE("cross-entropy of low precision logits equals the reference") {
  for (const auto& [rows, columns] : kExtents) {
    INFO(rows << "×" << columns);
    const Tensor logits = random_data({rows, columns}, 1, 20.0), grad = random_tensor({rows}, 3);
    const Tensor targets = random_ids(rows, -1, columns, 2);
    check_low_precision(20.0, [&](Run& run) {
      Tensor &loss = run.wide({rows}), &lse = run.wide({rows});
      run.backend.cross_entropy(run.in(logits), run.in(targets), loss, lse);
    });
    Tensor loss = Tensor::empty({rows}, DType::f32, device_under_test()),
           lse = Tensor::empty_like(loss);
    tested().cross_entropy(logits, targets, loss, lse);
    check_low_precision(1e-2, [&](Run& run) {
      run.backend.cross_entropy_backward(run.in(logits), run.in(targets), run.in(lse), run.in(grad),
                                         run.data({rows, columns}));
      Tensor& in_place = run.inout(logits);
      run.backend.cross_entropy_backward(in_place, run.in(targets), run.in(lse), run.in(grad),
                                         in_place);
    });
  }
}

}  // namespace
}  // namespace ssa
