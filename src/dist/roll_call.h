#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ssa/core/error.h"

namespace ssa::dist {

/// How far a rank is, by its last report.
struct Position {
  int64_t collectives = 0;  ///< started so far; the rank that is behind has the lowest number
  int64_t step = -1;
  std::string what;  ///< the last collective started: "all_reduce of gradient bucket 3"

  bool operator==(const Position&) const = default;
};

/// The state of a rank, as far as the roll call knows it.
struct PeerReport {
  bool joined = false;
  bool gone = false;          ///< its connection broke without a goodbye: the process has died
  bool left = false;          ///< said goodbye
  double silent_seconds = 0;  ///< since its last message
  Position position;
  std::optional<ExitCode> failed;  ///< it announced a failure, with this code …
  std::string failure;             ///< … and message
};

/// A TCP connection from every rank to rank 0, beside the collectives. Each rank reports its
/// position once per second, and when asked. So a rank whose collective hangs can say *which* other
/// rank is missing, and a failing rank can tell the others why. A killed process is noticed at once
/// (its connection closes), a stopped one soon (it falls silent). The roll call carries no tensors.
/// A job runs on without it, and its errors then say less.
///
/// It also has a small key-value store, by which ranks find each other without a launcher.
///
/// Every function may be called from any thread.
class RollCall {
 public:
  /// Rank 0: listens on `port` (0: any free one) of all interfaces, and takes part itself. It
  /// turns away connections that do not know `token`. Throws ConfigError if it cannot listen there.
  static std::unique_ptr<RollCall> serve(int size, int port, const std::string& token = "");
  /// Other ranks: connects to the first of `addresses` (names or numbers) at which rank 0 of this
  /// job answers; rank 0 may start later. Throws PeerError naming the addresses and the result of
  /// each if none answers within `timeout`, and sooner if rank 0 keeps refusing.
  static std::unique_ptr<RollCall> join(int rank, int size,
                                        const std::vector<std::string>& addresses, int port,
                                        std::chrono::duration<double> timeout,
                                        const std::string& token = "");
  /// A token for jobs whose launcher can carry it from rank 0 to the other ranks.
  static std::string random_token();
  /// Closes the connection. The other ranks take that for a death unless shut_down() was called.
  virtual ~RollCall() = default;

  virtual int port() const = 0;
  /// For join(): the numbers of this machine's interfaces, loopback last.
  static std::vector<std::string> own_addresses();

  /// Sets this rank's position, for the next report. Cheap, since every collective calls it.
  virtual void set_position(const Position& position) = 0;
  /// Asks rank 0 for all reports, one per rank. Waits at most `patience` for the answer, and
  /// returns the last known reports without one; rank 0's then says how long it has been silent.
  virtual std::vector<PeerReport> ask(std::chrono::duration<double> patience) = 0;
  /// The first other rank that failed or died, in the order in which rank 0 noticed; later failures
  /// may be its consequences. None if no failure is known. Does not block: rank 0 sends such news
  /// to all ranks unasked.
  virtual std::optional<int> bad_news(PeerReport* report) = 0;
  /// Tells all ranks that this rank fails. Returns when rank 0 knows it, at most a second later.
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
