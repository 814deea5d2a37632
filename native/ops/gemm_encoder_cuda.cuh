// Products whose outputs are one chain of steps each (GemmArgs::one_chain): how gemm_cuda reaches
// their kernels. Included by .cu files alone.
#pragma once

#include "ops/gemm_cuda.cuh"

namespace speccascade {

// A product as its kernels take it.
struct Product {
  const GemmArgs& args;
  DeviceInputs inputs;
  const LeftRows& leaves;
};

// On warpgroups or in the tiles of other products (gemm_encoder_cuda.cu).
void launch_chains(const Product& product, void* stream);

// Of inputs in bf16 and one part on warpgroups (gemm_encoder_sm90.cu): whether the current device
// has code for them, and does.
bool chains_take_warpgroups(const GemmArgs& args);
void launch_warpgroup_chains(const Product& product, void* stream);

}  // namespace speccascade
