// The threads of a block as fibers. Each runs until it must wait; then the next thread of its warp
// runs. If all threads of a warp wait, the next warp runs. Blocks reuse fibers, because making one
// costs far more than a switch.

#include "fibers.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <fmt/format.h>
#include <sys/mman.h>

#include "fiber_switch.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {

namespace {

using boost::context::fiber;

constexpr size_t kStackBytes = size_t{256} << 10;

/// Thrown inside fibers to end an abandoned block.
struct Abandoned {};

/// The threads that are left meet at each barrier of a block.
struct Barrier {
  unsigned arrived = 0;
  uint64_t passed = 0;
  int predicates[2] = {0, 0};  // by the parity of `passed`, as late readers may still look
};

struct AsyncCopy {
  void* to;
  const void* from;  // null: zeros
  size_t bytes;
  void run() const {
    if (from) {
      std::memcpy(to, from, bytes);
    } else {
      std::memset(to, 0, bytes);
    }
  }
};

struct Thread {
  fiber handle;       // where the thread goes on; of the scheduler, while the thread runs
  SwitchState state;  // what sanitizers need to know
  uint3 index{};
  Wait wait = Wait::nothing;
  const uint64_t* reached = nullptr;  // waits while this is `value`
  uint64_t value = 0;
  bool finished = true;
  std::vector<AsyncCopy> copies;  // requested, not made yet

  bool ready() const { return !finished && (wait == Wait::nothing || *reached != value); }
};

/// Dynamic shared memory. It ends at a page without access.
class SharedMemory {
 public:
  SharedMemory() {
    void* memory =
        mmap(nullptr, kBytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    end_ = static_cast<unsigned char*>(memory) + kBytes;
    mprotect(end_, kPage, PROT_NONE);
  }
  /// Filled with NaN: a block must not rely on data of an earlier block.
  void start_block(size_t bytes) {
    begin_ = end_ - (bytes + 127) / 128 * 128;
    std::fill(begin_, end_, static_cast<unsigned char>(0xff));
  }
  void* begin() const { return begin_; }

 private:
  static constexpr size_t kBytes = size_t{256} << 10, kPage = 4096;
  unsigned char *begin_ = nullptr, *end_ = nullptr;
};

class Scheduler {
 public:
  void run_block(const std::function<void()>& run_thread, size_t shared_bytes);
  void wait_while(Wait what, const uint64_t& reached, uint64_t value);
  int sync_block(int predicate);
  void copy_async(const AsyncCopy& copy);
  void finish_copies();

  SharedMemory shared;
  Order order = Order::forward;
  Thread* current = nullptr;
  unsigned count = 0;  // threads of the block

 private:
  void make_threads();
  fiber live(fiber&& scheduler, Thread& self);
  void resume(Thread& thread);
  void finish(Thread& thread);
  bool take_turns();
  bool take_turns(unsigned warp);
  void pass_barrier();
  void abandon();
  std::string deadlock() const;

