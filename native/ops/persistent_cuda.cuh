// A pass walked by the blocks of one kernel. Each operation is cut as its own kernel would be; the
// blocks take the pieces in turns and meet where a phase ends. A row has the bits that the kernels
// of run_cuda give it.
#pragma once

#include "ops/attention_cuda.cuh"
#include "ops/gemm_own_rows_cuda.cuh"
#include "ops/gemm_piece_cuda.cuh"
#include "ops/persistent.h"

namespace speccascade {

constexpr int kPersistentThreads = kSkinnyThreads;
static_assert(kPersistentThreads >= kNormThreads && kPersistentThreads >= kAttentionThreads);

// The sums of whatever product is made: one at a time.
struct PersistentSums {
  alignas(16) char bytes[sizeof(PieceShared<true, 1>)];
};

// The operation at hand and the next one, which comes while others are waited for; and how many
// pieces others of its phase have before it. In shared memory, since registers are what pieces
// need.
struct PhaseOps {
  alignas(16) char bytes[2][sizeof(PhaseOp)];
  int32_t before[2];
};

SC_DEVICE const PhaseOp& fetched_op(int index) {
  return *static_cast<const PhaseOp*>(
      static_cast<const void*>(shared<PhaseOps>().bytes[index % 2]));
}

SC_DEVICE DeviceInputs inputs_of_piece(const PhaseOp& step) {
  if (step.reads.rows != nullptr) return left_inputs(step.reads, step.norm);
  return prepared_inputs(step.op.gemm);
}

// A product's rows that were left, or prepared in the phase before. What their norm needs is read
// behind the sums: it would take registers meanwhile.
template <typename Type>
struct PieceRows {
  static constexpr int kStepsAhead = kPieceSteps;

  const PhaseOp& step;
  const char* rows;
  int64_t stride, part;
  int row, num_rows;

