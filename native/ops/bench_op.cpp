#include "ops/bench_op.h"

#include <algorithm>

#include "base/error.h"
#include "base/thread_pool.h"
#include "ops/bench_cuda.h"
#include "ops/bench_place.h"
#include "ops/ops_cuda.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

constexpr int64_t kMost = int64_t{1} << 34;

// Numbers around 0, never all alike: zeros would flatter some processors.
Array<float> operands(int64_t count) {
  Array<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const auto word = static_cast<uint32_t>(i) * 2654435761u;
    values[static_cast<size_t>(i)] = static_cast<float>(word >> 16) / 65536.0f - 0.5f;
  }
  return values;
}

BenchResult result_of(const std::vector<double>& times, double bytes, double flops) {
  return {times[times.size() / 2], times[0], bytes, flops};
}

// Stretches of the size of a large weight, neighbours by the same thread.
void read_by_threads(const char* data, int64_t lines, int threads, std::vector<int32_t>& sums) {
  constexpr int64_t kStretch = 4096;
  sums.resize(static_cast<size_t>((lines + kStretch - 1) / kStretch));
  parallel_for(static_cast<int64_t>(sums.size()), threads, [&](int64_t task) {
    const int64_t begin = task * kStretch;
    sums[static_cast<size_t>(task)] = cpu_kernels().read_lines(
        data + begin * static_cast<int64_t>(kLineBytes), std::min(kStretch, lines - begin));
  });
}

BenchResult bench_read(BenchPlace& place, int64_t bytes, int repeats) {
  const int64_t lines = bytes / static_cast<int64_t>(kLineBytes);
  const size_t whole = static_cast<size_t>(lines) * kLineBytes;
  char* data = static_cast<char*>(place.room(whole));
  if (place.on_device()) {
    return result_of(
        place.time(repeats, [&] { read_cuda(data, static_cast<int64_t>(whole), place.queue()); }),
        static_cast<double>(whole), 0.0);
  }
  std::fill(data, data + whole, char{1});  // a page never written is no memory
  std::vector<int32_t> sums;
  return result_of(
      place.time(repeats, [&] { read_by_threads(data, lines, place.threads(), sums); }),
      static_cast<double>(whole), 0.0);
}

BenchResult bench_multiply_add(BenchPlace& place, DType dtype, int repeats) {
  if (place.on_device()) {
    double products = 0.0;
    const auto times =
        place.time(repeats, [&] { products = multiply_add_cuda(dtype, place.queue()); });
    return result_of(times, 0.0, 2.0 * products);
  }
  const Array<float> line = operands(64);
  constexpr int64_t kSteps = 1 << 20;
  const int threads = place.threads();
  std::vector<float> sinks(static_cast<size_t>(threads) * 16);
  std::vector<int64_t> done(static_cast<size_t>(threads) * 8);
  BenchResult result =
      result_of(place.time(repeats,
                           [&] {
                             parallel_for(threads, threads, [&](int64_t t) {
                               const size_t at = static_cast<size_t>(t);
                               done[at * 8] = cpu_kernels().multiply_add_loop(
                                   dtype, reinterpret_cast<const char*>(line.data()), kSteps,
                                   &sinks[at * 16]);
                             });
                           }),
                0.0, 0.0);
  for (size_t t = 0; t < done.size(); t += 8) result.flops += 2.0 * static_cast<double>(done[t]);
  return result;
}

// A matrix of made-up weights, packed.
Matrix place_matrix(BenchPlace& place, int n, int k, DType dtype) {
  const Backend& backend = place.backend();
  const Array<float> weights = operands(static_cast<int64_t>(n) * k);
  Array<char> packed(backend.matrix_bytes(n, k, dtype, false));
  backend.pack_rows(weights.data(), 0, n, n, k, dtype, 0, false, packed.data());
  return {place.place(std::move(packed)), dtype, n, k, false};
}

BenchResult bench_gemm(BenchPlace& place, int rows, int n, int k, DType dtype, int repeats) {
  const Backend& backend = place.backend();
  const Matrix weight = place_matrix(place, n, k, dtype);
  void* scratch = place.room(backend.gemm_scratch_bytes(rows, k, 1, dtype));
  const size_t area = static_cast<size_t>(rows) * static_cast<size_t>(n);
  auto* out = static_cast<float*>(place.room(area * sizeof(float)));
  Array<float> x = operands(static_cast<int64_t>(rows) * k);
  const size_t bytes = backend.matrix_bytes(n, k, dtype, false) + x.bytes();
  Program program;
  program.add(GemmArgs{place.place(std::move(x)), k, weight, out, n, Epilogue::kStore,
                       Activation::kNone, place.copy_of(int32_t{rows}), rows, nullptr, nullptr,
                       scratch});
  return result_of(place.time(repeats, program), static_cast<double>(bytes),
                   2.0 * static_cast<double>(area) * k);
}

