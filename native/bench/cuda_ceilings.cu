// What the GPU itself gives, for other numbers to stand beside: memory bandwidth by a copy, the
// cost of a launch in a row of launches, and of a barrier over as many blocks as multiprocessors.
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

void measure() {
  const std::shared_ptr<Device> device = open_cuda_device(0);
  const std::unique_ptr<DeviceStream> owner = device->open_stream();
  owner->activate();
  auto* stream = static_cast<cudaStream_t>(owner->handle());
  int multiprocessors = 0;
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0),
        "counting multiprocessors");

  auto* from = static_cast<char*>(device->allocate(2 * kCopyBytes));
  // Not zeros: those may cost less.
  check(cudaMemsetAsync(from, 0x5a, kCopyBytes, stream), "filling memory");
  const bench::Times copy = seconds_of(stream, [&] {
    check(cudaMemcpyAsync(from + kCopyBytes, from, kCopyBytes, cudaMemcpyDeviceToDevice, stream),
          "copying on the device");
  });
  device->release(from, 2 * kCopyBytes);
  const auto rate = [](double seconds) {
    return 2.0 * static_cast<double>(kCopyBytes) / seconds / 1e9;
  };
  print("copyGBps", rate(copy.median));
  print("fastestCopyGBps", rate(copy.least));

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
