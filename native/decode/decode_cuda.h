// Steps of decoding on CUDA: the contracts are those of each function's CPU twin, all pointers,
// also those within arrays, are to the device's memory, and work is queued on `stream` (a
// cudaStream_t). Nothing waits.
#pragma once

#include "decode/verify.h"

namespace speccascade {

// Two launches for all slots; one without a drafter that rules read.
void verify_cuda(const VerifyArgs& args, void* stream);

}  // namespace speccascade
