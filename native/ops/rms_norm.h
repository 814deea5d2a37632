// rms_norm: out[r, :] = x[i(r), :] * rsqrt(mean(x[i(r), :]^2) + epsilon) * weight * scale
//
//   x, out  [rows, width] f32, stride width; weight [width] f32
//   i(r)    in_rows[r], or r where that is null
//
// T5's layer norm: no mean is subtracted, no bias added. `scale` carries the
// d_model^-0.5 of tied checkpoints on the decoder's last norm; 1 elsewhere.
#pragma once

#include <cstdint>

namespace speccascade {

struct RmsNormArgs {
  const float* x;
  const float* weight;
  float* out;
  int width;
  float epsilon;
  float scale;
  const int32_t* num_rows;
  int max_rows;
  const int32_t* in_rows;
  // Only products of the program read `out`: executors may normalise as those read, and leave it.
  bool for_products = false;
};

void rms_norm_cpu(const RmsNormArgs& args, int threads);

}  // namespace speccascade
