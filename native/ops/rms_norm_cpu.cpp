#include "ops/rms_norm.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "ops/cpu_kernels.h"

namespace speccascade {

void rms_norm_cpu(const RmsNormArgs& args, int threads) {
  const CpuKernels& kernels = cpu_kernels();
  const int rows = *args.num_rows;
  constexpr int kRowsPerTask = 16;
  parallel_for((rows + kRowsPerTask - 1) / kRowsPerTask, threads, [&](int64_t task) {
    const int begin = static_cast<int>(task) * kRowsPerTask;
    const int end = std::min(rows, begin + kRowsPerTask);
    for (int r = begin; r < end; ++r) {
      const int64_t source = args.in_rows ? args.in_rows[r] : r;
      kernels.rms_norm_row(args.x + source * args.width, args.weight, args.width, args.epsilon,
                           args.scale, args.out + static_cast<int64_t>(r) * args.width);
    }
  });
}

}  // namespace speccascade
