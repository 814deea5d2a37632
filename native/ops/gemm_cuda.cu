#include <algorithm>

#include "base/cuda_launch.h"
#include "ops/gemm_encoder_cuda.cuh"
#include "ops/gemm_f32_cuda.cuh"
#include "ops/gemm_inputs_cuda.cuh"
#include "ops/gemm_skinny_cuda.cuh"
#include "ops/gemm_tiled_launch.cuh"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

// Up to this bound of rows a product streams its weight, once for every 32 of them; beyond it is
// computed in tiles. Either way a row's bits are the same.
constexpr int kSkinnyRows = 256;
// Groups of eight rows that a block of a skinny product makes where there are several: as many as
// it has registers for.
constexpr int kMostColumns = 4;

// One block per row of the pass.
template <typename Type>
SC_KERNEL(kPrepareThreads)
prepare_kernel(GemmArgs args, RmsNormArgs norm) {
  wait_for_previous();
  if (block_index() < *args.num_rows) prepare_row<Type>(args, norm, block_index());
}

// Blocks of a skinny product for groups of 8 kColumns rows.
template <int kColumns>
LaunchShape skinny_shape(const Matrix& weight, int blocks) {
  const int least = kColumns == 1 ? kLeastSkinnyThreads : kSkinnyThreads;
  return waiting(blocks, std::max(split_of(weight.k, weight.dtype).runs * kWarpLanes, least));
}

template <typename Type, bool kGated, int kColumns, int kInputs>
void launch_skinny(const Product& product, void* stream) {
  const GemmArgs& args = product.args;
  static_assert(sizeof(SkinnyShared<kGated, kColumns>) <= 48 * 1024, "static shared memory");
  const int row_groups = groups_of_size(args.max_rows, 8 * kColumns);
  const SkinnyPlan plan = {split_of(args.weight.k, args.weight.dtype), row_groups};
  launch(skinny_shape<kColumns>(args.weight, tiles_of(args.weight.n) * row_groups), stream,
         skinny_kernel<Type, kGated, kColumns, kInputs>, args, product.inputs, product.leaves,
         plan);
}

template <typename Type, bool kGated, int kColumns>
void launch_skinny(const Product& product, void* stream) {
  if constexpr (Type::kMostInputs == 2) {
    if (product.args.weight.parts == 2) {
      return launch_skinny<Type, kGated, kColumns, 2>(product, stream);
    }
  }
  launch_skinny<Type, kGated, kColumns, 1>(product, stream);
}

template <typename Type, int kColumns>
void launch_skinny_pair(const FoldedOp& step, const FoldedOp& other, void* stream) {
  const GemmArgs& args = step.op.gemm;
  const int row_groups = groups_of_size(args.max_rows, 8 * kColumns);
  const int tiles = tiles_of(args.weight.n) + tiles_of(other.op.gemm.weight.n);
  const SkinnyPlan plan = {split_of(args.weight.k, args.weight.dtype), row_groups};
  launch(skinny_shape<kColumns>(args.weight, tiles * row_groups), stream,
         skinny_pair_kernel<Type, kColumns>, args, other.op.gemm,
         left_inputs(step.reads, step.norm), plan);
}

template <typename Type>
void launch_pair(const FoldedOp& step, const FoldedOp& other, void* stream) {
  const int rows = step.op.gemm.max_rows;
  if (rows <= 8) return launch_skinny_pair<Type, 1>(step, other, stream);
  if (rows <= 16) return launch_skinny_pair<Type, 2>(step, other, stream);
  launch_skinny_pair<Type, kMostColumns>(step, other, stream);
}

bool is_plain(const FoldedOp& step) {
  return step.op.kind == OpKind::kGemm && step.reads.rows != nullptr &&
         step.leaves.rows == nullptr && step.op.gemm.epilogue == Epilogue::kStore &&
         step.op.gemm.peaks == nullptr && !step.op.gemm.one_chain;
}

template <typename Type, bool kGated>
void launch_product(const Product& product, void* stream) {
  const int rows = product.args.max_rows;
  if (rows <= 8) return launch_skinny<Type, kGated, 1>(product, stream);
  if (rows <= 16) return launch_skinny<Type, kGated, 2>(product, stream);
  if (rows <= kSkinnyRows) return launch_skinny<Type, kGated, kMostColumns>(product, stream);
  launch_tiled<Type, kGated, false>(product, stream);
}

template <typename Type>
void launch_type(const FoldedOp& step, bool prepared, void* stream) {
  const GemmArgs& args = step.op.gemm;
  const bool left = step.reads.rows != nullptr;
  if (!left && !prepared) {
    launch(waiting(args.max_rows, kPrepareThreads), stream, prepare_kernel<Type>, args, step.norm);
  }
  const Product product = {args, left ? left_inputs(step.reads, step.norm) : prepared_inputs(args),
                           step.leaves};
  if (args.one_chain) return launch_chains(product, stream);
  if (args.weight.gated) return launch_product<Type, true>(product, stream);
  launch_product<Type, false>(product, stream);
}

}  // namespace

size_t gemm_scratch_bytes_cuda(int max_rows, int k, int parts, DType dtype) {
  if (dtype == DType::kF32) return 0;
  const auto row = static_cast<size_t>(input_bytes(k, dtype));
  const size_t squares = leaves_rows(dtype) ? static_cast<size_t>(tiles_of(k)) : 0;
  return static_cast<size_t>(max_rows) *
         (static_cast<size_t>(parts) * row + (1 + squares) * sizeof(float));
}

bool are_one_launch(const FoldedOp& step, const FoldedOp& other) {
  return is_plain(step) && is_plain(other) && step.reads.rows == other.reads.rows &&
         step.op.gemm.weight.dtype == other.op.gemm.weight.dtype &&
         step.op.gemm.max_rows <= kSkinnyRows;
}

void gemm_pair_cuda(const FoldedOp& step, const FoldedOp& other, void* stream) {
  if (step.op.gemm.weight.dtype == DType::kInt8) return launch_pair<Int8>(step, other, stream);
  launch_pair<Bf16>(step, other, stream);
}

void gemm_cuda(const GemmArgs& args, void* stream) {
  FoldedOp step = {};
  step.op.kind = OpKind::kGemm;
  step.op.gemm = args;
  gemm_cuda(step, false, stream);
}

void gemm_cuda(const FoldedOp& step, bool prepared, void* stream) {
  const GemmArgs& args = step.op.gemm;
  if (args.max_rows == 0) return;
  switch (args.weight.dtype) {
    case DType::kBF16:
      return launch_type<Bf16>(step, prepared, stream);
    case DType::kF16:
      return launch_type<F16>(step, prepared, stream);
    case DType::kInt8:
      return launch_type<Int8>(step, prepared, stream);
    case DType::kF32:
      break;
  }
  const int panels = panels_of(args.weight.n, args.weight.gated);
  const int row_groups = groups_of_size(args.max_rows, kF32Rows);
  launch(waiting(groups_of_size(panels, kF32Warps) * row_groups, kF32Threads), stream, f32_kernel,
         args, panels, row_groups);
}

}  // namespace speccascade
