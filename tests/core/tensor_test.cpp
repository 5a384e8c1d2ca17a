#include "ssa/core/tensor.h"

#include <cstdint>
#include <numeric>
#include <vector>

#include <catch2/catch.hpp>

namespace ssa {
namespace {

/// 0, 1, 2, ... in a contiguous tensor.
Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  std::iota(values.begin(), values.end(), 0.0f);
  return Tensor::from(values, shape, Device::cpu);
}

/// Elements of a tensor of rank 2 in raster order, read through its strides.
std::vector<float> elements(const Tensor& tensor) {
  std::vector<float> values;
  for (int64_t r = 0; r < tensor.dim(0); ++r) {
    for (int64_t c = 0; c < tensor.dim(1); ++c) {
      values.push_back(tensor.data<float>()[r * tensor.stride(0) + c * tensor.stride(1)]);
    }
  }
  return values;
}

}  // namespace

TEST_CASE("Shapes count, index from both ends and print", "[tensor]") {
  const Shape shape = {2, 3, 4};
  CHECK(shape.numel() == 24);
  CHECK(shape[0] == 2);
  CHECK(shape[-1] == 4);
  CHECK(shape.contiguous_strides() == std::vector<int64_t>{12, 4, 1});
  CHECK(to_string(shape) == "(2, 3, 4)");
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{3, 0}.numel() == 0);
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
}

TEST_CASE("A new tensor is contiguous and knows its size", "[tensor]") {
  const Tensor tensor = Tensor::zeros({3, 5}, DType::bf16, Device::cpu);
  CHECK(tensor.is_contiguous());
  CHECK(tensor.bytes() == 30);
  CHECK(tensor.unique());
  for (int64_t i = 0; i < 15; ++i) CHECK(tensor.data<BFloat16>()[i].bits == 0);
  CHECK_FALSE(Tensor().defined());
  const Tensor like = Tensor::empty_like(tensor);
  CHECK(like.shape() == tensor.shape());
  CHECK(like.dtype() == DType::bf16);
  CHECK(like.raw() != tensor.raw());
  CHECK(Tensor::empty({0, 4}, DType::f32, Device::cpu).numel() == 0);
}

TEST_CASE("Tensor memory is counted and returned", "[tensor]") {
  const auto in_use = [] {
    return host_allocator().stats().bytes[static_cast<size_t>(MemoryCategory::optimizer)];
  };
  const int64_t before = in_use();
  {
    const Tensor tensor = Tensor::empty({256}, DType::f32, Device::cpu, MemoryCategory::optimizer);
    const Tensor slice = tensor.slice(0, 1, 2);
    CHECK(in_use() == before + 1024);
  }
  CHECK(in_use() == before);
}

TEST_CASE("A view shares elements", "[tensor]") {
  Tensor tensor = counting({2, 6});
  Tensor view = tensor.view({3, 4});
  CHECK_FALSE(tensor.unique());
  CHECK(view.stride(0) == 4);
  view.data<float>()[5] = -1.0f;
  CHECK(tensor.data<float>()[5] == -1.0f);
  CHECK_THROWS_WITH(tensor.view({5, 2}), Catch::Contains("(2, 6)") && Catch::Contains("(5, 2)"));
}

TEST_CASE("Bytes can be viewed as elements of another dtype", "[tensor]") {
  Tensor bytes = Tensor::zeros({16}, DType::u8, Device::cpu);
  Tensor words = bytes.slice(0, 8, 8).view_as(DType::i32);
  CHECK(words.shape() == Shape{2});
  words.data<int32_t>()[1] = 0x01020304;
  CHECK(bytes.data<uint8_t>()[12] == 4);
  CHECK(bytes.data<uint8_t>()[15] == 1);
  CHECK(bytes.view_as(DType::f64).dim(0) == 2);
  CHECK_THROWS_AS(bytes.slice(0, 2, 8).view_as(DType::i32), ShapeError);
  CHECK_THROWS_AS(bytes.slice(0, 0, 6).view_as(DType::i32), ShapeError);
  CHECK_THROWS_AS(Tensor::zeros({4, 8}, DType::u8, Device::cpu).slice(1, 0, 4).view_as(DType::i32),
                  ShapeError);
}

TEST_CASE("A slice starts inside and keeps the strides", "[tensor]") {
  const Tensor tensor = counting({4, 5});
  const Tensor rows = tensor.slice(0, 1, 2);
  CHECK(elements(rows) == std::vector<float>{5, 6, 7, 8, 9, 10, 11, 12, 13, 14});
  CHECK(rows.is_contiguous());
  const Tensor columns = tensor.slice(-1, 3, 2);
  CHECK(elements(columns) == std::vector<float>{3, 4, 8, 9, 13, 14, 18, 19});
  CHECK_FALSE(columns.is_contiguous());
  CHECK_THROWS_AS(columns.view({8}), ShapeError);
  CHECK(elements(rows.slice(1, 2, 1)) == std::vector<float>{7, 12});
  CHECK(tensor.slice(0, 4, 0).numel() == 0);
  CHECK_THROWS_WITH(tensor.slice(1, 4, 2), Catch::Contains("axis 1") && Catch::Contains("(4, 5)"));
  CHECK_THROWS_AS(tensor.slice(0, -1, 2), ShapeError);
  CHECK_THROWS_AS(tensor.slice(2, 0, 1), ShapeError);
}

TEST_CASE("A transpose swaps shape and strides", "[tensor]") {
  const Tensor tensor = counting({2, 3});
  const Tensor turned = tensor.transpose(0, 1);
  CHECK(turned.shape() == Shape{3, 2});
  CHECK(elements(turned) == std::vector<float>{0, 3, 1, 4, 2, 5});
  CHECK_FALSE(turned.is_contiguous());
  CHECK(elements(turned.transpose(-1, -2)) == elements(tensor));
  CHECK(counting({1, 3}).transpose(0, 1).is_contiguous());  // an axis of one has no gaps
  CHECK_THROWS_AS(tensor.transpose(0, 2), ShapeError);
}

TEST_CASE("Elements are read in their own dtype only", "[tensor]") {
  Tensor tensor = counting({3});
  CHECK_THROWS_WITH(tensor.data<double>(), Catch::Contains("f32") && Catch::Contains("f64"));
  CHECK_THROWS_AS(Tensor().data<float>(), ShapeError);
  CHECK_THROWS_WITH(Tensor::from(std::vector<float>{1, 2}, {3}, Device::cpu),
                    Catch::Contains("2 values for shape (3)"));
}

}  // namespace ssa
