// The one pool of compute threads of the process. Operations split their work
// into tasks; which thread runs a task never changes a result.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

namespace speccascade {

// Cores this process may run on.
int available_cores();

// Runs task(0) ... task(count - 1), each once, on at most `max_threads` threads
// (the caller is one of them), and returns when all are done. Calls from
// several threads take turns, of which none is passed over for long (turns.h); a call from
// within a task runs in that thread.
// What a task throws reaches the caller once no task runs any more (of several, the
// first); tasks that have not begun by then are left out.
void parallel_for(int64_t count, int max_threads, const std::function<void(int64_t)>& task);

// Calls body(worker, item) for items 0 .. count - 1, each once: each of the workers, numbered from
// 0, takes one item after the other, and has its scratch to itself. May be called as above.
template <typename Body>
void for_items(int64_t count, int workers, const Body& body) {
  std::atomic<int64_t> next{0};
  parallel_for(workers, workers, [&](int64_t worker) {
    for (int64_t item = next++; item < count; item = next++) body(worker, item);
  });
}

}  // namespace speccascade
