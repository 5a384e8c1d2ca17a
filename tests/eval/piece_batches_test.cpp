#include "eval/piece_batches.h"

#include <mutex>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"

using namespace ssa;

namespace {

/// Batches of as many examples as their number, and the numbers that were read.
class Reader {
 public:
  Batch read(int64_t number) {
    const std::lock_guard lock(mutex_);
    numbers_.push_back(number);
    return Batch(number);
  }
  std::vector<int64_t> numbers() {
    const std::lock_guard lock(mutex_);
    return numbers_;
  }

 private:
  std::mutex mutex_;
  std::vector<int64_t> numbers_;
};

/// What was read for all pieces of a rank, each of which must get the batch that it is of.
std::vector<int64_t> read_for(int64_t pieces, int64_t pieces_per_batch, int64_t rank,
                              int64_t ranks) {
  Reader reader;
  PieceBatches batches([&](int64_t number) { return reader.read(number); }, pieces,
                       pieces_per_batch, rank, ranks);
  for (int64_t piece = rank; piece < pieces; piece += ranks) {
    CHECK(batches.of(piece).examples() == piece / pieces_per_batch);
  }
  return reader.numbers();
}

using Numbers = std::vector<int64_t>;

}  // namespace

TEST_CASE("a batch is read once for the pieces that are of it, and only where a rank needs it") {
  CHECK(read_for(4, 1, 0, 1) == Numbers{0, 1, 2, 3});
  CHECK(read_for(9, 3, 0, 1) == Numbers{0, 1, 2});
  CHECK(read_for(9, 3, 1, 2) == Numbers{0, 1, 2});
  CHECK(read_for(5, 1, 1, 2) == Numbers{1, 3});
  CHECK(read_for(9, 2, 1, 4) == Numbers{0, 2});
  CHECK(read_for(2, 1, 3, 4).empty());
  CHECK(read_for(0, 1, 0, 1).empty());
}

TEST_CASE("what reading a batch throws is thrown for its first piece") {
  PieceBatches batches(
      [](int64_t number) -> Batch {
        if (number == 1) throw DataError("batch 1 is torn");
        return Batch(number);
      },
      6, 2, 0, 1);
  CHECK(batches.of(0).examples() == 0);
  CHECK(batches.of(1).examples() == 0);
  CHECK_THROWS_WITH(batches.of(2), "batch 1 is torn");
}

TEST_CASE("batches that are not asked for are left behind") {
  Reader reader;
  {
    PieceBatches batches([&](int64_t number) { return reader.read(number); }, 1000, 1, 0, 1);
  }
  CHECK(reader.numbers().size() <= 2);
}
