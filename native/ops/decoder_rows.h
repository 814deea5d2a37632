// What a decoder pass computes: new positions of several sequences, each a node of
// its slot's tree of uncommitted positions, so that a chain, a tree and a single
// step are the same call.
#pragma once

#include <cstdint>

namespace speccascade {

// The new rows of one pass, packed. A slot's rows stand together, each a node of its own; a row's
// parent is in the same pass before it, or in an earlier pass since the last commit.
struct DecoderRows {
  int32_t* num_rows;     // actual rows
  int32_t* tokens;       // [max_rows]
  int32_t* slot;         // [max_rows]
  int32_t* position;     // [max_rows] absolute: the slot's committed length + depth
  int32_t* node;         // [max_rows] index of the node among the slot's uncommitted ones
  int32_t* cache_row;    // [max_rows] filled by resolve_cache_rows
  int32_t* num_logits;   // rows whose logits are wanted
  int32_t* logit_rows;   // [max_rows]
  int32_t* node_parent;  // [slots, max_nodes] parent of each node; -1: the committed prefix
  int max_rows;
  int max_nodes;
};

// Where a slot's positions lie in its cache. `order` is a permutation of a slot's
// cache rows: the first `length` entries are the committed positions in order,
// the rest are free. Node n lies at order[length + n]; keeping an accepted path
// means moving its entries to the front, never copying keys.
struct CacheTable {
  int32_t* order;   // [slots, rows_per_slot]
  int32_t* length;  // [slots] committed positions
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
