// What a decoder pass computes: new positions of several sequences, each with its
// parent, so that a chain, a tree and a single step are the same call.
#pragma once

#include <cstdint>

namespace speccascade {

// The new rows of one pass, packed. A slot's rows stand together; parents come
// before children.
struct DecoderRows {
  int32_t* num_rows;    // actual rows
  int32_t* tokens;      // [max_rows]
  int32_t* slot;        // [max_rows]
  int32_t* position;    // [max_rows] absolute: the slot's length + depth
  int32_t* parent;      // [max_rows] row of the parent in this pass; -1: the committed prefix
  int32_t* node;        // [max_rows] index within the slot's rows of this pass
  int32_t* cache_row;   // [max_rows] filled by resolve_cache_rows
  int32_t* num_logits;  // rows whose logits are wanted
  int32_t* logit_rows;  // [max_rows]
  int max_rows;
};

// Where a slot's positions lie in its cache. `order` is a permutation of a slot's
// cache rows: the first `length` entries are the committed positions in order,
// the rest are free. A pass writes node i to order[length + i]; keeping an
// accepted path means moving its entries to the front, never copying keys.
struct CacheTable {
  int32_t* order;    // [slots, rows_per_slot]
  int32_t* length;   // [slots] committed positions
  int rows_per_slot;
};

// cache_row[r] = slot * rows_per_slot + order[slot, length + node]: where the
// pass writes row r's key and value.
struct ResolveCacheRowsArgs {
  DecoderRows rows;
  CacheTable table;
};

void resolve_cache_rows_cpu(const ResolveCacheRowsArgs& args);

}  // namespace speccascade
