#include "base/cuda_launch.h"
#include "ops/fragment_matrix.h"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

constexpr int kThreads = 128;

SC_DEVICE float element(const Matrix& table, int row, int i) {
  const char* data = static_cast<const char*>(table.data);
  if (table.dtype == DType::kF32) {
    const auto* panel = reinterpret_cast<const float*>(data) +
                        static_cast<int64_t>(row / kPanel) * table.k * kPanel;
    return panel[static_cast<int64_t>(i) * kPanel + row % kPanel];
  }
  const char* at = data + element_offset(row, i, 0, table.k, table.dtype, false);
  if (table.dtype == DType::kInt8) {
    const char* scale = data + scale_offset(row, 0, table.n, table.k, false);
    return *reinterpret_cast<const float*>(scale) *
           static_cast<float>(*reinterpret_cast<const int8_t*>(at));
  }
  const uint16_t bits = *reinterpret_cast<const uint16_t*>(at);
  return table.dtype == DType::kBF16 ? bf16_to_float(bits) : f16_to_float(bits);
}

// One block per row.
SC_KERNEL(kThreads) embed_kernel(EmbedArgs args) {
  const int row = block_index();
  if (row >= *args.num_rows) return;
  const int token = args.tokens[row];
  float* out = args.out + static_cast<int64_t>(row) * args.table.k;
  for (int i = thread_index(); i < args.table.k; i += kThreads) {
    out[i] = element(args.table, token, i);
  }
}

}  // namespace

void embed_cuda(const EmbedArgs& args, void* stream) {
  launch({args.max_rows, kThreads}, stream, embed_kernel, args);
}

}  // namespace speccascade