  SC_DEVICE void load(int p, int c, int at, uint32_t (&b)[Type::kInstructions][2]) const {
    load_prepared<Type>(rows + p * part, stride, row + 8 * c, num_rows, at, b);
  }
  template <int kRows>
  SC_DEVICE void find(float (&factor)[kRows]) const {
    find_factors(inputs_of_piece(step), row, num_rows, factor);
  }
};

template <typename Type, bool kGated>
SC_DEVICE void product_piece(const PhaseOp& step, int piece) {
  using Memory = PieceShared<kGated, 1>;
  static_assert(sizeof(Memory) <= sizeof(PersistentSums), "sums of a product");
  Memory& memory = *static_cast<Memory*>(static_cast<void*>(shared<PersistentSums>().bytes));
  const GemmArgs& args = step.op.gemm;
  const int num_rows = *args.num_rows;
  const int tiles = tiles_of(args.weight.n);
  const int tile = piece % tiles, row = piece / tiles * kOwnRows;
  const auto multiply = [&](const auto& rows) {
    piece_tile<Type, kGated, 1>(args, rows, step.leaves, tile, row, memory);
  };
  if (!Type::kScaled || step.prepared != 0) {
    const DeviceInputs inputs = inputs_of_piece(step);
    return multiply(PieceRows<Type>{step, inputs.rows, inputs.stride, inputs.part, row, num_rows});
  }
  if constexpr (Type::kScaled) {
    const OwnRows rows = {args, step.norm, row, num_rows, shared<OwnRowsShared>()};
    rows.measure();
    multiply(rows);
  }
}

template <typename Type>
SC_DEVICE void product_piece(const PhaseOp& step, int piece) {
  if (step.prepares != 0) return prepare_row<Type>(step.op.gemm, step.norm, piece);
  if (step.op.gemm.weight.gated) return product_piece<Type, true>(step, piece);
  product_piece<Type, false>(step, piece);
}

// How many pieces an operation has this time.
SC_DEVICE int pieces_of(const PhaseOp& step) {
  const Op& op = step.op;
  switch (op.kind) {
    case OpKind::kEmbed:
      return *op.embed.num_rows;
    case OpKind::kGemm:
      if (step.prepares != 0) return *op.gemm.num_rows;
      return tiles_of(op.gemm.weight.n) * ((*op.gemm.num_rows + kOwnRows - 1) / kOwnRows);
    case OpKind::kResolveCacheRows:
      return (*op.resolve_cache_rows.rows.num_rows + block_threads() - 1) / block_threads();
    case OpKind::kSelfAttention:
      return *op.self_attention.rows.num_rows * op.self_attention.heads;
    case OpKind::kCrossAttention:
      return *op.cross_attention.rows.num_rows * op.cross_attention.heads;
    case OpKind::kRmsNorm:
    case OpKind::kEncoderAttention:
      break;
  }
  return 0;
}

// Calls body with an entry of a cache of that type.
template <PassTypes kTypes, typename Body>
SC_DEVICE void with_entries(DType cache_dtype, const Body& body) {
  if (kTypes == PassTypes::kBf16 || cache_dtype == DType::kBF16) return body(uint16_t{});
  if constexpr (kTypes == PassTypes::kAll) body(float{});
}

template <PassTypes kTypes>
SC_DEVICE void run_piece(const PhaseOp& step, int piece) {
  const Op& op = step.op;
  switch (op.kind) {
    case OpKind::kEmbed:
      return embed_row(op.embed, step.leaves, piece);
    case OpKind::kGemm:
      if (kTypes == PassTypes::kBf16 || op.gemm.weight.dtype == DType::kBF16) {
        return product_piece<Bf16>(step, piece);
      }
      if constexpr (kTypes == PassTypes::kAll) {
        if (op.gemm.weight.dtype == DType::kF16) return product_piece<F16>(step, piece);
        product_piece<Int8>(step, piece);
      }
      return;
    case OpKind::kResolveCacheRows: {
      const int row = piece * block_threads() + thread_index();
      const ResolveCacheRowsArgs& args = op.resolve_cache_rows;
      if (row < *args.rows.num_rows) resolve_cache_row(args, row);
      return;
    }
    case OpKind::kSelfAttention: {
      const SelfAttentionArgs& args = op.self_attention;
      return with_entries<kTypes>(args.cache_dtype, [&](auto entry) {
        attend_own<kNarrowHead, decltype(entry), kPersistentThreads>(
            args, step.leaves, piece / args.heads, piece % args.heads);
      });
    }
    case OpKind::kCrossAttention: {
      const CrossAttentionArgs& args = op.cross_attention;
      return with_entries<kTypes>(args.cache_dtype, [&](auto entry) {
        attend_encoded<kNarrowHead, decltype(entry), kPersistentThreads>(
            args, step.leaves, piece / args.heads, piece % args.heads);
      });
    }
    case OpKind::kRmsNorm:
    case OpKind::kEncoderAttention:
      break;
  }
}

SC_DEVICE void fetch_op(const PersistentPass& pass, int index) {
  static_assert(sizeof(PhaseOp) % sizeof(uint32_t) == 0, "copied by words");
  const char* from = static_cast<const char*>(static_cast<const void*>(&pass.ops[index]));
  char* to = shared<PhaseOps>().bytes[index % 2];
  for (int i = thread_index() * 4; i < static_cast<int>(sizeof(PhaseOp));
       i += block_threads() * 4) {
    uint32_t word[1];
    load_words(from + i, word);
    store_words(to + i, word);
  }
}

// The weights that a block begins the next phase with come while it waits for the others.
SC_DEVICE void prefetch_piece(const PhaseOp& step, int piece) {
  if (step.op.kind != OpKind::kGemm || step.prepares != 0) return;
  const Matrix& weight = step.op.gemm.weight;
  if (piece >= tiles_of(weight.n)) return;
  if (weight.gated) return prefetch_tile<true>(weight, piece);
  prefetch_tile<false>(weight, piece);
}

SC_DEVICE int first_piece(int index) {
  const int blocks = grid_blocks();
  return (block_index() + blocks - shared<PhaseOps>().before[index % 2] % blocks) % blocks;
}

// By all blocks; what was written before is seen by those that meet at pass.barrier first.
template <PassTypes kTypes>
SC_DEVICE void walk_pass(const PersistentPass& pass) {
  PhaseOps& memory = shared<PhaseOps>();
  fetch_op(pass, 0);
  if (thread_index() == 0) memory.before[0] = 0;
  sync_block();
  for (int i = 0; i < pass.count; ++i) {
    const PhaseOp& step = fetched_op(i);
    for (int piece = first_piece(i); piece < pieces_of(step); piece += grid_blocks()) {
      run_piece<kTypes>(step, piece);
      sync_block();
    }
    const bool last = step.last != 0, more = i + 1 < pass.count;
    if (more) fetch_op(pass, i + 1);
    if (thread_index() == 0) {
      memory.before[(i + 1) % 2] = last ? 0 : memory.before[i % 2] + pieces_of(step);
    }
    sync_block();
    if (!last) continue;
    if (more) prefetch_piece(fetched_op(i + 1), block_index());
    sync_grid(pass.barrier);
  }
}

}  // namespace speccascade
