#include "base/cuda_launch.h"
#include "ops/ops_cuda.h"
#include "ops/row_ops_cuda.cuh"

namespace speccascade {

namespace {

constexpr int kThreads = 128;

// One thread per row.
SC_KERNEL(kThreads) resolve_kernel(ResolveCacheRowsArgs args) {
  wait_for_previous();
  const int row = block_index() * kThreads + thread_index();
  if (row < *args.rows.num_rows) resolve_cache_row(args, row);
}

}  // namespace

void resolve_cache_rows_cuda(const ResolveCacheRowsArgs& args, void* stream) {
  launch(waiting((args.rows.max_rows + kThreads - 1) / kThreads, kThreads), stream, resolve_kernel,
         args);
}

}  // namespace speccascade
