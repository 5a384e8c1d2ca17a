// Checkpoints survive whatever happens while one is saved: the process killed, the disk full, an
// I/O error, at random instants and at every single file operation.
#include <algorithm>
#include <chrono>
#include <functional>
#include <sstream>
#include <tuple>

#include <catch2/catch.hpp>
#include <signal.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ssa/storage/run_folder.h"

#include "storage/checkpoint_fixture.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int kKilled = 137;

/// Runs `work` in a child process; its exit status. Exceptions end it with status 1.
int run_in_child(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      work();
    } catch (...) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// A run with checkpoints 1 and 2, where a third save is about to happen, with the optimizer in so
/// many files.
class Scenario {
 public:
  Scenario(int64_t step, bool can_exchange, int shards = 1)
      : step_(step), can_exchange_(can_exchange), shards_(shards) {
    save_checkpoint(before_.path(), data_of_step(1), 2);
    save_checkpoint(before_.path(), data_of_step(2), 2);
    int operations = 0;
    save(start(), [&](FileOp, const std::string&) {
      ++operations;
      return FileFault{};
    });
    operations_ = operations;
  }

  int operations() const { return operations_; }

  /// A fresh copy of the run.
  std::string start() {
    const std::string path = copies_ / std::to_string(count_++);
    std::filesystem::copy(before_.path(), path, std::filesystem::copy_options::recursive);
    return path;
  }

  void save(const std::string& run, const FileFaultHook& hook) const {
    const HookGuard guard([&](FileOp op, const std::string& path) {
      const FileFault fault = hook(op, path);
      if (op == FileOp::exchange && !can_exchange_) return FileFault{EOPNOTSUPP, false};
      return fault;
    });
    if (shards_ == 1) return save_checkpoint(run, data_of_step(step_), 2);
    save_sharded(run, data_of_step(step_), shards_, 2);
  }

  /// The run resumes from an intact checkpoint that is no older than the one before, and a save
  /// then works and leaves nothing behind.
  void check(const std::string& run) const {
    std::vector<std::string> warnings;
    const auto checkpoint = find_latest_checkpoint(run, &warnings);
    REQUIRE(checkpoint.has_value());
    REQUIRE(checkpoint->step >= 2);
    REQUIRE(is_intact(*checkpoint));
    REQUIRE(warnings.empty());
    save(run, [](FileOp, const std::string&) { return FileFault{}; });
    const auto next = find_latest_checkpoint(run, &warnings);
    REQUIRE(next->step == step_);
    REQUIRE(is_intact(*next));
    REQUIRE(warnings.empty());
    const auto left = list_directory(run + "/checkpoints");
    REQUIRE(left.size() == 3);
    REQUIRE(left[0] == "latest");
    REQUIRE(read_bytes(run + "/checkpoints/latest") == "step-" + std::to_string(step_) + "\n");
  }

 private:
  TempDir before_;
  TempDir copies_;
  int64_t step_;
  bool can_exchange_;
  int shards_;
  int count_ = 0;
  int operations_ = 0;
};

}  // namespace

TEST_CASE("killed at every file operation, a save leaves a valid checkpoint") {
  const auto [step, can_exchange, shards] =
      GENERATE(std::tuple(3, true, 1), std::tuple(2, true, 1), std::tuple(2, false, 1),
               std::tuple(3, true, 3));
  Scenario scenario(step, can_exchange, shards);
  REQUIRE(scenario.operations() > 25);
  const bool half_written = GENERATE(false, true);  // killed within a write, or before it
  for (int fatal = 0; fatal < scenario.operations(); ++fatal) {
    CAPTURE(step, can_exchange, shards, half_written, fatal);
    const std::string run = scenario.start();
    int operation = 0;
    const int status = run_in_child([&] {
      scenario.save(run, [&](FileOp, const std::string&) {
        if (operation == fatal + (half_written ? 1 : 0)) ::_exit(kKilled);
        return FileFault{0, operation++ == fatal && half_written};
      });
    });
    // Nothing is left to die at when the last operation is not a write.
    REQUIRE((status == kKilled || (half_written && fatal + 1 >= scenario.operations())));
    scenario.check(run);
  }
}

