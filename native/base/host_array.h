// The host's side of what is copied to a device and back.
#pragma once

#include <memory>
#include <utility>

#include "base/buffer.h"
#include "base/device_memory.h"

namespace speccascade {

// Zero-filled. Page-locked for a device (Device::allocate_host); without one an Array.
template <typename T>
class HostArray {
 public:
  HostArray(std::shared_ptr<Device> device, size_t count)
      : device_(count > 0 ? std::move(device) : nullptr), own_(device_ ? 0 : count), count_(count) {
    if (device_) locked_ = static_cast<T*>(device_->allocate_host(bytes()));
  }
  ~HostArray() {
    if (device_) device_->release_host(locked_, bytes());
  }
  HostArray(const HostArray&) = delete;
  HostArray& operator=(const HostArray&) = delete;

  T* data() const { return device_ ? locked_ : own_.data(); }
  size_t size() const { return count_; }
  size_t bytes() const { return bytes_of<T>(count_); }
  T& operator[](size_t i) const { return data()[i]; }

 private:
  std::shared_ptr<Device> device_;
  Array<T> own_;
  size_t count_;
  T* locked_ = nullptr;
};

}  // namespace speccascade
