// The one pool of compute threads of the process. Operations split their work
// into tasks; which thread runs a task never changes a result.
#pragma once

#include <cstdint>

namespace speccascade {

// Cores this process may run on.
int available_cores();

// Runs task(0) ... task(count - 1), each once, on at most `max_threads` threads
// (the caller is one of them), and returns when all are done. Calls from
// several threads take turns, of which none is passed over for long (turns.h); a call from
// within a task runs in that thread.
// Each thread begins with a stretch of consecutive tasks, and when it is through takes from those
// of others: tasks that are neighbours may be neighbours in memory.
// What a task throws reaches the caller once no task runs any more (of several, the
// first); tasks that have not begun by then are left out.
template <typename Task>
void parallel_for(int64_t count, int max_threads, const Task& task);

// The same with body(worker, item): workers are numbered from 0 to below `workers`, and what
// belongs to its number is a worker's alone while the call lasts.
template <typename Body>
void for_items(int64_t count, int workers, const Body& body);

// Any body, without the memory that a std::function of it would take.
using ItemCall = void (*)(const void* body, int64_t worker, int64_t item);
void run_items(int64_t count, int workers, const void* body, ItemCall call);

template <typename Body>
void for_items(int64_t count, int workers, const Body& body) {
  run_items(count, workers, &body, [](const void* any, int64_t worker, int64_t item) {
    (*static_cast<const Body*>(any))(worker, item);
  });
}

template <typename Task>
void parallel_for(int64_t count, int max_threads, const Task& task) {
  for_items(count, max_threads, [&task](int64_t, int64_t item) { task(item); });
}

}  // namespace speccascade
