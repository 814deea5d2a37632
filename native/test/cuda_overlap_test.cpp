// Kernels that may start while the one before ends: each sees all that the one before wrote, and
// does not write what that one still reads; launched one by one, and from a graph.
#include <vector>

#include "base/cuda_device.h"
#include "base/cuda_launch.h"
#include "base/host_array.h"
#include "test/check.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kThreads = 64;
constexpr int kBlocks = 40;
constexpr int kCount = kThreads * kBlocks;
constexpr int kRounds = 25;

// Every entry takes its neighbour's value, one larger, from the other array.
SC_KERNEL(kThreads) pass_on_kernel(const int* from, int* to) {
  wait_for_previous();
  const int at = block_index() * kThreads + thread_index();
  to[at] = from[(at + 1) % kCount] + 1;
}

// One that does not start early, among others that do.
SC_KERNEL(kThreads) pass_on_late_kernel(const int* from, int* to) {
  const int at = block_index() * kThreads + thread_index();
  to[at] = from[(at + 1) % kCount] + 1;
}

class Ring {
 public:
  Ring()
      : device_(open_cuda_device(0)),
        stream(device_->open_stream()),
        values_(device_, kCount),
        memory_(device_, 2 * kCount * sizeof(int)) {
    stream->activate();
    for (int i = 0; i < kCount; ++i) values_[static_cast<size_t>(i)] = i;
    stream->copy_to_device(array(0), values_.data(), kCount * sizeof(int));
    stream->synchronize();
  }

  // All rounds, of which every `late`-th does not wait.
  void queue(int late) const {
    for (int round = 0; round < kRounds; ++round) {
      int *from = array(round % 2), *to = array((round + 1) % 2);
      if (round % late == late - 1) {
        launch({kBlocks, kThreads}, stream->handle(), pass_on_late_kernel, from, to);
      } else {
        launch(waiting(kBlocks, kThreads), stream->handle(), pass_on_kernel, from, to);
      }
    }
    // The next time begins where this one ends.
    launch(waiting(kBlocks, kThreads), stream->handle(), pass_on_kernel, array(1), array(0));
  }

  void check(int times) {
    stream->copy_to_host(values_.data(), array(0), kCount * sizeof(int));
    stream->synchronize();
    const int steps = times * (kRounds + 1);
    for (int i = 0; i < kCount; ++i) {
      CHECK(values_[static_cast<size_t>(i)] == (i + steps) % kCount + steps);
    }
  }

 private:
  int* array(int which) const { return static_cast<int*>(memory_.data()) + which * kCount; }

  std::shared_ptr<Device> device_;

 public:
  std::unique_ptr<DeviceStream> stream;

 private:
  HostArray<int> values_;
  DeviceBuffer memory_;
};

void each_sees_what_the_one_before_wrote() {
  for (const int late : {1, 2, 3, 100}) {
    Ring ring;
    ring.queue(late);
    ring.check(1);
  }
}

void from_graphs_too() {
  Ring ring;
  ring.queue(4);
  const auto graph = ring.stream->record([&] { ring.queue(4); });
  ring.stream->launch(*graph);
  ring.stream->launch(*graph);
  ring.check(3);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, {CASE(each_sees_what_the_one_before_wrote), CASE(from_graphs_too)});
}
