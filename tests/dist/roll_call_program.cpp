// A rank of a roll call as a process of its own, for tests that kill it:
//   ssa_roll_call_rank RANK SIZE PORT wait|fail
// Prints its port when it has joined. `wait` goes on until it is killed; `fail` announces a failure
// when the key "fail" is set, and ends without a goodbye.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "dist/roll_call.h"

int main(int count, char** words) {
  using ssa::dist::RollCall;
  if (count != 5) return 2;
  const int rank = std::atoi(words[1]), size = std::atoi(words[2]), port = std::atoi(words[3]);
  const auto timeout = std::chrono::seconds(30);
  const auto roll_call = rank == 0 ? RollCall::serve(size, port)
                                   : RollCall::join(rank, size, {"127.0.0.1"}, port, timeout);
  std::printf("%d\n", roll_call->port());
  std::fflush(stdout);
  if (words[4] == std::string("fail")) {
    roll_call->get("fail", timeout);
    roll_call->announce(ssa::ExitCode::data, "the program was told to fail");
    std::_Exit(3);
  }
  std::this_thread::sleep_for(std::chrono::minutes(5));
}