  std::vector<std::unique_ptr<Thread>> threads_;
  SwitchState own_state_;
  const std::function<void()>* run_thread_ = nullptr;
  unsigned live_ = 0;  // not finished
  Barrier barrier_;
  bool abandoning_ = false;
  std::exception_ptr failure_;
};

/// Never destroyed, because its fibers never end.
Scheduler& scheduler() {
  static Scheduler& instance = *new Scheduler;
  return instance;
}

void Scheduler::make_threads() {
  while (threads_.size() < count) {
    Thread& thread = *threads_.emplace_back(std::make_unique<Thread>());
    boost::context::protected_fixedsize_stack stacks(kStackBytes);
    boost::context::stack_context stack = stacks.allocate();
    thread.state.create(static_cast<std::byte*>(stack.sp) - stack.size, stack.size);
    thread.handle =
        fiber(std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack), stacks,
              [this, &thread](fiber&& back) { return live(std::move(back), thread); });
  }
}

/// A fiber's life: the same thread of one block after another.
fiber Scheduler::live(fiber&& back, Thread& self) {
  self.handle = std::move(back);
  self.state.arrive(own_state_);
  for (;;) {
    try {
      (*run_thread_)();
    } catch (const Abandoned&) {
    } catch (const std::exception&) {
      failure_ = std::current_exception();
    }
    finish(self);
    self.state.leave(own_state_);
    self.handle = std::move(self.handle).resume();
    self.state.arrive(own_state_);
  }
}

void Scheduler::finish(Thread& thread) {
  thread.finished = true;
  --live_;
  if (barrier_.arrived > 0 && barrier_.arrived == live_) pass_barrier();
}

void Scheduler::resume(Thread& thread) {
  current = &thread;
  threadIdx = thread.index;
  own_state_.leave(thread.state);
  thread.handle = std::move(thread.handle).resume();
  own_state_.arrive(thread.state);
}

void Scheduler::wait_while(Wait what, const uint64_t& reached, uint64_t value) {
  Thread& self = *current;
  self.wait = what;
  self.reached = &reached;
  self.value = value;
  self.state.leave(own_state_);
  self.handle = std::move(self.handle).resume();
  self.state.arrive(own_state_);
  self.wait = Wait::nothing;
  if (abandoning_) throw Abandoned{};
}

void Scheduler::pass_barrier() {
  barrier_.arrived = 0;
  ++barrier_.passed;
  barrier_.predicates[barrier_.passed % 2] = 0;
}

int Scheduler::sync_block(int predicate) {
  const uint64_t now = barrier_.passed;
  int& sum = barrier_.predicates[now % 2];
  if (predicate != 0) ++sum;
  if (++barrier_.arrived == live_) {
    pass_barrier();
  } else {
    wait_while(Wait::block, barrier_.passed, now);
  }
  return sum;
}

void Scheduler::copy_async(const AsyncCopy& copy) {
  if (order == Order::forward) return copy.run();
  current->copies.push_back(copy);
}

void Scheduler::finish_copies() {
  for (const AsyncCopy& copy : current->copies) copy.run();
  current->copies.clear();
}

/// Lets each warp run as far as it can. Returns whether any ran.
bool Scheduler::take_turns() {
  const unsigned warps = (count + 31) / 32;
  bool any = false;
  for (unsigned i = 0; i < warps; ++i) {
    const unsigned warp = order == Order::forward ? i : warps - 1 - i;
    while (take_turns(warp)) any = true;
  }
  return any;
}

/// Lets each thread of a warp that can continue run. Returns whether any ran.
bool Scheduler::take_turns(unsigned warp) {
  const unsigned first = 32 * warp, size = std::min(count - first, 32u);
  bool any = false;
  for (unsigned i = 0; i < size; ++i) {
    Thread& thread = *threads_[first + (order == Order::forward ? i : size - 1 - i)];
    if (!thread.ready()) continue;
    resume(thread);
    any = true;
    if (failure_) {
      abandon();
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
  }
  return any;
}

/// Ends the threads that are left, so that their fibers can serve other blocks.
void Scheduler::abandon() {
  abandoning_ = true;
  for (unsigned i = 0; i < count; ++i) {
    Thread& thread = *threads_[i];
    if (thread.finished) continue;
    if (thread.wait == Wait::nothing) {
      thread.finished = true;  // has not begun
      --live_;
    } else {
      resume(thread);
    }
  }
  abandoning_ = false;
}

std::string Scheduler::deadlock() const {
  unsigned at_barrier = 0;
  std::string warps;
  for (unsigned first = 0; first < count; first += 32) {
    const unsigned end = std::min(first + 32, count);
    unsigned waiting = 0, finished = 0;
    for (unsigned i = first; i < end; ++i) {
      waiting += threads_[i]->wait == Wait::warp;
      finished += threads_[i]->finished;
      at_barrier += threads_[i]->wait == Wait::block;
    }
    if (waiting > 0) {
      warps += fmt::format("; warp {}: {} lanes at {}, {} finished", first / 32, waiting,
                           waiting_collective(first / 32), finished);
    }
  }
  return fmt::format(
      "deadlock in block ({}, {}, {}): of {} threads, {} wait at __syncthreads and "
      "{} have finished{}",
      blockIdx.x, blockIdx.y, blockIdx.z, count, at_barrier, count - live_, warps);
}

void Scheduler::run_block(const std::function<void()>& run_thread, size_t shared_bytes) {
  count = blockDim.x * blockDim.y * blockDim.z;
  make_threads();
  start_warps(count);
  shared.start_block(shared_bytes);
  barrier_ = Barrier{};
  run_thread_ = &run_thread;
  live_ = count;
  for (unsigned i = 0; i < count; ++i) {
    Thread& thread = *threads_[i];
    thread.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
    thread.finished = false;
    thread.wait = Wait::nothing;
    thread.copies.clear();
  }
  while (take_turns()) {
  }
  if (live_ == 0) return;
  const std::string message = deadlock();
  abandon();
  throw Fault(message);
}

}  // namespace

void set_order(Order order) { scheduler().order = order; }
void wait_while(Wait what, const uint64_t& reached, uint64_t value) {
  scheduler().wait_while(what, reached, value);
}
int sync_block(int predicate) { return scheduler().sync_block(predicate); }
void* dynamic_shared_memory() { return scheduler().shared.begin(); }
void copy_async(void* to, const void* from, size_t bytes) {
  scheduler().copy_async({to, from, bytes});
}
void finish_copies() { scheduler().finish_copies(); }
unsigned threads_of_block() { return scheduler().count; }
unsigned thread_in_block() {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& run_thread) {
  Scheduler& all = scheduler();
  gridDim = grid;
  blockDim = block;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t block_number = all.order == Order::forward ? i : blocks - 1 - i;
    blockIdx = {static_cast<unsigned>(block_number % grid.x),
                static_cast<unsigned>(block_number / grid.x % grid.y),
                static_cast<unsigned>(block_number / grid.x / grid.y)};
    all.run_block(run_thread, shared_bytes);
  }
}

}  // namespace emulation
