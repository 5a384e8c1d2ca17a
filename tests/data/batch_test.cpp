#include "ssa/data/batch.h"

#include <catch2/catch.hpp>

using namespace ssa;

TEST_CASE("a batch keeps its fields by name, with their dtype and shape") {
  Batch batch(2);
  batch.add<int32_t>("labels", {2}, std::vector<int32_t>{7, -1});
  batch.add("pixels", DType::u8, {2, 3, 4});
  batch.field("pixels").values<uint8_t>()[5] = 200;

  const Batch copy = batch;
  CHECK(copy.examples() == 2);
  REQUIRE(copy.fields().size() == 2);
  CHECK(copy.field("labels").values<int32_t>()[1] == -1);
  CHECK(copy.field("pixels").shape() == Shape{2, 3, 4});
  CHECK(copy.field("pixels").bytes().size() == 24);
  CHECK(copy.field("pixels").values<uint8_t>()[5] == 200);
  CHECK(copy.field("pixels").values<uint8_t>()[6] == 0);
  CHECK(copy == batch);
  batch.field("pixels").values<uint8_t>()[6] = 1;
  CHECK_FALSE(copy == batch);
}

TEST_CASE("a batch says what it does not have") {
  Batch batch(1);
  batch.add("ids", DType::i32, {1, 4});
  batch.add("targets", DType::i32, {1, 4});
  CHECK_THROWS_WITH(batch.field("pixels"), Catch::Contains("no field pixels, only ids, targets"));
  CHECK_THROWS_WITH(batch.add("ids", DType::u8, {1}), Catch::Contains("two fields are called ids"));
  CHECK_THROWS_WITH(batch.field("ids").values<float>(), Catch::Contains("ids holds i32, not f32"));
  CHECK_THROWS_WITH(batch.add<int32_t>("short", {3}, std::vector<int32_t>{1}),
                    Catch::Contains("1 values for field short of shape (3)"));
}
