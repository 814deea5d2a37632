// In place of bench_cuda.cu in builds without nvcc, where no device is ever opened.
#include "base/error.h"
#include "ops/bench_cuda.h"

namespace speccascade {

namespace {

[[noreturn]] void fail_absent() { fail(ErrorCode::kDevice, "this build has no kernels for GPUs"); }

}  // namespace

void read_cuda(const void*, int64_t, void*) { fail_absent(); }
double multiply_add_cuda(DType, void*) { fail_absent(); }
void softmax_cuda(const float*, int, int, float*, void*) { fail_absent(); }

}  // namespace speccascade
