#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "ssa/dist/communicator.h"

#include "dist/roll_call.h"
#include "dist/sockets.h"

namespace ssa::dist {

/// The state of all ranks, as one participant of the roll call knows it.
class RollBook {
 public:
  explicit RollBook(int size);

  const PeerReport& operator[](int rank) const { return entry(rank).report; }

  /// Notes that a message from the rank has arrived.
  void hear(int rank);
  void set_position(int rank, const Position& position) { entry(rank).report.position = position; }
  void leave(int rank) { entry(rank).report.left = true; }
  /// These return whether it is news: a rank fails only once, and a rank that left is not missed.
  bool fail(int rank, ExitCode code, const std::string& message);
  bool lose(int rank);
  /// Takes over another participant's report.
  void copy(int rank, const PeerReport& report);

  /// The first rank, except `except`, that failed or died.
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
  std::vector<int> bad_;  ///< failed or dead ranks, in the order in which they became known
};

/// Describes a rank that failed or died: "rank 3 has failed: …".
std::string fate_of(int rank, const PeerReport& report);

/// For the store: throws ShapeError if the value is too long for a message.
void check_value(const std::string& key, const std::string& value);
/// The error of get() on `rank` if there is no value.
PeerError missing_value(int rank, const std::string& key, std::chrono::duration<double> timeout,
                        const RollBook& book);

nlohmann::json to_message(const Position& position);
nlohmann::json to_message(const PeerReport& report);
/// Throw nlohmann::json::exception or std::runtime_error.
Position position_in(const nlohmann::json& message);
PeerReport report_in(const nlohmann::json& message);

}  // namespace ssa::dist
