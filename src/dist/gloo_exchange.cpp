#include "dist/gloo_exchange.h"

#include <algorithm>

#include "dist/rank_sum.h"

namespace ssa::dist {

namespace {

constexpr int64_t kMessageBytes = 512 << 10;  // of what is added up
enum Stage : uint64_t { kCollect = 0, kSpread = 2 };

}  // namespace

GlooExchange::GlooExchange(gloo::Context& context, const Request& request,
                           std::vector<std::byte>* memory, Clock::time_point deadline)
    : context_(context), request_(request), deadline_(deadline), memory_(*memory) {
  const CollectiveBuffer& buffer = request.buffer;
  const auto scalar = static_cast<int64_t>(size_of(buffer.dtype));
  const int64_t longest_part = (buffer.count + context.size - 1) / context.size;
  const bool adds = request.kind != Request::Kind::all_gather;
  segment_count_ = adds ? std::min(kMessageBytes / scalar, longest_part) : longest_part;
  segment_count_ = std::max<int64_t>(segment_count_, 1);
  rounds_ = (longest_part + segment_count_ - 1) / segment_count_;
  data_ = context.createUnboundBuffer(buffer.data, buffer.bytes());
  if (!adds) return;
  const auto bytes = static_cast<size_t>(context.size * segment_count_ * scalar);
  if (memory_.size() < 2 * bytes) memory_.resize(2 * bytes);
  for (size_t i = 0; i < 2; ++i) {
    contributions_[i] = context.createUnboundBuffer(memory_.data() + i * bytes, bytes);
  }
}

void GlooExchange::run() {
  const bool adds = request_.kind != Request::Kind::all_gather;
  const bool spreads = request_.kind != Request::Kind::reduce_scatter;
  if (adds && rounds_ > 0) collect(0);
  for (int64_t round = 0; round < rounds_; ++round) {
    if (adds && round + 1 < rounds_) collect(round + 1);
    if (adds) add_up(round);
    if (spreads) spread(round);
  }
  wait_for_received(data_, awaited_);
  for (; sent_ > 0; --sent_) data_->waitSend(left());
}

/// Sends this rank's values of the round's segment of each part to the part's owner.
void GlooExchange::collect(int64_t round) {
  const uint64_t slot = kCollect + static_cast<uint64_t>(round % 2);
  const Segment own = segment(context_.rank, round);
  for (int other = 0; other < context_.size; ++other) {
    if (other == context_.rank) continue;
    const auto place = static_cast<size_t>(other) * own.bytes;
    if (own.bytes > 0) contributions_[round % 2]->recv(other, slot, place, own.bytes);
    const Segment theirs = segment(other, round);
    if (theirs.bytes == 0) continue;
    data_->send(other, slot, theirs.offset, theirs.bytes);
    ++sent_;
  }
}

void GlooExchange::add_up(int64_t round) {
  const Segment own = segment(context_.rank, round);
  if (own.bytes == 0) return;
  Buffer& buffer = contributions_[round % 2];
  wait_for_received(buffer, context_.size - 1);
  std::byte* const sum = static_cast<std::byte*>(request_.buffer.data) + own.offset;
  std::vector<const void*> parts;
  for (int rank = 0; rank < context_.size; ++rank) {
    const auto* others = static_cast<const std::byte*>(buffer->ptr);
    const auto place = static_cast<size_t>(rank) * own.bytes;
    parts.push_back(rank == context_.rank ? sum : others + place);
  }
  const DType dtype = request_.buffer.dtype;
  sum_in_order(dtype, parts, sum, static_cast<int64_t>(own.bytes / size_of(dtype)));
}

/// Sends the round's segment of this rank's part to all ranks.
void GlooExchange::spread(int64_t round) {
  const uint64_t slot = kSpread + static_cast<uint64_t>(round % 2);
  const Segment own = segment(context_.rank, round);
  for (int other = 0; other < context_.size; ++other) {
    if (other == context_.rank) continue;
    if (own.bytes > 0) {
      data_->send(other, slot, own.offset, own.bytes);
      ++sent_;
    }
    const Segment theirs = segment(other, round);
    if (theirs.bytes == 0) continue;
    data_->recv(other, slot, theirs.offset, theirs.bytes);
    ++awaited_;
  }
}

/// The segment of a part of the buffer that a round handles; may be empty.
GlooExchange::Segment GlooExchange::segment(int part, int64_t round) const {
  const CollectiveBuffer& buffer = request_.buffer;
  const int64_t begin = buffer.count * part / context_.size;
  const int64_t end = buffer.count * (part + 1) / context_.size;
  const int64_t first = begin + round * segment_count_;
  const int64_t count = std::clamp<int64_t>(end - first, 0, segment_count_);
  const size_t scalar = size_of(buffer.dtype);
  return {static_cast<size_t>(first) * scalar, static_cast<size_t>(count) * scalar};
}

void GlooExchange::wait_for_received(Buffer& buffer, int64_t messages) {
  for (; messages > 0; --messages) buffer->waitRecv(left());
}

/// The time left; never 0, which would mean no limit.
std::chrono::milliseconds GlooExchange::left() const {
  const auto time = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
  return std::max(time, std::chrono::milliseconds(1));
}

}  // namespace ssa::dist
