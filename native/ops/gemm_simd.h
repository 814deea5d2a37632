// The tiles of gemm: a few rows times one or a few panels, accumulators in
// registers, K walked once. Included by kernels_simd.cpp.
#pragma once

#include "ops/cpu_kernels.h"
#include "ops/epilogue_simd.h"
#include "ops/product_simd.h"
#include "ops/simd.h"

namespace speccascade {
namespace SC_SIMD_NAMESPACE {

// Rows of the tallest tile: what fits into the registers beside a line of weights, which raw inputs
// need in two parts. Integer sums have those in float beside them.
template <typename Product>
constexpr int kTileRows = kLanes == 16  ? (Product::kIntegers ? 6
                                           : Product::kRaw    ? 12
                                                              : 14)
                          : kLanes == 8 ? (Product::kIntegers ? 1 : 3)
                                        : (Product::kIntegers ? 1 : 2);
constexpr int kMostTileRows = kTileRows<F32Product>;
// Vectors of a line that one tile takes; the others are further tiles.
constexpr int kTileVecs = kLineVecs < 4 ? kLineVecs : 4;
// Panels side by side, where few rows alone would leave the multipliers waiting
// for their own results.
constexpr int kTilePanels = kLanes == 16 ? 4 : kLanes == 8 ? 2 : 1;

// Rows from which tiles take one panel whatever the registers hold. Tiles of one panel ask ahead
// for what they read: processors read ahead by themselves, but not as far as it takes when work
// comes between.
constexpr int kRowsAhead = 4;

// How far ahead: what arrives while memory takes its time to answer, with every core reading. Past
// the end of a weight as well: a processor ignores what it cannot bring.
constexpr size_t kBytesAhead = 8192;

template <typename Product>
constexpr int panels_for(int rows) {
  const int most = rows >= kRowsAhead ? 1 : kTileRows<Product> / (rows < 1 ? 1 : rows);
  return most >= kTilePanels ? kTilePanels : most >= 2 ? 2 : 1;
}

struct TileInputs {
  const char* rows[kMostTileRows];
};

SC_INLINE void ask_ahead(const char* line) {
  __builtin_prefetch(line + kBytesAhead, 0, 3);
  __builtin_prefetch(line + kBytesAhead + 64, 0, 3);
}

// tile[r][p][v] = the vector v of row r's products with panel p. `lines` points to
// the first panel's first line.
template <typename Product, int R, int P>
void multiply_tile(const TileInputs& x, const char* lines, size_t stride, int k, int first_vec,
                   float* tile) {
  using Sum = typename Product::Sum;
  constexpr int kWide = P * kTileVecs;
  const int64_t groups =
      Product::kRaw ? k / Product::kGroup : (k + Product::kGroup - 1) / Product::kGroup;
  Sum sum[R][kWide] = {};
  const auto step = [&](int64_t group, auto input) SC_LAMBDA_INLINE {
    if constexpr (P == 1) ask_ahead(lines + group * static_cast<int64_t>(kLineBytes));
    typename Product::Weight w[kWide];
    for (int v = 0; v < kWide; ++v) {
      const char* panel = lines + static_cast<size_t>(v / kTileVecs) * stride;
      w[v] = Product::weight(panel + group * static_cast<int64_t>(kLineBytes) +
                             (first_vec + v % kTileVecs) * kVecBytes);
    }
    for (int r = 0; r < R; ++r) {
      const typename Product::Input in = input(x.rows[r], group);
      for (int v = 0; v < kWide; ++v) sum[r][v] = Product::step(sum[r][v], w[v], in);
    }
  };
  const auto whole = [](const char* row, int64_t group)
                         SC_LAMBDA_INLINE { return Product::input(row, group); };
  for (int64_t group = 0; group < groups; ++group) step(group, whole);
  if constexpr (Product::kRaw) {
    const auto part = [](const char* row, int64_t group)
                          SC_LAMBDA_INLINE { return Product::input_tail(row, group); };
    if (k % Product::kGroup != 0) step(groups, part);
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < kWide; ++v) {
      memcpy(tile + (r * P + v / kTileVecs) * kPanel + (first_vec + v % kTileVecs) * kLanes,
             &sum[r][v], sizeof(Sum));
    }
  }
}

// The same for int8 weights: integer sums of kScaleGroup consecutive k, each added
// with its scale (but for that of the column).
template <int R, int P>
void multiply_integer_tile(const TileInputs& x, const char* lines, size_t stride, int k,
                           int first_vec, float* tile) {
  using Product = Int8Product;
  constexpr int kWide = P * kTileVecs;
  constexpr int kGroupLines = kScaleGroup / Product::kGroup;
  const int64_t all_lines = (k + Product::kGroup - 1) / Product::kGroup;
  const int64_t groups = (all_lines + kGroupLines - 1) / kGroupLines;
  Vec sum[R][kWide] = {};
  const auto add_group = [&](int64_t group, int64_t count) SC_LAMBDA_INLINE {
    IntVec part[R][kWide];
    for (int r = 0; r < R; ++r) {
      const IntVec offset = splat_int(word_at(x.rows[r] + groups * kScaleGroup, 2 * group + 1));
      for (int v = 0; v < kWide; ++v) part[r][v] = offset;
    }
    for (int64_t line = group * kGroupLines; line < group * kGroupLines + count; ++line) {
      if constexpr (P == 1) ask_ahead(lines + line * static_cast<int64_t>(kLineBytes));
      typename Product::Weight w[kWide];
      for (int v = 0; v < kWide; ++v) {
        const char* panel = lines + static_cast<size_t>(v / kTileVecs) * stride;
        w[v] = Product::weight(panel + line * static_cast<int64_t>(kLineBytes) +
                               (first_vec + v % kTileVecs) * kVecBytes);
      }
      for (int r = 0; r < R; ++r) {
        const typename Product::Input in = Product::input(x.rows[r], line);
        for (int v = 0; v < kWide; ++v) part[r][v] = Product::step(part[r][v], w[v], in);
      }
    }
    for (int r = 0; r < R; ++r) {
      const Vec scale = (Vec)splat_int(word_at(x.rows[r] + groups * kScaleGroup, 2 * group));
      for (int v = 0; v < kWide; ++v) {
        sum[r][v] += __builtin_convertvector(part[r][v], Vec) * scale;
      }
    }
  };
  const int64_t whole = all_lines / kGroupLines;
  for (int64_t group = 0; group < whole; ++group) add_group(group, kGroupLines);
  if (whole < groups) add_group(whole, all_lines - whole * kGroupLines);
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < kWide; ++v) {
      store(tile + (r * P + v / kTileVecs) * kPanel + (first_vec + v % kTileVecs) * kLanes,
            sum[r][v]);
    }
  }
}

