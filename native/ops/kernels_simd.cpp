// Compiled once per instruction set (CMakeLists.txt); see simd.h.
#include "ops/attend_packed_simd.h"
#include "ops/ceilings_simd.h"
#include "ops/gemm_inputs_simd.h"
#include "ops/gemm_simd.h"
#include "ops/rows_simd.h"

namespace speccascade {
namespace SC_SIMD_NAMESPACE {

extern const CpuKernels kernels;
const CpuKernels kernels = {
    kRoundsInputs,       prepare_row,   gemm_panels, rms_norm_row,      attend_heads,
    pack_head,           attend_packed, argmax,      exp_row,           sum_row,
    positive_difference, scale_row,     read_lines,  multiply_add_loop,
};

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
