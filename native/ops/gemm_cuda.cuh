// What the CUDA products share: how K is split, the inputs in the type that they are multiplied in,
// one step of the matrix instructions, and what happens to finished sums.
#pragma once

#include <cmath>

#include "base/cuda_intrinsics.h"
#include "ops/fragment_matrix.h"
#include "ops/gemm.h"
#include "ops/left_rows_cuda.cuh"
#include "ops/probability_row.h"
#include "ops/row_ops_cuda.cuh"
#include "ops/row_peak_cuda.cuh"

namespace speccascade {

constexpr int kMaxSplits = 8;
constexpr int kTermsPerSplit = 128;  // at least; fewer are not worth a warp

// How K is divided: runs of `steps` steps, of which the last may be shorter. Fixed by the weight.
struct Split {
  int steps_in_all;
  int runs;
  int steps;  // of a run
};

SC_HOST_DEVICE inline Split split_of(int k, DType dtype) {
  const int all = steps_of(k, dtype);
  int wanted = all / (kTermsPerSplit * static_cast<int>(dtype_bytes(dtype)) / kStepBytes);
  wanted = wanted < 1 ? 1 : wanted > kMaxSplits ? kMaxSplits : wanted;
  const int steps = (all + wanted - 1) / wanted;
  return {all, (all + steps - 1) / steps, steps};
}

// A product's inputs, rows of whole steps for each part, and what the sums of a row are multiplied
// by: `factors`, a norm's over `squares` (left_rows.h), or 1 where both are null.
struct DeviceInputs {
  const char* rows;
  int64_t stride;  // bytes of a row
  int64_t part;    // bytes of all rows of a part
  const float* factors;
  const float* squares;
  int width;
  float epsilon, scale;
};

// Inputs that the product has in GemmArgs::scratch. The bound of rows decides on places, not their
// number.
SC_HOST_DEVICE inline DeviceInputs prepared_inputs(const GemmArgs& args) {
  const char* scratch = static_cast<const char*>(args.scratch);
  const int64_t stride = input_bytes(args.weight.k, args.weight.dtype);
  const int64_t part = stride * args.max_rows;
  const auto* factors = reinterpret_cast<const float*>(scratch + args.weight.parts * part);
  return {scratch, stride, part, factors, nullptr, 0, 0.0f, 1.0f};
}

// Inputs that were left.
SC_HOST_DEVICE inline DeviceInputs left_inputs(const LeftRows& left, const RmsNormArgs& norm) {
  return {left.rows, left.stride, 0, nullptr, left.squares, norm.width, norm.epsilon, norm.scale};
}

// By whole warps, of which 16 lanes have the same row.
SC_DEVICE float factor_of_row(const DeviceInputs& inputs, int row, bool there) {
  if (inputs.squares == nullptr)
    return inputs.factors != nullptr && there ? inputs.factors[row] : 1;
  static_assert(kNormBuckets == kTileOutputs, "a lane has a bucket");
  constexpr int kTogether = 8;  // asked for before the first is used
  const int tiles = tiles_of(inputs.width), lane = lane_index() % kNormBuckets;
  const float* squares = inputs.squares + static_cast<int64_t>(row) * tiles + lane;
  float own = 0.0f, total = 0.0f;
  SC_UNROLL_BY(1)
  for (int left = there ? tiles - lane : 0; left > 0; left -= kTogether * kNormBuckets) {
    float values[kTogether];
    SC_UNROLL
    for (int i = 0; i < kTogether; ++i) {
      values[i] = i * kNormBuckets < left ? squares[i * kNormBuckets] : 0.0f;
    }
    SC_UNROLL
    for (int i = 0; i < kTogether; ++i) own += values[i];
    squares += kTogether * kNormBuckets;
  }
  SC_UNROLL
  for (int b = 0; b < kNormBuckets; ++b) {
    total += shuffle(kAllLanes, own, lane_index() - lane + b);
  }
  return factor_of_squares(total, inputs.width, inputs.epsilon) * inputs.scale;
}

// Those of the rows from `row` on, by whole warps of the block.
template <int kRows>
SC_DEVICE void find_factors(const DeviceInputs& inputs, int row, int num_rows,
                            float (&factor)[kRows]) {
  static_assert(kRows % 2 == 0, "both halves of a warp have a row or none");
  // From the last warp on: the first ones look after outputs meanwhile.
  const int begin = (block_threads() - 1 - thread_index()) / kTileOutputs;
  for (int r = begin; r < kRows; r += block_threads() / kTileOutputs) {
    if (row + r / 2 * 2 >= num_rows) continue;  // of neither half of the warp
    const float own = factor_of_row(inputs, row + r, row + r < num_rows);
    if (thread_index() % kTileOutputs == 0) factor[r] = own;
  }
}

// Four integers of 8 bits (fragment_matrix.h), the first two and the others as pairs of bf16.
// 128 + the lower seven bits and 128 or, if it is negative, 256 are exact in bf16, whose numbers
// from 128 to 256 are 1 apart; their difference is the integer.
SC_DEVICE uint32_t widen_pair(uint32_t bytes) {
  constexpr uint32_t kLower = 0x007f007fu, kSigns = 0x00800080u, k128 = 0x43004300u;
  return subtract_bf16(masked_onto(bytes, kLower, k128), masked_onto(bytes, kSigns, k128));
}
SC_DEVICE void widen_integers(uint32_t word, uint32_t& first, uint32_t& second) {
  first = widen_pair(word);
  second = widen_pair(word >> 8);
}

// What a type of weight is multiplied with. kMostInputs: parts that inputs come in, one or two;
// kInstructions: of a step, each with a fragment that the lane's words are widened to; kScaled:
// rows of inputs are scaled before they are rounded.
struct Bf16 {
  static constexpr DType kType = DType::kBF16;
  static constexpr int kMostInputs = 2;
  static constexpr int kInstructions = 1;
  static constexpr bool kScaled = false;
  static SC_DEVICE void widen(const uint32_t (&words)[4], uint32_t (&fragment)[1][4]) {
    SC_UNROLL
    for (int w = 0; w < 4; ++w) fragment[0][w] = words[w];
  }
  static SC_DEVICE void multiply(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_bf16(sums, a, b);
  }
};
struct F16 : Bf16 {
  static constexpr DType kType = DType::kF16;
  static constexpr bool kScaled = true;
  static SC_DEVICE void multiply(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_f16(sums, a, b);
  }
};
struct Int8 : Bf16 {
  static constexpr DType kType = DType::kInt8;
  static constexpr int kMostInputs = 1;
  static constexpr int kInstructions = 2;
  static SC_DEVICE void widen(const uint32_t (&words)[4], uint32_t (&fragment)[2][4]) {
    SC_UNROLL
    for (int w = 0; w < 4; ++w) {
      widen_integers(words[w], fragment[w / 2][w % 2], fragment[w / 2][2 + w % 2]);
    }
  }
};

SC_DEVICE float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x < 0.0f ? 0.0f : x;  // NaN stays NaN
    case Activation::kGelu:
      return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case Activation::kGeluTanh:
      return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case Activation::kSilu:
      return x / (1.0f + expf(-x));
  }
  return x;
}

