#include "ssa/data/lm_loader.h"

#include <filesystem>

#include "test_files.h"

using namespace ssa;
using namespace ssa::test;

namespace {

struct Fixture {
  TempFolder folder;
  std::string path = folder / "text";
  TokenDataset dataset = make();
  LmSampler sampler{5, dataset.split_size(Split::train), 64};

  TokenDataset make() const {
    write_file(path, some_bytes(50'000));
    return TokenDataset::open(path);
  }
  LmBatch expected(int64_t step, BatchSlice slice = {}) const {
    return sampler.batch(dataset, Split::train, 4, step, slice);
  }
};

void check_equal(const LmBatch& a, const LmBatch& b) {
  CHECK(a.sequences == b.sequences);
  CHECK(a.length == b.length);
  CHECK(a.inputs == b.inputs);
  CHECK(a.targets == b.targets);
}

}  // namespace

TEST_CASE_METHOD(Fixture, "the loader gives the sampler's batches, whatever its depth") {
  for (const size_t depth : {size_t{1}, size_t{2}, size_t{50}}) {
    LmLoader loader(dataset, Split::train, sampler, 4, 0, 30, depth);
    for (int64_t step = 0; step < 30; ++step) check_equal(loader.next(), expected(step));
    CHECK_THROWS_AS(loader.next(), ShapeError);
  }
}

TEST_CASE_METHOD(Fixture, "a loader started at a later step goes on exactly there") {
  LmLoader loader(dataset, Split::train, sampler, 4, 1'234, 1'240);
  for (int64_t step = 1'234; step < 1'240; ++step) check_equal(loader.next(), expected(step));
}

TEST_CASE_METHOD(Fixture, "a loader reads its slice only") {
  LmLoader loader(dataset, Split::train, sampler, 4, 0, 5, 2, {1, 2});
  for (int64_t step = 0; step < 5; ++step) check_equal(loader.next(), expected(step, {1, 2}));
}

TEST_CASE_METHOD(Fixture, "a loader may be dropped at any time") {
  for (int taken = 0; taken < 20; ++taken) {
    LmLoader loader(dataset, Split::train, sampler, 4, 0, 1'000'000, 2);
    for (int i = 0; i < taken; ++i) loader.next();
  }
  LmLoader empty(dataset, Split::train, sampler, 4, 3, 3);
  CHECK_THROWS_AS(empty.next(), ShapeError);
}

TEST_CASE_METHOD(Fixture, "an error in the background comes out of next(), every time") {
  LmLoader loader(dataset, Split::train, sampler, 4, 0, 1'000'000, 2);
  check_equal(loader.next(), expected(0));
  std::filesystem::resize_file(path, 100);
  const auto take_many = [&] {
    for (int i = 0; i < 100; ++i) loader.next();
  };
  CHECK(contains(error_of(ExitCode::data, take_many), "shrunk"));
  CHECK(contains(error_of(ExitCode::data, [&] { loader.next(); }), path));
}

TEST_CASE_METHOD(Fixture, "a loader refuses what cannot be read") {
  const auto make = [&](int64_t batch, int64_t first, int64_t last, size_t depth,
                        BatchSlice slice) {
    LmLoader loader(dataset, Split::train, sampler, batch, first, last, depth, slice);
  };
  CHECK_THROWS_AS(make(0, 0, 1, 1, {}), ShapeError);
  CHECK_THROWS_AS(make(4, 2, 1, 1, {}), ShapeError);
  CHECK_THROWS_AS(make(4, -1, 1, 1, {}), ShapeError);
  CHECK_THROWS_AS(make(4, 0, 1, 0, {}), ShapeError);
  CHECK_THROWS_AS(make(4, 0, 1, 1, (BatchSlice{3, 2})), ShapeError);
}
