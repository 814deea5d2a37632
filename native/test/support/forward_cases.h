// Encoder and decoder of every layout against the whole forward pass in double precision.
#pragma once

#include <vector>

#include "ops/backend.h"
#include "test/check.h"

namespace speccascade::test {

// `tested`: what the models run on, CUDA; null: the CPU.
std::vector<Case> forward_cases(const Backend* tested, bool few_lengths);

}  // namespace speccascade::test
