#include "base/buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/red_zones.h"

namespace speccascade {

namespace {

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

// The kB figure of one line of /proc/meminfo; 0 where there is none.
size_t meminfo_bytes(const char* key) {
  std::FILE* file = std::fopen("/proc/meminfo", "r");
  if (file == nullptr) return 0;
  char line[160];
  size_t kilobytes = 0;
  const size_t length = std::strlen(key);
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    if (std::strncmp(line, key, length) == 0) {
      std::sscanf(line + length, "%zu", &kilobytes);
      break;
    }
  }
  std::fclose(file);
  return kilobytes * 1024;
}

}  // namespace

size_t free_memory_bytes() { return meminfo_bytes("MemAvailable:"); }

size_t total_memory_bytes() {
  return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

Buffer::Buffer(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  // More than the machine's memory is refused here: overcommit would grant it, and
  // the process would be killed when the pages are touched.
  const bool absurd = bytes > total_memory_bytes();
  void* memory = absurd ? MAP_FAILED
                        : mmap(nullptr, bytes + 2 * kRedZone, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    bytes_ = 0;
    fail(ErrorCode::kOutOfMemory, "out of memory: needed ", bytes, " bytes, free ",
         free_memory_bytes());
  }
#ifdef MADV_HUGEPAGE
  if (bytes >= (size_t{8} << 20)) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  close_red_zones(memory, bytes);
  data_ = static_cast<char*>(memory) + kRedZone;
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  char* mapping = static_cast<char*>(data_) - kRedZone;
  open_red_zones(mapping, bytes_);
  munmap(mapping, bytes_ + 2 * kRedZone);
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace speccascade
