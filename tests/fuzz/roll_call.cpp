// Sends any bytes to rank 0's side of the roll call, and to another rank's. The peer may say what
// it likes: neither side may end, hang, or lose the answers for others.

#include <array>

#include <poll.h>
#include <sys/socket.h>

#include "dist/peer_report.h"
#include "dist/roll_call_client.h"
#include "dist/roll_call_server.h"
#include "dist/sockets.h"
#include "fuzz/frames.h"
#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;
using namespace ssa::dist;

namespace {

constexpr int kRanks = 4;
constexpr std::chrono::seconds kPatience{10};

/// A connection to this machine. It is the engine's own, which libFuzzer's alarm does not disturb.
Descriptor connect_to_port(int port) {
  std::string why;
  const std::vector<Endpoint> here = resolve("127.0.0.1", port, &why);
  require(!here.empty(), "this machine has an address");
  Descriptor socket = connect_to(here.front(), deadline_in(kPatience), &why);
  require(static_cast<bool>(socket), "rank 0 listens");
  return socket;
}

/// Sends all, and says that nothing follows. The other side may hang up before.
void say(const Descriptor& socket, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t done =
        ::send(socket.number(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (done <= 0) break;
    at += static_cast<size_t>(done);
  }
  ::shutdown(socket.number(), SHUT_WR);
}

/// Reads until the other side hangs up, which it does when it has handled all.
void hear_out(const Descriptor& socket) {
  std::array<char, 4096> answers;
  ssize_t got = 1;
  while (got > 0) {
    require(wait_for(socket, POLLIN, deadline_in(kPatience)), "the connection is closed in time");
    got = ::recv(socket.number(), answers.data(), answers.size(), 0);
  }
}

void talk_to_rank_0(const std::string& bytes) {
  RollCallServer server(kRanks, 0, "token");
  const Descriptor socket = connect_to_port(server.port());
  say(socket, bytes);
  hear_out(socket);
  require(server.ask(kPatience).size() == kRanks, "rank 0 knows all ranks");
  describe_peers(server.ask(kPatience), 0, 7);
}

void talk_to_rank_1(const std::string& bytes) {
  std::array<int, 2> ends{};
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, "sockets");
  const Descriptor rank_0(ends[0]);
  RollCallClient client(1, kRanks, 0, MessageStream(Descriptor(ends[1])));
  say(rank_0, bytes);
  const std::vector<PeerReport> reports = client.ask(kPatience);
  require(reports.size() == kRanks, "rank 1 knows all ranks");
  describe_peers(reports, 1, 7);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes = sent_by_peer(text_of(data, size));
  talk_to_rank_0(bytes);
  talk_to_rank_1(bytes);
  return 0;
}
