// Times single operations and the machine's own ceilings, for lowlevel.bench and
// `npm run bench`. Operands are made up; only sizes matter to the time.
#pragma once

#include <functional>
#include <string>

#include "base/dtype.h"

namespace speccascade {

struct BenchResult {
  double median_ms = 0.0;
  double min_ms = 0.0;
  double bytes = 0.0;  // operands read once
  double flops = 0.0;  // two per multiply-add
};

// The value of a named size; throws ERR_INPUT naming it if it is missing or absurd.
using BenchShape = std::function<int64_t(const char* name, int64_t min, int64_t max)>;

// Operations: read {bytes}, multiplyAdd {}, gemm {rows, n, k}, attention {rows,
// keys, heads, headDim}, norm {rows, width}, softmax {rows, width}; each also takes
// {threads}. Any other name is ERR_INPUT. gpu: -1 for the CPU, else where it runs, transfers
// excluded; ERR_DEVICE where there is no such GPU.
BenchResult bench_op(const std::string& op, const BenchShape& shape, DType dtype, int repeats,
                     int gpu);

}  // namespace speccascade
