#include "ops/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/thread_pool.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();

void mask_bits(const uint32_t* bits, int words, float* row) {
  for (int w = 0; w < words; ++w) {
    for (uint32_t rest = bits[w]; rest != 0; rest &= rest - 1) {
      row[w * 32 + __builtin_ctz(rest)] = kMasked;
    }
  }
}

// Applies the slot's edits; true if any entry may have changed.
bool edit_row(const SlotSampling& table, int slot, int output_index, float* row) {
  const int64_t at = static_cast<int64_t>(slot) * table.bit_words;
  const bool early = output_index < table.min_new[slot];
  if (table.suppresses[slot]) mask_bits(table.suppress_bits + at, table.bit_words, row);
  if (early) {
    mask_bits(table.eos_bits + at, table.bit_words, row);
    mask_bits(table.stop_bits + at, table.bit_words, row);
  }
  return early || table.suppresses[slot];
}

void distribute_row(const DistributionArgs& args, int r) {
  const CpuKernels& kernels = cpu_kernels();
  const int slot = args.row_slot[r];
  float* row = args.logits + static_cast<int64_t>(r) * args.vocabulary;
  const int64_t out = args.out_rows ? args.out_rows[r] : r;
  float* probs = args.probs + out * args.vocabulary;
  bool finite = true;
  int best = kernels.argmax(row, args.vocabulary, &finite);
  args.row_status[r] = static_cast<int32_t>(RowStatus::kOk);
  args.best[r] = best;
  if (!finite) {
    args.row_status[r] = static_cast<int32_t>(RowStatus::kNotFinite);
    return;
  }
  if (args.slots.wants_logprobs[slot]) {
    args.log_sum[r] = log_sum_exp(row, args.vocabulary, row[best], probs);
  }
  if (edit_row(args.slots, slot, args.row_output[r], row)) {
    best = kernels.argmax(row, args.vocabulary, &finite);
    args.best[r] = best;
  }
  if (row[best] == kMasked) {
    args.row_status[r] = static_cast<int32_t>(RowStatus::kNoTokenLeft);
    return;
  }
  const float temperature = args.slots.temperature[slot];
  if (temperature > 0.0f || args.slots.wants_rows[slot]) {
    scale_logits(row, args.vocabulary, temperature, args.slots.top_k[slot], args.slots.top_p[slot],
                 probs);
  }
  if (args.slots.wants_rows[slot]) {
    RowMath<float>::softmax(row, args.vocabulary, row[best], 1.0f,
                            args.unscaled + out * args.vocabulary);
  }
}

}  // namespace

float log_sum_exp(const float* logits, int count, float max, float* scratch) {
  return max + std::log(cpu_kernels().exp_row(logits, count, max, 1.0f, scratch));
}

template <typename Real>
void scale_logits(const Real* logits, int count, Real temperature, int top_k, Real top_p,
                  Real* out) {
  const int best = RowMath<Real>::argmax(logits, count);
  if (temperature > 0) {
    RowMath<Real>::softmax(logits, count, logits[best], temperature, out);
    filter_top(out, count, top_k, top_p);
  } else {
    std::fill(out, out + count, Real{0});
    out[best] = 1;
  }
}

template void scale_logits<float>(const float*, int, float, int, float, float*);
template void scale_logits<double>(const double*, int, double, int, double, double*);

template <typename Real>
void filter_top(Real* probs, int count, int top_k, Real top_p) {
  const bool by_count = top_k > 0 && top_k < count;
  if (!by_count && !(top_p < 1)) return;
  // Kept per thread: no step allocates once every thread has seen a row.
  static thread_local std::vector<int32_t> order;
  order.clear();
  for (int v = 0; v < count; ++v) {
    if (probs[v] > 0) order.push_back(v);
  }
  const auto before = [&](int32_t a, int32_t b) {
    return probs[a] != probs[b] ? probs[a] > probs[b] : a < b;
  };
  if (by_count && static_cast<size_t>(top_k) < order.size()) {
    std::nth_element(order.begin(), order.begin() + top_k, order.end(), before);
    order.resize(static_cast<size_t>(top_k));
  }
  if (top_p < 1) {
    std::sort(order.begin(), order.end(), before);
    // The threshold is a share of what top-k left.
    double total = 0.0;
    for (const int32_t v : order) total += static_cast<double>(probs[v]);
    double mass = 0.0;
    size_t kept = 0;
    while (kept < order.size()) {
      mass += static_cast<double>(probs[order[kept++]]);
      if (mass >= static_cast<double>(top_p) * total) break;
    }
    order.resize(kept);
  }
  std::sort(order.begin(), order.end());
  double total = 0.0;
  for (const int32_t v : order) total += static_cast<double>(probs[v]);
  size_t next = 0;
  for (int v = 0; v < count; ++v) {
    const bool keep = next < order.size() && order[next] == v;
    next += keep ? 1 : 0;
    probs[v] = keep ? static_cast<Real>(static_cast<double>(probs[v]) / total) : Real{0};
  }
}

template void filter_top<float>(float*, int, int, float);
template void filter_top<double>(double*, int, int, double);

void distribution_cpu(const DistributionArgs& args, int threads) {
  // A row of a small vocabulary is not worth waking a thread for.
  const bool small = static_cast<int64_t>(*args.num_rows) * args.vocabulary < (1 << 15);
  parallel_for(*args.num_rows, small ? 1 : threads,
               [&](int64_t r) { distribute_row(args, static_cast<int>(r)); });
}

}  // namespace speccascade
