#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;

// ssa-train as a whole, with memory that runs out. It may end without an error, such as when only
// the report has failed, and then has trained to the same bits. Otherwise it says what to lower, or
// which file the system had no memory for.

namespace {

constexpr int64_t kSteps = 2;
const std::vector<std::string> kShort = {"--quiet", "--set", "train.steps=2", "train.eval_every=2",
                                         "train.checkpoint_every=2"};

struct StarvedRun : AppRun {
  std::string expected;
  int number = 0;
  int failures = 0;  ///< runs that ended with the message

  StarvedRun() {
    REQUIRE(train("whole", kShort).code == 0);
    expected = model_bytes("whole", kSteps);
  }

  /// Trains under `program` with the arguments `before` those of ssa-train.
  Finished train_under(const std::string& program, std::vector<std::string> before) {
    before.push_back(std::string(SSA_BIN_DIR) + "/ssa-train");
    const std::vector<std::string> own = train_arguments("run-" + std::to_string(++number), kShort);
    before.insert(before.end(), own.begin(), own.end());
    return run_program(program, before);
  }
  /// Trains with the library that makes allocations fail.
  Finished train_with(const std::string& setting) {
    return train_under("/usr/bin/env", {std::string("LD_PRELOAD=") + SSA_FAIL_ALLOCATION, setting});
  }
  void check(const Finished& finished) {
    CAPTURE(finished.code, finished.err);
    if (finished.code == 0) {
      CHECK((model_bytes("run-" + std::to_string(number), kSteps) == expected));
      return;
    }
    ++failures;
    if (contains(finished.err, "Cannot allocate memory")) {  // a system call about a file
      CHECK((finished.code == 3 || finished.code == 4));
      return;
    }
    CHECK(finished.code == 2);
    CHECK(contains(finished.err, "memory"));
    CHECK(contains(finished.err, "lower train.micro_batch"));
  }
};

}  // namespace

TEST_CASE("memory that ends, within oneDNN too: code 2 and the key to lower", "[slow]") {
  StarvedRun run;
  for (int64_t kib = 100; kib < 1600; kib += 100) {
    CAPTURE(kib);
    run.check(run.train_with("FAIL_BEYOND=" + std::to_string(kib << 10)));
    CHECK(run.failures > 0);
  }
  for (const int mib : {2, 8, 32, 34, 36, 200}) {
    CAPTURE(mib);
    run.check(run.train_with("FAIL_BEYOND=" + std::to_string(mib << 20)));
  }
  CHECK(run.train_with("FAIL_BEYOND=200000000").code == 0);
}

TEST_CASE("a limit of address space: planned within it, or refused with the plan", "[slow]") {
  StarvedRun run;
  const auto limited = [&](int64_t kib) {
    return run.train_under("/bin/bash",
                           {"-c", "ulimit -v " + std::to_string(kib) + "; exec \"$0\" \"$@\""});
  };
  int64_t enough = 64 << 10;
  for (Finished finished; (finished = limited(enough)).code != 0; enough += 8 << 10) {
    CAPTURE(enough);
    REQUIRE(enough < int64_t{4} << 20);
    if (finished.code == 127) continue;  // no room to load the program
    run.check(finished);
    if (contains(finished.err, "ulimit -v"))
      CHECK(contains(finished.err, "Planned at micro-batch"));
  }
  CHECK(run.failures > 0);
  CHECK(limited(4 << 20).code == 0);
}

TEST_CASE("a model that the machine does not hold is refused before it is built") {
  const AppRun run;
  const Finished finished =
      run.train("run", {"--set", "model.width=65536", "model.ffn_width=262144"});
  CAPTURE(finished.err);
  CHECK(finished.code == 2);
  CHECK(contains(finished.err, "out of memory: the run needs"));
  CHECK(contains(finished.err, "Planned at micro-batch 2"));
  CHECK_FALSE(path_exists(run.dir / "run"));
}
