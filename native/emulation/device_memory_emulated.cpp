#include "emulation/device_memory_emulated.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "emulation/cuda_emulation.h"

namespace speccascade::emulation {

namespace {

// A mapping that stays as it was would hide mistakes: there is no going on.
void protect(const DeviceMemory& all, int access) noexcept {
  for (const auto& [begin, bytes] : all.device.pieces) {
    if (mprotect(reinterpret_cast<void*>(begin), bytes, access) != 0) std::abort();
  }
}

}  // namespace

DeviceMemory& memory() {
  static DeviceMemory instance;
  return instance;
}

AtomicCounts& counts() {
  static AtomicCounts instance;
  return instance;
}

size_t whole_pages(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

void check_device_memory(const void* begin, size_t bytes, const char* what) {
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  if (all.device.holds(reinterpret_cast<uintptr_t>(begin), bytes)) return;
  fail(ErrorCode::kDevice, "emulated device: ", what, " of ", bytes,
       " bytes that are not device memory");
}

bool is_page_locked(const void* begin, size_t bytes) {
  DeviceMemory& all = memory();
  const std::lock_guard<std::mutex> lock(all.mutex);
  return all.host.holds(reinterpret_cast<uintptr_t>(begin), bytes);
}

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
    if (word < kLowest || all.device.holds(word, 1)) continue;
    void* begin = reinterpret_cast<void*>(word / page * page);
    if (msync(begin, page, MS_ASYNC) != 0) continue;  // nothing is mapped there
    fail(ErrorCode::kDevice, "emulated device: a kernel's argument leads to host memory, at byte ",
         at, " of ", count);
  }
}

void set_device_memory(size_t bytes) {
  const std::lock_guard<std::mutex> lock(memory().mutex);
  memory().device.set_limit(bytes);
}

size_t used_device_memory() {
  const std::lock_guard<std::mutex> lock(memory().mutex);
  return memory().device.used;
}

void set_host_memory(size_t bytes) {
  const std::lock_guard<std::mutex> lock(memory().mutex);
  memory().host.set_limit(bytes);
}

size_t used_host_memory() {
  const std::lock_guard<std::mutex> lock(memory().mutex);
  return memory().host.used;
}

DeviceCounts device_counts() {
  const AtomicCounts& all = counts();
  return {all.launches, all.graphs, all.copies_down, all.copies_up, all.bytes_up, all.waits};
}

}  // namespace speccascade::emulation
