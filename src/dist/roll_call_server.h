#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "dist/message_stream.h"
#include "dist/roll_book.h"

namespace ssa::dist {

/// The roll call on rank 0: one thread serves all connections.
class RollCallServer final : public RollCall {
 public:
  RollCallServer(int size, int port, std::string token);
  ~RollCallServer() override;

  int port() const override { return port_of(listening_); }
  void set_position(const Position& position) override;
  std::vector<PeerReport> ask(std::chrono::duration<double> patience) override;
  std::optional<int> bad_news(PeerReport* report) override;
  void announce(ExitCode code, const std::string& message) noexcept override;
  void shut_down() noexcept override;
  void set(const std::string& key, const std::string& value) override;
  std::string get(const std::string& key, std::chrono::duration<double> timeout) override;

 private:
  /// A connection.
  struct Guest {
    explicit Guest(Descriptor socket) : stream(std::move(socket)) {}
    MessageStream stream;
    Clock::time_point since = Clock::now();
    int rank = -1;                  ///< -1: a stranger, before its hello
    std::set<std::string> awaited;  ///< keys that it waits for
  };

  void run();
  /// These want the lock.
  void accept_guests();
  void make_room_for_stranger();
  void drop_silent_strangers();
  bool exchange(Guest& guest);
  void lose(const Guest& guest);
  bool welcome(Guest& guest, const nlohmann::json& hello);
  void handle(Guest& guest, const nlohmann::json& message);
  void answer(Guest& guest, const nlohmann::json& question);
  void put(Guest& guest, const nlohmann::json& message);
  void store(const std::string& key, const std::string& value);
  /// Sends all ranks what the book knows of this rank.
  void tell(int rank);
  void wait_until_sent(std::unique_lock<std::mutex>& lock);

  const int size_;
  const std::string token_;
  Descriptor listening_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  RollBook book_;
  int told_ = 0;                   ///< failures sent so far
  std::string table_;              ///< CBOR of all reports; empty: out of date
  Clock::time_point table_since_;  ///< when the table was made
  std::map<std::string, std::string> values_;
  std::map<int, Guest> guests_;                  ///< by the numbers of their sockets
  Clock::time_point look_again_ = Clock::now();  ///< at the strangers
  WakeUp wake_up_;
  Watch watch_;
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace ssa::dist
