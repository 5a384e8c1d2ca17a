#include <thread>

#include <catch2/catch.hpp>
#include <poll.h>
#include <sys/resource.h>

#include "ssa/dist/communicator.h"

#include "dist/message_stream.h"
#include "dist/roll_call_ranks.h"
#include "dist/sockets.h"

namespace ssa::dist {
namespace {

using Catch::Contains;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::joined;
using testing::within;

Descriptor connection_to(int port) {
  std::string why;
  Descriptor result =
      connect_to(resolve("127.0.0.1", port, &why).at(0), deadline_in(seconds(10)), &why);
  INFO(why);
  REQUIRE(result);
  return result;
}

/// Whether the other side closes the connection; what it says before is thrown away.
bool hangs_up(const Descriptor& socket) {
  char byte = 0;
  return within(20, [&] {
    const ssize_t got = ::recv(socket.number(), &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
  });
}

std::string framed(const std::string& bytes, size_t length) {
  std::string result;
  for (int i = 0; i < 4; ++i) result += static_cast<char>(length >> (8 * i));
  return result + bytes;
}

std::string framed(const nlohmann::json& message) {
  std::string bytes;
  nlohmann::json::to_cbor(message, bytes);
  return framed(bytes, bytes.size());
}

const nlohmann::json kHello = {{"kind", "hello"}, {"magic", "ssa roll call"},
                               {"version", 1},    {"size", 2},
                               {"rank", 1},       {"token", ""}};

std::string hello_with(const std::string& key, const nlohmann::json& value) {
  nlohmann::json hello = kHello;
  hello[key] = value;
  return framed(hello);
}

TEST_CASE("Strangers are dropped and do no harm", "[dist][roll_call]") {
  const auto rank0 = RollCall::serve(2, 0);
  const std::vector<std::string> rubbish = {
      "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
      std::string(100000, '\xff'),
      framed(std::string(50, '\x9f'), 50),  // arrays that do not end
      framed(std::string(4000, '\x81'), 4000),
      framed("", 0),
      framed(std::string(5000, 'x'), 5000),
      framed(nlohmann::json::array({1, 2})),
      framed({{"kind", "hello"}}),
      framed({{"kind", "position"}}),
      framed({{"kind", "set"}, {"key", "a"}, {"value", "b"}}),
      hello_with("magic", "another program"),
      hello_with("rank", "one"),
      hello_with("rank", -1),
      hello_with("rank", 2),
      hello_with("rank", int64_t{1} << 32),
      hello_with("version", 99),
  };
  for (const std::string& bytes : rubbish) {
    const Descriptor socket = connection_to(rank0->port());
    ::send(socket.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    INFO(bytes.substr(0, 30));
    CHECK(hangs_up(socket));
  }
  const Descriptor silent = connection_to(rank0->port());
  const Descriptor half = connection_to(rank0->port());
  ::send(half.number(), "\x10", 1, MSG_NOSIGNAL);
  { const Descriptor short_visit = connection_to(rank0->port()); }

  const auto rank1 = joined(1, 2, rank0->port());
  CHECK(rank1->ask(seconds(3))[0].joined);
  PeerReport report;
  CHECK_FALSE(rank0->bad_news(&report));
  CHECK_THROWS_AS(rank0->get("a", milliseconds(1)), PeerError);
  CHECK(hangs_up(silent));  // after a few seconds
  CHECK(hangs_up(half));
}

TEST_CASE("A thousand silent connections do not keep a rank from joining", "[dist][roll_call]") {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4096);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const auto rank0 = RollCall::serve(2, 0);
  std::vector<Descriptor> silent;
  for (int i = 0; i < 1000; ++i) silent.push_back(connection_to(rank0->port()));
  const auto rank1 = RollCall::join(1, 2, {"127.0.0.1"}, rank0->port(), seconds(20));
  CHECK(rank1->ask(seconds(3))[0].joined);
}

TEST_CASE("A rank that talks nonsense is taken for dead", "[dist][roll_call]") {
  const auto rank0 = RollCall::serve(2, 0);
  const Descriptor socket = connection_to(rank0->port());
  const std::string hello = framed(kHello);
  const std::string nonsense = GENERATE(framed({{"kind", "position"}}),
                                        framed(std::string(1 << 20, '\x81'), 1 << 20));  // [[[[…
  ::send(socket.number(), hello.data(), hello.size(), MSG_NOSIGNAL);
  CHECK(within(10, [&] { return rank0->ask(seconds(0))[1].joined; }));
  size_t sent = 0;
  PeerReport report;
  CHECK(within(10, [&] {
    const ssize_t now =
        ::send(socket.number(), nonsense.data() + sent, nonsense.size() - sent, MSG_NOSIGNAL);
    if (now > 0) sent += static_cast<size_t>(now);
    return rank0->bad_news(&report) == 1;
  }));
  CHECK(report.gone);
}

TEST_CASE("Rank 0 says why it turns somebody away", "[dist][roll_call]") {
  const auto rank0 = RollCall::serve(3, 0, "secret");
  const auto rank1 = joined(1, 3, rank0->port(), "secret");
  const auto refusal = [&](int rank, int size, const std::string& token) {
    try {
      RollCall::join(rank, size, {"127.0.0.1"}, rank0->port(), milliseconds(700), token);
    } catch (const PeerError& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  CHECK_THAT(refusal(2, 3, "guess"), Contains("another job") && Contains("127.0.0.1") &&
                                         Contains(std::to_string(rank0->port())));
  CHECK_THAT(refusal(2, 4, "secret"), Contains("3 ranks, not 4"));
  CHECK_THAT(refusal(1, 3, "secret"), Contains("another rank 1"));
  CHECK_THAT(refusal(3, 3, "secret"), Contains("no place for a rank 3"));
  CHECK(refusal(2, 3, "secret") == "none");
}

TEST_CASE("Tokens are not the same twice", "[dist][roll_call]") {
  CHECK(RollCall::random_token().size() == 32);
  CHECK(RollCall::random_token() != RollCall::random_token());
}

TEST_CASE("Joining tells what became of every address", "[dist][roll_call]") {
  const Descriptor mute = listen_on(0);
  CHECK_THROWS_WITH(
      RollCall::join(4, 8, {"127.0.0.1", "no-such-host.invalid"}, port_of(mute), milliseconds(200)),
      Contains("rank 4 of 8") && Contains("127.0.0.1: something accepts there, but") &&
          Contains("no-such-host.invalid: ") && Contains(std::to_string(port_of(mute))));
  int port = 0;
  { port = port_of(listen_on(0)); }
  CHECK_THROWS_WITH(RollCall::join(1, 2, {"127.0.0.1"}, port, milliseconds(200)),
                    Contains("refused"));
}

TEST_CASE("Rank 0 may be at any of the addresses, and come last", "[dist][roll_call]") {
  int port = 0;
  { port = port_of(listen_on(0)); }
  const auto join_by = [&](const std::vector<std::string>& addresses) {
    std::unique_ptr<RollCall> rank0, rank1;
    std::thread joining([&] { rank1 = RollCall::join(1, 2, addresses, port, seconds(30)); });
    std::this_thread::sleep_for(milliseconds(150));
    rank0 = RollCall::serve(2, port);
    joining.join();
    CHECK(rank1->ask(seconds(3))[0].joined);
  };
  join_by({"localhost"});
  join_by({"no-such-host.invalid", "127.0.0.1"});
  join_by(RollCall::own_addresses());
}

TEST_CASE("Rank 0 answers on IPv6 where there is any", "[dist][roll_call]") {
  const std::vector<std::string> own = RollCall::own_addresses();
  REQUIRE_FALSE(own.empty());
  CHECK((own.back() == "127.0.0.1" || own.back() == "::1"));
  if (own.back() != "::1") return;
  const auto rank0 = RollCall::serve(2, 0);
  CHECK(joined(1, 2, rank0->port(), "", "::1")->ask(seconds(3))[0].joined);
}

TEST_CASE("A port in use is an error that names the variable to change", "[dist][roll_call]") {
  const auto other = RollCall::serve(2, 0);
  CHECK_THROWS_WITH(RollCall::serve(2, other->port()),
                    Contains("MASTER_PORT") && Contains(std::to_string(other->port())));
}

TEST_CASE("Other machines are told loopback only by a machine that has nothing else",
          "[dist][roll_call]") {
  const std::string own = RollCall::own_addresses().front();
  for (const std::string host : {"localhost", "127.0.0.1", "no-such-host.invalid"}) {
    INFO(host);
    CHECK(own_address_towards(host, 1) == own);
  }
}

}  // namespace
}  // namespace ssa::dist
