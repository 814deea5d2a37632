// Where lowlevel.bench runs an operation: operands in the host's memory or a GPU's, and runs timed
// there.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "ops/backend.h"

namespace speccascade {

// Milliseconds of `run`, sorted; one untimed run first.
inline std::vector<double> time_runs(int repeats, const std::function<void()>& run) {
  run();
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - begin;
    times.push_back(taken.count());
  }
  std::sort(times.begin(), times.end());
  return times;
}

class BenchPlace {
 public:
  // `gpu`: of a backend with devices, the index of one.
  BenchPlace(const Backend& backend, int gpu, int threads) : backend_(backend), threads_(threads) {
    if (backend.open_device == nullptr) return;
    device_ = backend.open_device(gpu);
    stream_ = device_->open_stream();
    stream_->activate();
  }

  const Backend& backend() const { return backend_; }
  int threads() const { return threads_; }
  bool on_device() const { return device_ != nullptr; }
  void* queue() const { return stream_->handle(); }  // on devices

  // Zero-filled.
  void* room(size_t bytes) {
    if (on_device()) return device_memory_.emplace_back(device_, bytes).data();
    return host_memory_.emplace_back(bytes).data();
  }
  void* copy_of(const void* bytes, size_t count) {
    void* own = room(count);
    if (on_device()) {
      stream_->copy_to_device(own, bytes, count);
      stream_->synchronize();
    } else {
      std::copy_n(static_cast<const char*>(bytes), count, static_cast<char*>(own));
    }
    return own;
  }
  // The values themselves on the host.
  template <typename T>
  T* place(Array<T> values) {
    if (on_device()) return static_cast<T*>(copy_of(values.data(), values.bytes()));
    return static_cast<T*>(host_memory_.emplace_back(values.release()).data());
  }
  template <typename T>
  T* copy_of(const T& value) {
    return static_cast<T*>(copy_of(&value, sizeof(value)));
  }

  // Milliseconds of `run`, which on a device queues it, sorted; an untimed run first. There it is
  // one of several that follow each other in a graph, and the graph the second of two: the host has
  // queued all of it before the device's clock starts.
  std::vector<double> time(int repeats, const std::function<void()>& run) {
    if (!on_device()) return time_runs(repeats, run);
    run();
    stream_->synchronize();
    constexpr int kInARow = 16;
    const std::unique_ptr<DeviceGraph> graph = stream_->record([&] {
      for (int i = 0; i < kInARow; ++i) run();
    });
    std::vector<double> times;
    for (int i = 0; i < repeats; ++i) {
      stream_->launch(*graph);
      stream_->mark(0);
      stream_->launch(*graph);
      stream_->mark(1);
      stream_->synchronize();
      times.push_back(stream_->milliseconds(0, 1) / kInARow);
    }
    std::sort(times.begin(), times.end());
    return times;
  }
  std::vector<double> time(int repeats, const Program& program) {
    return time(repeats, [&] { backend_.run(program, threads_, stream_.get()); });
  }

 private:
  const Backend& backend_;
  int threads_;
  std::shared_ptr<Device> device_;
  std::unique_ptr<DeviceStream> stream_;
  std::vector<Buffer> host_memory_;
  std::vector<DeviceBuffer> device_memory_;
};

}  // namespace speccascade
