// The pool under stress: every task of every round runs exactly once and before the round returns,
// whoever calls, from however many threads, nested or not, after any pause.
#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <thread>

#include "test/check.h"
#include "test/support/pretend_cores.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// One round; checks that each task ran once and that the round waited for all of them. The
// counters are plain on purpose: the pool's own synchronisation must order them.
void try_round(int64_t count, int threads) {
  std::vector<int> runs(static_cast<size_t>(count), 0);
  parallel_for(count, threads, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
  for (size_t i = 0; i < runs.size(); ++i) {
    CHECK(runs[i] == 1, "task ", i, " of ", count, " ran ", runs[i], " times, threads ", threads);
  }
}

void every_task_once() {
  for (const int64_t count : {0, 1, 2, 3, 4, 5, 7, 8, 100, 4097, 300000}) {
    for (int threads = -1; threads <= kPretendedCores + 2; ++threads) try_round(count, threads);
    try_round(count, 1000000);
  }
}

void negative_counts_do_nothing() {
  bool ran = false;
  parallel_for(-5, 4, [&](int64_t) { ran = true; });
  CHECK(!ran);
}

void many_small_rounds() {
  TestRandom random(1);
  for (int round = 0; round < 20000; ++round) {
    try_round(random.below(9), 1 + random.below(kPretendedCores));
  }
}

// Pauses around the time that idle threads spin before they sleep: the hand-over from spinning
// to sleeping is where a wake-up could be lost.
void rounds_after_pauses() {
  TestRandom random(2);
  for (int round = 0; round < 4000; ++round) {
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::microseconds(random.below(120));
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    try_round(2 + random.below(6), kPretendedCores);
  }
  for (int round = 0; round < 100; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    try_round(5, kPretendedCores);
  }
}

void rounds_from_several_threads() {
  std::vector<std::thread> callers;
  for (uint64_t caller = 0; caller < 4; ++caller) {
    callers.emplace_back([caller] {
      TestRandom random(caller);
      for (int round = 0; round < 3000; ++round) {
        try_round(random.below(20), 1 + random.below(kPretendedCores + 1));
        if (random.below(50) == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

void nested_rounds_run_in_their_thread() {
  for (int round = 0; round < 300; ++round) {
    std::vector<std::vector<int>> runs(7, std::vector<int>(13, 0));
    parallel_for(7, kPretendedCores, [&](int64_t i) {
      const auto outer = std::this_thread::get_id();
      parallel_for(13, kPretendedCores, [&](int64_t j) {
        CHECK(std::this_thread::get_id() == outer, "a nested task left its thread");
        parallel_for(2, kPretendedCores, [&](int64_t) {});
        ++runs[static_cast<size_t>(i)][static_cast<size_t>(j)];
      });
    });
    for (const auto& inner : runs) {
      for (const int count : inner) CHECK(count == 1);
    }
  }
}

// The contract makes no exception for rounds that need no helper.
void nested_rounds_stay_also_below_a_lone_task() {
  for (const auto& [count, threads] : {std::pair<int64_t, int>{1, 4}, {3, 1}}) {
    parallel_for(count, threads, [&, t = threads](int64_t) {
      const auto outer = std::this_thread::get_id();
      parallel_for(200, kPretendedCores, [&](int64_t) {
        CHECK(std::this_thread::get_id() == outer, "outer threads ", t);
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      });
    });
  }
}

void no_more_threads_than_asked_for() {
  for (int threads = 1; threads <= kPretendedCores; ++threads) {
    std::mutex mutex;
    std::set<std::thread::id> seen;
    parallel_for(200, threads, [&](int64_t) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
      const std::lock_guard<std::mutex> lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
    CHECK(static_cast<int>(seen.size()) <= threads, seen.size(), " threads instead of ", threads);
  }
}

// Tasks of very different length: the round still ends only when the longest has.
void uneven_tasks() {
  for (int round = 0; round < 30; ++round) {
    std::vector<int> done(8, 0);
    parallel_for(8, kPretendedCores, [&](int64_t i) {
      if (i == round % 8) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      done[static_cast<size_t>(i)] = 1;
    });
    for (const int d : done) CHECK(d == 1);
  }
}

// A task's failure reaches the caller, whichever thread it happened on, and the pool goes on.
void failures_reach_the_caller() {
  for (int round = 0; round < 500; ++round) {
    for (const int threads : {1, 2, kPretendedCores}) {
      for (const int64_t bad : {0, 1, 7, 49}) {
        int64_t caught = -1;
        try {
          parallel_for(50, threads, [&](int64_t i) {
            if (i == bad) throw i;
          });
        } catch (const int64_t i) {
          caught = i;
        }
        CHECK(caught == bad, "threads ", threads, " task ", bad, " caught ", caught);
        try_round(20, threads);
      }
    }
  }
  // Several at once: one of them; a nested one ends the outer task.
  bool caught = false;
  try {
    parallel_for(100, kPretendedCores, [](int64_t) {
      parallel_for(3, kPretendedCores, [](int64_t i) {
        if (i == 2) throw std::bad_alloc();
      });
    });
  } catch (const std::bad_alloc&) {
    caught = true;
  }
  CHECK(caught);
  try_round(100, kPretendedCores);
  nested_rounds_run_in_their_thread();
}

// A caller whose long rounds follow each other at once does not keep the turn from another, who
// would have to wake up in the moment between two of them.
void long_rounds_pass_no_one_over() {
  constexpr int kLong = 100;
  std::atomic<int> done{0};
  std::thread busy([&] {
    for (; done < kLong; ++done) {
      parallel_for(kPretendedCores, kPretendedCores, [](int64_t) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(3);
        while (std::chrono::steady_clock::now() < until) {
        }
      });
    }
  });
  int most = 0;
  while (done < kLong) {
    const int before = done;
    try_round(2, kPretendedCores);
    most = std::max(most, done - before);
  }
  busy.join();
  CHECK(most <= 8, "a round waited for ", most, " of ", kLong);
}

void the_pool_has_what_the_process_may_use() {
  CHECK(available_cores() >= kPretendedCores, available_cores());
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(every_task_once), CASE(negative_counts_do_nothing), CASE(many_small_rounds),
       CASE(rounds_after_pauses), CASE(rounds_from_several_threads),
       CASE(nested_rounds_run_in_their_thread), CASE(nested_rounds_stay_also_below_a_lone_task),
       CASE(no_more_threads_than_asked_for), CASE(uneven_tasks), CASE(failures_reach_the_caller),
       CASE(long_rounds_pass_no_one_over), CASE(the_pool_has_what_the_process_may_use)});
}
