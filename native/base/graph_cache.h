// Work that a stream is given again and again, as graphs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/device_memory.h"

namespace speccascade {

// One graph for each shape that the work comes in. All are of one stream, which outlives them.
class GraphCache {
 public:
  // Does what `queue` queues. `shape`, from 0, stands for all that its launches depend on; what
  // else changes from one time to the next, kernels read from memory. The first time it is queued
  // as it is, which loads the kernels' code; it is recorded when it comes again.
  void run(DeviceStream& stream, int shape, const std::function<void()>& queue) {
    const auto index = static_cast<size_t>(shape);
    if (index >= works_.size()) works_.resize(index + 1);
    Work& work = works_[index];
    stream.activate();
    if (work.graph) return stream.launch(*work.graph);
    ++first_runs_;
    if (!work.ran) {
      queue();
      work.ran = true;
      return;
    }
    work.graph = stream.record(queue);
    stream.launch(*work.graph);
  }

  // How often this thread ran work, in all caches, that was no graph yet: it takes longer then and
  // is not to be timed.
  static int64_t first_runs() { return first_runs_; }

 private:
  struct Work {
    bool ran = false;
    std::unique_ptr<DeviceGraph> graph;
  };
  std::vector<Work> works_;
  static inline thread_local int64_t first_runs_ = 0;
};

}  // namespace speccascade
