// Encoder and decoder of every layout against the whole forward pass in double precision.
#pragma once

#include <vector>

#include "ops/backend.h"
#include "test/check.h"
#include "test/support/tiny_models.h"

namespace speccascade::test {

// `tested`: what the models run on, CUDA; null: the CPU.
std::vector<Case> forward_cases(const Backend* tested, bool few_lengths);

// The encoder alone, in what forward_cases() was last given.
void check_encoder(const NamedConfig& named, DType dtype, int length);

}  // namespace speccascade::test
