// Buffers: zero-filled, aligned, refused beyond the machine's memory, and seen by the address
// sanitizer although they come from mmap.
#include "base/buffer.h"

#include <cstdint>
#include <limits>

#include "base/red_zones.h"
#include "test/check.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

void buffers_beyond_memory() {
  const size_t everything = std::numeric_limits<size_t>::max();
  CHECK_ERROR(ErrorCode::kOutOfMemory, "needed", const Buffer huge(size_t{1} << 60));
  CHECK_ERROR(ErrorCode::kOutOfMemory, "free", const Buffer all(everything));
  // More elements than addresses: the product must not wrap around to something small.
  CHECK_ERROR(ErrorCode::kOutOfMemory, "", const Array<float> wrapped((size_t{1} << 62) + 4));
}

void fresh_memory_is_zero_and_aligned() {
  for (const size_t bytes : {size_t{1}, size_t{63}, size_t{4096}, (size_t{9} << 20) + 5}) {
    const Array<uint8_t> array(bytes);
    CHECK(reinterpret_cast<uintptr_t>(array.data()) % 64 == 0, bytes);
    CHECK(array.bytes() == bytes && array[0] == 0 && array[bytes - 1] == 0, bytes);
  }
  CHECK(Buffer(0).data() == nullptr);
}

// One byte outside on either side is poisoned, and no byte inside; all is clean again when the
// buffer is gone, since another mapping may get the addresses.
void the_sanitizer_sees_the_ends() {
#ifdef SPECCASCADE_RED_ZONES
  for (const size_t bytes : {size_t{1}, size_t{12}, size_t{4096}, size_t{40000}}) {
    char* data = nullptr;
    {
      const Buffer buffer(bytes);
      data = static_cast<char*>(buffer.data());
      CHECK(__asan_region_is_poisoned(data, bytes) == nullptr, bytes);
      CHECK(__asan_address_is_poisoned(data - 1), bytes);
      CHECK(__asan_address_is_poisoned(data + bytes), bytes);
    }
    CHECK(!__asan_address_is_poisoned(data + bytes), bytes);
  }
#else
  std::puts("  red zones: not a build with the address sanitizer");
#endif
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(buffers_beyond_memory), CASE(fresh_memory_is_zero_and_aligned),
                    CASE(the_sanitizer_sees_the_ends)});
}
