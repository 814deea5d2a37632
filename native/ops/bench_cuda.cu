#include "ops/bench_cuda.h"

#include <cmath>

#include "base/cuda_launch.h"
#include "ops/row_math_cuda.cuh"

namespace speccascade {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarpLanes;
constexpr int kBlocks = 4;    // a multiprocessor
constexpr int kTogether = 4;  // of a thread: loads under way, chains of products

SC_KERNEL(kThreads) read_kernel(const char* memory, int64_t units) {
  wait_for_previous();
  constexpr int kUnit = sizeof(Words4);
  const int64_t jump = static_cast<int64_t>(grid_blocks()) * kThreads;
  uint32_t sum = 0;
  for (int64_t i = static_cast<int64_t>(block_index()) * kThreads + thread_index(); i < units;
       i += kTogether * jump) {
    Words4 words[kTogether] = {};
    SC_UNROLL
    for (int t = 0; t < kTogether; ++t) {
      if (i + t * jump < units) words[t] = load_streaming(memory + (i + t * jump) * kUnit);
    }
    SC_UNROLL
    for (const Words4& four : words) {
      sum ^= four.word[0] ^ four.word[1] ^ four.word[2] ^ four.word[3];
    }
  }
  keep(static_cast<float>(sum));
}

// Chains of products that wait for nothing but themselves.
template <bool kF16>
SC_KERNEL(kThreads)
matrix_products_kernel(int rounds) {
  wait_for_previous();
  // Numbers from 1 to 2, of both signs: zeros would spare the GPU power, and so let it run faster.
  const auto pair = [](int i) {
    const uint32_t bits = static_cast<uint32_t>(thread_index() + i) * 0x9e3779b9u;
    constexpr uint32_t kOnes = kF16 ? 0x3c003c00u : 0x3f803f80u;
    constexpr uint32_t kRest = kF16 ? 0x83ff83ffu : 0x807f807fu;
    return (bits & kRest) | kOnes;
  };
  float sums[kTogether][4] = {};
  const uint32_t a[4] = {pair(0), pair(1), pair(2), pair(3)}, b[2] = {pair(4), pair(5)};
  for (int r = 0; r < rounds; ++r) {
    SC_UNROLL
    for (int t = 0; t < kTogether; ++t) {
      if (kF16) {
        mma_f16(sums[t], a, b);
      } else {
        mma_bf16(sums[t], a, b);
      }
    }
  }
  SC_UNROLL
  for (const auto& own : sums) keep(own[0] + own[1] + own[2] + own[3]);
}

SC_KERNEL(kThreads) products_kernel(int rounds, float factor) {
  wait_for_previous();
  float sums[2 * kTogether] = {};
  for (int r = 0; r < rounds; ++r) {
    SC_UNROLL
    for (float& sum : sums) sum = fmaf(sum, factor, factor);
  }
  SC_UNROLL
  for (const float sum : sums) keep(sum);
}

SC_KERNEL(kMaxRowThreads) softmax_kernel(const float* logits, int width, float* out) {
  wait_for_previous();
  const int64_t at = static_cast<int64_t>(block_index()) * width;
  const float largest = row_largest(logits + at, width);
  BlockMath::softmax(logits + at, width, largest, 1.0f, out + at);
}

constexpr int kRounds =
#if defined(__CUDACC__)
    1024;
#else
    4;  // the emulation has no speed to show
#endif

}  // namespace

void read_cuda(const void* memory, int64_t bytes, void* stream) {
  launch(waiting(current_multiprocessors() * kBlocks, kThreads), stream, read_kernel,
         static_cast<const char*>(memory), bytes / static_cast<int64_t>(sizeof(Words4)));
}

double multiply_add_cuda(DType dtype, void* stream) {
  const int blocks = current_multiprocessors() * kBlocks;
  if (dtype == DType::kF32) {
    launch(waiting(blocks, kThreads), stream, products_kernel, kRounds, 0.5f);
    return 2.0 * kTogether * kRounds * kThreads * blocks;
  }
  launch(waiting(blocks, kThreads), stream,
         dtype == DType::kF16 ? matrix_products_kernel<true> : matrix_products_kernel<false>,
         kRounds);
  constexpr double kProducts = 16 * 8 * 16;  // of an instruction
  return kProducts * kTogether * kRounds * kWarps * blocks;
}

void softmax_cuda(const float* logits, int rows, int width, float* out, void* stream) {
  launch(waiting(rows, row_threads(width)), stream, softmax_kernel, logits, width, out);
}

}  // namespace speccascade
