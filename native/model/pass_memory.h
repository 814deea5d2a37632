// Where the passes of one model in one session compute. On the CPU every array is the host's own.
// On a device all of them share one arena, sized when everything was taken, and what the host fills
// or reads exists twice, with copies between the two on the session's stream.
#pragma once

#include <memory>

#include "base/buffer.h"
#include "base/device_memory.h"
#include "base/error.h"
#include "base/graph_cache.h"
#include "base/host_array.h"
#include "model/model.h"

namespace speccascade {

class PassMemory {
 public:
  explicit PassMemory(const Model& model)
      : device_(model.device), stream_(device_ ? device_->open_stream() : nullptr) {}
  PassMemory(const PassMemory&) = delete;
  PassMemory& operator=(const PassMemory&) = delete;

  bool on_device() const { return device_ != nullptr; }
  const std::shared_ptr<Device>& device() const { return device_; }  // null on the CPU
  DeviceStream* stream() const { return stream_.get(); }             // null on the CPU

  // Takes bytes of the arena; returns where they begin.
  size_t reserve(size_t bytes) {
    constexpr size_t kAlign = 256;
    const size_t begin = reserved_;
    reserved_ += (bytes + kAlign - 1) / kAlign * kAlign;
    return begin;
  }
  // To be called when all passes and caches exist, before the first run. Throws
  // ERR_OUT_OF_MEMORY.
  void allocate() {
    if (on_device()) arena_ = DeviceBuffer(device_, reserved_);
  }
  void* at(size_t offset) const {
    if (arena_.data() == nullptr) fail(ErrorCode::kDevice, "a pass runs before its memory exists");
    return static_cast<char*>(arena_.data()) + offset;
  }
  size_t arena_bytes() const { return arena_.bytes(); }

  // Does what `queue` queues on the stream and waits for it, also where queueing it fails: nothing
  // reads or writes the host's memory afterwards.
  template <typename Queue>
  void complete(const Queue& queue) const {
    try {
      queue();
    } catch (...) {
      abandon();
      throw;
    }
    if (on_device()) stream_->synchronize();
  }

  // Does what `queue` queues, which is always the same: on the device one launch. `graphs` is of
  // this work alone, and goes before this memory does.
  template <typename Queue>
  void repeat(GraphCache& graphs, const Queue& queue) const {
    if (!on_device()) return queue();
    graphs.run(*stream_, 0, queue);
  }

 private:
  // The error that there is already says more than what the wait may add.
  void abandon() const noexcept {
    try {
      if (on_device()) stream_->synchronize();
    } catch (const Error&) {
    }
  }

  std::shared_ptr<Device> device_;
  std::unique_ptr<DeviceStream> stream_;
  size_t reserved_ = 0;
  DeviceBuffer arena_;
};

// An array that operations alone read and write.
template <typename T>
class PassArray {
 public:
  PassArray(PassMemory& memory, size_t count)
      : memory_(memory), own_(memory.on_device() ? 0 : count), count_(count) {
    if (!memory.on_device()) return;
    if (count > SIZE_MAX / 2 / sizeof(T)) {
      fail(ErrorCode::kOutOfMemory, "out of memory: needed ", count, " times ", sizeof(T),
           " bytes");
    }
    offset_ = memory.reserve(count * sizeof(T));
  }
  // For operations; on a device nothing that the host may touch.
  T* data() const {
    if (count_ == 0) return nullptr;
    return memory_.on_device() ? static_cast<T*>(memory_.at(offset_)) : own_.data();
  }
  size_t size() const { return count_; }
  size_t bytes() const { return count_ * sizeof(T); }

 private:
  const PassMemory& memory_;
  Array<T> own_;
  size_t count_;
  size_t offset_ = 0;
};

// Page-locked memory is scarce and taken at once; other memory when it is first written.
enum class HostSide { kPageLocked, kPageable };

// An array that the host fills and operations read, or the other way round. On the CPU one array.
template <typename T>
class SharedArray {
 public:
  SharedArray(PassMemory& memory, size_t count, HostSide side = HostSide::kPageLocked)
      : memory_(memory),
        host_(side == HostSide::kPageLocked ? memory.device() : nullptr, count),
        device_(memory, memory.on_device() ? count : 0) {}

  T* host() const { return host_.data(); }
  T* device() const { return memory_.on_device() ? device_.data() : host_.data(); }
  T& operator[](size_t i) const { return host_[i]; }
  size_t size() const { return host_.size(); }
  size_t bytes() const { return host_.bytes() + device_.bytes(); }

  // Queued; see DeviceStream. Nothing on the CPU.
  void to_device() const {
    if (memory_.on_device()) to_device(*memory_.stream());
  }
  void to_device(DeviceStream& stream) const {
    if (host_.bytes() > 0) stream.copy_to_device(device_.data(), host_.data(), host_.bytes());
  }
  void to_host(size_t count) const {
    if (!memory_.on_device() || count == 0) return;
    memory_.stream()->copy_to_host(host_.data(), device_.data(), count * sizeof(T));
  }

 private:
  const PassMemory& memory_;
  HostArray<T> host_;
  PassArray<T> device_;
};

}  // namespace speccascade