// By whole warps, of which 16 lanes hold consecutive outputs of a row, from a multiple of 16 on.
SC_DEVICE void leave_peak(const GemmArgs& args, int row, int n, bool there, float value) {
  static_assert(kPeakOutputs == kTileOutputs, "a tile's outputs have one peak");
  const RowPeak own = there ? finite_entry(value, n) : no_peak();
  const RowPeak largest = largest_of_lanes<kPeakOutputs>(own);
  const bool counts = there && value > -INFINITY;
  const float powers = tile_sum(counts ? exp2_flushed((value - largest.value) * kLog2E) : 0.0f);
  if (!there || n % kPeakOutputs != 0) return;
  args.peaks[static_cast<int64_t>(row) * peaks_of(args.weight.n) + n / kPeakOutputs] = {largest,
                                                                                        powers};
}

// What a column of a weight is multiplied by, by matrix.
template <typename Type>
SC_DEVICE float column_scale(const Matrix& w, int n, int which) {
  if constexpr (Type::kType != DType::kInt8) return 1.0f;
  return *reinterpret_cast<const float*>(static_cast<const char*>(w.data) +
                                         scale_offset(n, which, w.n, w.k, w.gated));
}

// A sum times the factor of its row of inputs and, in int8, the scale of its column.
template <typename Type>
SC_DEVICE float product_of(float sum, float factor, float scale) {
  return Type::kType == DType::kInt8 ? sum * factor * scale : sum * factor;
}