SC_INLINE const char* input_row(const GemmArgs& args, const GemmInputs& inputs, int row) {
  if (inputs.prepared) return inputs.prepared + static_cast<size_t>(row) * inputs.stride;
  const int64_t at = args.in_rows ? args.in_rows[row] : row;
  return reinterpret_cast<const char*>(args.x + at * args.ldx);
}

SC_INLINE int64_t output_bytes(const GemmArgs& args) {
  return args.out_dtype == DType::kBF16 ? 2 : 4;
}

SC_INLINE char* output_row(const GemmArgs& args, int row) {
  const int64_t at = args.out_rows ? args.out_rows[row] : row;
  return static_cast<char*>(args.out) + at * args.ldo * output_bytes(args);
}

// What is left to do to the sums in `tile` of rows from `row` on and P panels from
// `panel` on, whose first line is at `lines`.
template <int P>
void finish_tile(const GemmArgs& args, const GemmInputs& inputs, const char* lines, size_t stride,
                 int row, int rows, int panel, float* tile) {
  const Matrix& weight = args.weight;
  const int width = panel_columns(weight.gated);
  for (int r = 0; r < rows; ++r) {
    char* out = output_row(args, row + r);
    for (int p = 0; p < P; ++p) {
      float* product = tile + (r * inputs.parts * P + p) * kPanel;
      if (weight.dtype == DType::kInt8) {
        scale_columns(product, lines + p * stride + line_bytes(weight.k, weight.dtype));
      } else if (inputs.parts == 2) {
        add_parts(product, product + P * kPanel);
      }
      const int column = (panel + p) * width;
      const int columns = weight.n - column < width ? weight.n - column : width;
      finish_panel(args, product, out, column, columns);
    }
  }
}

