#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "dist/message_stream.h"
#include "dist/roll_book.h"

namespace ssa::dist {

/// The roll call on all ranks but rank 0. Its thread reports to rank 0 once per second and receives
/// rank 0's messages. The functions hand messages to that thread and wait for answers.
class RollCallClient final : public RollCall {
 public:
  /// `stream`: rank 0 has said welcome on it.
  RollCallClient(int rank, int size, int port, MessageStream stream);
  ~RollCallClient() override;

  int port() const override { return port_; }
  void set_position(const Position& position) override;
  std::vector<PeerReport> ask(std::chrono::duration<double> patience) override;
  std::optional<int> bad_news(PeerReport* report) override;
  void announce(ExitCode code, const std::string& message) noexcept override;
  void shut_down() noexcept override;
  void set(const std::string& key, const std::string& value) override;
  std::string get(const std::string& key, std::chrono::duration<double> timeout) override;

 private:
  void run();
  /// These want the lock.
  void report_position();
  bool exchange();
  void handle(const nlohmann::json& message);
  void put(const nlohmann::json& message);
  /// Sends a message, and waits a moment for rank 0 to receive it.
  void put_last_words(std::unique_lock<std::mutex>& lock, const nlohmann::json& message);

  const int rank_, port_;
  std::mutex mutex_;
  std::condition_variable changed_;
  MessageStream stream_;
  RollBook book_;
  bool connected_ = true, stopping_ = false;
  std::set<std::string> heard_;           ///< kinds of messages that rank 0 has heard
  int64_t questions_ = 0, answered_ = 0;  ///< asked so far; number of the last one answered
  std::map<std::string, std::string> values_;
  WakeUp wake_up_;
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace ssa::dist
