#include <algorithm>

#include "base/thread_pool.h"
#include "ops/cpu_kernels.h"
#include "ops/gemm.h"

namespace speccascade {

namespace {

// Bytes of weights, times rows, below which a second thread costs more than it
// brings (a round of the pool takes a few microseconds).
constexpr int64_t kWorkPerThread = 1 << 18;

// Entries of x below which one thread prepares them all.
constexpr int64_t kEntriesPerThread = 1 << 15;

// Panels handed out together where rows are few: what the widest tile takes in one
// go. With more rows (kRowsAhead in gemm_simd.h) a tile takes one panel, and tasks are evened out
// instead.
constexpr int kPanelsPerTask = 4;
constexpr int kFewRows = 3;

bool prepares(DType dtype) {
  return dtype == DType::kInt8 || (dtype == DType::kBF16 && cpu_kernels().rounds_inputs);
}

// int8: per group its bytes, and after those of all groups its scale and offset.
size_t prepared_stride(int k, DType dtype) {
  const size_t groups = (static_cast<size_t>(k) + kScaleGroup - 1) / kScaleGroup;
  const size_t bytes = dtype == DType::kInt8 ? groups * (kScaleGroup + 8)
                                             : static_cast<size_t>(groups_of(k, dtype)) * 4;
  const size_t lines = (bytes + 63) / 64;
  // Rows a power of two apart would share a few sets of the first-level cache, and a
  // tile walks a dozen of them side by side.
  return (lines % 8 == 0 ? lines + 1 : lines) * 64;
}

// How threads share so many units: a stretch for each, cut into half of it, half of the rest,
// and so on down to single units, so that cores of unequal speed end together.
class Shares {
 public:
  Shares(int units, int threads) : units_(units), threads_(threads) {
    for (int left = largest_stretch(); left > 0; left /= 2) ++cuts_;
  }
  int count() const { return threads_ * cuts_; }
  // Where share i begins, and the one before it ends.
  int begin(int i) const {
    const int stretch = i / cuts_, cut = i % cuts_;
    const int from = bound(stretch), size = bound(stretch + 1) - from;
    return from + size - (size >> cut);
  }

 private:
  int bound(int stretch) const {
    return static_cast<int>(static_cast<int64_t>(units_) * stretch / threads_);
  }
  int largest_stretch() const { return (units_ + threads_ - 1) / threads_; }

  int units_, threads_, cuts_ = 0;
};

int useful_threads(int64_t work, int64_t per_thread, int threads) {
  return static_cast<int>(std::clamp<int64_t>(work / per_thread, 1, std::max(threads, 1)));
}

// Rows of x into the scratch.
GemmInputs prepare(const GemmArgs& args, int rows, int threads) {
  const DType dtype = args.weight.dtype;
  if (!prepares(dtype)) return {nullptr, 0, 1};
  const CpuKernels& kernels = cpu_kernels();
  const int k = args.weight.k, parts = args.weight.parts;
  const size_t stride = prepared_stride(k, dtype);
  const size_t row_bytes = stride * static_cast<size_t>(parts);
  char* out = static_cast<char*>(args.scratch);
  const int useful = useful_threads(static_cast<int64_t>(rows) * k, kEntriesPerThread, threads);
  const int tasks = std::min(rows, useful == 1 ? 1 : useful * 4);
  parallel_for(tasks, useful, [&](int64_t task) {
    const int end = static_cast<int>((task + 1) * rows / tasks);
    for (int r = static_cast<int>(task * rows / tasks); r < end; ++r) {
      const int64_t row = args.in_rows ? args.in_rows[r] : r;
      kernels.prepare_row(dtype, parts, args.x + row * args.ldx, k,
                          out + static_cast<size_t>(r) * row_bytes, stride);
    }
  });
  return {out, stride, parts};
}

}  // namespace

bool gemm_rounds_inputs() { return cpu_kernels().rounds_inputs; }

size_t gemm_scratch_bytes(int max_rows, int k, int parts, DType dtype) {
  if (!prepares(dtype)) return 0;
  return static_cast<size_t>(max_rows) * prepared_stride(k, dtype) * static_cast<size_t>(parts);
}

void gemm_cpu(const GemmArgs& args, int threads) {
  const int rows = *args.num_rows;
  if (rows == 0) return;
  const GemmInputs inputs = prepare(args, rows, threads);
  const int panels = panels_of(args.weight.n, args.weight.gated);
  const int64_t work =
      rows * static_cast<int64_t>(
                 packed_bytes(args.weight.n, args.weight.k, args.weight.dtype, args.weight.gated));
  const int useful = useful_threads(work, kWorkPerThread, threads);
  const CpuKernels& kernels = cpu_kernels();
  if (useful == 1) return kernels.gemm_panels(args, inputs, rows, 0, panels);
  const int together = rows > kFewRows ? 1 : kPanelsPerTask;
  const int units = (panels + together - 1) / together, sharers = std::min(useful, units);
  const Shares shares(units, sharers);
  parallel_for(shares.count(), sharers, [&](int64_t task) {
    const int share = static_cast<int>(task);
    const int begin = shares.begin(share) * together, end = shares.begin(share + 1) * together;
    kernels.gemm_panels(args, inputs, rows, begin, std::min(panels, end));
  });
}

}  // namespace speccascade
