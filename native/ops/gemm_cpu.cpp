#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"
#include "ops/cpu_kernels.h"
#include "ops/gemm.h"

namespace speccascade {

namespace {

// Multiply-adds below which a second thread costs more than it brings (a round
// of the pool takes a few microseconds).
constexpr int64_t kWorkPerThread = 1 << 17;

// Panels handed out together: what the widest kernel takes in one go.
constexpr int kPanelsPerTask = 8;

}  // namespace

void pack_rows(const float* source, int row_begin, int rows, int k, DType dtype, int which,
               int matrices, void* packed) {
  for (int r = 0; r < rows; ++r) {
    const int n = row_begin + r;
    const size_t panel = static_cast<size_t>(n / kPanel) * static_cast<size_t>(matrices) +
                         static_cast<size_t>(which);
    size_t at = panel * static_cast<size_t>(k) * kPanel + static_cast<size_t>(n % kPanel);
    const float* row = source + static_cast<size_t>(r) * static_cast<size_t>(k);
    for (int i = 0; i < k; ++i, at += kPanel) {
      if (dtype == DType::kF32) {
        static_cast<float*>(packed)[at] = row[i];
      } else {
        static_cast<uint16_t*>(packed)[at] = float_to_bf16(row[i]);
      }
    }
  }
}

void gemm_cpu(const GemmArgs& args, int threads) {
  const int rows = *args.num_rows;
  if (rows == 0) return;
  const int panels = panels_of(args.weight.n);
  const int64_t work =
      static_cast<int64_t>(rows) * args.weight.n * args.weight.k * (args.weight.gated ? 2 : 1);
  const int useful =
      static_cast<int>(std::clamp<int64_t>(work / kWorkPerThread, 1, std::max(threads, 1)));
  const CpuKernels& kernels = cpu_kernels();
  if (useful == 1) return kernels.gemm_panels(args, rows, 0, panels);
  // A few tasks a thread even out cores of unequal speed.
  const int tasks_wanted = useful * 4;
  const int per_task = std::max(kPanelsPerTask, (panels / tasks_wanted + kPanelsPerTask - 1) /
                                                    kPanelsPerTask * kPanelsPerTask);
  parallel_for((panels + per_task - 1) / per_task, useful, [&](int64_t task) {
    const int begin = static_cast<int>(task) * per_task;
    kernels.gemm_panels(args, rows, begin, std::min(panels, begin + per_task));
  });
}

}  // namespace speccascade
