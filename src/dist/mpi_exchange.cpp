#include "dist/mpi_exchange.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "dist/rank_sum.h"

namespace ssa::dist {

namespace {

constexpr int64_t kSumBytes = 1 << 20;  // contributions to a round, unless messages get too short
constexpr int64_t kShortestMessage = 8 << 10, kLongestMessage = 256 << 10;
constexpr int64_t kTagged = 1024;  // exchanges with tags of their own; far fewer run at once

}  // namespace

void check_mpi(int result, const char* function) {
  if (result == MPI_SUCCESS) return;
  std::string text(MPI_MAX_ERROR_STRING, '\0');
  int length = 0;
  MPI_Error_string(result, text.data(), &length);
  text.resize(static_cast<size_t>(length));
  throw std::runtime_error(std::string(function) + ": " + text);
}

MpiExchange::MpiExchange(MpiPeers& peers, const Request& request)
    : peers_(peers), request_(request), number_(peers.exchanges++) {
  const auto scalar = static_cast<int64_t>(size_of(request.buffer.dtype));
  const int64_t others = std::max(peers.size - 1, 1);
  const int64_t longest_part = (request.buffer.count + peers.size - 1) / peers.size;
  const int64_t message = std::clamp(kSumBytes / others, kShortestMessage, kLongestMessage);
  segment_count_ = std::max<int64_t>(std::min(message / scalar, longest_part), 1);
  rounds_ = peers.size == 1 ? 0 : (longest_part + segment_count_ - 1) / segment_count_;
  if (!peers_.memory.empty()) {
    memory_ = std::move(peers_.memory.back());
    peers_.memory.pop_back();
  }
  if (request.kind != Request::Kind::all_gather) {
    const auto bytes = static_cast<size_t>(kRounds * peers.size * segment_count_ * scalar);
    if (memory_.size() < bytes) memory_.resize(bytes);
  }
  begin_rounds();
}

MpiExchange::~MpiExchange() { peers_.memory.push_back(std::move(memory_)); }

bool MpiExchange::poll() {
  moved_ = false;
  for (Round& round : slots_) {
    if (round.stage == Stage::idle) continue;
    int complete = 0;
    check_mpi(MPI_Testall(static_cast<int>(round.requests.size()), round.requests.data(), &complete,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
    if (!complete) continue;
    moved_ = true;
    if (round.stage == Stage::collect) add_up(round);
    if (round.stage == Stage::collect && request_.kind == Request::Kind::all_reduce) {
      begin_spreading(round);
    } else {
      round.stage = Stage::idle;
      ++rounds_done_;
    }
  }
  begin_rounds();
  return rounds_done_ == rounds_;
}

/// Begins rounds while there are free slots. A round's number determines its slot, the same on all
/// ranks, because the tags of messages only distinguish slots.
void MpiExchange::begin_rounds() {
  for (; next_round_ < rounds_; ++next_round_) {
    Round& round = slots_[static_cast<size_t>(next_round_ % kRounds)];
    if (round.stage != Stage::idle) return;
    round.number = next_round_;
    request_.kind == Request::Kind::all_gather ? begin_spreading(round) : begin_collecting(round);
  }
}

void MpiExchange::begin_collecting(Round& round) {
  round.stage = Stage::collect;
  round.requests.clear();
  const int64_t own_count = segment(peers_.rank, round.number).count;
  for (int other = 0; other < peers_.size; ++other) {
    if (other != peers_.rank) receive(round, other, contribution(other, round), own_count);
  }
  for (int other = 0; other < peers_.size; ++other) {
    if (other != peers_.rank) send(round, other, segment(other, round.number));
  }
}

void MpiExchange::begin_spreading(Round& round) {
  round.stage = Stage::spread;
  round.requests.clear();
  for (int other = 0; other < peers_.size; ++other) {
    const Segment theirs = segment(other, round.number);
    if (other != peers_.rank) receive(round, other, theirs.data, theirs.count);
  }
  for (int other = 0; other < peers_.size; ++other) {
    if (other != peers_.rank) send(round, other, segment(peers_.rank, round.number));
  }
}

void MpiExchange::add_up(const Round& round) {
  const Segment own = segment(peers_.rank, round.number);
  std::vector<const void*> parts;
  for (int from = 0; from < peers_.size; ++from) {
    parts.push_back(from == peers_.rank ? own.data : contribution(from, round));
  }
  sum_in_order(request_.buffer.dtype, parts, own.data, own.count);
}

/// The segment of a part of the buffer that a round handles; may be empty.
MpiExchange::Segment MpiExchange::segment(int part, int64_t round) const {
  const CollectiveBuffer& buffer = request_.buffer;
  const int64_t begin = buffer.count * part / peers_.size;
  const int64_t end = buffer.count * (part + 1) / peers_.size;
  const int64_t first = begin + round * segment_count_;
  const int64_t offset = first * static_cast<int64_t>(size_of(buffer.dtype));
  return {static_cast<std::byte*>(buffer.data) + offset,
          std::clamp<int64_t>(end - first, 0, segment_count_)};
}

/// The memory for another rank's contribution to this rank's segment.
std::byte* MpiExchange::contribution(int from, const Round& round) {
  const int64_t slot = round.number % kRounds * peers_.size + from;
  return memory_.data() +
         slot * segment_count_ * static_cast<int64_t>(size_of(request_.buffer.dtype));
}

int MpiExchange::tag(const Round& round) const {
  const int64_t slot = number_ % kTagged * kRounds + round.number % kRounds;
  return static_cast<int>(2 * slot + (round.stage == Stage::spread ? 1 : 0));
}

void MpiExchange::send(Round& round, int to, const Segment& segment) {
  if (segment.count == 0) return;
  const auto bytes = static_cast<int>(segment.count * size_of(request_.buffer.dtype));
  check_mpi(MPI_Isend(segment.data, bytes, MPI_BYTE, to, tag(round), peers_.communicator,
                      &round.requests.emplace_back(MPI_REQUEST_NULL)),
            "MPI_Isend");
}

void MpiExchange::receive(Round& round, int from, std::byte* data, int64_t count) {
  if (count == 0) return;
  const auto bytes = static_cast<int>(count * size_of(request_.buffer.dtype));
  check_mpi(MPI_Irecv(data, bytes, MPI_BYTE, from, tag(round), peers_.communicator,
                      &round.requests.emplace_back(MPI_REQUEST_NULL)),
            "MPI_Irecv");
}

}  // namespace ssa::dist