// Output n of row `target` of args.out.
SC_DEVICE char* output_place(const GemmArgs& args, int64_t target, int n) {
  const int64_t size = args.out_dtype == DType::kBF16 ? sizeof(uint16_t) : sizeof(float);
  return static_cast<char*>(args.out) + (target * args.ldo + n) * size;
}
SC_DEVICE char* output_of_row(const GemmArgs& args, int row, int n) {
  return output_place(args, args.out_rows ? args.out_rows[row] : row, n);
}

SC_DEVICE void store_output(const GemmArgs& args, void* at, float value) {
  if (args.out_dtype == DType::kBF16) {
    *static_cast<uint16_t*>(at) = static_cast<uint16_t>(bf16_pair(value, 0.0f));
  } else {
    *static_cast<float*>(at) = value;
  }
}
// What an epilogue that adds adds to.
SC_DEVICE float output_before(const void* at) { return *static_cast<const float*>(at); }

// One output of a product: where it goes, and what it is made of beside the sums.
template <typename Type, bool kGated>
struct Output {
  int row, n;
  bool row_there, there;
  char* at;
  float before;  // of an epilogue that adds
  float weight;  // of the norm that follows
  float scale[kGated ? 2 : 1];
};

template <typename Type, bool kGated>
SC_DEVICE Output<Type, kGated> output_at(const GemmArgs& args, const LeftRows& leaves, int num_rows,
                                         int row, int n) {
  Output<Type, kGated> output = {row, n, row < num_rows, false, nullptr, 0.0f, 1.0f, {}};
  output.there = output.row_there && n < args.weight.n;
  output.weight = weight_of_entry(leaves, n);
  if (!output.there) return output;
  output.at = output_of_row(args, row, n);
  if (args.epilogue == Epilogue::kAdd) output.before = output_before(output.at);
  SC_UNROLL
  for (int m = 0; m < (kGated ? 2 : 1); ++m) {
    output.scale[m] = column_scale<Type>(args.weight, n, m);
  }
  return output;
}

// What stands at an output; `second` is the product of the other matrix of a gated pair.
SC_DEVICE float value_of(const GemmArgs& args, float before, float first, float second) {
  switch (args.epilogue) {
    case Epilogue::kStore:
      break;
    case Epilogue::kAdd:
      return before + first;
    case Epilogue::kActivate:
      return activate(args.activation, first);
    case Epilogue::kGate:
      return activate(args.activation, first) * second;
  }
  return first;
}

// By whole warps, of which 16 lanes hold consecutive outputs of a row, from a multiple of 16 on.
// sums: by matrix.
template <typename Type, bool kGated>
SC_DEVICE void finish_output(const GemmArgs& args, const LeftRows& leaves,
                             const Output<Type, kGated>& output, float factor,
                             const float (&sums)[kGated ? 2 : 1]) {
  float value = 0.0f;
  if (output.there) {
    float products[2] = {};
    SC_UNROLL
    for (int m = 0; m < (kGated ? 2 : 1); ++m) {
      products[m] = product_of<Type>(sums[m], factor, output.scale[m]);
    }
    value = value_of(args, output.before, products[0], products[1]);
    if (leaves.alone == 0) store_output(args, output.at, value);
  }
  if (leaves.rows != nullptr) {
    const bool held = output.row_there && output.n < tiles_of(args.weight.n) * kTileOutputs;
    leave_tile(leaves, output.row, output.n, held, value, output.weight);
  }
  if (!kGated && args.peaks != nullptr) {
    leave_peak(args, output.row, output.n, output.there, value);
  }
}

