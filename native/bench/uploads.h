// Arrays in a device's memory, and a stream.
#pragma once

#include <memory>
#include <vector>

#include "base/device_memory.h"

namespace speccascade::bench {

class Uploads {
 public:
  explicit Uploads(std::shared_ptr<Device> device)
      : device_(std::move(device)), stream_(device_->open_stream()) {
    stream_->activate();
  }

  DeviceStream& stream() const { return *stream_; }

  // Zeros.
  template <typename T>
  T* reserve(size_t count) {
    buffers_.emplace_back(device_, count * sizeof(T));
    return static_cast<T*>(buffers_.back().data());
  }

  template <typename T>
  void upload(T* to, const std::vector<T>& values) const {
    stream_->copy_to_device(to, values.data(), values.size() * sizeof(T));
    stream_->synchronize();
  }

  template <typename T>
  T* place(const std::vector<T>& values) {
    T* at = reserve<T>(values.size());
    upload(at, values);
    return at;
  }

 private:
  std::shared_ptr<Device> device_;
  std::unique_ptr<DeviceStream> stream_;
  std::vector<DeviceBuffer> buffers_;
};

}  // namespace speccascade::bench
