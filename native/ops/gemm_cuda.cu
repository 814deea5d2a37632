#include "base/cuda_launch.h"
#include "ops/gemm_f32_cuda.cuh"
#include "ops/gemm_inputs_cuda.cuh"
#include "ops/gemm_skinny_cuda.cuh"
#include "ops/gemm_tiled_cuda.cuh"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

// Up to this bound of rows a product streams its weight once or twice; beyond it is computed in
// tiles. Either way a row's bits are the same.
constexpr int kSkinnyRows = 32;

constexpr int groups_of_size(int count, int size) { return (count + size - 1) / size; }

int parts_of(const Matrix& weight) { return weight.dtype == DType::kInt8 ? 2 : weight.parts; }

// One block per row of the pass.
SC_KERNEL(kPrepareThreads) prepare_kernel(GemmArgs args, RmsNormArgs norm, int parts) {
  wait_for_previous();
  if (block_index() < *args.num_rows) prepare_row(args, norm, parts, block_index());
}

template <typename Type, bool kGated, int kColumns>
void launch_skinny(const GemmArgs& args, void* stream) {
  static_assert(sizeof(SkinnyShared<Type, kGated, kColumns>) <= 48 * 1024, "static shared memory");
  const int row_groups = groups_of_size(args.max_rows, 8 * kColumns);
  const int threads = split_of(args.weight.k, args.weight.dtype).runs * kWarpLanes;
  launch(waiting(tiles_of(args.weight.n) * row_groups, threads), stream,
         skinny_kernel<Type, kGated, kColumns>, args, parts_of(args.weight), row_groups);
}

template <typename Type, bool kGated>
void launch_product(const GemmArgs& args, void* stream) {
  using Shape = TiledShape<Type, kGated>;
  static_assert(sizeof(TiledShared<Type, kGated>) <= 48 * 1024, "static shared memory");
  if (args.max_rows <= 8) return launch_skinny<Type, kGated, 1>(args, stream);
  // As many rows at once as a block's shared memory has room for their sums.
  constexpr int kWide = Type::kSums == 1 ? 4 : kGated ? 1 : 2;
  if (args.max_rows <= kSkinnyRows) return launch_skinny<Type, kGated, kWide>(args, stream);
  const int row_groups = groups_of_size(args.max_rows, Shape::kRows);
  const int output_groups = groups_of_size(tiles_of(args.weight.n), kTiledWarps);
  launch(waiting(output_groups * row_groups, kTiledThreads), stream, tiled_kernel<Type, kGated>,
         args, parts_of(args.weight), row_groups);
}

template <typename Type>
void launch_type(const GemmArgs& args, const RmsNormArgs& norm, bool prepared, void* stream) {
  if (!prepared) {
    launch(waiting(args.max_rows, kPrepareThreads), stream, prepare_kernel, args, norm,
           parts_of(args.weight));
  }
  if (args.weight.gated) return launch_product<Type, true>(args, stream);
  launch_product<Type, false>(args, stream);
}

}  // namespace

size_t gemm_scratch_bytes_cuda(int max_rows, int k, int parts, DType dtype) {
  if (dtype == DType::kF32) return 0;
  const int held = dtype == DType::kInt8 ? 2 : parts;
  const size_t row = static_cast<size_t>(steps_of(k, dtype)) * kStepBytes;
  return static_cast<size_t>(max_rows) * (static_cast<size_t>(held) * row + sizeof(float));
}

void gemm_cuda(const GemmArgs& args, void* stream) { gemm_cuda(args, {}, false, stream); }

void gemm_cuda(const GemmArgs& args, const RmsNormArgs& norm, bool prepared, void* stream) {
  if (args.max_rows == 0) return;
  switch (args.weight.dtype) {
    case DType::kBF16:
      return launch_type<Bf16>(args, norm, prepared, stream);
    case DType::kF16:
      return launch_type<F16>(args, norm, prepared, stream);
    case DType::kInt8:
      return launch_type<Int8>(args, norm, prepared, stream);
    case DType::kF32:
      break;
  }
  const int panels = panels_of(args.weight.n, args.weight.gated);
  const int row_groups = groups_of_size(args.max_rows, kF32Rows);
  launch(waiting(groups_of_size(panels, kF32Warps) * row_groups, kF32Threads), stream, f32_kernel,
         args, panels, row_groups);
}

}  // namespace speccascade
