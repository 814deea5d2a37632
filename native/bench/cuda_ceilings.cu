// What the GPU itself gives, for other numbers to stand beside: memory bandwidth by a copy and by a
// kernel that reads alone, the cost of a launch in a row of launches, and of a barrier over as many
// blocks as multiprocessors.
// Prints a line of JSON for each as it is known. Exit code 77: there is no GPU, with the reason on
// standard error.
#include <cstdio>
#include <string>
#include <vector>

#include "base/cuda_device.h"
#include "base/cuda_launch.h"
#include "bench/options.h"

namespace {

using namespace speccascade;

constexpr int kRuns = 21, kWarmups = 3;
constexpr size_t kCopyBytes = size_t{1} << 30;  // far beyond any cache
constexpr int kLaunches = 1000, kBarriers = 1000;

SC_KERNEL(128) empty_kernel() {}

SC_KERNEL(128) barriers_kernel(GridBarrier* barrier, int rounds) {
  for (int i = 0; i < rounds; ++i) sync_grid(barrier);
}

constexpr int kReadThreads = 256, kReadBlocks = 8;  // on a multiprocessor: as many as it holds
constexpr int kReadsAhead = 4;                      // loads that a thread has in flight

// Reads `count` times 16 bytes, whole stretches. What a block's threads have in flight together is
// one stretch, neighbours reading neighbours.
SC_KERNEL(kReadThreads) read_kernel(const Words4* from, int count) {
  const int stretch = kReadThreads * kReadsAhead;
  uint32_t seen = 0;
  for (int first = block_index() * stretch; first < count; first += grid_blocks() * stretch) {
    Words4 words[kReadsAhead];
    SC_UNROLL
    for (int i = 0; i < kReadsAhead; ++i) {
      words[i] = load_streaming(from + first + i * kReadThreads + thread_index());
    }
    SC_UNROLL
    for (int i = 0; i < kReadsAhead; ++i) {
      for (const uint32_t word : words[i].word) seen ^= word;
    }
  }
  keep(static_cast<float>(seen));
}

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) fail(ErrorCode::kDevice, what, ": ", cudaGetErrorString(status));
}

void print(const char* name, double value) {
  std::printf("{\"%s\": %.3f}\n", name, value);
  std::fflush(stdout);
}

// Seconds on the device that body() took: after warm-up, by events.
template <typename Body>
bench::Times seconds_of(cudaStream_t stream, const Body& body) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "creating an event");
  check(cudaEventCreate(&end), "creating an event");
  std::vector<double> seconds;
  for (int run = 0; run < kWarmups + kRuns; ++run) {
    check(cudaEventRecord(begin, stream), "recording an event");
    body();
    check(cudaEventRecord(end, stream), "recording an event");
    check(cudaEventSynchronize(end), "waiting for the device");
    float milliseconds = 0.0f;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "reading events");
    if (run >= kWarmups) seconds.push_back(static_cast<double>(milliseconds) / 1e3);
  }
  check(cudaEventDestroy(begin), "destroying an event");
  check(cudaEventDestroy(end), "destroying an event");
  return bench::times_of(seconds);
}

double gigabytes_a_second(size_t bytes, double seconds) {
  return static_cast<double>(bytes) / seconds / 1e9;
}

void measure_memory(Device& device, cudaStream_t stream, int multiprocessors) {
  auto* from = static_cast<char*>(device.allocate(2 * kCopyBytes));
  // Not zeros: those may cost less.
  check(cudaMemsetAsync(from, 0x5a, 2 * kCopyBytes, stream), "filling memory");
  const bench::Times copy = seconds_of(stream, [&] {
    check(cudaMemcpyAsync(from + kCopyBytes, from, kCopyBytes, cudaMemcpyDeviceToDevice, stream),
          "copying on the device");
  });
  print("copyGBps", gigabytes_a_second(2 * kCopyBytes, copy.median));
  print("fastestCopyGBps", gigabytes_a_second(2 * kCopyBytes, copy.least));

  const int words = static_cast<int>(2 * kCopyBytes / sizeof(Words4));
  const bench::Times read = seconds_of(stream, [&] {
    launch({multiprocessors * kReadBlocks, kReadThreads}, stream, read_kernel,
           reinterpret_cast<const Words4*>(from), words);
  });
  device.release(from, 2 * kCopyBytes);
  print("readGBps", gigabytes_a_second(2 * kCopyBytes, read.median));
  print("fastestReadGBps", gigabytes_a_second(2 * kCopyBytes, read.least));
}

void measure() {
  const std::shared_ptr<Device> device = open_cuda_device(0);
  const std::unique_ptr<DeviceStream> owner = device->open_stream();
  owner->activate();
  auto* stream = static_cast<cudaStream_t>(owner->handle());
  int multiprocessors = 0;
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0),
        "counting multiprocessors");

  measure_memory(*device, stream, multiprocessors);

  const bench::Times launches = seconds_of(stream, [&] {
    for (int i = 0; i < kLaunches; ++i) launch({1, 128}, stream, empty_kernel);
  });
  print("launchMicroseconds", launches.median / kLaunches * 1e6);

  auto* barrier = static_cast<GridBarrier*>(device->allocate(sizeof(GridBarrier)));
  const auto rounds = [&](int count) {
    const auto body = [&] {
      launch({multiprocessors, 128, true}, stream, barriers_kernel, barrier, count);
    };
    return seconds_of(stream, body).median;
  };
  const double barriers = rounds(kBarriers) - rounds(0);
  device->release(barrier, sizeof(GridBarrier));
  print("gridBarrierMicroseconds", barriers / kBarriers * 1e6);
  print("blocks", multiprocessors);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_on_gpu("cuda_ceilings", argc, argv, [](const std::vector<std::string>&) {
    measure();
    return 0;
  });
}
