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

/// What the exchanges of a transport share.
struct MpiPeers {
  MPI_Comm communicator = MPI_COMM_NULL;
  int rank = 0, size = 1;
  int64_t exchanges = 0;                       ///< begun so far
  std::vector<std::vector<std::byte>> memory;  ///< for parts of sums, when no exchange uses it
};

/// A collective as messages between all pairs of ranks. Rank r sums part r of the buffer: it gets
/// every other rank's values (stage `collect`), adds them up in rank order, and sends the sum to
/// all (stage `spread`). reduce_scatter is the first stage alone, all_gather the second. Parts are
/// cut into segments, and a few segments are under way at once, each a `Round` of its own.
///
/// Why not MPI's own collectives: their result may depend on the algorithm that the library
/// chooses, bf16 would be rounded at every addition, and those of Open MPI that do not block send
/// all values through one rank and advance one step a call, which a thread that sleeps between
/// calls makes slow.
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
