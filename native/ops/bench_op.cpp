#include "ops/bench_op.h"

#include <algorithm>
#include <chrono>

#include "base/buffer.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "ops/attention.h"
#include "ops/gemm.h"
#include "ops/rms_norm.h"
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

BenchResult result_of(int repeats, double bytes, double flops, const std::function<void()>& run) {
  const std::vector<double> times = time_runs(repeats, run);
  return {times[times.size() / 2], times[0], bytes, flops};
}

BenchResult bench_read(int64_t bytes, int threads, int repeats) {
  const int64_t lines = bytes / static_cast<int64_t>(kLineBytes);
  const Buffer memory(static_cast<size_t>(lines) * kLineBytes);
  char* data = static_cast<char*>(memory.data());
  std::fill(data, data + memory.bytes(), char{1});  // a page never written is no memory
  // Stretches of the size of a large weight, taken in order by whoever is free.
  constexpr int64_t kStretch = 4096;
  std::vector<int32_t> sums(static_cast<size_t>((lines + kStretch - 1) / kStretch));
  return result_of(repeats, static_cast<double>(memory.bytes()), 0.0, [&] {
    parallel_for(static_cast<int64_t>(sums.size()), threads, [&](int64_t task) {
      const int64_t begin = task * kStretch;
      sums[static_cast<size_t>(task)] = cpu_kernels().read_lines(
          data + begin * static_cast<int64_t>(kLineBytes), std::min(kStretch, lines - begin));
    });
  });
}

BenchResult bench_multiply_add(DType dtype, int threads, int repeats) {
  const Array<float> line = operands(64);
  constexpr int64_t kSteps = 1 << 20;
  std::vector<float> sinks(static_cast<size_t>(threads) * 16);
  std::vector<int64_t> done(static_cast<size_t>(threads) * 8);
  BenchResult result = result_of(repeats, 0.0, 0.0, [&] {
    parallel_for(threads, threads, [&](int64_t t) {
      const size_t at = static_cast<size_t>(t);
      done[at * 8] = cpu_kernels().multiply_add_loop(
          dtype, reinterpret_cast<const char*>(line.data()), kSteps, &sinks[at * 16]);
    });
  });
  for (size_t t = 0; t < done.size(); t += 8) result.flops += 2.0 * static_cast<double>(done[t]);
  return result;
}

BenchResult bench_gemm(int rows, int n, int k, DType dtype, int threads, int repeats) {
  const Array<float> x = operands(static_cast<int64_t>(rows) * k);
  const Array<float> w = operands(static_cast<int64_t>(n) * k);
  const Buffer packed(packed_bytes(n, k, dtype, false));
  pack_rows(w.data(), 0, n, k, dtype, 0, false, packed.data());
  const Buffer scratch(gemm_scratch_bytes(rows, k, 1, dtype));
  const Array<float> out(static_cast<size_t>(rows) * static_cast<size_t>(n));
  const int32_t count = rows;
  const Matrix weight = {packed.data(), dtype, n, k, false};
  const GemmArgs args = {x.data(),          k,      weight, out.data(), n,       Epilogue::kStore,
                         Activation::kNone, &count, rows,   nullptr,    nullptr, scratch.data()};
  const double area = static_cast<double>(n) * k;
  return result_of(repeats, static_cast<double>(packed.bytes() + x.bytes()), 2.0 * rows * area,
                   [&] { gemm_cpu(args, threads); });
}

// Rows of one sequence over its encoder keys.
BenchResult bench_attention(int rows, int keys, int heads, int head_dim, int threads, int repeats) {
  const int64_t inner = static_cast<int64_t>(heads) * head_dim;
  const Array<float> query = operands(rows * inner), cache = operands(2 * keys * inner);
  const Array<float> out(static_cast<size_t>(rows * inner));
  Array<int32_t> slot(static_cast<size_t>(rows));
  int32_t count = rows, source = 0, length = keys;
  DecoderRows layout = {};
  layout.num_rows = &count;
  layout.slot = slot.data();
  layout.max_rows = rows;
  const Buffer scratch(attention_scratch_bytes(keys, threads));
  const CrossAttentionArgs args = {query.data(), cache.data(), out.data(), heads,   head_dim,
                                   keys,         layout,       &source,    &length, scratch.data()};
  return result_of(repeats, static_cast<double>(cache.bytes()),
                   4.0 * rows * static_cast<double>(keys * inner),
                   [&] { cross_attention_cpu(args, threads); });
}

BenchResult bench_norm(int rows, int width, int threads, int repeats) {
  const Array<float> x = operands(static_cast<int64_t>(rows) * width), weight = operands(width);
  const Array<float> out(x.size());
  const int32_t count = rows;
  const RmsNormArgs args = {x.data(), weight.data(), out.data(), width,  1e-6f,
                            1.0f,     &count,        rows,       nullptr};
  return result_of(repeats, static_cast<double>(x.bytes()), 4.0 * rows * width,
                   [&] { rms_norm_cpu(args, threads); });
}

BenchResult bench_softmax(int rows, int width, int threads, int repeats) {
  const Array<float> x = operands(static_cast<int64_t>(rows) * width);
  const Array<float> out(x.size());
  return result_of(repeats, static_cast<double>(x.bytes()), 4.0 * rows * width, [&] {
    parallel_for(rows, threads, [&](int64_t r) {
      const float* row = x.data() + r * width;
      const float top = row[RowMath<float>::argmax(row, width)];
      RowMath<float>::softmax(row, width, top, 1.0f, out.data() + r * width);
    });
  });
}

}  // namespace

std::vector<double> time_runs(int repeats, const std::function<void()>& run) {
  run();
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - begin;
    times.push_back(taken.count());
  }
  std::sort(times.begin(), times.end());
  return times;
}

BenchResult bench_op(const std::string& op, const BenchShape& shape, DType dtype, int repeats) {
  const auto size = [&](const char* name, int64_t max) {
    return static_cast<int>(shape(name, 1, max));
  };
  const int threads = size("threads", 4096);
  const auto rows = [&] { return size("rows", 1 << 20); };
  constexpr int64_t kWide = 1 << 20;
  if (op == "read") return bench_read(shape("bytes", 1 << 12, kMost), threads, repeats);
  if (op == "multiplyAdd") return bench_multiply_add(dtype, threads, repeats);
  if (op == "gemm") {
    return bench_gemm(rows(), size("n", kWide), size("k", kWide), dtype, threads, repeats);
  }
  if (op == "attention") {
    return bench_attention(rows(), size("keys", kWide), size("heads", 1024), size("headDim", 4096),
                           threads, repeats);
  }
  if (op == "norm") return bench_norm(rows(), size("width", kWide), threads, repeats);
  if (op == "softmax") return bench_softmax(rows(), size("width", 1 << 24), threads, repeats);
  fail(ErrorCode::kInput,
       "operation: expected read, multiplyAdd, gemm, attention, norm or softmax, got ", op);
}

}  // namespace speccascade
