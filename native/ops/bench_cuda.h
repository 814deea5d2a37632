// What lowlevel.bench times on a GPU that is no operation of a program: queued on `stream`.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace speccascade {

// Reads memory, a multiple of 16 bytes.
void read_cuda(const void* memory, int64_t bytes, void* stream);

// Multiplies and adds in registers by the instruction of the type's products, on all
// multiprocessors; returns the number of multiplications.
double multiply_add_cuda(DType dtype, void* stream);

// [rows, width] each.
void softmax_cuda(const float* logits, int rows, int width, float* out, void* stream);

}  // namespace speccascade
