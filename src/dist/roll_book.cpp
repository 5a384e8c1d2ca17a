#include "dist/roll_book.h"

#include <algorithm>

#include "dist/cbor.h"

namespace ssa::dist {

using nlohmann::json;

namespace {

// A table of thousands of ranks, all failing, stays below MessageStream::kRankBytes.
constexpr size_t kWhatBytes = 200, kFailureBytes = 2000;
constexpr size_t kValueBytes = size_t{1} << 20;

}  // namespace

RollBook::RollBook(int size) : entries_(static_cast<size_t>(size)) {}

void RollBook::hear(int rank) {
  entry(rank).report.joined = true;
  entry(rank).heard = Clock::now();
}

bool RollBook::fail(int rank, ExitCode code, const std::string& message) {
  PeerReport& report = entry(rank).report;
  if (report.failed) return false;
  report.failed = code;
  report.failure = message.substr(0, kFailureBytes);
  note_bad(rank);
  return true;
}

bool RollBook::lose(int rank) {
  PeerReport& report = entry(rank).report;
  if (report.left || report.gone) return false;
  report.gone = true;
  note_bad(rank);
  return true;
}

void RollBook::copy(int rank, const PeerReport& report) {
  entry(rank).report = report;
  entry(rank).heard = deadline_in(std::chrono::duration<double>(-report.silent_seconds));
  if (report.failed || report.gone) note_bad(rank);
}

void RollBook::note_bad(int rank) {
  if (std::find(bad_.begin(), bad_.end(), rank) == bad_.end()) bad_.push_back(rank);
}

std::optional<int> RollBook::first_bad(int except) const {
  const auto found = std::find_if(bad_.begin(), bad_.end(), [&](int r) { return r != except; });
  return found == bad_.end() ? std::nullopt : std::optional<int>(*found);
}

PeerReport RollBook::report(int rank) const {
  PeerReport result = entry(rank).report;
  result.silent_seconds = std::chrono::duration<double>(Clock::now() - entry(rank).heard).count();
  return result;
}

std::vector<PeerReport> RollBook::reports() const {
  std::vector<PeerReport> result;
  for (int rank = 0; rank < static_cast<int>(entries_.size()); ++rank) {
    result.push_back(report(rank));
  }
  return result;
}

std::string fate_of(int rank, const PeerReport& report) {
  if (report.failed) return fmt::format("rank {} has failed: {}", rank, report.failure);
  return fmt::format("rank {} is gone: its process has died, or its machine", rank);
}

void check_value(const std::string& key, const std::string& value) {
  SSA_CHECK(value.size() <= kValueBytes, "roll call: {} has {} bytes, more than {}", key,
            value.size(), kValueBytes);
}

PeerError missing_value(int rank, const std::string& key, std::chrono::duration<double> timeout,
                        const RollBook& book) {
  if (const std::optional<int> bad = book.first_bad(rank)) {
    return PeerError("rank {} waits for {}, but {}", rank, key, fate_of(*bad, book[*bad]));
  }
  if (book[0].left) return PeerError("rank {} waits for {}, but rank 0 has left", rank, key);
  return PeerError("rank {} waited for {} for {:g} s, and nobody has told it", rank, key,
                   timeout.count());
}

json to_message(const Position& position) {
  return {{"collectives", position.collectives},
          {"step", position.step},
          {"what", position.what.substr(0, kWhatBytes)}};
}

Position position_in(const json& message) {
  return {whole_number<int64_t>(message.at("collectives")),
          whole_number<int64_t>(message.at("step")), message.at("what")};
}

json to_message(const PeerReport& report) {
  json message = {{"joined", report.joined},
                  {"gone", report.gone},
                  {"left", report.left},
                  {"silent", report.silent_seconds},
                  {"position", to_message(report.position)}};
  if (report.failed) {
    message["failed"] = static_cast<int>(*report.failed);
    message["failure"] = report.failure;
  }
  return message;
}

PeerReport report_in(const json& message) {
  PeerReport report;
  report.joined = message.at("joined");
  report.gone = message.at("gone");
  report.left = message.at("left");
  report.silent_seconds = message.at("silent");
  report.position = position_in(message.at("position"));
  if (message.contains("failed")) {
    report.failed = static_cast<ExitCode>(whole_number<int>(message.at("failed")));
    report.failure = message.at("failure");
  }
  return report;
}

}  // namespace ssa::dist