// Rows of one sequence over its encoder keys.
BenchResult bench_attention(BenchPlace& place, int rows, int keys, int heads, int head_dim,
                            int repeats) {
  const int64_t inner = static_cast<int64_t>(heads) * head_dim;
  const auto bytes_of = [&](int64_t count) {
    return static_cast<size_t>(count * inner) * sizeof(float);
  };
  DecoderRows layout = {};
  layout.num_rows = place.copy_of(int32_t{rows});
  layout.slot = static_cast<int32_t*>(place.room(static_cast<size_t>(rows) * sizeof(int32_t)));
  layout.max_rows = rows;
  void* scratch =
      place.on_device() ? nullptr : place.room(attention_scratch_bytes(keys, place.threads()));
  Program program;
  program.add(CrossAttentionArgs{
      place.place(operands(rows * inner)), place.place(operands(2 * keys * inner)), DType::kF32,
      static_cast<float*>(place.room(bytes_of(rows))), heads, head_dim, keys, layout,
      place.copy_of(int32_t{0}), place.copy_of(int32_t{keys}), scratch});
  return result_of(place.time(repeats, program), static_cast<double>(bytes_of(2 * int64_t{keys})),
                   4.0 * rows * static_cast<double>(keys * inner));
}

BenchResult bench_norm(BenchPlace& place, int rows, int width, int repeats) {
  Array<float> x = operands(static_cast<int64_t>(rows) * width);
  const size_t bytes = x.bytes();
  Program program;
  program.add(RmsNormArgs{place.place(std::move(x)), place.place(operands(width)),
                          static_cast<float*>(place.room(bytes)), width, 1e-6f, 1.0f,
                          place.copy_of(int32_t{rows}), rows, nullptr});
  return result_of(place.time(repeats, program), static_cast<double>(bytes), 4.0 * rows * width);
}

void softmax_by_threads(const float* x, int rows, int width, float* out, int threads) {
  parallel_for(rows, threads, [&](int64_t r) {
    const float* row = x + r * width;
    const float top = row[RowMath<float>::argmax(row, width)];
    RowMath<float>::softmax(row, width, top, 1.0f, out + r * width);
  });
}

BenchResult bench_softmax(BenchPlace& place, int rows, int width, int repeats) {
  Array<float> x = operands(static_cast<int64_t>(rows) * width);
  const size_t bytes = x.bytes();
  const float* logits = place.place(std::move(x));
  auto* out = static_cast<float*>(place.room(bytes));
  const auto run = [&] {
    if (place.on_device()) return softmax_cuda(logits, rows, width, out, place.queue());
    softmax_by_threads(logits, rows, width, out, place.threads());
  };
  return result_of(place.time(repeats, run), static_cast<double>(bytes), 4.0 * rows * width);
}

}  // namespace

BenchResult bench_op(const std::string& op, const BenchShape& shape, DType dtype, int repeats,
                     int gpu) {
  const auto size = [&](const char* name, int64_t max) {
    return static_cast<int>(shape(name, 1, max));
  };
  if (gpu < 0 && dtype == DType::kF16) {
    fail(ErrorCode::kDevice, "dtype f16 is not available on the CPU");
  }
  BenchPlace place(gpu < 0 ? cpu_backend() : cuda_backend(), gpu, size("threads", 4096));
  const auto rows = [&] { return size("rows", 1 << 20); };
  constexpr int64_t kWide = 1 << 20;
  if (op == "read") return bench_read(place, shape("bytes", 1 << 12, kMost), repeats);
  if (op == "multiplyAdd") return bench_multiply_add(place, dtype, repeats);
  if (op == "gemm") {
    return bench_gemm(place, rows(), size("n", kWide), size("k", kWide), dtype, repeats);
  }
  if (op == "attention") {
    return bench_attention(place, rows(), size("keys", kWide), size("heads", 1024),
                           size("headDim", 4096), repeats);
  }
  if (op == "norm") return bench_norm(place, rows(), size("width", kWide), repeats);
  if (op == "softmax") return bench_softmax(place, rows(), size("width", 1 << 24), repeats);
  fail(ErrorCode::kInput,
       "operation: expected read, multiplyAdd, gemm, attention, norm or softmax, got ", op);
}

}  // namespace speccascade
