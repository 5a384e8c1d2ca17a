#include "dist/gloo_transport.h"

#include <csignal>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/store.h>
#include <gloo/transport/tcp/device.h>

#include "dist/gloo_exchange.h"
#include "dist/leave_process.h"

namespace ssa::dist {

namespace {

using Seconds = std::chrono::duration<double>;

constexpr Seconds kParting{5};  // that saying goodbye may take
constexpr Seconds kNews{1};     // until the roll call knows what broke a connection

/// Gloo's message without the file and line of its source.
std::string message_of(const std::exception& error) {
  const std::string text = error.what();
  const size_t end = text.find("] ");
  return text.starts_with('[') && end != std::string::npos ? text.substr(end + 2) : text;
}

/// The store by which ranks exchange their addresses.
class RollCallStore final : public gloo::rendezvous::Store {
 public:
  RollCallStore(RollCall& roll_call, Seconds timeout) : roll_call_(roll_call), timeout_(timeout) {}

  void set(const std::string& key, const std::vector<char>& data) override {
    roll_call_.set(name_of(key), std::string(data.begin(), data.end()));
  }
  std::vector<char> get(const std::string& key) override {
    const std::string data = roll_call_.get(name_of(key), timeout_);
    return {data.begin(), data.end()};
  }
  void wait(const std::vector<std::string>& keys) override {
    for (const std::string& key : keys) get(key);
  }
  using Store::wait;

 private:
  static std::string name_of(const std::string& key) { return "Gloo's address of rank " + key; }

  RollCall& roll_call_;
  Seconds timeout_;
};

/// Blocks SIGPIPE, because Gloo writes to connections that other ranks may have closed.
void block_broken_pipes() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

class Finished final : public Transport::Running {
  bool poll() override { return true; }
};

class GlooTransport final : public Transport {
 public:
  GlooTransport(const LaunchInfo& launch, RollCall& roll_call, Seconds timeout)
      : launch_(launch), roll_call_(roll_call) {
    block_broken_pipes();  // in this thread, and Gloo's, which inherits it
    const bool one_machine = launch.local_size == launch.size;
    address_ =
        one_machine ? "127.0.0.1" : own_address_towards(launch.master_address, launch.master_port);
    try {
      gloo::transport::tcp::attr interface(address_.c_str());
      auto device = gloo::transport::tcp::CreateDevice(interface);
      auto context = std::make_shared<gloo::rendezvous::Context>(launch.rank, launch.size);
      // Gloo allows a connection five times as long.
      context->setTimeout(std::chrono::ceil<std::chrono::milliseconds>(timeout / 5));
      RollCallStore store(roll_call, timeout);
      context->connectFullMesh(store, device);
      context_ = std::move(context);
    } catch (const PeerError&) {
      throw;
    } catch (const std::exception& error) {
      throw PeerError("rank {} of {} cannot connect to the others from {}: {}", launch.rank,
                      launch.size, address_, message_of(error));
    }
  }

  int rank() const override { return launch_.rank; }
  int size() const override { return launch_.size; }
  int local_rank() const override { return launch_.local_rank; }
  int local_size() const override { return launch_.local_size; }
  std::string description() const override { return "Gloo (TCP, " + address_ + ")"; }

  std::unique_ptr<Running> start(const Request& request, Seconds timeout) override {
    const Clock::time_point deadline = deadline_in(timeout);
    try {
      GlooExchange(*context_, request, &memory_, deadline).run();
    } catch (const std::exception& error) {
      wait_for_news(std::min(deadline, deadline_in(kNews)));
      throw std::runtime_error(message_of(error));
    }
    return std::make_unique<Finished>();
  }

  /// The first rank to leave must not break a collective that others are still in.
  void shut_down() override try {
    std::vector<float> places(static_cast<size_t>(size()));
    const CollectiveBuffer buffer{places.data(), size(), DType::f32};
    GlooExchange(*context_, {Request::Kind::all_gather, buffer}, &memory_, deadline_in(kParting))
        .run();
  } catch (const std::exception&) {  // the other ranks have ended already
  }

  [[noreturn]] void abort(ExitCode code) override { leave_process(code); }

 private:
  /// Waits until the roll call knows which rank died: its connections break in any order.
  void wait_for_news(Clock::time_point deadline) {
    PeerReport report;
    while (!roll_call_.bad_news(&report) && Clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  const LaunchInfo launch_;
  RollCall& roll_call_;
  std::string address_;
  std::shared_ptr<gloo::Context> context_;
  std::vector<std::byte> memory_;
};

}  // namespace

std::unique_ptr<Transport> make_gloo_transport(const LaunchInfo& launch, RollCall& roll_call,
                                               std::chrono::duration<double> timeout) {
  return std::make_unique<GlooTransport>(launch, roll_call, timeout);
}

}  // namespace ssa::dist
