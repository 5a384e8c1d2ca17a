#include "dist/peer_report.h"

#include <fmt/format.h>

namespace ssa::dist {

namespace {

constexpr double kSilent = 2;  // seconds; reports come every second
constexpr size_t kMostNamed = 8;

std::string place(const Position& position) {
  return position.step < 0 ? fmt::format("at {}", position.what)
                           : fmt::format("in step {}, at {}", position.step, position.what);
}

/// Why a rank died; empty if it lives, or if it ended because of another rank.
std::string death(const PeerReport& report) {
  if (report.failed) {
    return *report.failed == ExitCode::peer ? "" : fmt::format("failed: {}", report.failure);
  }
  return report.gone ? "is gone: its process has died" : "";
}

/// Why a living rank does not join the collective; empty if it is as far as this rank.
std::string delay(const PeerReport& report, int64_t collectives) {
  if (report.failed || report.gone) return "";
  if (!report.joined) return "never joined";
  const int64_t behind = collectives - report.position.collectives;
  if (report.left) return behind > 0 ? "has ended already" : "";
  if (report.silent_seconds >= kSilent) {
    return fmt::format("has been silent for {:.0f} s: stopped, or its machine cannot be reached",
                       report.silent_seconds);
  }
  if (behind <= 0) return "";
  if (report.position.collectives == 0) return "has not come to any collective";
  return fmt::format("is {} collective{} behind ({})", behind, behind == 1 ? "" : "s",
                     place(report.position));
}

/// "rank 1 …; rank 3 …" of all other ranks for which `describe` has words.
template <class Describe>
std::string list(const std::vector<PeerReport>& reports, int own_rank, const Describe& describe) {
  std::vector<std::string> named;
  size_t more = 0;
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    const std::string text =
        static_cast<int>(rank) == own_rank ? std::string() : describe(reports[rank]);
    if (text.empty()) continue;
    if (named.size() < kMostNamed) {
      named.push_back(fmt::format("rank {} {}", rank, text));
    } else {
      ++more;
    }
  }
  if (more > 0) named.push_back(fmt::format("and {} ranks more", more));
  return fmt::format("{}", fmt::join(named, "; "));
}

}  // namespace

std::string describe_peers(const std::vector<PeerReport>& reports, int own_rank,
                           int64_t collectives) {
  const std::string deaths = list(reports, own_rank, death);
  if (!deaths.empty()) return deaths;
  // All reports come through rank 0: while it is silent, the others are out of date.
  const bool rank_0_silent = own_rank != 0 && reports.front().silent_seconds >= kSilent;
  const std::string delays =
      list(rank_0_silent ? std::vector<PeerReport>{reports.front()} : reports, own_rank,
           [&](const PeerReport& report) { return delay(report, collectives); });
  if (!delays.empty()) return delays;
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    if (static_cast<int>(rank) == own_rank || !reports[rank].failed) continue;
    return fmt::format("rank {} gave up: {}", rank, reports[rank].failure);
  }
  return "";
}

}  // namespace ssa::dist
