#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "dist/message_stream.h"
#include "dist/roll_book.h"

namespace ssa::dist {

/// The roll call as rank 0 holds it: a thread with one poll() over all connections.
class RollCallServer final : public RollCall {
 public:
  RollCallServer(int size, int port, std::string token);
  ~RollCallServer() override;

  int port() const override { return port_of(listening_); }
  void set_position(const Position& position) override;
  std::vector<RankReport> ask(std::chrono::duration<double> patience) override;
  std::optional<int> bad_news(RankReport* report) override;
  void announce(ExitCode code, const std::string& message) noexcept override;
  void shut_down() noexcept override;
  void set(const std::string& key, const std::string& value) override;
  std::string get(const std::string& key, std::chrono::duration<double> timeout) override;

 private:
  /// One that has connected.
  struct Guest {
    explicit Guest(Descriptor socket) : stream(std::move(socket)) {}
    MessageStream stream;
    Clock::time_point since = Clock::now();
    int rank = -1;                  ///< none yet: a stranger
    bool refused = false;           ///< to be dropped once it is told
    bool gone = false;              ///< to be dropped
    std::set<std::string> awaited;  ///< keys
  };

  void run();
  /// These want the lock.
  void exchange(Guest& guest);
  void drop_guests();
  void accept_guests();
  bool accepts_guests() const;
  void welcome(Guest& guest, const nlohmann::json& hello);
  void handle(Guest& guest, const nlohmann::json& message);
  void store(const std::string& key, const std::string& value);
  /// Tells everyone what the book says of this rank.
  void tell(int rank);
  void wait_until_sent(std::unique_lock<std::mutex>& lock);

  const int size_;
  const std::string token_;
  Descriptor listening_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  RollBook book_;
  int told_ = 0;  ///< news so far
  std::map<std::string, std::string> values_;
  std::vector<std::unique_ptr<Guest>> guests_;
  Clock::time_point accept_again_ = Clock::now();  ///< later, if descriptors have run out
  WakeUp wake_up_;
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace ssa::dist
