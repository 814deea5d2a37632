// The emulated device's memory: mappings that fault when the host touches them, and page-locked
// memory of the host. Kernels of a stream and its copies open the device's for as long as they run
// (DeviceAccess).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include "base/error.h"

namespace speccascade::emulation {

struct Pool {
  std::map<uintptr_t, size_t> pieces;  // begin, bytes
  size_t used = 0;
  size_t limit = size_t{1} << 30;

  bool holds(uintptr_t begin, size_t bytes) const {
    auto piece = pieces.upper_bound(begin);
    if (piece == pieces.begin()) return false;
    --piece;
    return begin + bytes <= piece->first + piece->second;
  }
  void set_limit(size_t bytes) {
    if (bytes < used) fail(ErrorCode::kInput, "emulated device: ", used, " bytes are in use");
    limit = bytes;
  }
};

// Of the process: the one emulated device.
struct DeviceMemory {
  std::mutex mutex;
  Pool device;   // pieces in whole pages
  Pool host;     // page-locked
  int open = 0;  // accesses under way
};

DeviceMemory& memory();

size_t whole_pages(size_t bytes);

// ERR_DEVICE unless all of it is the device's.
void check_device_memory(const void* begin, size_t bytes, const char* what);
bool is_page_locked(const void* begin, size_t bytes);

// Of the process.
struct AtomicCounts {
  std::atomic<int64_t> launches, graphs, copies_down, copies_up, bytes_up, waits;
};

AtomicCounts& counts();

}  // namespace speccascade::emulation
