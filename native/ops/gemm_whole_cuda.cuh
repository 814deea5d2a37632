// finish_quads (gemm_quads_cuda.cuh) for a block that lies within the matrix and arrays that whole
// quads fit, as nearly all do: with the same bits and a fraction of the instructions, which are
// what the few warps of such a block wait for. What all quads share is decided once.
#pragma once

#include "ops/gemm_quads_cuda.cuh"

namespace speccascade {

SC_DEVICE bool whole_block(const GemmArgs& args, const LeftRows& leaves, int end) {
  if (end > args.weight.n || !takes_quads(args.out, args.ldo)) return false;
  return leaves.rows == nullptr || (end <= leaves.width && takes_quads(leaves.weight, 0));
}

template <Activation kActivation, int kCount>
SC_DEVICE void activate_all_by(Quad (&quads)[kCount]) {
  SC_UNROLL
  for (int i = 0; i < kCount; ++i) activate_by<kActivation>(quads[i]);
}

template <int kCount>
SC_DEVICE void activate_all(Activation activation, Quad (&quads)[kCount]) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      return activate_all_by<Activation::kRelu>(quads);
    case Activation::kGelu:
      return activate_all_by<Activation::kGelu>(quads);
    case Activation::kGeluTanh:
      return activate_all_by<Activation::kGeluTanh>(quads);
    case Activation::kSilu:
      return activate_all_by<Activation::kSilu>(quads);
  }
}

// A thread's quads: those of outputs n .. n + 3 in the rows first + i * kJump, counted from the
// block's.
template <int kJump>
struct WholeQuads {
  const GemmArgs& args;
  const LeftRows& leaves;
  int row, rows, n;  // the block's first row, and how many there are from it on
  Quad weight;       // of the norm that follows, or ones

  // Where they are written, those beyond the rows where the last is.
  template <int kCount>
  SC_DEVICE void find(int first, char* (&at)[kCount]) const {
    int target[kCount];
    SC_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const int r = first + i * kJump;
      target[i] = row + (r < rows ? r : rows - 1);
    }
    if (args.out_rows != nullptr) {
      SC_UNROLL
      for (int i = 0; i < kCount; ++i) target[i] = args.out_rows[target[i]];
    }
    SC_UNROLL
    for (int i = 0; i < kCount; ++i) {
      at[i] = output_place(args, target[i], n);
    }
  }

  // leave_quad, of entries within the width.
  SC_DEVICE void leave(int r, const Quad& value) const {
    const bool there = r < rows;
    if (leaves.squares != nullptr) {
      Quad squares;
      SC_UNROLL
      for (int i = 0; i < kQuadOutputs; ++i) squares.value[i] = value.value[i] * value.value[i];
      const float sum = tile_sum(squares);
      if (there && n % kTileOutputs == 0) {
        leaves.squares[static_cast<int64_t>(row + r) * tiles_of(leaves.width) + n / kTileOutputs] =
            sum;
      }
    }
    Quad entries = value;
    if (leaves.weight != nullptr) {
      SC_UNROLL
      for (int i = 0; i < kQuadOutputs; ++i) entries.value[i] *= weight.value[i];
    }
    if (!there) return;
    store_rounded(leaves.rows + (row + r) * leaves.stride + n * static_cast<int>(sizeof(uint16_t)),
                  entries);
  }

  template <int kCount>
  SC_DEVICE void write(int first, char* const (&at)[kCount], const Quad (&values)[kCount]) const {
    if (leaves.alone == 0) {
      SC_UNROLL
      for (int i = 0; i < kCount; ++i) {
        if (first + i * kJump < rows) store_quad(args, at[i], true, kQuadOutputs, values[i]);
      }
    }
    if (leaves.rows == nullptr) return;
    SC_UNROLL
    for (int i = 0; i < kCount; ++i) leave(first + i * kJump, values[i]);
  }
};

// finish_quads where whole_block() holds; sums_at and factors are read for rows beyond the last
// too. kSumming: quads at once where what stands there is added to, kMaking: where it is not.
template <typename Type, bool kGated, int kThreads, int kRows, int kQuads, int kSumming,
          int kMaking, typename SumsAt>
SC_DEVICE void finish_whole(const GemmArgs& args, const LeftRows& leaves, const float* factors,
                            int row, int rows, int n, const SumsAt& sums_at) {
  constexpr int kJump = kThreads / kQuads;
  static_assert(kRows % (kJump * kSumming) == 0 && kRows % (kJump * kMaking) == 0, "no rest");
  const int quad = thread_index() % kQuads, own_n = n + quad * kQuadOutputs;
  const int own = thread_index() / kQuads;
  const Quad scale = column_scales<Type>(args.weight, own_n, kQuadOutputs, 0);
  const bool weighs = leaves.rows != nullptr && leaves.weight != nullptr;
  const WholeQuads<kJump> quads = {
      args, leaves, row, rows, own_n, weighs ? whole_quad(leaves.weight + own_n) : Quad{}};
  if (args.epilogue == Epilogue::kAdd) {
    for (int begin = own; begin < kRows; begin += kJump * kSumming) {
      Quad values[kSumming];
      char* at[kSumming];
      quads.find(begin, at);
      SC_UNROLL
      for (int i = 0; i < kSumming; ++i) {
        const auto* before = reinterpret_cast<const float*>(at[i]);
        values[i] = begin + i * kJump < rows ? whole_quad(before) : Quad{};
      }
      SC_UNROLL
      for (int i = 0; i < kSumming; ++i) {
        const int r = begin + i * kJump;
        const Quad first = product_of<Type>(sums_at(0, quad, r), factors[r], scale);
        SC_UNROLL
        for (int o = 0; o < kQuadOutputs; ++o) values[i].value[o] += first.value[o];
      }
      quads.write(begin, at, values);
    }
    return;
  }
  const bool activates = args.epilogue != Epilogue::kStore;
  const Quad second_scale =
      kGated ? column_scales<Type>(args.weight, own_n, kQuadOutputs, 1) : scale;
  for (int begin = own; begin < kRows; begin += kJump * kMaking) {
    Quad values[kMaking];
    char* at[kMaking];
    quads.find(begin, at);
    SC_UNROLL
    for (int i = 0; i < kMaking; ++i) {
      const int r = begin + i * kJump;
      values[i] = product_of<Type>(sums_at(0, quad, r), factors[r], scale);
    }
    if (activates) activate_all(args.activation, values);
    SC_UNROLL
    for (int i = 0; kGated && i < kMaking; ++i) {
      if (!activates) break;
      const int r = begin + i * kJump;
      const Quad second = product_of<Type>(sums_at(1, quad, r), factors[r], second_scale);
      SC_UNROLL
      for (int o = 0; o < kQuadOutputs; ++o) values[i].value[o] *= second.value[o];
    }
    quads.write(begin, at, values);
  }
}

}  // namespace speccascade
