#include "ops/embed.h"

namespace speccascade {

void embed_cpu(const EmbedArgs& args) {
  for (int r = 0; r < *args.num_rows; ++r) {
    unpack_row(args.table, args.tokens[r], args.out + static_cast<int64_t>(r) * args.table.k);
  }
}

}  // namespace speccascade
