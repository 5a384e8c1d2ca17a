// Receives any bytes as messages of a peer, and takes the reports in them.

#include "dist/message_stream.h"

#include <array>
#include <stdexcept>

#include <sys/socket.h>

#include "dist/peer_report.h"
#include "dist/roll_book.h"
#include "fuzz/frames.h"
#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;
using namespace ssa::dist;

namespace {

constexpr int kRanks = 4;

struct Connection {
  MessageStream here, there;
};

Connection make_connection() {
  std::array<int, 2> ends{};
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) == 0, "sockets");
  Connection connection{MessageStream(Descriptor(ends[0])), MessageStream(Descriptor(ends[1]))};
  connection.here.set_limit(MessageStream::kRankBytes);
  connection.there.set_limit(MessageStream::kRankBytes);
  return connection;
}

std::string cbor(const nlohmann::json& message) {
  std::string bytes;
  nlohmann::json::to_cbor(message, bytes);
  return bytes;
}

void check_round_trip(const nlohmann::json& message) {
  Connection connection = make_connection();
  connection.here.put(message);
  std::optional<nlohmann::json> again;
  while (!again) {
    connection.here.send();
    require(connection.there.receive(), "the connection is open");
    again = connection.there.take();
  }
  require(cbor(*again) == cbor(message), "a message survives a round trip");
}

void read_report(const nlohmann::json& message) {
  const auto read = [&] { return report_in(message); };
  const auto report =
      parsed<nlohmann::json::exception>([&] { return parsed<std::runtime_error>(read); });
  if (!report || !*report) return;
  RollBook book(kRanks);
  book.copy(1, **report);
  describe_peers(book.reports(), 0, 7);
  const nlohmann::json told = to_message(book[1]);
  require(cbor(to_message(report_in(told))) == cbor(told), "a report survives a round trip");
}

void take_all(MessageStream& stream) {
  while (const auto message = stream.take()) {
    check_round_trip(*message);
    read_report(*message);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string sent = sent_by_peer(text_of(data, size));
  Connection connection = make_connection();
  const int peer = connection.there.socket().number();
  accepted<std::runtime_error>([&] {
    size_t at = 0;
    do {
      const ssize_t done = ::send(peer, sent.data() + at, sent.size() - at, MSG_NOSIGNAL);
      if (done > 0) at += static_cast<size_t>(done);
      if (at == sent.size()) ::shutdown(peer, SHUT_WR);
      take_all(connection.here);
    } while (connection.here.receive());
    take_all(connection.here);
  });
  return 0;
}