TEST_CASE("killed at every file operation, a save is finished by the next resume") {
  const int64_t step = GENERATE(3, 2);
  Scenario scenario(step, true);
  for (int fatal = 0; fatal < scenario.operations(); ++fatal) {
    CAPTURE(step, fatal);
    const std::string run = scenario.start();
    int operation = 0;
    REQUIRE(run_in_child([&] {
              scenario.save(run, [&](FileOp, const std::string&) {
                if (operation++ == fatal) ::_exit(kKilled);
                return FileFault{};
              });
            }) == kKilled);
    const std::string newest = find_latest_checkpoint(run, nullptr)->path;
    RunFolder(run).finish_save(newest, 2);
    const auto left = list_directory(run + "/checkpoints");
    CHECK(left.size() == 3);
    CHECK(left[0] == "latest");
    CHECK(open_checkpoint(run + "/checkpoints/latest").path == newest);
  }
}

TEST_CASE("a save is not finished on the word of an older checkpoint than its own") {
  const TempDir run;
  for (const int64_t step : {1, 2, 3}) save_checkpoint(run.path(), data_of_step(step), 5);
  RunFolder(run.path()).finish_save(run / "checkpoints/step-2", 1);
  CHECK(list_directory(run / "checkpoints").size() == 4);
  RunFolder(run.path()).finish_save(run / "checkpoints/step-3", 1);
  CHECK(list_directory(run / "checkpoints") == std::vector<std::string>{"latest", "step-3"});
}

TEST_CASE("a full disk or an I/O error at any file operation leaves a valid checkpoint") {
  const auto [step, can_exchange, shards] =
      GENERATE(std::tuple(3, true, 1), std::tuple(2, true, 1), std::tuple(2, false, 1),
               std::tuple(3, true, 3));
  spdlog::set_level(spdlog::level::off);
  Scenario scenario(step, can_exchange, shards);
  const auto fault =
      GENERATE(FileFault{ENOSPC, false}, FileFault{EIO, false}, FileFault{ENOSPC, true});
  for (int failing = 0; failing < scenario.operations(); ++failing) {
    CAPTURE(step, can_exchange, shards, fault.error, fault.short_write, failing);
    const std::string run = scenario.start();
    int operation = 0;
    bool exchange = false, cleaning = false;  // the operation that fails
    std::string message;
    try {
      scenario.save(run, [&](FileOp op, const std::string& path) {
        if (operation == failing) {
          exchange = op == FileOp::exchange;
          cleaning = op == FileOp::remove || path.ends_with(".removed.partial");
        }
        return operation++ == failing ? fault : FileFault{};
      });
    } catch (const CheckpointError& error) {
      message = error.what();
    }
    // Where folders cannot be exchanged, the scenario itself decides how that ends. What is only
    // removed costs no save.
    REQUIRE((!message.empty() || cleaning || (exchange && !can_exchange)));
    if (!message.empty()) {
      CAPTURE(message);
      REQUIRE(message.find(fault.error == EIO ? "error" : "space") != std::string::npos);
    }
    scenario.check(run);
  }
}

TEST_CASE("old checkpoints that cannot be removed cost no save, and are warned of once") {
  std::ostringstream log;
  const auto logger_before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  const bool renamed = GENERATE(true, false);  // before it turns out that they stay
  const TempDir run;
  {
    const HookGuard hook([&](FileOp op, const std::string& path) {
      const bool refused = op == (renamed ? FileOp::remove : FileOp::rename);
      const bool there = path_exists(path) || !renamed;
      return FileFault{refused && there && path.ends_with("step-1.removed.partial") ? EBUSY : 0,
                       false};
    });
    for (int64_t step = 1; step <= 5; ++step) save_checkpoint(run.path(), data_of_step(step), 2);
    CHECK(is_intact(*find_latest_checkpoint(run.path(), nullptr)));
  }
  spdlog::set_default_logger(logger_before);
  const std::vector<std::string> left = list_directory(run / "checkpoints");
  CHECK(left == std::vector<std::string>{renamed ? ".step-1.removed.partial" : "latest",
                                         renamed ? "latest" : "step-1", "step-4", "step-5"});
  size_t warnings = 0;
  for (size_t at = 0; (at = log.str().find("cannot", at)) != std::string::npos; ++at) ++warnings;
  CHECK(warnings == 1);
  save_checkpoint(run.path(), data_of_step(6), 2);
  CHECK(list_directory(run / "checkpoints") ==
        std::vector<std::string>{"latest", "step-5", "step-6"});
}

