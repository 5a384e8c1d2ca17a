#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dist/roll_call.h"
#include "dist/transport.h"

namespace ssa::testing {

/// What a fake transport does, and what became of it. The functions are called on the progress
/// thread.
struct TransportScript {
  int rank = 0, size = 3;
  std::function<void(const dist::Request&)> start = [](const dist::Request&) {};
  std::function<bool(const dist::Request&)> poll = [](const dist::Request&) { return true; };

  /// Thread-safe notes: "start 3", "poll 3", "idle", "shut down", "destroyed". A request is known
  /// by its count.
  void note(const std::string& event);
  std::vector<std::string> events() const;
  int count(const std::string& event) const;
  /// Waits, for 30 seconds at most.
  bool comes(const std::string& event) const;
  /// On which threads all that happened.
  std::vector<std::thread::id> threads() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> events_;
  std::vector<std::thread::id> threads_;
};

std::unique_ptr<dist::Transport> fake_transport(const std::shared_ptr<TransportScript>& script);

/// Says what it is told to.
class FakeRollCall final : public dist::RollCall {
 public:
  explicit FakeRollCall(int size) : reports_(static_cast<size_t>(size)) {
    for (dist::PeerReport& report : reports_) report.joined = true;
  }

  /// From here on, `rank` is as `change` makes it; `news`: the others are told.
  void set(int rank, const std::function<void(dist::PeerReport&)>& change, bool news = false);
  std::vector<std::string> announced() const;
  dist::Position position() const;
  bool said_goodbye() const;
  /// Whether somebody has asked for bad news, and got some.
  bool has_told_news() const;

  int port() const override { return 0; }
  void set_position(const dist::Position& position) override;
  std::vector<dist::PeerReport> ask(std::chrono::duration<double> patience) override;
  std::optional<int> bad_news(dist::PeerReport* report) override;
  void announce(ExitCode code, const std::string& message) noexcept override;
  void shut_down() noexcept override;
  void set(const std::string&, const std::string&) override {}
  std::string get(const std::string&, std::chrono::duration<double>) override { return ""; }

 private:
  mutable std::mutex mutex_;
  std::vector<dist::PeerReport> reports_;
  std::optional<int> news_;
  std::vector<std::string> announced_;
  dist::Position position_;
  bool goodbye_ = false;
  bool told_ = false;
};

}  // namespace ssa::testing
