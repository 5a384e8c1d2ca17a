// A rank for tests under real launchers: ssa_dist_ranks MODE [RANK]. RANK is the one that does what
// MODE says, while the others are in a collective. Ends like the programs do: an error on standard
// error, and its exit code.

#include "dist/ranks_program.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "ssa/dist/launch.h"

namespace ssa::testing {
namespace {

constexpr auto kTimeout = std::chrono::seconds(3);    // where it is what ends the job
constexpr auto kPatience = std::chrono::seconds(60);  // where it must not be
constexpr auto kForever = std::chrono::minutes(5);

struct Fault {
  Communicator& ranks;
  int culprit;
  bool own() const { return ranks.rank() == culprit; }
};

void all_reduce(Communicator& ranks, int bucket) {
  std::vector<float> values(1 << 20, 1.0f);
  ranks
      .all_reduce({values.data(), 1 << 20, DType::f32}, "gradient bucket " + std::to_string(bucket))
      .wait();
}

/// In the midst of collectives, on RANK alone.
void in_the_midst(const Fault& fault, const std::function<void()>& what) {
  for (int bucket = 0; bucket < 50; ++bucket) {
    fault.ranks.set_step(40 + bucket);
    if (bucket == 5 && fault.own()) what();
    all_reduce(fault.ranks, bucket);
  }
}

/// Another thread does it while this one waits.
void in_a_collective(const Fault& fault, int signal) {
  if (fault.own()) {
    std::thread([signal] {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      ::kill(::getpid(), signal);
    }).detach();
  }
  for (int bucket = 0;; ++bucket) all_reduce(fault.ranks, bucket);
}

const std::map<std::string, std::function<void(const Fault&)>> kModes = {
    {"collectives", [](const Fault& fault) { check_collectives(fault.ranks); }},
    {"gather", [](const Fault& fault) { check_gather(fault.ranks); }},
    {"bandwidth", [](const Fault& fault) { measure_bandwidth(fault.ranks); }},
    {"overlap", [](const Fault& fault) { measure_overlap(fault.ranks); }},
    {"absent",
     [](const Fault& fault) {
       in_the_midst(fault, [] { std::this_thread::sleep_for(kForever); });
     }},
    {"failing",
     [](const Fault& fault) {
       in_the_midst(fault, [] { throw DataError("text.bin: truncated at byte 12"); });
     }},
    {"failing-alike",
     [](const Fault& fault) {
       fault.ranks.barrier("the beginning");
       throw ConfigError("train.steps is -1");
     }},
    {"killed", [](const Fault& fault) { in_a_collective(fault, SIGKILL); }},
    {"stopped", [](const Fault& fault) { in_a_collective(fault, SIGSTOP); }},
    {"leaving", [](const Fault& fault) { in_the_midst(fault, [] { std::_Exit(9); }); }},
};

std::unique_ptr<Communicator> join(const std::string& mode, int culprit) try {
  const LaunchInfo launch = detect_launch();
  if (mode == "late" && launch.rank == culprit) std::this_thread::sleep_for(kForever);
  return join_ranks(launch, mode == "late" ? kTimeout : kPatience);
} catch (const Error& error) {
  std::cerr << "ssa_dist_ranks: error: " + std::string(error.what()) + "\n" << std::flush;
  std::_Exit(static_cast<int>(error.code()));
}

int run(const std::string& mode, int culprit) {
  const std::unique_ptr<Communicator> ranks = join(mode, culprit);
  const bool ends_by_timeout = mode == "absent" || mode == "stopped";
  ranks->set_timeout(ends_by_timeout ? kTimeout : kPatience);
  ExitCode code{};
  std::string message;
  try {
    kModes.at(mode)({*ranks, culprit});
    std::cout << "rank " + std::to_string(ranks->rank()) + " is done\n" << std::flush;
    return 0;
  } catch (const Error& error) {
    code = error.code();
    message = error.what();
  }
  const bool printed = code != ExitCode::peer && ranks->announce_failure(code, message);
  if (!printed) {
    std::cerr << "ssa_dist_ranks: rank " + std::to_string(ranks->rank()) + ": error: " + message +
                     "\n"
              << std::flush;
  }
  ranks->abort(code);
}

}  // namespace
}  // namespace ssa::testing

int main(int count, char** words) {
  if (count < 2) return 2;
  return ssa::testing::run(words[1], count > 2 ? std::atoi(words[2]) : -1);
}
