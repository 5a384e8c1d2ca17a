#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ssa/core/error.h"

namespace ssa::dist {

/// Where a rank is, as it last said.
struct Position {
  int64_t collectives = 0;  ///< started so far: who is behind has the lowest number
  int64_t step = -1;
  std::string what;  ///< the last one started: "all_reduce of gradient bucket 3"

  bool operator==(const Position&) const = default;
};

/// What the roll call knows of a rank.
struct RankReport {
  bool joined = false;
  bool gone = false;          ///< its connection broke without a goodbye: the process has died
  bool left = false;          ///< said goodbye
  double silent_seconds = 0;  ///< since it was last heard of
  Position position;
  std::optional<ExitCode> failed;  ///< it announced a failure, with this code …
  std::string failure;             ///< … and message
};

/// Beside the collectives, a line of TCP from every rank to rank 0, on which each tells once a
/// second (and when asked) where it is. It lets a rank whose collective hangs say *which* other
/// rank is missing, lets a failing rank tell the others why, and notices a killed process at once
/// (its connection closes) and a stopped one soon (it falls silent). It carries no tensors, and a
/// job runs on without it: if it breaks, errors name less.
///
/// Also a small key-value store, by which ranks that no launcher connects find each other.
///
/// Every function may be called from any thread.
class RollCall {
 public:
  /// Rank 0: listens on `port` (0: any free one) of all interfaces, and takes part itself. Whoever
  /// does not know `token` is turned away. Throws ConfigError if it cannot listen there.
  static std::unique_ptr<RollCall> serve(int size, int port, const std::string& token = "");
  /// Others: connects to the first of `addresses` (names or numbers) where rank 0 of this job
  /// answers; it may start later. Throws PeerError naming the addresses and what became of each if
  /// none does within `timeout`, and sooner if rank 0 keeps refusing.
  static std::unique_ptr<RollCall> join(int rank, int size,
                                        const std::vector<std::string>& addresses, int port,
                                        std::chrono::duration<double> timeout,
                                        const std::string& token = "");
  /// For jobs whose launcher can carry it from rank 0 to the others.
  static std::string random_token();
  /// Closes the connection: a death, unless shut_down() was called before.
  virtual ~RollCall() = default;

  virtual int port() const = 0;
  /// For join(): the numbers of this machine's interfaces, loopback last.
  static std::vector<std::string> own_addresses();

  /// This rank's; sent with the next report. Cheap: called before every collective.
  virtual void set_position(const Position& position) = 0;
  /// Asks rank 0 now; waits for the answer at most `patience`, else what was last known. One entry
  /// a rank. If rank 0 does not answer, its entry says how long it has been silent.
  virtual std::vector<RankReport> ask(std::chrono::duration<double> patience) = 0;
  /// The first rank (not this one) that failed or went, in the order in which rank 0 noticed: the
  /// others may be its victims. None: nothing of the kind is known. Does not block: rank 0 tells
  /// such news to everyone unasked.
  virtual std::optional<int> bad_news(RankReport* report) = 0;
  /// Tells everyone that this rank fails; returns when rank 0 knows it, at most a second later.
  /// Never throws.
  virtual void announce(ExitCode code, const std::string& message) noexcept = 0;
  /// Says goodbye: from here on the closing of this rank's connection is no bad news. Waits at most
  /// a second for it to be sent.
  virtual void shut_down() noexcept = 0;

  /// Store: sets a key, once, to at most 1 MiB of any bytes. Throws PeerError if rank 0 is gone.
  virtual void set(const std::string& key, const std::string& value) = 0;
  /// Waits for a key to be set. Throws PeerError naming the key after `timeout`, and at once if a
  /// rank has failed or gone.
  virtual std::string get(const std::string& key, std::chrono::duration<double> timeout) = 0;
};

}  // namespace ssa::dist
