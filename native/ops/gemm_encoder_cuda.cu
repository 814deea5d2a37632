#include "ops/gemm_encoder_cuda.cuh"

#include "base/cuda_launch.h"
#include "ops/gemm_tiled_launch.cuh"

namespace speccascade {

namespace {

template <typename Type>
void launch_tiles(const Product& product, void* stream) {
  if (product.args.weight.gated) return launch_tiled<Type, true, true>(product, stream);
  launch_tiled<Type, false, true>(product, stream);
}

}  // namespace

void launch_chains(const Product& product, void* stream) {
  if (chains_take_warpgroups(product.args)) return launch_warpgroup_chains(product, stream);
  const DType dtype = product.args.weight.dtype;
  if (dtype == DType::kInt8) return launch_tiles<Int8>(product, stream);
  if (dtype == DType::kF16) return launch_tiles<F16>(product, stream);
  launch_tiles<Bf16>(product, stream);
}

}  // namespace speccascade
