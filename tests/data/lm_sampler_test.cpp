#include "ssa/data/lm_sampler.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// Starts of one epoch, in the order they are read.
std::vector<int64_t> epoch_starts(const LmSampler& sampler, int64_t epoch) {
  std::vector<int64_t> starts;
  for (int64_t block = 0; block < sampler.blocks_per_epoch(); ++block) {
    starts.push_back(sampler.start_of(epoch * sampler.blocks_per_epoch() + block));
  }
  return starts;
}

}  // namespace

TEST_CASE("an epoch reads each block once, inside the split") {
  for (const auto& [split_tokens, length] : std::vector<std::pair<int64_t, int64_t>>{{1, 1},
                                                                                     {2, 1},
                                                                                     {10, 10},
                                                                                     {19, 10},
                                                                                     {20, 10},
                                                                                     {21, 10},
                                                                                     {1'000, 7},
                                                                                     {50'000, 64},
                                                                                     {4'097, 16},
                                                                                     {10'000, 1}}) {
    const LmSampler sampler(3, split_tokens, length);
    CAPTURE(split_tokens, length, sampler.blocks_per_epoch());
    for (const int64_t epoch : {0, 1, 5}) {
      std::vector<int64_t> starts = epoch_starts(sampler, epoch);
      std::ranges::sort(starts);
      REQUIRE(starts.front() >= 0);
      REQUIRE(starts.front() < length);
      REQUIRE(starts.back() + length <= split_tokens);
      size_t misplaced = 0;
      for (size_t i = 1; i < starts.size(); ++i) misplaced += starts[i] != starts[i - 1] + length;
      REQUIRE(misplaced == 0);
      REQUIRE(split_tokens - static_cast<int64_t>(starts.size()) * length < 2 * length);
    }
  }
}

TEST_CASE("epochs and seeds differ in order and offset") {
  const LmSampler sampler(1, 100'000, 100);
  const LmSampler other(2, 100'000, 100);
  std::set<int64_t> offsets;
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    const auto starts = epoch_starts(sampler, epoch);
    offsets.insert(starts[0] % 100);
    CHECK(starts != epoch_starts(sampler, epoch + 1));
    CHECK(starts != epoch_starts(other, epoch));
    CHECK_FALSE(std::ranges::is_sorted(starts));
  }
  CHECK(offsets.size() > 10);
}

TEST_CASE("a short split has one block, always the same") {
  const LmSampler sampler(1, 199, 100);
  CHECK(sampler.blocks_per_epoch() == 1);
  for (int64_t sample = 0; sample < 10; ++sample) CHECK(sampler.start_of(sample) == 0);
}

TEST_CASE("every order of a few blocks is about as likely as any other") {
  const LmSampler sampler(7, 5, 1);  // length 1: five blocks, offset 0
  REQUIRE(sampler.blocks_per_epoch() == 5);
  std::map<std::vector<int64_t>, int64_t> counts;
  constexpr int64_t kEpochs = 6'000;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) ++counts[epoch_starts(sampler, epoch)];
  CHECK(counts.size() == 120);
  double chi_squared = 0;
  for (const auto& [order, count] : counts) {
    const double expected = kEpochs / 120.0;
    chi_squared += (static_cast<double>(count) - expected) *
                   (static_cast<double>(count) - expected) / expected;
  }
  CHECK(chi_squared < 119 + 5 * 15.4);  // 119 degrees of freedom, standard deviation 15.4
}

TEST_CASE("the order has no memory of the neighbouring block") {
  const LmSampler sampler(11, 1'000'000, 100);
  const auto starts = epoch_starts(sampler, 0);
  int64_t followers = 0;
  for (size_t i = 1; i < starts.size(); ++i) followers += starts[i] == starts[i - 1] + 100;
  CHECK(followers < 10);  // one is expected
  // Correlation of position and place in the order: standard deviation 1/sqrt(10,000) = 0.01.
  const double mean = std::accumulate(starts.begin(), starts.end(), 0.0) / 1e4;
  double product = 0, variance_a = 0, variance_b = 0;
  for (size_t i = 0; i < starts.size(); ++i) {
    const double a = static_cast<double>(i) - static_cast<double>(starts.size() - 1) / 2;
    const double b = static_cast<double>(starts[i]) - mean;
    product += a * b;
    variance_a += a * a;
    variance_b += b * b;
  }
  CHECK(std::abs(product / std::sqrt(variance_a * variance_b)) < 0.05);
}

// Values of an independent implementation in Python.
TEST_CASE("the order is fixed for good: a resumed run depends on it") {
  const LmSampler sampler(1, 1'000, 10);
  REQUIRE(sampler.blocks_per_epoch() == 99);
  std::vector<int64_t> starts;
  for (const int64_t sample : {0, 1, 2, 98, 99, 100, 1'000'000'000}) {
    starts.push_back(sampler.start_of(sample));
  }
  CHECK(starts == std::vector<int64_t>{897, 937, 807, 537, 601, 361, 234});
}

TEST_CASE("batches: the input is the byte before its target") {
  const TempDir folder;
  const std::string content = some_bytes(1'000);
  write_bytes(folder / "text", content);
  const TokenDataset dataset = TokenDataset::open(folder / "text");
  const std::vector<int64_t> starts = {0, 1, 890};
  const Batch batch = lm_batch(dataset, Split::train, starts, 10);
  REQUIRE(batch.examples() == 3);
  REQUIRE(batch.field(kIdsField).shape() == Shape{3, 10});
  const std::vector<int32_t> ids = numbers(batch, kIdsField);
  const std::vector<int32_t> targets = numbers(batch, kTargetsField);
  for (size_t row = 0; row < 3; ++row) {
    for (size_t i = 0; i < 10; ++i) {
      const size_t position = static_cast<size_t>(starts[row]) + i;
      const auto target = static_cast<uint8_t>(content[position]);
      const auto input = position == 0 ? uint8_t{10} : static_cast<uint8_t>(content[position - 1]);
      CHECK(targets[row * 10 + i] == target);
      CHECK(ids[row * 10 + i] == input);
    }
  }
  // The first input of a later split is the start symbol, not the byte of the split before.
  CHECK(numbers(lm_batch(dataset, Split::valid, std::vector<int64_t>{0}, 5), kIdsField)[0] ==
        kStartByte);
  CHECK_THROWS_AS(lm_batch(dataset, Split::train, std::vector<int64_t>{891}, 10), ShapeError);
  CHECK_THROWS_AS(lm_batch(dataset, Split::train, std::vector<int64_t>{-1}, 10), ShapeError);
  CHECK_THROWS_AS(lm_batch(dataset, Split::train, starts, 0), ShapeError);
}

TEST_CASE("samples are the same whichever batch they are read in") {
  const TempDir folder;
  write_bytes(folder / "text", some_bytes(10'000));
  const TokenDataset dataset = TokenDataset::open(folder / "text");
  const LmSampler sampler(5, dataset.split_size(Split::train), 32);
  for (const int64_t first : {0, 42, 1'200}) {
    const Batch whole = sampler.batch(dataset, Split::train, first, 6);
    std::vector<int32_t> ids, targets;
    for (const auto& [offset, count] : {std::pair{0, 2}, std::pair{2, 1}, std::pair{3, 3}}) {
      const Batch part = sampler.batch(dataset, Split::train, first + offset, count);
      for (const int32_t id : numbers(part, kIdsField)) ids.push_back(id);
      for (const int32_t target : numbers(part, kTargetsField)) targets.push_back(target);
    }
    CHECK(ids == numbers(whole, kIdsField));
    CHECK(targets == numbers(whole, kTargetsField));
    std::vector<int64_t> starts;
    for (int64_t number = first; number < first + 6; ++number) {
      starts.push_back(sampler.start_of(number));
    }
    CHECK(lm_batch(dataset, Split::train, starts, 32) == whole);
  }
  CHECK_THROWS_AS(sampler.batch(dataset, Split::train, -1, 2), ShapeError);
  CHECK_THROWS_AS(sampler.batch(dataset, Split::train, 0, -1), ShapeError);
}

TEST_CASE("a split shorter than a sequence is a data error, a bad length a usage error") {
  const std::string error = error_of(ExitCode::data, [] { LmSampler(1, 99, 100); });
  CHECK(contains(error, "99"));
  CHECK(contains(error, "data.length = 100"));
  error_of(ExitCode::usage, [] { LmSampler(1, 99, 0); });
  CHECK_THROWS_AS(LmSampler(1, 99, 1).start_of(-1), ShapeError);
}
