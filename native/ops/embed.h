// embed: out[r, :] = table[tokens[r], :]
//
//   table  [V, width], packed as a gemm weight (packed_matrix.h), so that tied
//          checkpoints hold embedding and output head once
//   tokens [rows] int32, 0 <= token < V (checked where they enter the engine)
//   out    [rows, width] f32
#pragma once

#include <cstdint>

#include "ops/packed_matrix.h"

namespace speccascade {

struct EmbedArgs {
  Matrix table;
  const int32_t* tokens;
  float* out;
  const int32_t* num_rows;
  int max_rows;
};

void embed_cpu(const EmbedArgs& args);

}  // namespace speccascade
