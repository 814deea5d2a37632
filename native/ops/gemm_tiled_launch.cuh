// Which tiles a product of many rows takes.
#pragma once

#include "base/cuda_launch.h"
#include "ops/gemm_encoder_cuda.cuh"
#include "ops/gemm_tiled_cuda.cuh"

namespace speccascade {

// From so many blocks on, wide tiles: one for about each multiprocessor of the GPUs of the day
// (A100 has 108, H100 132). With fewer, narrow ones keep more of them at work.
constexpr int kWideBlocks = 128;

constexpr int groups_of_size(int count, int size) { return (count + size - 1) / size; }

template <typename Type, bool kGated, bool kWide, int kInputs, bool kOneChain>
struct Tiled {
  using Shape = TiledShape<kGated, kWide>;
  static_assert(sizeof(TiledShared<kGated, kWide, kInputs, kQuadOutputs>) <= 48 * 1024,
                "static shared memory");

  static int row_groups(const GemmArgs& args) {
    return groups_of_size(args.max_rows, Shape::kRows);
  }
  static int blocks(const GemmArgs& args) {
    return row_groups(args) * groups_of_size(tiles_of(args.weight.n), Shape::kBlockTiles);
  }
  static void start(const Product& product, void* stream) {
    const GemmArgs& args = product.args;
    launch(waiting(blocks(args), Shape::kThreads), stream,
           tiled_kernel<Type, kGated, kWide, kInputs, kOneChain>, args, product.inputs,
           product.leaves, row_groups(args));
  }
};

template <typename Type, bool kGated, bool kOneChain>
void launch_tiled(const Product& product, void* stream) {
  if constexpr (Type::kMostInputs == 2) {
    // Few matrices, and those are narrow.
    if (product.args.weight.parts == 2) {
      return Tiled<Type, kGated, false, 2, kOneChain>::start(product, stream);
    }
  }
  using Wide = Tiled<Type, kGated, true, 1, kOneChain>;
  if (Wide::blocks(product.args) >= kWideBlocks) return Wide::start(product, stream);
  Tiled<Type, kGated, false, 1, kOneChain>::start(product, stream);
}

}  // namespace speccascade
