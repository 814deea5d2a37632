// What finish_block (gemm_cuda.cuh) does to finished sums, four outputs of a row a thread: by 16
// bytes where the arrays allow it, and with several rows' reads under way. With the same bits. Not
// of products with peaks.
#pragma once

#include "ops/gemm_cuda.cuh"

namespace speccascade {

constexpr int kQuadOutputs = 4;
constexpr int kTileQuads = kTileOutputs / kQuadOutputs;

struct Quad {
  float value[kQuadOutputs];
};

SC_DEVICE bool takes_quads(const void* at, int64_t stride) {
  return reinterpret_cast<uintptr_t>(at) % sizeof(Quad) == 0 && stride % kQuadOutputs == 0;
}

SC_DEVICE Quad whole_quad(const float* at) {
  uint32_t words[kQuadOutputs];
  load_words(at, words);
  Quad quad;
  memcpy(&quad, words, sizeof(quad));
  return quad;
}

// The first `count` of four entries, and zeros.
SC_DEVICE Quad load_quad(const float* at, bool whole, int count) {
  if (whole && count >= kQuadOutputs) return whole_quad(at);
  Quad quad = {};
  SC_UNROLL
  for (int i = 0; i < kQuadOutputs; ++i) {
    if (i < count) quad.value[i] = at[i];
  }
  return quad;
}

SC_DEVICE void store_rounded(void* at, const Quad& quad) {
  const uint32_t words[2] = {bf16_pair(quad.value[0], quad.value[1]),
                             bf16_pair(quad.value[2], quad.value[3])};
  store_words(at, words);
}

// Where output_place (gemm_cuda.cuh) puts the first of them. Arrays that take quads of f32 take
// those of bf16.
SC_DEVICE void store_quad(const GemmArgs& args, char* at, bool whole, int count, const Quad& quad) {
  const bool rounds = args.out_dtype == DType::kBF16;
  if (whole && count >= kQuadOutputs) {
    if (rounds) return store_rounded(at, quad);
    uint32_t words[kQuadOutputs];
    memcpy(words, &quad, sizeof(quad));
    return store_words(at, words);
  }
  const int size = rounds ? sizeof(uint16_t) : sizeof(float);
  SC_UNROLL
  for (int i = 0; i < kQuadOutputs; ++i) {
    if (i < count) store_output(args, at + i * size, quad.value[i]);
  }
}

// As tile_sum of the 16 entries, of which this lane and the three around it have four each.
SC_DEVICE float tile_sum(const Quad& own) {
  float sums[kQuadOutputs];
  SC_UNROLL
  for (int i = 0; i < kQuadOutputs; ++i) {
    sums[i] = own.value[i] + shuffle_xor(kAllLanes, own.value[i], 2);  // 8 entries on
  }
  SC_UNROLL
  for (int i = 0; i < kQuadOutputs; ++i) sums[i] += shuffle_xor(kAllLanes, sums[i], 1);
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

// leave_tile, four entries a lane.
SC_DEVICE void leave_quad(const LeftRows& left, bool whole, int row, int n, bool there,
                          const Quad& values) {
  const int count = left.width - n;  // within the width
  if (left.squares != nullptr) {
    Quad squares = {};
    SC_UNROLL
    for (int i = 0; i < kQuadOutputs; ++i) {
      if (there && i < count) squares.value[i] = values.value[i] * values.value[i];
    }
    const float sum = tile_sum(squares);
    if (there && n % kTileOutputs == 0) {
      left.squares[static_cast<int64_t>(row) * tiles_of(left.width) + n / kTileOutputs] = sum;
    }
  }
  if (!there) return;
  Quad entries = values;
  if (left.weight != nullptr) {
    const Quad weight = load_quad(left.weight + n, whole, count);
    SC_UNROLL
    for (int i = 0; i < kQuadOutputs; ++i) entries.value[i] *= weight.value[i];
  }
  SC_UNROLL
  for (int i = 0; i < kQuadOutputs; ++i) entries.value[i] = i < count ? entries.value[i] : 0.0f;
  store_rounded(left.rows + row * left.stride + n * static_cast<int>(sizeof(uint16_t)), entries);
}

// Of the four outputs from n on, of which there are `count`.
template <typename Type>
SC_DEVICE Quad column_scales(const Matrix& w, int n, int count, int which) {
  if (Type::kType != DType::kInt8 || count <= 0) return {};
  // They are there for whole tiles.
  const char* at = static_cast<const char*>(w.data) + scale_offset(n, which, w.n, w.k, w.gated);
  return whole_quad(reinterpret_cast<const float*>(at));
}

template <typename Type>
SC_DEVICE Quad product_of(const Quad& sums, float factor, const Quad& scales) {
  Quad product;
  SC_UNROLL
  for (int i = 0; i < kQuadOutputs; ++i) {
    product.value[i] = product_of<Type>(sums.value[i], factor, scales.value[i]);
  }
  return product;
}

template <Activation kActivation>
SC_DEVICE void activate_by(Quad& quad) {
  SC_UNROLL
  for (int i = 0; i < kQuadOutputs; ++i) quad.value[i] = activate(kActivation, quad.value[i]);
}

SC_DEVICE void activate_quad(Activation activation, Quad& quad) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      return activate_by<Activation::kRelu>(quad);
    case Activation::kGelu:
      return activate_by<Activation::kGelu>(quad);
    case Activation::kGeluTanh:
      return activate_by<Activation::kGeluTanh>(quad);
    case Activation::kSilu:
      return activate_by<Activation::kSilu>(quad);
  }
}

