// The emulated device, in place of base/cuda_device.cu.
#include "base/cuda_device.h"

#include <sys/mman.h>

#include <cstdlib>

#include "base/error.h"
#include "emulation/cuda_emulation.h"
#include "emulation/device_memory_emulated.h"
#include "emulation/device_stream_emulated.h"

namespace speccascade {

namespace emulation {

namespace {

class EmulatedDevice final : public Device {
 public:
  const std::string& name() const override { return name_; }
  int multiprocessors() const override { return kMultiprocessors; }

  void* allocate(size_t bytes) override {
    check_not_recording("an allocation");
    DeviceMemory& all = memory();
    const std::lock_guard<std::mutex> lock(all.mutex);
    const size_t free_bytes = all.device.limit - all.device.used;
    const size_t mapped = whole_pages(bytes);
    void* begin = MAP_FAILED;
    if (bytes <= free_bytes) {
      const int access = all.open > 0 ? PROT_READ | PROT_WRITE : PROT_NONE;
      begin = mmap(nullptr, mapped, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (begin == MAP_FAILED) {
      fail(ErrorCode::kOutOfMemory, "out of memory on ", name_, ": needed ", bytes, " bytes, free ",
           free_bytes);
    }
    all.device.pieces.emplace(reinterpret_cast<uintptr_t>(begin), mapped);
    all.device.used += bytes;
    return begin;
  }

  void release(void* begin, size_t bytes) noexcept override {
    DeviceMemory& all = memory();
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.device.pieces.erase(reinterpret_cast<uintptr_t>(begin));
    all.device.used -= bytes;
    munmap(begin, whole_pages(bytes));
  }

  // From the heap, where sanitizers watch its ends.
  void* allocate_host(size_t bytes) override {
    check_not_recording("an allocation");
    DeviceMemory& all = memory();
    const std::lock_guard<std::mutex> lock(all.mutex);
    void* begin = bytes <= all.host.limit - all.host.used ? std::calloc(bytes, 1) : nullptr;
    if (begin == nullptr) {
      fail(ErrorCode::kOutOfMemory, "out of page-locked memory for ", name_, ": needed ", bytes,
           " bytes");
    }
    all.host.pieces.emplace(reinterpret_cast<uintptr_t>(begin), bytes);
    all.host.used += bytes;
    return begin;
  }

  void release_host(void* begin, size_t bytes) noexcept override {
    DeviceMemory& all = memory();
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.host.pieces.erase(reinterpret_cast<uintptr_t>(begin));
    all.host.used -= bytes;
    std::free(begin);
  }

  std::unique_ptr<DeviceStream> open_stream() override { return open_emulated_stream(); }

 private:
  std::string name_ = "cuda:0";
};

}  // namespace

}  // namespace emulation

std::vector<DeviceInfo> cuda_devices(std::string*) {
  DeviceInfo device;
  device.name = "emulated device";
  device.kind = "cuda";
  device.memory_bytes = emulation::memory().device.limit;
  device.compute_capability = "8.0";
  device.note = "emulated on the CPU, for tests";
  return {device};
}

bool runs_on_cuda(int index) { return index == 0; }

void overlap_launches(bool overlap) { emulation::let_kernels_overlap(overlap); }

std::shared_ptr<Device> open_cuda_device(int index) {
  if (index != 0) fail(ErrorCode::kDevice, "device cuda:", index, ": one device is emulated");
  return std::make_shared<emulation::EmulatedDevice>();
}

}  // namespace speccascade