// Calls body(matrix, column tile, i) for every sum that a lane holds, all known when compiled.
template <int kMatrices, int kColumns, typename Body>
SC_DEVICE void for_each_sum(const Body& body) {
  SC_UNROLL
  for (int m = 0; m < kMatrices; ++m) {
    SC_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      SC_UNROLL
      for (int i = 0; i < 4; ++i) body(m, c, i);
    }
  }
}

// A lane's part of a step of a row, which begins there.
template <typename Type>
SC_DEVICE int lane_input() {
  return lane_index() % 4 * (input_step_bytes(Type::kType) / 4);
}
template <int kInstructions>
SC_DEVICE void load_inputs(const void* at, uint32_t (&b)[kInstructions][2]) {
  uint32_t words[2 * kInstructions];
  load_words(at, words);
  SC_UNROLL
  for (int w = 0; w < 2 * kInstructions; ++w) b[w / 2][w % 2] = words[w];
}

// A step: the words of every matrix times the parts of every group of eight rows.
template <typename Type, int kMatrices, int kInputs, int kColumns>
SC_DEVICE void multiply_step(const uint32_t (&words)[kMatrices][4],
                             const uint32_t (&b)[kInputs][kColumns][Type::kInstructions][2],
                             float (&sums)[kMatrices][kColumns][4]) {
  uint32_t a[kMatrices][Type::kInstructions][4];
  SC_UNROLL
  for (int m = 0; m < kMatrices; ++m) Type::widen(words[m], a[m]);
  SC_UNROLL
  for (int c = 0; c < kColumns; ++c) {
    SC_UNROLL
    for (int p = 0; p < kInputs; ++p) {
      SC_UNROLL
      for (int i = 0; i < Type::kInstructions; ++i) {
        SC_UNROLL
        for (int m = 0; m < kMatrices; ++m) Type::multiply(sums[m][c], a[m][i], b[p][c][i]);
      }
    }
  }
}

// The output and the row that a lane's sum i of a tile belongs to.
SC_DEVICE int output_of_sum(int i) { return lane_index() / 4 + i / 2 * 8; }
SC_DEVICE int row_of_sum(int i) { return lane_index() % 4 * 2 + i % 2; }

// Writes up to 16 x `tiles` outputs of `rows` rows, from `row` and `tile` on, by all threads of the
// block. sum_at(matrix, output, r): the sum of an output and row counted from there; factors: of
// these rows.
template <typename Type, bool kGated, typename SumAt>
SC_DEVICE void finish_block(const GemmArgs& args, const LeftRows& leaves, const float* factors,
                            int row, int rows, int tile, int tiles, const SumAt& sum_at) {
  const int outputs = tiles * kTileOutputs, num_rows = *args.num_rows;
  for (int i = thread_index(); i < outputs * rows; i += block_threads()) {
    const int o = i % outputs, r = i / outputs;
    const auto output =
        output_at<Type, kGated>(args, leaves, num_rows, row + r, tile * kTileOutputs + o);
    float sums[kGated ? 2 : 1] = {};
    if (output.there) {
      SC_UNROLL
      for (int m = 0; m < (kGated ? 2 : 1); ++m) sums[m] = sum_at(m, o, r);
    }
    finish_output<Type, kGated>(args, leaves, output, output.there ? factors[r] : 0.0f, sums);
  }
}

}  // namespace speccascade
