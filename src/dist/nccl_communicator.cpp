#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include <cuda_runtime.h>
#include <nccl.h>

#include "ssa/dist/nccl.h"

namespace ssa {

namespace {

using Clock = std::chrono::steady_clock;

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw Error(ExitCode::usage,
              fmt::format("CUDA: {} failed: {}", what, cudaGetErrorString(status)));
}

ncclDataType_t to_nccl(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f64:
      return ncclFloat64;
    default:
      throw ShapeError("NCCL: f32, bf16 and f64 are reduced, not {}", name(dtype));
  }
}

/// A moment in a stream, with its time.
class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "creating an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "recording an event"); }
  void hold_up(cudaStream_t stream) const {
    check(cudaStreamWaitEvent(stream, event_, 0), "ordering streams");
  }
  bool reached() const { return cudaEventQuery(event_) != cudaErrorNotReady; }
  double seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, earlier.event_, event_);
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// One collective on the GPU.
struct Flight {
  Event filled, started, finished;  // filled: in the compute stream
  Event before_wait, after_wait;    // in the compute stream, if it was made to wait
  std::atomic<bool> waited{false};
  std::string what;
  int64_t step = -1;
  Clock::time_point deadline;
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Communicator& host, cudaStream_t compute) : host_(host), compute_(compute) {
    check(cudaGetDevice(&gpu_), "asking which GPU is used");
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    join();
    watcher_ = std::thread([this] { watch(); });
  }

  ~NcclCommunicator() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    watcher_.join();
    part();
    cudaStreamDestroy(stream_);
  }

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  int local_rank() const override { return host_.local_rank(); }
  int local_size() const override { return host_.local_size(); }
  std::string description() const override {
    int version = 0;
    ncclGetVersion(&version);
    return fmt::format("{}, gradients over NCCL {}.{}.{}", host_.description(), version / 10000,
                       version / 100 % 100, version % 100);
  }

  PendingCollective all_reduce(const CollectiveBuffer& buffer, std::string what) override {
    return start("all_reduce of " + std::move(what), buffer, [&] {
      return ncclAllReduce(buffer.data, buffer.data, count(buffer), to_nccl(buffer.dtype), ncclSum,
                           nccl_, stream_);
    });
  }
  PendingCollective reduce_scatter(const CollectiveBuffer& buffer, std::string what) override {
    std::byte* own = own_part(buffer, what);
    return start("reduce_scatter of " + std::move(what), buffer, [&] {
      return ncclReduceScatter(buffer.data, own, count(buffer) / ranks(), to_nccl(buffer.dtype),
                               ncclSum, nccl_, stream_);
    });
  }
  PendingCollective all_gather(const CollectiveBuffer& buffer, std::string what) override {
    const std::byte* own = own_part(buffer, what);
    return start("all_gather of " + std::move(what), buffer, [&] {
      return ncclAllGather(own, buffer.data, count(buffer) / ranks(), to_nccl(buffer.dtype), nccl_,
                           stream_);
    });
  }

  std::vector<std::string> gather(const std::string& own, const std::string& what) override {
    throw_failure();
    return host_.gather(own, what);
  }
  using Communicator::gather;

  void check_peers() override {
    throw_failure();
    host_.check_peers();
  }
  void set_step(int64_t step) override {
    step_ = step;
    host_.set_step(step);
  }
  void set_timeout(std::chrono::duration<double> timeout) override {
    timeout_ = timeout;
    host_.set_timeout(timeout);
  }
  bool announce_failure(ExitCode code, const std::string& message) noexcept override {
    return host_.announce_failure(code, message);
  }

  void end_job(ExitCode code) noexcept override { host_.abort(code); }

  CommunicatorStats stats() const override {
    const std::lock_guard lock(mutex_);
    CommunicatorStats all = host_.stats();
    all.collectives += stats_.collectives;
    all.bytes += stats_.bytes;
    all.busy_seconds += stats_.busy_seconds;
    all.waited_seconds += stats_.waited_seconds;
    return all;
  }

 private:
  struct Pending final : PendingCollective::State {
    Pending(NcclCommunicator& communicator, std::shared_ptr<Flight> its_flight)
        : owner(communicator), flight(std::move(its_flight)) {}
    bool done() override { return flight->finished.reached(); }
    void wait() override {
      owner.throw_failure();
      if (flight->waited) return;
      flight->before_wait.record(owner.compute_);
      flight->finished.hold_up(owner.compute_);
      flight->after_wait.record(owner.compute_);
      flight->waited = true;
    }
    NcclCommunicator& owner;
    std::shared_ptr<Flight> flight;
  };

  /// In peace, which takes all ranks; but not while an error is on its way, when others may be
  /// gone.
  void part() noexcept {
    if (!failure_.empty()) return;  // aborted already
    if (std::uncaught_exceptions() > exceptions_before_) {
      ncclCommAbort(nccl_);
      return;
    }
    try {
      cudaStreamSynchronize(stream_);
      ncclCommFinalize(nccl_);
      settle("parting");
      ncclCommDestroy(nccl_);
    } catch (const Error&) {
      ncclCommAbort(nccl_);
    }
  }

  static size_t count(const CollectiveBuffer& buffer) { return static_cast<size_t>(buffer.count); }
  size_t ranks() const { return static_cast<size_t>(size()); }

  /// Where this rank's part of a buffer begins.
  std::byte* own_part(const CollectiveBuffer& buffer, const std::string& what) const {
    SSA_CHECK(buffer.count % size() == 0, "{}: {} values do not divide over {} ranks", what,
              buffer.count, size());
    return static_cast<std::byte*>(buffer.data) +
           buffer.bytes() / ranks() * static_cast<size_t>(rank());
  }

  void join() {
    ncclUniqueId id = {};
    if (rank() == 0) require(ncclGetUniqueId(&id), "making an id");
    const std::string text =
        host_.broadcast(std::string(id.internal, sizeof id.internal), "the id for NCCL");
    std::memcpy(id.internal, text.data(), sizeof id.internal);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;  // calls return at once, so that each can be given a time limit
    require(ncclCommInitRankConfig(&nccl_, size(), id, rank(), &config), "joining the ranks");
    settle("joining the ranks");
  }

  void require(ncclResult_t result, const char* what) const {
    if (result == ncclSuccess || result == ncclInProgress) return;
    if (result == ncclInvalidUsage || result == ncclInvalidArgument) {
      throw ConfigError(
          "NCCL: {} failed: {}. Each rank needs a GPU of its own: start as many ranks a machine as "
          "it has GPUs",
          what, ncclGetErrorString(result));
    }
    throw PeerError("rank {} of {}: NCCL: {} failed: {} ({})", rank(), size(), what,
                    ncclGetErrorString(result), ncclGetLastError(nccl_));
  }

  /// Waits until NCCL has taken in the last call.
  void settle(const char* what) {
    const auto deadline = Clock::now() + timeout_;
    ncclResult_t state = ncclInProgress;
    while (state == ncclInProgress) {
      require(ncclCommGetAsyncError(nccl_, &state), what);
      require(state, what);
      if (state != ncclInProgress) return;
      if (Clock::now() > deadline) {
        throw PeerError("rank {} of {}: NCCL: {} took more than {:.0f} s", rank(), size(), what,
                        timeout_.count());
      }
      host_.check_peers();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

  template <class Call>
  PendingCollective start(std::string what, const CollectiveBuffer& buffer, Call&& call) {
    throw_failure();
    auto flight = std::make_shared<Flight>();
    flight->what = std::move(what);
    flight->step = step_;
    flight->filled.record(compute_);
    flight->filled.hold_up(stream_);
    flight->started.record(stream_);
    {
      const std::lock_guard lock(nccl_mutex_);
      require(call(), flight->what.c_str());
      settle(flight->what.c_str());
    }
    flight->finished.record(stream_);
    flight->deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(timeout_);
    {
      const std::lock_guard lock(mutex_);
      ++stats_.collectives;
      stats_.bytes += static_cast<int64_t>(buffer.bytes());
      flights_.push_back(flight);
    }
    changed_.notify_all();
    return PendingCollective(std::make_shared<Pending>(*this, flight));
  }

  // ---- the watching thread ----------------------------------------------------------------------

  void watch() {
    cudaSetDevice(gpu_);
    std::unique_lock lock(mutex_);
    while (!stop_ && failure_.empty()) {
      if (flights_.empty()) {
        changed_.wait(lock);
        continue;
      }
      land_finished();
      const std::string problem = problem_of_first();
      if (!problem.empty()) fail(problem);
      changed_.wait_for(lock, std::chrono::milliseconds(20));
    }
  }

  /// Takes off the list what is over, and what its waiting showed.
  void land_finished() {
    while (!flights_.empty() && flights_.front()->finished.reached()) {
      const auto flight = flights_.front();
      if (flight->waited && !flight->after_wait.reached()) return;
      flights_.pop_front();
      stats_.busy_seconds += flight->finished.seconds_since(flight->started);
      if (flight->waited) {
        stats_.waited_seconds += flight->after_wait.seconds_since(flight->before_wait);
      }
    }
  }

  std::string problem_of_first() {
    if (flights_.empty()) return {};
    const Flight& first = *flights_.front();
    ncclResult_t state = ncclSuccess;
    if (const std::unique_lock calls(nccl_mutex_, std::try_to_lock); calls.owns_lock()) {
      ncclCommGetAsyncError(nccl_, &state);
    }
    const std::string place =
        fmt::format("rank {} of {}: {} at step {}", rank(), size(), first.what, first.step);
    if (state != ncclSuccess && state != ncclInProgress) {
      return fmt::format("{} failed: NCCL says: {}", place, ncclGetErrorString(state));
    }
    try {
      host_.check_peers();
    } catch (const PeerError& error) {
      return error.what();
    }
    if (Clock::now() < first.deadline) return {};
    return fmt::format(
        "{} did not finish within {:.0f} s (distributed.timeout_seconds). The job can be resumed "
        "with --resume auto",
        place, timeout_.count());
  }

  /// Ends what runs on the GPU: what waits for it goes on, and finds the failure.
  void fail(const std::string& problem) {
    failure_ = problem;
    const std::lock_guard calls(nccl_mutex_);
    ncclCommAbort(nccl_);
  }

  /// A rank that the host's communicator misses is better news than a collective that hung.
  void throw_failure() {
    {
      const std::lock_guard lock(mutex_);
      if (failure_.empty()) return;
    }
    host_.check_peers();
    host_.set_timeout(std::chrono::seconds(5));
    host_.barrier("who is still there");
    const std::lock_guard lock(mutex_);
    throw PeerError("{}", failure_);
  }

  Communicator& host_;
  const cudaStream_t compute_;
  cudaStream_t stream_ = nullptr;
  int gpu_ = 0;
  const int exceptions_before_ = std::uncaught_exceptions();
  ncclComm_t nccl_ = nullptr;
  std::atomic<int64_t> step_{-1};
  std::chrono::duration<double> timeout_ = std::chrono::seconds(600);

  std::mutex nccl_mutex_;  // NCCL takes one call at a time
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Flight>> flights_;  // guarded by mutex_, as are those below
  CommunicatorStats stats_;
  std::string failure_;
  bool stop_ = false;
  std::thread watcher_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl(Communicator& host, void* compute_stream) {
  return std::make_unique<NcclCommunicator>(host, static_cast<cudaStream_t>(compute_stream));
}

}  // namespace ssa
