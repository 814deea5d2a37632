#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/turns.h"

namespace speccascade {

namespace {

// How long an idle thread looks for work before it sleeps. Operations of one
// forward pass follow each other within a few microseconds.
constexpr std::chrono::microseconds kSpin{50};

inline void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

thread_local bool inside_task = false;

// What one thread writes and others read shares no line of the caches with anything else:
// processors fetch lines in pairs.
constexpr size_t kApart = 128;

class ThreadPool {
 public:
  // Until there are so many threads. Those that the system gave before it refused one stay, and the
  // next call goes on from there.
  void start(int workers) {
    // Before any thread looks for its own.
    while (sleepers_.size() < static_cast<size_t>(workers)) sleepers_.emplace_back();
    while (stretches_.size() <= static_cast<size_t>(workers)) stretches_.emplace_back();
    while (this->workers() < workers) {
      const int index = this->workers();
      try {
        threads_.emplace_back([this, index] { work(index); });
      } catch (const std::system_error& error) {
        fail(ErrorCode::kOutOfMemory, "thread ", index + 1, " of ", workers,
             " could not be started: ", error.what());
      }
    }
  }

  int workers() const { return static_cast<int>(threads_.size()); }

  void run(int64_t count, int helpers, const void* body, ItemCall call) {
    const std::lock_guard<Turns> turn(turn_);
    round_.body = body;
    round_.call = call;
    round_.count = count;
    round_.workers = helpers + 1;
    for (int worker = 0; worker <= helpers; ++worker) {
      stretch(worker).next.store(begin_of(worker), std::memory_order_relaxed);
    }
    const uint64_t number = round_.gate.load(std::memory_order_relaxed) / kRound + 1;
    round_.gate.store(number * kRound + static_cast<uint64_t>(helpers) * kLimit + kOpen,
                      std::memory_order_release);
    wake(helpers);
    take_tasks(0, 1);
    // A thread that fell asleep as the round began may have missed it, and we that it slept.
    // Waiting for the gate to be visible before the first task would cost every round more.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    wake(helpers);
    take_tasks(0, count);
    round_.gate.fetch_and(~kOpen, std::memory_order_acq_rel);
    wait_for_helpers();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  // The gate of a round, in one word: its number, how many threads may help,
  // whether it is open, and how many are inside. A thread enters an open round or
  // not at all, and a round waits only for those inside: one that the system has
  // not woken in time is not missed.
  static constexpr uint64_t kOpen = 1u << 15;
  static constexpr uint64_t kLimit = 1u << 16;
  static constexpr uint64_t kRound = uint64_t{1} << 32;

  struct alignas(kApart) Round {
    std::atomic<uint64_t> gate{0};
    const void* body = nullptr;
    ItemCall call = nullptr;
    int64_t count = 0;
    int64_t workers = 1;
  };

  // The tasks that a worker begins with: which of them is next.
  struct alignas(kApart) Stretch {
    std::atomic<int64_t> next{0};
  };

  Stretch& stretch(int64_t worker) { return stretches_[static_cast<size_t>(worker)]; }
  int64_t begin_of(int64_t worker) const { return round_.count * worker / round_.workers; }

  // Takes at most so many: the worker's own, then those of the workers after it.
  void take_tasks(int64_t worker, int64_t most) {
    inside_task = true;
    try {
      for (int64_t i = 0; i < round_.workers; ++i) {
        const int64_t from = (worker + i) % round_.workers;
        Stretch& tasks = stretch(from);
        const int64_t end = begin_of(from + 1);
        while (most > 0 && tasks.next.load(std::memory_order_relaxed) < end) {
          --most;
          const int64_t item = tasks.next.fetch_add(1, std::memory_order_relaxed);
          if (item < end) round_.call(round_.body, worker, item);
        }
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failure_lock_);
      if (!failure_) failure_ = std::current_exception();
      for (int64_t i = 0; i < round_.workers; ++i) {
        stretch(i).next.store(begin_of(i + 1), std::memory_order_relaxed);
      }
    }
    inside_task = false;
  }

  struct alignas(kApart) Sleeper {
    std::atomic<bool> asleep{false};
    std::condition_variable wake;
  };

  void wake(int helpers) {
    for (int index = 0; index < helpers; ++index) {
      Sleeper& sleeper = sleepers_[static_cast<size_t>(index)];
      if (!sleeper.asleep.load(std::memory_order_relaxed)) continue;
      const std::lock_guard<std::mutex> lock(sleep_);
      sleeper.wake.notify_one();
    }
  }

  static bool may_help(uint64_t gate, int index) {
    return static_cast<uint64_t>(index) < gate % kRound / kLimit;
  }

  // True if this thread is inside the current round, whose fields then stay.
  bool enter(int index) {
    // What comes next, brought here meanwhile.
    __builtin_prefetch(&stretch(index + 1), 1);
    uint64_t gate = round_.gate.load(std::memory_order_acquire);
    while ((gate & kOpen) != 0 && may_help(gate, index)) {
      if (round_.gate.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) return true;
    }
    return false;
  }

  [[noreturn]] void work(int index) {
    uint64_t seen = 0;
    for (;;) {
      seen = wait_for_round(index, seen);
      if (!enter(index)) continue;
      take_tasks(index + 1, round_.count);
      round_.gate.fetch_sub(1, std::memory_order_release);
    }
  }

  // Those inside end within a task of each other, unless the system has taken
  // their core away: then ours is of more use to them than to a busy loop.
  void wait_for_helpers() {
    const auto until = std::chrono::steady_clock::now() + kSpin;
    for (int turn = 0; round_.gate.load(std::memory_order_acquire) % kOpen > 0; ++turn) {
      cpu_relax();
      if (turn % 64 == 63 && std::chrono::steady_clock::now() > until) std::this_thread::yield();
    }
  }

  // Returns the number of a round other than `seen` in which this thread may help. Others do not
  // keep it awake: a model's `threads` is how many cores its operations take.
  uint64_t wait_for_round(int index, uint64_t seen) {
    const auto until = std::chrono::steady_clock::now() + kSpin;
    const auto is_new = [index, seen](uint64_t gate) {
      return gate / kRound != seen && may_help(gate, index);
    };
    for (int turn = 0;; ++turn) {
      const uint64_t gate = round_.gate.load(std::memory_order_acquire);
      if (is_new(gate)) return gate / kRound;
      cpu_relax();
      if (turn % 64 == 63 && std::chrono::steady_clock::now() > until) break;
    }
    Sleeper& own = sleepers_[static_cast<size_t>(index)];
    uint64_t gate = 0;
    std::unique_lock<std::mutex> lock(sleep_);
    own.asleep.store(true, std::memory_order_seq_cst);
    own.wake.wait(lock, [&] { return is_new(gate = round_.gate.load(std::memory_order_seq_cst)); });
    own.asleep.store(false, std::memory_order_relaxed);
    return gate / kRound;
  }

  std::vector<std::thread> threads_;
  std::deque<Sleeper> sleepers_;   // one a thread; none moves
  std::deque<Stretch> stretches_;  // one a worker: the caller and the threads
  Round round_;
  Turns turn_;
  std::mutex failure_lock_;
  std::exception_ptr failure_;
  std::mutex sleep_;
};

// Never destroyed: its threads may outlive every static object.
ThreadPool& pool() {
  static ThreadPool* instance = new ThreadPool;
  static std::once_flag started;
  std::call_once(started, [] { instance->start(available_cores() - 1); });
  return *instance;
}

}  // namespace

int available_cores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned cores = std::thread::hardware_concurrency();
  return cores == 0 ? 1 : static_cast<int>(cores);
}

void run_items(int64_t count, int workers, const void* body, ItemCall call) {
  if (count <= 0) return;
  int helpers = 0;
  if (count > 1 && workers > 1 && !inside_task) {
    helpers = std::min(
        {workers - 1, pool().workers(), static_cast<int>(std::min<int64_t>(count - 1, 1 << 14))});
  }
  if (helpers == 0) {
    struct Inside {
      bool outer = std::exchange(inside_task, true);
      ~Inside() { inside_task = outer; }
    } inside;
    for (int64_t i = 0; i < count; ++i) call(body, 0, i);
    return;
  }
  pool().run(count, helpers, body, call);
}

}  // namespace speccascade
