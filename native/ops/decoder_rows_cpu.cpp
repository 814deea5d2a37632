#include "ops/decoder_rows.h"

namespace speccascade {

void resolve_cache_rows_cpu(const ResolveCacheRowsArgs& args) {
  const CacheTable& table = args.table;
  for (int r = 0; r < *args.rows.num_rows; ++r) {
    const int slot = args.rows.slot[r];
    const int at = table.length[slot] + args.rows.node[r];
    args.rows.cache_row[r] =
        slot * table.rows_per_slot + table.order[slot * table.rows_per_slot + at];
  }
}

}  // namespace speccascade
