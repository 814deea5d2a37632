#include "ops/embed.h"

namespace speccascade {

void embed_cpu(const EmbedArgs& args) {
  const int width = args.table.k;
  for (int r = 0; r < *args.num_rows; ++r) {
    const int token = args.tokens[r];
    const size_t start = static_cast<size_t>(token / kPanel) * static_cast<size_t>(width) * kPanel +
                         static_cast<size_t>(token % kPanel);
    float* out = args.out + static_cast<int64_t>(r) * width;
    for (int i = 0; i < width; ++i) {
      const size_t at = start + static_cast<size_t>(i) * kPanel;
      out[i] = args.table.dtype == DType::kF32
                   ? static_cast<const float*>(args.table.data)[at]
                   : bf16_to_float(static_cast<const uint16_t*>(args.table.data)[at]);
    }
  }
}

}  // namespace speccascade