// Brings the outputs of a tile near while its products are summed: stores that wait
// for their lines one tile after the other fill the store buffer and stop the rest.
SC_INLINE void expect_outputs(const GemmArgs& args, int row, int rows, int panel, int panels) {
  const int width = panel_columns(args.weight.gated);
  const int begin = panel * width;
  const int end = begin + panels * width < args.weight.n ? begin + panels * width : args.weight.n;
  const int64_t size = output_bytes(args);
  for (int r = 0; r < rows; ++r) {
    const char* out = output_row(args, row + r);
    for (int64_t at = begin * size; at < end * size; at += 64) __builtin_prefetch(out + at, 1, 3);
  }
}

// Products of R rows (parts counted) from `first` on with P panels from `panel` on.
template <typename Product, int R, int P>
void tile_block(const GemmArgs& args, const GemmInputs& inputs, int first, int panel) {
  const Matrix& weight = args.weight;
  TileInputs x;
  for (int r = 0; r < R; ++r) x.rows[r] = input_row(args, inputs, first + r);
  const size_t stride = panel_bytes(weight.k, weight.dtype);
  const char* lines = static_cast<const char*>(weight.data) + static_cast<size_t>(panel) * stride;
  expect_outputs(args, first / inputs.parts, R / inputs.parts, panel, P);
  alignas(64) float tile[R * P * kPanel];
  for (int vec = 0; vec < kLineVecs; vec += kTileVecs) {
    if constexpr (Product::kIntegers) {
      multiply_integer_tile<R, P>(x, lines, stride, weight.k, vec, tile);
    } else {
      multiply_tile<Product, R, P>(x, lines, stride, weight.k, vec, tile);
    }
  }
  finish_tile<P>(args, inputs, lines, stride, first / inputs.parts, R / inputs.parts, panel, tile);
}

// Chooses the instantiation for `rows` (1 .. R), parts counted.
template <typename Product, int P, int R = kTileRows<Product>>
void tile_rows(const GemmArgs& args, const GemmInputs& inputs, int first, int rows, int panel) {
  if constexpr (R > 1) {
    if (rows < R) return tile_rows<Product, P, R - 1>(args, inputs, first, rows, panel);
  }
  // Taller tiles than P panels leave registers for are never asked for.
  if constexpr (P <= panels_for<Product>(R)) tile_block<Product, R, P>(args, inputs, first, panel);
}

// All rows, in blocks of about equal height, against panels [begin, end), P at a
// time; what is left over goes to the next smaller P. A panel meets every block
// before the next is touched, so weights stream from memory once.
template <typename Product, int P>
void run_panels(const GemmArgs& args, const GemmInputs& inputs, int rows, int begin, int end) {
  const int parts = inputs.parts;
  const int most = kTileRows<Product> / parts;
  const int blocks = (rows + most - 1) / most;
  int panel = begin;
  if (P <= panels_for<Product>((rows + blocks - 1) / blocks * parts)) {
    for (; panel + P <= end; panel += P) {
      for (int block = 0; block < blocks; ++block) {
        const int first = static_cast<int>(static_cast<int64_t>(rows) * block / blocks);
        const int next = static_cast<int>(static_cast<int64_t>(rows) * (block + 1) / blocks);
        tile_rows<Product, P>(args, inputs, first * parts, (next - first) * parts, panel);
      }
    }
  }
  if constexpr (P > 1) {
    if (panel < end) run_panels<Product, P / 2>(args, inputs, rows, panel, end);
  }
}

inline void gemm_panels(const GemmArgs& args, const GemmInputs& inputs, int rows, int begin,
                        int end) {
  switch (args.weight.dtype) {
    case DType::kBF16:
      return run_panels<Bf16Product, kTilePanels>(args, inputs, rows, begin, end);
    case DType::kInt8:
      return run_panels<Int8Product, kTilePanels>(args, inputs, rows, begin, end);
    default:
      return run_panels<F32Product, kTilePanels>(args, inputs, rows, begin, end);
  }
}

}  // namespace SC_SIMD_NAMESPACE
}  // namespace speccascade
