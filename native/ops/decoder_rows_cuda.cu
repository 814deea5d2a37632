#include "base/cuda_launch.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

constexpr int kThreads = 128;

// One thread per row.
SC_KERNEL(kThreads) resolve_kernel(ResolveCacheRowsArgs args) {
  const int row = block_index() * kThreads + thread_index();
  if (row >= *args.rows.num_rows) return;
  const int slot = args.rows.slot[row];
  const int32_t base = slot * args.table.rows_per_slot;
  const int at = args.table.length[slot] + args.rows.node[row];
  args.rows.cache_row[row] = base + args.table.order[base + at];
}

}  // namespace

void resolve_cache_rows_cuda(const ResolveCacheRowsArgs& args, void* stream) {
  launch({(args.rows.max_rows + kThreads - 1) / kThreads, kThreads}, stream, resolve_kernel, args);
}

}  // namespace speccascade
