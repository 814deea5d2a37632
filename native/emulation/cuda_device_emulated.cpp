// The emulated device's memory: mappings that fault when the host touches them. Kernels of a stream
// and its copies open them for as long as they run.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "base/cuda_device.h"
#include "base/error.h"
#include "emulation/cuda_emulation.h"

namespace speccascade {

namespace emulation {

namespace {

// Of the process: the one emulated device.
struct DeviceMemory {
  std::mutex mutex;
  std::map<uintptr_t, size_t> mappings;  // begin, bytes in whole pages
  size_t used = 0;
  size_t limit = size_t{1} << 30;
  int open = 0;  // accesses under way
};

DeviceMemory& memory() {
  static DeviceMemory instance;
  return instance;
}

struct AtomicCounts {
  std::atomic<int64_t> launches, copies_down, copies_up, bytes_up, waits;
};

AtomicCounts& counts() {
  static AtomicCounts instance;
  return instance;
}

size_t whole_pages(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// A mapping that stays as it was would hide mistakes: there is no going on.
void protect(const DeviceMemory& all, int access) noexcept {
  for (const auto& [begin, bytes] : all.mappings) {
    if (mprotect(reinterpret_cast<void*>(begin), bytes, access) != 0) std::abort();
  }
}

// With the lock held.
bool is_device_memory(const DeviceMemory& all, uintptr_t begin, size_t bytes) {
  auto mapping = all.mappings.upper_bound(begin);
  if (mapping == all.mappings.begin()) return false;
  --mapping;
  return begin + bytes <= mapping->first + mapping->second;
}

void check_device_memory(const void* begin, size_t bytes, const char* what) {
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (is_device_memory(all, reinterpret_cast<uintptr_t>(begin), bytes)) return;
  fail(ErrorCode::kDevice, "emulated device: ", what, " of ", bytes,
       " bytes that are not device memory");
}

class EmulatedStream final : public DeviceStream {
 public:
  // From here to the next synchronize() the memory stays open: a change of access for every launch
  // would take longer than small kernels.
  void activate() override {
    if (!access_) access_.emplace(true);
  }

  void copy_to_device(void* device_memory, const void* host, size_t bytes) override {
    check_device_memory(device_memory, bytes, "a copy to");
    ++counts().copies_down;
    const DeviceAccess access(true);
    std::memcpy(device_memory, host, bytes);
  }

  // Lands at synchronize(); until then the host has nothing to read.
  void copy_to_host(void* host, const void* device_memory, size_t bytes) override {
    check_device_memory(device_memory, bytes, "a copy from");
    ++counts().copies_up;
    counts().bytes_up += static_cast<int64_t>(bytes);
    Landing landing = {host, std::vector<char>(bytes)};
    {
      const DeviceAccess access(true);
      std::memcpy(landing.bytes.data(), device_memory, bytes);
    }
    std::memset(host, 0xff, bytes);
    landings_.push_back(std::move(landing));
  }

  void synchronize() override {
    access_.reset();
    ++counts().waits;
    for (const Landing& landing : landings_) {
      std::memcpy(landing.host, landing.bytes.data(), landing.bytes.size());
    }
    landings_.clear();
  }

  void* handle() const override { return const_cast<EmulatedStream*>(this); }

 private:
  struct Landing {
    void* host;
    std::vector<char> bytes;
  };
  std::vector<Landing> landings_;
  std::optional<DeviceAccess> access_;
};

class EmulatedDevice final : public Device {
 public:
  const std::string& name() const override { return name_; }

  void* allocate(size_t bytes) override {
    DeviceMemory& all = memory();
    const std::lock_guard<std::mutex> lock(all.mutex);
    const size_t free_bytes = all.limit - all.used;
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
    all.mappings.emplace(reinterpret_cast<uintptr_t>(begin), mapped);
    all.used += bytes;
    return begin;
  }

  void release(void* begin, size_t bytes) noexcept override {
    DeviceMemory& all = memory();
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.mappings.erase(reinterpret_cast<uintptr_t>(begin));
    all.used -= bytes;
    munmap(begin, whole_pages(bytes));
  }

  std::unique_ptr<DeviceStream> open_stream() override {
    return std::make_unique<EmulatedStream>();
  }

 private:
  std::string name_ = "cuda:0";
};

}  // namespace

DeviceAccess::DeviceAccess(bool to_device_memory) : opens_(to_device_memory) {
  if (!opens_) return;
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (all.open++ == 0) protect(all, PROT_READ | PROT_WRITE);
}

DeviceAccess::~DeviceAccess() {
  if (!opens_) return;
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (--all.open == 0) protect(all, PROT_NONE);
}

// Which bytes are pointers is not known, so every aligned word is looked at: what is an address of
// this process, beyond the sanitizers' shadow, is taken for one. Sizes and counts of the shapes
// that run here are far below.
void check_addresses(const void* bytes, size_t count) {
  constexpr uintptr_t kLowest = uintptr_t{0x2000} << 32;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  for (size_t at = 0; at + sizeof(uintptr_t) <= count; at += sizeof(uintptr_t)) {
    uintptr_t word = 0;
    std::memcpy(&word, static_cast<const char*>(bytes) + at, sizeof(word));
    if (word < kLowest || is_device_memory(all, word, 1)) continue;
    void* begin = reinterpret_cast<void*>(word / page * page);
    if (msync(begin, page, MS_ASYNC) != 0) continue;  // nothing is mapped there
    fail(ErrorCode::kDevice, "emulated device: a kernel's argument leads to host memory, at byte ",
         at, " of ", count);
  }
}

void set_device_memory(size_t bytes) {
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (bytes < all.used) fail(ErrorCode::kInput, "emulated device: ", all.used, " bytes are in use");
  all.limit = bytes;
}

size_t used_device_memory() {
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  return all.used;
}

DeviceCounts device_counts() {
  const AtomicCounts& all = counts();
  return {all.launches, all.copies_down, all.copies_up, all.bytes_up, all.waits};
}

void count_launch() { ++counts().launches; }

}  // namespace emulation

std::vector<DeviceInfo> cuda_devices(std::string*) {
  DeviceInfo device;
  device.name = "emulated device";
  device.kind = "cuda";
  device.memory_bytes = emulation::memory().limit;
  device.compute_capability = "8.0";
  device.note = "emulated on the CPU, for tests";
  return {device};
}

std::shared_ptr<Device> open_cuda_device(int index) {
  if (index != 0) fail(ErrorCode::kDevice, "device cuda:", index, ": one device is emulated");
  return std::make_shared<emulation::EmulatedDevice>();
}

}  // namespace speccascade
