// Memory that the host cannot reach but by copies, and the queue that copies and kernels go
// through. Implemented for GPUs by base/cuda_device.cu, for tests by native/emulation.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace speccascade {

// Copies and kernels that a stream recorded, their arguments included (a CUDA graph). The stream
// outlives it.
class DeviceGraph {
 public:
  DeviceGraph() = default;
  virtual ~DeviceGraph() = default;
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;
};

// An ordered queue of copies and kernels. Copies are asynchronous: host memory must stay as it is,
// and what is copied to it unread, until synchronize(). One thread at a time.
class DeviceStream {
 public:
  DeviceStream() = default;
  virtual ~DeviceStream() = default;
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;

  // Makes the device the calling thread's current one, as launches need it.
  virtual void activate() = 0;
  virtual void copy_to_device(void* device_memory, const void* host, size_t bytes) = 0;
  virtual void copy_to_host(void* host, const void* device_memory, size_t bytes) = 0;
  // Waits for all that was queued. Throws ERR_DEVICE for what went wrong in it.
  virtual void synchronize() = 0;
  virtual void* handle() const = 0;  // what launch() takes: a cudaStream_t

  // Notes the time at which the queue gets here, under a number from 0; not within recordings.
  virtual void mark(size_t number) = 0;
  // Between two marks that were reached: on the device's clock, in milliseconds.
  virtual double milliseconds(size_t from, size_t to) = 0;

  // Keeps what `queue` puts on this stream, with the arguments as they are now, instead of running
  // it. `queue` neither waits nor allocates, it starts only kernels that have run before (a first
  // launch may load code), and the host's side of its copies is allocate_host()'s. It may be called
  // twice. Throws ERR_DEVICE; the stream stays usable.
  virtual std::unique_ptr<DeviceGraph> record(const std::function<void()>& queue) = 0;
  // Queues all that was recorded on this stream: one launch, whatever it holds.
  virtual void launch(DeviceGraph& graph) = 0;
};

class Device {
 public:
  Device() = default;
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  virtual const std::string& name() const = 0;  // "cuda:0"
  // As many blocks as a kernel with barriers between its blocks has.
  virtual int multiprocessors() const = 0;
  // Zero-filled and aligned to 256 bytes. Throws ERR_OUT_OF_MEMORY with the bytes needed and free;
  // the device stays usable.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* memory, size_t bytes) noexcept = 0;
  // Page-locked host memory, zero-filled: copies need no staging, run beside the host, and can be
  // recorded. Its pages are taken at once. Throws ERR_OUT_OF_MEMORY with the bytes needed.
  virtual void* allocate_host(size_t bytes) = 0;
  virtual void release_host(void* memory, size_t bytes) noexcept = 0;
  virtual std::unique_ptr<DeviceStream> open_stream() = 0;
};

// Device memory with an owner.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(std::shared_ptr<Device> device, size_t bytes)
      : device_(std::move(device)),
        data_(bytes > 0 ? device_->allocate(bytes) : nullptr),
        bytes_(bytes) {}
  ~DeviceBuffer() {
    if (data_ != nullptr) device_->release(data_, bytes_);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<Device> device_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace speccascade
