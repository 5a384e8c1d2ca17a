#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "ssa/dist/communicator.h"

#include "dist/roll_call.h"
#include "dist/sockets.h"

namespace ssa::dist {

/// What one participant of the roll call knows of all ranks.
class RollBook {
 public:
  explicit RollBook(int size);

  const PeerReport& operator[](int rank) const { return entry(rank).report; }

  /// The rank has said something just now.
  void hear(int rank);
  void set_position(int rank, const Position& position) { entry(rank).report.position = position; }
  void leave(int rank) { entry(rank).report.left = true; }
  /// These two are true if that is news: a rank fails once, and one that has left is not missed.
  bool fail(int rank, ExitCode code, const std::string& message);
  bool lose(int rank);
  /// What another participant knows.
  void copy(int rank, const PeerReport& report);

  /// The first one but `except` that failed or went.
  std::optional<int> first_bad(int except) const;
  std::vector<PeerReport> reports() const;
  PeerReport report(int rank) const;

 private:
  struct Entry {
    PeerReport report;
    Clock::time_point heard = Clock::now();
  };
  Entry& entry(int rank) { return entries_.at(static_cast<size_t>(rank)); }
  const Entry& entry(int rank) const { return entries_.at(static_cast<size_t>(rank)); }
  void note_bad(int rank);

  std::vector<Entry> entries_;
  std::vector<int> bad_;  ///< as they became known
};

/// Of one that failed or went: "rank 3 has failed: …".
std::string fate_of(int rank, const PeerReport& report);

/// Of the store: throws ShapeError if the value is too long for a message.
void check_value(const std::string& key, const std::string& value);
/// Why get() of `rank` has no value to return.
PeerError missing_value(int rank, const std::string& key, std::chrono::duration<double> timeout,
                        const RollBook& book);

nlohmann::json to_message(const Position& position);
nlohmann::json to_message(const PeerReport& report);
/// Throw nlohmann::json::exception.
Position position_in(const nlohmann::json& message);
PeerReport report_in(const nlohmann::json& message);

}  // namespace ssa::dist
