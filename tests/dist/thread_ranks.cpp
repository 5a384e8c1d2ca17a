#include "dist/thread_ranks.h"

#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

namespace ssa::testing {

namespace {

enum class Kind { all_reduce, reduce_scatter, all_gather, gather };

/// One collective of all ranks.
struct Meeting {
  Kind kind = Kind::gather;
  std::vector<CollectiveBuffer> buffers;
  std::vector<std::string> strings;
  int arrived = 0;
  bool finished = false;
};

template <class T>
T rounded(double sum) {
  if constexpr (sizeof(T) == 2) {
    return T(static_cast<float>(sum));
  } else {
    return static_cast<T>(sum);
  }
}

template <class T>
void sum_parts(const Meeting& meeting, int64_t first, int64_t count, size_t only_rank,
               bool to_all) {
  for (int64_t i = first; i < first + count; ++i) {
    double sum = 0;
    for (const CollectiveBuffer& buffer : meeting.buffers) {
      sum += static_cast<double>(static_cast<const T*>(buffer.data)[i]);
    }
    for (size_t rank = 0; rank < meeting.buffers.size(); ++rank) {
      if (!to_all && rank != only_rank) continue;
      static_cast<T*>(meeting.buffers[rank].data)[i] = rounded<T>(sum);
    }
  }
}

template <class T>
void finish_as(const Meeting& meeting) {
  const auto size = static_cast<int64_t>(meeting.buffers.size());
  const int64_t count = meeting.buffers.front().count, part = count / size;
  if (meeting.kind == Kind::all_reduce) return sum_parts<T>(meeting, 0, count, 0, true);
  for (int64_t rank = 0; rank < size; ++rank) {
    const auto own = static_cast<size_t>(rank);
    if (meeting.kind == Kind::reduce_scatter) {
      sum_parts<T>(meeting, rank * part, part, own, false);
      continue;
    }
    const T* from = static_cast<const T*>(meeting.buffers[own].data) + rank * part;
    for (size_t other = 0; other < meeting.buffers.size(); ++other) {
      if (other == own) continue;
      std::memcpy(static_cast<T*>(meeting.buffers[other].data) + rank * part, from,
                  static_cast<size_t>(part) * sizeof(T));
    }
  }
}

void finish(Meeting& meeting) {
  if (meeting.kind != Kind::gather) {
    switch (meeting.buffers.front().dtype) {
      case DType::f32:
        finish_as<float>(meeting);
        break;
      case DType::bf16:
        finish_as<BFloat16>(meeting);
        break;
      case DType::f64:
        finish_as<double>(meeting);
        break;
      default:
        throw ShapeError("thread_ranks: f32, bf16 and f64 are reduced, not {}",
                         name(meeting.buffers.front().dtype));
    }
  }
  meeting.finished = true;
}

struct Group {
  explicit Group(int group_size) : size(group_size) {}

  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<int64_t, std::shared_ptr<Meeting>> meetings;
  std::map<int, std::string> failures;

  std::shared_ptr<Meeting> arrive(int64_t number, int rank, Kind kind,
                                  const CollectiveBuffer* buffer, const std::string* string) {
    const std::lock_guard lock(mutex);
    auto& meeting = meetings[number];
    const auto own = static_cast<size_t>(rank);
    if (!meeting) {
      meeting = std::make_shared<Meeting>();
      meeting->kind = kind;
      meeting->buffers.resize(static_cast<size_t>(size));
      meeting->strings.resize(static_cast<size_t>(size));
    }
    SSA_CHECK(meeting->kind == kind, "thread_ranks: rank {} calls another collective (number {})",
              rank, number);
    if (buffer) meeting->buffers[own] = *buffer;
    if (string) meeting->strings[own] = *string;
    const auto result = meeting;
    if (++meeting->arrived == size) {
      finish(*meeting);
      meetings.erase(number);
      changed.notify_all();
    }
    return result;
  }

  void wait(const Meeting& meeting, const std::string& what) {
    std::unique_lock lock(mutex);
    const bool in_time = changed.wait_for(lock, std::chrono::seconds(60),
                                          [&] { return meeting.finished || !failures.empty(); });
    if (meeting.finished) return;
    if (!in_time) throw PeerError("{}: not all ranks came", what);
    throw PeerError("{}: rank {} failed: {}", what, failures.begin()->first,
                    failures.begin()->second);
  }
};

class ThreadRank final : public Communicator {
 public:
  ThreadRank(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size; }
  int local_rank() const override { return rank_; }
  int local_size() const override { return group_->size; }
  std::string description() const override { return "threads"; }

  PendingCollective all_reduce(const CollectiveBuffer& buffer, std::string what) override {
    return start(Kind::all_reduce, buffer, std::move(what));
  }
  PendingCollective reduce_scatter(const CollectiveBuffer& buffer, std::string what) override {
    return start(Kind::reduce_scatter, buffer, std::move(what));
  }
  PendingCollective all_gather(const CollectiveBuffer& buffer, std::string what) override {
    return start(Kind::all_gather, buffer, std::move(what));
  }
  std::vector<std::string> gather(const std::string& own, const std::string& what) override {
    const auto meeting = group_->arrive(++number_, rank_, Kind::gather, nullptr, &own);
    group_->wait(*meeting, what);
    return meeting->strings;
  }
  using Communicator::gather;

  void set_step(int64_t) override {}
  void set_timeout(std::chrono::duration<double>) override {}
  bool announce_failure(ExitCode, const std::string& message) noexcept override {
    const std::lock_guard lock(group_->mutex);
    group_->failures.emplace(rank_, message);
    group_->changed.notify_all();
    return false;
  }
  CommunicatorStats stats() const override { return stats_; }

 protected:
  void end_job(ExitCode) noexcept override {}

 private:
  struct Pending final : PendingCollective::State {
    std::shared_ptr<Group> group;
    std::shared_ptr<Meeting> meeting;
    std::string what;
    bool done() override {
      const std::lock_guard lock(group->mutex);
      return meeting->finished;
    }
    void wait() override { group->wait(*meeting, what); }
  };

  PendingCollective start(Kind kind, const CollectiveBuffer& buffer, std::string what) {
    SSA_CHECK(kind == Kind::all_reduce || buffer.count % size() == 0,
              "{}: {} values do not divide over {} ranks", what, buffer.count, size());
    ++stats_.collectives;
    stats_.bytes += static_cast<int64_t>(buffer.bytes());
    auto pending = std::make_shared<Pending>();
    pending->group = group_;
    pending->what = std::move(what);
    pending->meeting = group_->arrive(++number_, rank_, kind, &buffer, nullptr);
    return PendingCollective(std::move(pending));
  }

  std::shared_ptr<Group> group_;
  int rank_;
  int64_t number_ = 0;
  CommunicatorStats stats_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> thread_ranks(int size) {
  const auto group = std::make_shared<Group>(size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (int rank = 0; rank < size; ++rank)
    ranks.push_back(std::make_unique<ThreadRank>(group, rank));
  return ranks;
}

void on_ranks(int size, const std::function<void(Communicator&)>& body) {
  const auto ranks = thread_ranks(size);
  std::vector<std::exception_ptr> errors(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto own = static_cast<size_t>(rank);
      try {
        body(*ranks[own]);
      } catch (const std::exception& error) {
        errors[own] = std::current_exception();
        ranks[own]->announce_failure(ExitCode::usage, error.what());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace ssa::testing
