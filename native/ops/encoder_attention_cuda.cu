#include "ops/encoder_attention_cuda.cuh"

#include "base/cuda_launch.h"
#include "ops/attention_cuda.cuh"

namespace speccascade {

namespace {

// Blocks: tiles of rows x heads.
template <int kDim, int kParts>
SC_KERNEL(kEncoderThreads, EncoderShape<kDim>::kBlocks)
encoder_matrix_kernel(EncoderAttentionArgs args, LeftRows leaves) {
  using Shape = EncoderShape<kDim>;
  wait_for_previous();
  const int h = block_index() % args.heads;
  const RowTile tile = find_tile(args, block_index() / args.heads);
  if (tile.sequence < 0) return;
  const int first = args.offsets[tile.sequence];
  const int count = args.offsets[tile.sequence + 1] - first;
  if (tile.row >= count) return;

  EncoderShared<kDim, kParts>& memory = shared<EncoderShared<kDim, kParts>>();
  if (thread_index() == 0) {
    const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
    memory.rows = {args.qkv + first * 3 * inner + static_cast<int64_t>(h) * args.head_dim,
                   args.bias + static_cast<int64_t>(h) * bias_columns(args.max_distance),
                   static_cast<uint32_t>(inner),
                   static_cast<uint32_t>(3 * inner),
                   count,
                   args.head_dim,
                   args.head_dim % 4 == 0 && reinterpret_cast<uintptr_t>(args.qkv) % 16 == 0,
                   h,
                   first,
                   tile.row};
  }
  sync_block();
  using Share = TileShare<kDim, kParts>;
  Share share;
  BiasShare biases;
  const auto fetch_biases = [&](int key) {
    biases.fetch(memory.rows, args.max_distance, key - (memory.rows.tile_row + kTileRows - 1));
  };
  const auto fetch_keys = [&](int key) {
    if constexpr (!Share::kAhead) return;
    share.fetch(memory.rows, 1, key);
    fetch_biases(key);
  };
  const auto bring_keys = [&](int key, int stage) {
    share.bring(memory.rows, 1, key, memory.tiles[stage].keys);
    if constexpr (!Share::kAhead) fetch_biases(key);
    biases.store(memory.tiles[stage].bias);
  };
  const auto fetch_values = [&](int key) {
    if constexpr (Share::kAhead) share.fetch(memory.rows, 2, key);
  };
  fetch_keys(0);
  const int row = warp_index() * kWarpRows;    // of the tile
  const bool active = tile.row + row < count;  // the same for the warp
  EncoderRows<kDim, kParts> rows(memory.rows, tile.row + row);
  bring_keys(0, 0);
  fetch_values(0);
  share.bring(memory.rows, 2, 0, memory.tiles[0].values);
  sync_block();

  // While a tile is used, the next one comes: its keys, then its values.
  for (int key = 0; key < memory.rows.count; key += kTileKeys) {
    const int stage = key / kTileKeys % Shape::kStages, next = Shape::kStages - 1 - stage;
    const int next_key = key + kTileKeys;
    const bool more = next_key < memory.rows.count;
    KeyTile<kDim, kParts>& now = memory.tiles[stage];
    if (more) fetch_keys(next_key);
    if (active) {
      rows.multiply_keys(now.keys);
      rows.weigh(now.bias + kTileRows - 1 - row, memory.rows.count - key);
    }
    if constexpr (Shape::kStages == 1) sync_block();  // nobody reads the keys
    if (more) {
      bring_keys(next_key, next);
      fetch_values(next_key);
    }
    if (active) rows.multiply_values(now.values);
    if constexpr (Shape::kStages == 1) sync_block();  // nor the values
    if (more) share.bring(memory.rows, 2, next_key, memory.tiles[next].values);
    sync_block();
  }
  if (!active) return;
  const HeadRows& place = memory.rows;
  const int64_t inner = static_cast<int64_t>(args.heads) * args.head_dim;
  const int column = place.head * args.head_dim;
  rows.finish([&](int r, int d, float value) {
    const int own = place.tile_row + row + r;
    if (own >= place.count || d >= args.head_dim) return;
    if (leaves.rows != nullptr) store_left(leaves, place.first_row + own, column + d, value);
    if (leaves.alone == 0) args.out[(place.first_row + own) * inner + column + d] = value;
  });
  if (place.head != args.heads - 1) return;
  for (int own = place.tile_row + row; own < place.count && own < place.tile_row + row + kWarpRows;
       ++own) {
    leave_padding(leaves, place.first_row + own, lane_index(), kWarpLanes);
  }
}

template <int kDim, int kParts>
void launch_tiles(const EncoderAttentionArgs& args, const LeftRows& leaves, void* stream) {
  // As many numbers as find_tile may have to give.
  const int tiles = args.max_rows / kTileRows + args.max_sequences;
  launch(waiting(tiles * args.heads, kEncoderThreads), stream, encoder_matrix_kernel<kDim, kParts>,
         args, leaves);
}

template <int kDim>
void launch_parts(const EncoderAttentionArgs& args, const LeftRows& leaves, void* stream) {
  if (args.parts == 1) return launch_tiles<kDim, 1>(args, leaves, stream);
  launch_tiles<kDim, 2>(args, leaves, stream);
}

}  // namespace

void encoder_matrix_attention_cuda(const EncoderAttentionArgs& args, const LeftRows& leaves,
                                   void* stream) {
  if (args.head_dim <= kNarrowDim) return launch_parts<kNarrowDim>(args, leaves, stream);
  launch_parts<kWideDim>(args, leaves, stream);
}

}  // namespace speccascade
