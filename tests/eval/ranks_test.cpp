// Evaluation on several ranks is that of one, to the last bit.

#include <memory>
#include <mutex>

#include "dist/thread_ranks.h"
#include "eval/tiny_model.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

bool same_bits(const EvalResult& a, const EvalResult& b) {
  if (a.terms != b.terms || a.loss != b.loss || a.spread != b.spread || a.complete != b.complete ||
      a.curve.size() != b.curve.size()) {
    return false;
  }
  for (size_t i = 0; i < a.curve.size(); ++i) {
    if (a.curve[i].samples != b.curve[i].samples || a.curve[i].loss != b.curve[i].loss ||
        a.curve[i].stderr_ != b.curve[i].stderr_ ||
        a.curve[i].difference.value != b.curve[i].difference.value ||
        a.curve[i].difference.stderr_ != b.curve[i].difference.stderr_) {
      return false;
    }
  }
  return true;
}

/// A model for each rank, all the same.
struct TinyRanks {
  std::vector<std::unique_ptr<TinyModel>> models;

  explicit TinyRanks(int size) {
    for (int rank = 0; rank < size; ++rank) models.push_back(std::make_unique<TinyModel>());
  }
  const TinyModel& first() const { return *models.front(); }

  /// The result of each rank; `of_rank` changes the options of one rank.
  std::vector<EvalResult> evaluate(const ScoreOptions& options,
                                   const std::function<void(int, ScoreOptions&)>& of_rank = {}) {
    std::vector<EvalResult> results(models.size());
    testing::on_ranks(static_cast<int>(models.size()), [&](Communicator& ranks) {
      omp_set_num_threads(1);
      const auto own = static_cast<size_t>(ranks.rank());
      ScoreOptions with_ranks = options;
      with_ranks.ranks = &ranks;
      if (of_rank) of_rank(ranks.rank(), with_ranks);
      results[own] = models[own]->evaluate(with_ranks);
    });
    return results;
  }
};

ScoreOptions ensemble_of(int64_t samples) {
  return {.mode = EvalMode::ensemble, .samples = samples};
}

}  // namespace

// 100 bytes in six windows: with four ranks and batches of two, or five samples, some ranks have
// nothing to do in the last round.
TEST_CASE("several ranks score as one does, to the last bit, each of them") {
  const int size = GENERATE(1, 2, 3, 4);
  TinyRanks ranks(size);
  for (const ScoreOptions& options :
       {ScoreOptions{.batch_size = 1}, ScoreOptions{.batch_size = 2},
        ScoreOptions{.batch_size = 50}, ScoreOptions{.max_tokens = 33, .batch_size = 1},
        ensemble_of(1), ensemble_of(5)}) {
    CAPTURE(size, choices(options.mode), options.batch_size, options.samples);
    const EvalResult alone = ranks.first().evaluate(options);
    REQUIRE(alone.complete);
    REQUIRE(alone.loss > 1);
    for (const EvalResult& result : ranks.evaluate(options)) CHECK(same_bits(result, alone));
  }
}

TEST_CASE("every rank sees the progress of all ranks") {
  TinyRanks ranks(2);
  std::mutex mutex;
  std::vector<std::vector<int64_t>> seen(2);
  const auto note = [&](int rank, ScoreOptions& options) {
    options.progress = [&, rank](const EvalProgress& now) {
      const std::lock_guard lock(mutex);
      seen[static_cast<size_t>(rank)].push_back(now.done);
      return true;
    };
  };
  // One after the other windows end at 32, 48, 64, 80, 96 and 100.
  ranks.evaluate({.batch_size = 1}, note);
  CHECK(seen[0] == std::vector<int64_t>{48, 80, 100});
  CHECK(seen[1] == seen[0]);
  seen = {{}, {}};
  // The dense model and two samples of each window: two of the first, one of the second, …
  auto two = ensemble_of(2);
  two.max_tokens = 48;
  ranks.evaluate(two, note);
  CHECK(seen[0] == std::vector<int64_t>{32 * 2 / 3, 32 + 16 / 3, 48});
  CHECK(seen[1] == seen[0]);
}

TEST_CASE("a stop on one rank stops all at the same place") {
  const int size = GENERATE(2, 3);
  const int who = GENERATE(0, 1);
  TinyRanks ranks(size);
  const auto stop_behind = [&](int64_t bytes) {
    return [who, bytes](int rank, ScoreOptions& options) {
      if (rank == who) {
        options.progress = [bytes](const EvalProgress& now) { return now.done < bytes; };
      }
    };
  };
  const int64_t first_round = size == 2 ? 48 : 64;
  const EvalResult part = ranks.first().evaluate({.max_tokens = first_round});
  for (const EvalResult& result : ranks.evaluate({}, stop_behind(1))) {
    CHECK_FALSE(result.complete);
    CHECK(result.terms == first_round);
    CHECK(result.loss == part.loss);
  }
  // Asked after the dense pass over the second window: the first window alone counts.
  const EvalResult window = ranks.first().evaluate(
      {.mode = EvalMode::ensemble, .samples = size * 2 - 2, .max_tokens = 32});
  for (const EvalResult& result : ranks.evaluate(ensemble_of(size * 2 - 2), stop_behind(33))) {
    CHECK_FALSE(result.complete);
    CHECK(result.terms == 32);
    CHECK(result.loss == window.loss);
    CHECK(result.spread == window.spread);
  }
}

TEST_CASE("a stop after the last item changes nothing") {
  TinyRanks ranks(2);
  const auto stop = [](int, ScoreOptions& options) {
    options.progress = [](const EvalProgress& now) { return now.done < 100; };
  };
  const EvalResult alone = ranks.first().evaluate({});
  for (const EvalResult& result : ranks.evaluate({}, stop)) CHECK(same_bits(result, alone));
}

TEST_CASE("a rank that fails ends the evaluation of the others") {
  TinyRanks ranks(3);
  const auto fail = [](int rank, ScoreOptions& options) {
    if (rank != 2) return;
    options.progress = [](const EvalProgress&) -> bool { throw DataError("the file has shrunk"); };
  };
  CHECK_THROWS_WITH(ranks.evaluate({}, fail),
                    Catch::Contains("evaluation round 2 of 2") && Catch::Contains("rank 2 failed"));
}
