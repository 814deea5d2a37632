// What the blocks of a grid meet at: sync_grid of cuda_intrinsics.h.
#pragma once

#include <cstdint>

namespace speccascade {

// In device memory, zero before its first use; one for each kernel that may run at the same time.
struct GridBarrier {
  uint32_t arrived;
  uint32_t generation;
};

}  // namespace speccascade
