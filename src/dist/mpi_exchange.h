#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <mpi.h>

#include "dist/transport.h"

namespace ssa::dist {

/// Throws std::runtime_error with MPI's message unless `result` is success.
void check_mpi(int result, const char* function);

/// State that the exchanges of a transport share.
struct MpiPeers {
  MPI_Comm communicator = MPI_COMM_NULL;
  int rank = 0, size = 1;
  int64_t exchanges = 0;                       ///< started so far
  std::vector<std::vector<std::byte>> memory;  ///< free buffers for contributions to sums
};

/// A collective as messages between all pairs of ranks. Rank r sums part r of the buffer: it
/// receives every other rank's values (stage `collect`), adds them in rank order, and sends the sum
/// to all (stage `spread`). reduce_scatter is only the first stage, all_gather only the second.
/// Parts are cut into segments; a few segments are exchanged at the same time, each in a `Round`.
///
/// MPI's own collectives are not used: their result may depend on the algorithm that the library
/// chooses, and they would round bf16 at every addition. The non-blocking ones of Open MPI also
/// send all values through one rank and advance one step per call, which is slow in a thread that
/// sleeps between calls.
class MpiExchange final : public Transport::Running {
 public:
  MpiExchange(MpiPeers& peers, const Request& request);
  ~MpiExchange() override;
  MpiExchange(const MpiExchange&) = delete;
  MpiExchange& operator=(const MpiExchange&) = delete;

  bool poll() override;
  bool moved() const override { return moved_; }

 private:
  enum class Stage { idle, collect, spread };
  struct Round {
    Stage stage = Stage::idle;
    int64_t number = 0;
    std::vector<MPI_Request> requests;
  };
  struct Segment {
    std::byte* data = nullptr;
    int64_t count = 0;  ///< scalars
  };
  static constexpr int kRounds = 4;

  Segment segment(int part, int64_t round) const;
  std::byte* contribution(int from, const Round& round);
  void begin_rounds();
  void begin_collecting(Round& round);
  void begin_spreading(Round& round);
  void add_up(const Round& round);
  void send(Round& round, int to, const Segment& segment);
  void receive(Round& round, int from, std::byte* data, int64_t count);
  int tag(const Round& round) const;

  MpiPeers& peers_;
  Request request_;
  int64_t number_;          // of this exchange
  int64_t segment_count_;   // scalars
  int64_t rounds_;          // in all
  int64_t next_round_ = 0;  // to begin
  int64_t rounds_done_ = 0;
  bool moved_ = false;
  std::vector<std::byte> memory_;  // contributions: by round, then rank
  std::array<Round, kRounds> slots_;
};

}  // namespace ssa::dist