TEST_CASE("a short write that is no error is completed") {
  Scenario scenario(3, true);
  const std::string run = scenario.start();
  int operation = 0;
  scenario.save(run, [&](FileOp, const std::string&) {
    return FileFault{0, operation++ % 3 == 0};
  });
  REQUIRE(operation > scenario.operations());
  REQUIRE(is_intact(open_checkpoint(run + "/checkpoints/step-3")));
  scenario.check(run);
}

TEST_CASE("killed at a hundred random instants, a run always resumes from a valid checkpoint") {
  const TempDir run;
  const auto began = std::chrono::steady_clock::now();
  for (int64_t step = 1; step <= 4; ++step) save_checkpoint(run.path(), data_of_step(step), 3);
  const auto duration = std::chrono::steady_clock::now() - began;
  const auto longest = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();

  const RngKey key{20230806};
  int64_t resumed_step = 4;
  for (uint64_t attempt = 0; attempt < 100; ++attempt) {
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const char go = 'g';
      if (::write(ready[1], &go, 1) != 1) ::_exit(1);
      for (int64_t step = resumed_step + 1;; ++step) {
        try {
          save_sharded(run.path(), data_of_step(step), static_cast<int>(step % 3) + 1, 3);
        } catch (...) {
          ::_exit(2);
        }
      }
    }
    char go = 0;
    REQUIRE(::read(ready[0], &go, 1) == 1);
    ::usleep(key.word(attempt) % static_cast<uint32_t>(longest / 2 + 1));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ::close(ready[0]);
    ::close(ready[1]);

    CAPTURE(attempt, resumed_step);
    REQUIRE(WIFSIGNALED(status));
    std::vector<std::string> warnings;
    const auto checkpoint = find_latest_checkpoint(run.path(), &warnings);
    REQUIRE(checkpoint.has_value());
    REQUIRE(checkpoint->step >= resumed_step);
    REQUIRE(is_intact(*checkpoint));
    REQUIRE(warnings.empty());
    resumed_step = checkpoint->step;
  }
}

TEST_CASE("everything is on the disk before a checkpoint gets its name") {
  const TempDir run;
  const bool sharded = GENERATE(false, true);
  const std::string partial = run / "checkpoints/.step-3.partial";
  std::vector<std::string> operations;
  {
    const HookGuard hook([&](FileOp op, const std::string& path) {
      operations.push_back(std::string(name(op)) + " " + path);
      return FileFault{};
    });
    save_sharded(run.path(), data_of_step(3), sharded ? 2 : 1, 2);
  }
  const auto index_of = [&](const std::string& operation) {
    const auto found = std::find(operations.begin(), operations.end(), operation);
    CAPTURE(operation);
    REQUIRE(found != operations.end());
    return found - operations.begin();
  };
  const auto manifest = index_of("open " + partial + "/manifest.json");
  const auto published = index_of("rename " + (run / "checkpoints/step-3"));
  const auto latest = index_of("rename " + (run / "checkpoints/latest"));
  std::vector<std::string> files = {"model.safetensors", "state.json"};
  if (sharded) {
    files.insert(files.end(),
                 {"optimizer-00001-of-00002.safetensors", "optimizer-00002-of-00002.safetensors"});
  } else {
    files.emplace_back("optimizer.safetensors");
  }
  for (const std::string& file : files) {
    REQUIRE(index_of("sync " + partial + "/" + file) < manifest);
  }
  REQUIRE(index_of("sync " + partial + "/manifest.json") < index_of("sync " + partial));
  REQUIRE(index_of("sync " + partial) < published);
  REQUIRE(operations[static_cast<size_t>(published) + 1] == "sync " + (run / "checkpoints"));
  REQUIRE(index_of("sync " + (run / "checkpoints/latest.partial")) < latest);
  REQUIRE(operations.back() == "sync " + (run / "checkpoints"));
}
