// The CUDA part of base: discovery, device memory, streams. Declared for every
// build; defined in cuda_device.cu where nvcc was there. No CUDA header is
// needed to include this one.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "base/device.h"

namespace speccascade {

// Every CUDA device; where there is none, `note` is set to the reason.
std::vector<DeviceInfo> cuda_devices(std::string* note);

// Device memory on one GPU. Allocation failure is ERR_OUT_OF_MEMORY with the
// bytes needed and free; the device stays usable.
class CudaBuffer {
 public:
  CudaBuffer() = default;
  CudaBuffer(int device, size_t bytes);
  ~CudaBuffer();
  CudaBuffer(CudaBuffer&& other) noexcept { *this = std::move(other); }
  CudaBuffer& operator=(CudaBuffer&& other) noexcept;
  CudaBuffer(const CudaBuffer&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  int device_ = 0;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// An ordered queue of work on one GPU. Copies are asynchronous: the host memory
// must stay valid, and unread, until synchronize().
class CudaStream {
 public:
  explicit CudaStream(int device);
  ~CudaStream();
  CudaStream(CudaStream&& other) noexcept
      : device_(other.device_), handle_(std::exchange(other.handle_, nullptr)) {}
  CudaStream& operator=(CudaStream&&) = delete;
  CudaStream(const CudaStream&) = delete;

  void copy_to_device(void* device_memory, const void* host, size_t bytes);
  void copy_to_host(void* host, const void* device_memory, size_t bytes);
  void synchronize();
  void* handle() const { return handle_; }  // cudaStream_t

 private:
  int device_;
  void* handle_ = nullptr;
};

}  // namespace speccascade
