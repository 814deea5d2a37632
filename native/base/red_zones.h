// The address sanitizer does not know what mmap hands out. In its builds a mapping has a poisoned
// red zone before and after what was asked for, so that it sees an index that leaves its own
// buffer; in all others there is none.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SPECCASCADE_RED_ZONES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPECCASCADE_RED_ZONES 1
#endif
#endif

#ifdef SPECCASCADE_RED_ZONES
#include <sanitizer/asan_interface.h>
#endif

namespace speccascade {

// Bytes of one red zone: a page, which keeps what lies behind it aligned as it was.
#ifdef SPECCASCADE_RED_ZONES
constexpr size_t kRedZone = 4096;
#else
constexpr size_t kRedZone = 0;
#endif

// `mapping` holds a red zone, `bytes` to use, and a red zone.
inline void close_red_zones([[maybe_unused]] void* mapping, [[maybe_unused]] size_t bytes) {
#ifdef SPECCASCADE_RED_ZONES
  char* begin = static_cast<char*>(mapping);
  __asan_poison_memory_region(begin, kRedZone);
  __asan_poison_memory_region(begin + kRedZone + bytes, kRedZone);
#endif
}

// To be called before the mapping is given back.
inline void open_red_zones([[maybe_unused]] void* mapping, [[maybe_unused]] size_t bytes) {
#ifdef SPECCASCADE_RED_ZONES
  __asan_unpoison_memory_region(mapping, bytes + 2 * kRedZone);
#endif
}

}  // namespace speccascade
