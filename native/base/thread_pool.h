// The one pool of compute threads of the process. Operations split their work
// into tasks; which thread runs a task never changes a result.
#pragma once

#include <cstdint>
#include <functional>

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
void parallel_for(int64_t count, int max_threads, const std::function<void(int64_t)>& task);

// The same with body(worker, item): workers are numbered from 0 to below `workers`, and each has
// what belongs to its number to itself.
void for_items(int64_t count, int workers, const std::function<void(int64_t, int64_t)>& body);

}  // namespace speccascade
