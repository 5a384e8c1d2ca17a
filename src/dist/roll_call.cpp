#include "dist/roll_call.h"

#include <algorithm>
#include <random>
#include <thread>

#include <poll.h>

#include "ssa/dist/communicator.h"

#include "dist/roll_call_client.h"
#include "dist/roll_call_protocol.h"
#include "dist/roll_call_server.h"

namespace ssa::dist {

using nlohmann::json;

namespace {

constexpr std::chrono::seconds kConnecting{2};    ///< to one address
constexpr std::chrono::milliseconds kPause{100};  ///< between rounds through all of them

/// The result of an attempt to find rank 0.
struct Attempt {
  std::optional<MessageStream> stream;
  std::string failure;    ///< there is none
  bool for_good = false;  ///< rank 0 says that it will not do
};

Attempt failed(const std::string& failure) { return {std::nullopt, failure, false}; }

Attempt shake_hands(Descriptor socket, const json& hello, Clock::time_point deadline) {
  MessageStream stream(std::move(socket));
  stream.put(hello);
  stream.send();
  while (wait_for(stream.socket(), POLLIN, deadline)) {
    const bool open = stream.receive();
    try {
      const std::optional<json> answer = stream.take();
      if (answer && answer->at("kind") == "welcome" && answer->at("magic") == protocol::kMagic) {
        return {std::move(stream), "", false};
      }
      if (answer && answer->at("kind") == "refused") {
        return {std::nullopt, "rank 0 refuses: " + answer->at("reason").get<std::string>(),
                answer->at("for_good")};
      }
    } catch (const std::exception&) {
      return failed("something else answers there");
    }
    if (!open) return failed("something hangs up there");
  }
  return failed("something accepts there, but does not answer");
}

Attempt attempt(const std::string& address, int port, const json& hello,
                Clock::time_point deadline) {
  std::string why;
  for (const Endpoint& endpoint : resolve(address, port, &why)) {
    Descriptor socket = connect_to(endpoint, std::min(deadline, Clock::now() + kConnecting), &why);
    if (!socket) continue;
    const auto until = std::min(deadline, Clock::now() + protocol::kHandshake);
    Attempt result = shake_hands(std::move(socket), hello, until);
    if (result.stream || result.for_good) return result;
    why = result.failure;
  }
  return failed(why);
}

}  // namespace

std::unique_ptr<RollCall> RollCall::serve(int size, int port, const std::string& token) {
  return std::make_unique<RollCallServer>(size, port, token);
}

std::unique_ptr<RollCall> RollCall::join(int rank, int size,
                                         const std::vector<std::string>& addresses, int port,
                                         std::chrono::duration<double> timeout,
                                         const std::string& token) {
  const json hello = {{"kind", "hello"},
                      {"magic", protocol::kMagic},
                      {"version", protocol::kVersion},
                      {"size", size},
                      {"rank", rank},
                      {"token", token}};
  const Clock::time_point deadline = deadline_in(timeout);
  // A refusal may come from rank 0 of another job that is just ending on the same port.
  Clock::time_point refused_until = Clock::now() + protocol::kHandshake;
  for (;;) {
    std::string failures;
    bool for_good = false;
    for (const std::string& address : addresses) {
      Attempt result = attempt(address, port, hello, deadline);
      if (result.stream) {
        return std::make_unique<RollCallClient>(rank, size, port, std::move(*result.stream));
      }
      failures += fmt::format("{}{}: {}", failures.empty() ? "" : "; ", address, result.failure);
      for_good = for_good || result.for_good;
    }
    if (!for_good) refused_until = Clock::now() + protocol::kHandshake;
    // Another round needs time for answers; otherwise its result would hide this round's.
    if (Clock::now() + 2 * kPause >= std::min(deadline, refused_until)) {
      throw PeerError(
          "rank {} of {} found no rank 0 on port {} ({}). Is rank 0 running, and does no firewall "
          "stand between?",
          rank, size, port, failures);
    }
    std::this_thread::sleep_for(kPause);
  }
}

std::string RollCall::random_token() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

std::vector<std::string> RollCall::own_addresses() {
  std::vector<std::string> result;
  for (const Endpoint& endpoint : own_interfaces()) result.push_back(endpoint.number());
  return result;
}

}  // namespace ssa::dist
