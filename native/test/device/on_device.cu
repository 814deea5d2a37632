#include "test/support/on_device.h"

#include <cuda_runtime.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include "base/cuda_device.h"
#include "test/check.h"

namespace speccascade::test {

namespace {

constexpr size_t kHeapBytes = size_t{1} << 30;  // more than any test takes
constexpr size_t kStackBytes = size_t{64} << 20;

struct Range {
  uintptr_t begin = 0, end = 0;
};

// The mapping that an address lies in.
Range mapping_of(uintptr_t at) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t dash = line.find('-');
    const Range range = {std::stoull(line, nullptr, 16),
                         std::stoull(line.substr(dash + 1), nullptr, 16)};
    if (range.begin <= at && at < range.end) return range;
  }
  return {};
}

cudaError_t lock(const Range& range) {
  return cudaHostRegister(reinterpret_cast<void*>(range.begin), range.end - range.begin,
                          cudaHostRegisterMapped);
}

int give_up(const char* what, const std::string& reason) {
  std::printf("%s: %s\n", what, reason.c_str());
  return 1;
}

struct Run {
  const std::function<int()>* body;
  int result;
};

void* run_body(void* argument) {
  auto* run = static_cast<Run*>(argument);
  run->result = (*run->body)();
  return nullptr;
}

// Programs that wait for streams: launches return at once, and kernels overlap. Others read the
// host's memory right after a launch.
bool waits_for_streams() {
  const char* const names[] = {
      "cuda_adaptive_step_test", "cuda_draft_loop_test", "cuda_engine_test",    "cuda_forward_test",
      "cuda_graph_test",         "cuda_overlap_test",    "cuda_persistent_test"};
  return std::any_of(std::begin(names), std::end(names), [](const char* name) {
    return std::strcmp(name, program_invocation_short_name) == 0;
  });
}

}  // namespace

int run_on_device(const std::function<int()>& body) {
  // One heap that everything comes from; before CUDA's threads make others.
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  const std::unique_ptr<char[]> early(new char[1]);
  // Grown once, before CUDA maps memory behind it. A compiler may leave out a pair of calls that
  // does nothing to memory.
  void* volatile grown = std::malloc(kHeapBytes);
  std::free(grown);
  if (!waits_for_streams()) setenv("CUDA_LAUNCH_BLOCKING", "1", 1);  // read when CUDA starts, below
  std::string note;
  if (cuda_devices(&note).empty()) {
    std::printf("skipped: %s\n", note.c_str());
    return kSkipped;
  }
  int reaches_all = 0;  // which hides that a test hands kernels other memory
  cudaDeviceGetAttribute(&reaches_all, cudaDevAttrPageableMemoryAccess, 0);
  std::printf("GPU reaches %s memory\n", reaches_all ? "all" : "page-locked");
  int same_addresses = 0;
  cudaDeviceGetAttribute(&same_addresses, cudaDevAttrCanUseHostPointerForRegisteredMem, 0);
  if (same_addresses == 0) {
    return give_up("page-locked memory", "the GPU does not reach it at the host's addresses");
  }
  const std::unique_ptr<char[]> stack(new char[kStackBytes]);
  const auto at = reinterpret_cast<uintptr_t>(stack.get());
  // Vectors come from where this stack does.
  const Range range = mapping_of(at);
  if (range.end - range.begin < kHeapBytes || range.end < at + kStackBytes) {
    return give_up("page-locked memory",
                   "malloc's is not in one piece: " + std::to_string(range.begin) + " to " +
                       std::to_string(range.end) + ", a stack at " + std::to_string(at));
  }
  cudaError_t status = lock(range);
  // Where the heap did not grow in place, small vectors may still come from its beginning.
  const Range first = mapping_of(reinterpret_cast<uintptr_t>(early.get()));
  if (status == cudaSuccess && first.begin != range.begin) status = lock(first);
  if (status != cudaSuccess) return give_up("page-locking the heap", cudaGetErrorString(status));

  Run run = {&body, 1};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_t thread;
  const uintptr_t aligned = (at + 4095) / 4096 * 4096;
  if (pthread_attr_setstack(&attributes, reinterpret_cast<void*>(aligned), kStackBytes - 4096) !=
          0 ||
      pthread_create(&thread, &attributes, run_body, &run) != 0) {
    return give_up("a thread", "it does not start on page-locked memory");
  }
  pthread_join(thread, nullptr);
  const cudaError_t left = cudaDeviceSynchronize();
  if (left != cudaSuccess) return give_up("CUDA after the last case", cudaGetErrorString(left));
  // To the end of the process the heap stays as it is: static objects are freed after this.
  return run.result;
}

}  // namespace speccascade::test