// What value_of() makes of them; `before`: what stands there.
template <bool kGated>
SC_DEVICE Quad finished_quad(const GemmArgs& args, const Quad& first, const Quad& second,
                             const Quad& before) {
  Quad value = first;
  if (args.epilogue == Epilogue::kAdd) {
    SC_UNROLL
    for (int i = 0; i < kQuadOutputs; ++i) value.value[i] = before.value[i] + first.value[i];
  } else if (args.epilogue != Epilogue::kStore) {
    activate_quad(args.activation, value);
    SC_UNROLL
    for (int i = 0; kGated && i < kQuadOutputs; ++i) value.value[i] *= second.value[i];
  }
  return value;
}

// Writes kQuads x 4 outputs of kRows rows, from `row` and n on, by all kThreads threads of the
// block. sums_at(matrix, quad, r): four sums counted from there; factors: of these rows. kAtOnce:
// quads that a thread reads before it uses the first.
template <typename Type, bool kGated, int kThreads, int kRows, int kQuads, int kAtOnce,
          typename SumsAt>
SC_DEVICE void finish_quads(const GemmArgs& args, const LeftRows& leaves, const float* factors,
                            int row, int n, const SumsAt& sums_at) {
  static_assert(kRows * kQuads % (kThreads * kAtOnce) == 0 && kQuads % kTileQuads == 0,
                "every thread has as many, and whole warps have tiles");
  const int rows = *args.num_rows - row, outputs = args.weight.n;
  const bool whole = takes_quads(args.out, args.ldo), adds = args.epilogue == Epilogue::kAdd;
  const bool whole_weight = takes_quads(leaves.weight, 0);
  const int quad = thread_index() % kQuads, own_n = n + quad * kQuadOutputs;
  const int count = outputs - own_n;
  const bool held = own_n < tiles_of(outputs) * kTileOutputs;
  const Quad scale = column_scales<Type>(args.weight, own_n, count, 0);
  const Quad second_scale = kGated ? column_scales<Type>(args.weight, own_n, count, 1) : scale;
  for (int begin = thread_index() / kQuads; begin < kRows; begin += kThreads / kQuads * kAtOnce) {
    Quad before[kAtOnce];
    char* out[kAtOnce];
    SC_UNROLL
    for (int i = 0; i < kAtOnce; ++i) {
      const int r = begin + kThreads / kQuads * i;
      const bool there = r < rows && count > 0;
      const int64_t target = there && args.out_rows != nullptr ? args.out_rows[row + r] : row + r;
      out[i] = output_place(args, target, own_n);
      before[i] =
          load_quad(reinterpret_cast<const float*>(out[i]), whole, adds && there ? count : 0);
    }
    SC_UNROLL
    for (int i = 0; i < kAtOnce; ++i) {
      const int r = begin + kThreads / kQuads * i;
      const bool row_there = r < rows;
      Quad value = {};
      if (row_there && count > 0) {
        const Quad first = product_of<Type>(sums_at(0, quad, r), factors[r], scale);
        const Quad second =
            kGated ? product_of<Type>(sums_at(1, quad, r), factors[r], second_scale) : first;
        value = finished_quad<kGated>(args, first, second, before[i]);
        SC_UNROLL
        for (int o = 0; o < kQuadOutputs; ++o) value.value[o] = o < count ? value.value[o] : 0.0f;
        if (leaves.alone == 0) store_quad(args, out[i], whole, count, value);
      }
      if (leaves.rows != nullptr) {
        leave_quad(leaves, whole_weight, row + r, own_n, row_there && held, value);
      }
    }
  }
}

}  // namespace speccascade
