#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <gloo/context.h>
#include <gloo/transport/unbound_buffer.h>

#include "dist/sockets.h"
#include "dist/transport.h"

namespace ssa::dist {

/// A collective as messages between all pairs of ranks, as over MPI (MpiExchange), so that sums
/// have the same bits: rank r adds up part r of the buffer in rank order and sends the sum to all.
/// It goes segment by segment: while one is added up, the next one is being received.
///
/// Gloo's own all-reduce is not used: its order of additions depends on the place in the buffer, it
/// rounds bf16 at every addition, and Gloo has no reduce-scatter with the same result.
class GlooExchange {
 public:
  /// `memory` holds the contributions to sums; it is kept for the next exchange.
  GlooExchange(gloo::Context& context, const Request& request, std::vector<std::byte>* memory,
               Clock::time_point deadline);
  /// Throws Gloo's exception if a connection breaks or `deadline` passes.
  void run();

 private:
  using Buffer = std::unique_ptr<gloo::transport::UnboundBuffer>;
  /// A range of bytes of the buffer.
  struct Segment {
    size_t offset = 0, bytes = 0;
  };

  Segment segment(int part, int64_t round) const;
  void collect(int64_t round);
  void add_up(int64_t round);
  void spread(int64_t round);
  void wait_for_received(Buffer& buffer, int64_t messages);
  std::chrono::milliseconds left() const;

  gloo::Context& context_;
  const Request request_;
  const Clock::time_point deadline_;
  int64_t segment_count_;  ///< scalars
  int64_t rounds_;
  std::vector<std::byte>& memory_;
  Buffer data_;
  std::array<Buffer, 2> contributions_;  ///< of even rounds, of odd ones
  int64_t sent_ = 0, awaited_ = 0;       ///< messages from and to data_
};

}  // namespace ssa::dist
