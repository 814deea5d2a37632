#include "ops/gemm_encoder_cuda.cuh"

#include "base/cuda_launch.h"
#include "ops/gemm_tiled_launch.cuh"

namespace speccascade {

namespace {

template <typename Type>
void launch_chains(const Product& product, void* stream) {
  if (product.args.weight.gated) return launch_tiled<Type, true, true>(product, stream);
  launch_tiled<Type, false, true>(product, stream);
}

}  // namespace

void launch_chains_bf16(const Product& product, void* stream) {
  launch_chains<Bf16>(product, stream);
}
void launch_chains_f16(const Product& product, void* stream) {
  launch_chains<F16>(product, stream);
}

}  // namespace speccascade
