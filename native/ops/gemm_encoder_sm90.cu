#include "ops/gemm_encoder_sm90.cuh"

#include <algorithm>
#include <atomic>

#include "base/cuda_launch.h"
#include "ops/gemm_encoder_cuda.cuh"
#include "ops/ops_cuda.h"

namespace speccascade {

namespace {

std::atomic<ChainForm> chain_form = ChainForm::kByDevice;
std::atomic<int> rows_of_blocks = 0;

constexpr int kFactorThreads = 256, kFactorRows = kFactorThreads / kNormBuckets;
// Rows whose groups are a band of blocks: beside as many outputs they are what blocks that run
// together read.
constexpr int kBandRows = 2048;

SC_KERNEL(kFactorThreads)
row_factors_kernel(DeviceInputs inputs, const int32_t* num_rows, float* factors) {
  wait_for_previous();
  const int row = block_index() * kFactorRows + thread_index() / kNormBuckets;
  const bool there = row < *num_rows;
  const float own = factor_of_row(inputs, row, there);
  if (there && thread_index() % kNormBuckets == 0) factors[row] = own;
}

// Of a product in blocks of many rows, each of which would make the same factors. They go behind
// the squares, which leave room for a number a row (gemm_scratch_bytes_cuda).
DeviceInputs with_factors(const Product& product, void* stream) {
  DeviceInputs inputs = product.inputs;
  const int rows = product.args.max_rows;
  if (inputs.squares == nullptr) return inputs;
  const int64_t squares = static_cast<int64_t>(rows) * tiles_of(inputs.width);
  auto* factors = const_cast<float*>(inputs.squares + squares);
  launch(waiting((rows + kFactorRows - 1) / kFactorRows, kFactorThreads), stream,
         row_factors_kernel, inputs, product.args.num_rows, factors);
  inputs.squares = nullptr;
  inputs.factors = factors;
  return inputs;
}

template <typename Shape>
EncoderGrid grid_of(const GemmArgs& args) {
  const int row_groups = (args.max_rows + Shape::kRows - 1) / Shape::kRows;
  const int output_groups = (args.weight.n + Shape::kOutputs - 1) / Shape::kOutputs;
  const int band = kBandRows / Shape::kRows;
  return {row_groups, output_groups, row_groups < band ? row_groups : band};
}

// About how many cycles a product takes in such blocks, in waves of as many as run together. The
// last wave is smaller, and its blocks have more of L2 each.
template <typename Shape>
double cycles_of(const GemmArgs& args) {
  constexpr int kBytesACycle = 32;   // that a multiprocessor has of L2 while all of them read
  constexpr int kLeastCycles = 300;  // of a stage: what its barrier and instructions wait for
  constexpr int kAround = 3000;      // before the first stage and behind the last
  constexpr int kFinished = 8;       // to finish 64 outputs of a row
  constexpr int kTerms = kEncoderStageBytes / static_cast<int>(sizeof(uint16_t));
  constexpr int kWeightBytes = kTerms * static_cast<int>(dtype_bytes(Shape::Type::kType));
  constexpr int kBytes =
      Shape::kRows * kEncoderStageBytes + Shape::kGroups * Shape::kGroupOutputs * kWeightBytes;
  const EncoderGrid grid = grid_of<Shape>(args);
  const int blocks = grid.row_groups * grid.output_groups, all = current_multiprocessors();
  const int together = Shape::kThreads > kWarpgroupThreads || blocks <= all ? 1 : 2;
  const int stages = args.weight.k / kTerms + 1;
  const auto wave_of = [&](int count) {
    const double reading = static_cast<double>(count) / all * kBytes / kBytesACycle;
    const int computing = (count + all - 1) / all * Shape::kGroups * 2 * Shape::kRows;
    return stages * std::max({reading, 1.0 * computing, 1.0 * kLeastCycles}) + kAround +
           Shape::kGroups * Shape::kRows * kFinished;
  };
  const int wave = together * all, rest = blocks % wave;
  return blocks / wave * wave_of(wave) + (rest > 0 ? wave_of(rest) : 0.0);
}

template <typename Shape>
struct Warpgroups {
  static bool fit(const GemmArgs& args) {
    return args.weight.gated == Shape::kGated &&
           (rows_of_blocks == 0 || rows_of_blocks == Shape::kRows);
  }
  static void start(const Product& product, void* stream) {
    const EncoderGrid grid = grid_of<Shape>(product.args);
    const DeviceInputs inputs = Shape::kFew ? product.inputs : with_factors(product, stream);
    launch(waiting(grid.row_groups * grid.output_groups, Shape::kThreads,
                   sizeof(EncoderShared<Shape>)),
           stream, encoder_product_kernel<Shape>, product.args, inputs, product.leaves, grid);
  }
};

// The shape of blocks that takes the least time, by start().
struct Choice {
  double cycles = 0.0;
  void (*start)(const Product& product, void* stream) = nullptr;

  template <typename Shape>
  void consider(const GemmArgs& args) {
    if (!Warpgroups<Shape>::fit(args)) return;
    const double own = cycles_of<Shape>(args);
    if (start != nullptr && own >= cycles) return;
    cycles = own;
    start = Warpgroups<Shape>::start;
  }
  template <typename Type>
  void consider_all(const GemmArgs& args) {
    consider<EncoderShape<Type, false, 2, 256>>(args);
    consider<EncoderShape<Type, false, 2, 128>>(args);
    consider<EncoderShape<Type, false, 1, 64>>(args);
    consider<EncoderShape<Type, false, 1, 32>>(args);
    consider<EncoderShape<Type, true, 2, 256>>(args);
    consider<EncoderShape<Type, true, 2, 128>>(args);
    consider<EncoderShape<Type, true, 2, 64>>(args);
    consider<EncoderShape<Type, true, 2, 32>>(args);
  }
};

bool device_has_code() {
#if defined(__CUDACC__)
  using Shape = EncoderShape<Bf16, false, 2, 256>;
  return takes_block(reinterpret_cast<const void*>(encoder_product_kernel<Shape>), Shape::kThreads);
#else
  return true;
#endif
}

constexpr bool kChosenByItself =
#if defined(__CUDACC__)
    true;
#else
    false;  // as on most GPUs
#endif

}  // namespace

void choose_chains(ChainForm form, int rows_of_block) {
  chain_form = form;
  rows_of_blocks = rows_of_block;
}

bool has_warpgroup_chains() { return device_has_code(); }

bool chains_take_warpgroups(const GemmArgs& args) {
  if (!leaves_rows(args.weight.dtype) || args.weight.parts != 1) return false;
  if (args.peaks != nullptr || chain_form == ChainForm::kPortable) return false;
  return (kChosenByItself || chain_form == ChainForm::kWarpgroups) && device_has_code();
}

void launch_warpgroup_chains(const Product& product, void* stream) {
  Choice choice;
  if (product.args.weight.dtype == DType::kInt8) {
    choice.consider_all<Int8>(product.args);
  } else {
    choice.consider_all<Bf16>(product.args);
  }
  if (choice.start == nullptr) {
    fail(ErrorCode::kInput, "no blocks of warpgroups for ", rows_of_blocks.load(), " rows");
  }
  choice.start(product, stream);
}

}  // namespace speccascade
