// From logits to a distribution by one block, for the kernels that need rows of their own.
//
// The filters select by the bits of probabilities, which rise with them, instead of sorting: four
// rounds over digits of eight bits find the smallest probability that stays, and equals of it stay
// by lowest index. Masses are counted in units of 2^-62, as integers, so that atomics may add them
// in any order; only probabilities below 2^-38 are rounded, by less than a unit each.
#pragma once

#include <cmath>
#include <cstring>

#include "ops/row_math_cuda.cuh"
#include "ops/sampling.h"

namespace speccascade {

using Count = unsigned long long;  // entries, or mass in units of 2^-62

constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kDigitsPerLane = kDigits / kWarpLanes;
constexpr float kMassUnit = 0x1p62f;
constexpr float kMasked = -INFINITY;

struct SelectionShared {
  Count digit[kDigits];
  Count warp[kMaxRowWarps];
  Count above;  // weight of larger digits than the chosen one
  int chosen;
};

// The entries that a filter keeps: those with larger bits than `bits`, and of equals the ones up to
// index `last`.
struct Selection {
  uint32_t bits;
  int last;

  SC_DEVICE bool keeps(uint32_t entry, int v) const {
    return entry > bits || (entry == bits && v <= last);
  }
};

// Of an entry that is not negative.
SC_DEVICE uint32_t bits_of(float probability) {
  uint32_t bits;
  memcpy(&bits, &probability, sizeof(bits));
  return bits;
}

SC_DEVICE Count mass_of(float probability) {
  return static_cast<Count>(static_cast<double>(probability) * static_cast<double>(kMassUnit));
}

// The sum over the block's threads, the same in all.
SC_DEVICE Count block_count(Count own) {
  SelectionShared& memory = shared<SelectionShared>();
  for (int bits = kWarpLanes / 2; bits > 0; bits /= 2) own += shuffle_xor(kAllLanes, own, bits);
  if (lane_index() == 0) memory.warp[warp_index()] = own;
  sync_block();
  Count total = 0;
  for (int w = 0; w < block_threads() / kWarpLanes; ++w) total += memory.warp[w];
  sync_block();
  return total;
}

// By the first warp: the largest digit at which the weight of it and of larger ones reaches
// `target`, which all of them together do.
SC_DEVICE void choose_digit(SelectionShared& memory, Count target) {
  // A lane has consecutive digits, the first lane the largest ones.
  const int largest = kDigits - 1 - lane_index() * kDigitsPerLane;
  Count own = 0;
  for (int i = 0; i < kDigitsPerLane; ++i) own += memory.digit[largest - i];
  Count above = warp_running_sum(own) - own;
  if (above >= target || above + own < target) return;
  int digit = largest;
  while (above + memory.digit[digit] < target) above += memory.digit[digit--];
  memory.chosen = digit;
  memory.above = above;
}

// The first entries, by falling probability and rising index, whose weight together reaches
// `target`: at least 1, at most the whole weight. weight(v): 0 where v does not take part; equal
// for equal probabilities.
template <typename Weight>
SC_DEVICE Selection select(const float* probs, int count, Count target, const Weight& weight) {
  SelectionShared& memory = shared<SelectionShared>();
  uint32_t prefix = 0, known = 0;  // the digits found, and which bits they are
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    for (int d = thread_index(); d < kDigits; d += block_threads()) memory.digit[d] = 0;
    sync_block();
    for (int v = thread_index(); v < count; v += block_threads()) {
      const uint32_t bits = bits_of(probs[v]);
      const Count own = (bits & known) == prefix ? weight(v) : 0;
      if (own > 0) atomic_add(&memory.digit[bits >> shift & (kDigits - 1)], own);
    }
    sync_block();
    if (warp_index() == 0) choose_digit(memory, target);
    sync_block();
    target -= memory.above;
    prefix |= static_cast<uint32_t>(memory.chosen) << shift;
    known |= static_cast<uint32_t>(kDigits - 1) << shift;
    sync_block();
  }
  // What is left of the target falls to equals, by lowest index.
  const auto equal = [=](int v) { return bits_of(probs[v]) == prefix ? weight(v) : Count{0}; };
  return {prefix, find_in_order(count, target - 1, equal, memory.warp)};
}

// filter_top of sampling.h.
SC_DEVICE void filter_row(float* probs, int count, int top_k, float top_p) {
  const bool by_count = top_k > 0 && top_k < count;
  const bool by_mass = top_p < 1.0f;
  if (!by_count && !by_mass) return;
  Selection kept = {0, -1};  // all that have mass
  const auto sum_of = [=](const auto& weight) {
    Count own = 0;
    for (int v = thread_index(); v < count; v += block_threads()) own += weight(v);
    return block_count(own);
  };
  if (by_count) {
    const auto one = [=](int v) { return Count{probs[v] > 0.0f}; };
    if (static_cast<Count>(top_k) < sum_of(one)) {
      kept = select(probs, count, static_cast<Count>(top_k), one);
    }
  }
  if (by_mass) {
    const auto mass = [=](int v) {
      return kept.keeps(bits_of(probs[v]), v) ? mass_of(probs[v]) : Count{0};
    };
    const Count total = sum_of(mass);
    const auto wanted =
        static_cast<Count>(ceil(static_cast<double>(top_p) * static_cast<double>(total)));
    const Count target = wanted < 1 ? 1 : wanted < total ? wanted : total;
    kept = select(probs, count, target, mass);
  }
  double own = 0.0;
  for (int v = first_entry(count); v < count; v += row_threads(count)) {
    if (kept.keeps(bits_of(probs[v]), v)) own += static_cast<double>(probs[v]);
  }
  const double total = block_sum(own);
  BlockMath::for_each(count, [=](int v) {
    const bool keep = kept.keeps(bits_of(probs[v]), v);
    probs[v] = keep ? static_cast<float>(static_cast<double>(probs[v]) / total) : 0.0f;
  });
}

SC_DEVICE void mask_bits(const uint32_t* bits, int words, float* row) {
  for (int w = thread_index(); w < words; w += block_threads()) {
    for (uint32_t rest = bits[w]; rest != 0; rest &= rest - 1) {
      row[w * 32 + lowest_bit(rest)] = kMasked;
    }
  }
}

// Applies the slot's edits; true if any entry may have changed.
SC_DEVICE bool edit_row(const SlotSampling& table, int slot, int output_index, float* row) {
  const int64_t at = static_cast<int64_t>(slot) * table.bit_words;
  const bool early = output_index < table.min_new[slot];
  const bool suppresses = table.suppresses[slot] != 0;
  if (!early && !suppresses) return false;
  sync_block();
  if (suppresses) mask_bits(table.suppress_bits + at, table.bit_words, row);
  if (early) {
    mask_bits(table.eos_bits + at, table.bit_words, row);
    mask_bits(table.stop_bits + at, table.bit_words, row);
  }
  sync_block();
  return true;
}

// Row r's largest entry; +infinity where the row has that or what is no number.
SC_DEVICE RowPeak peak_of(const DistributionArgs& args, int r, const float* row) {
  if (args.peaks == nullptr) {
    return block_maximum(args.vocabulary, [=](int v) { return finite_entry(row[v], v); });
  }
  const int count = peaks_of(args.vocabulary);
  const RowPeak* peaks = args.peaks + static_cast<int64_t>(r) * count;
  return block_maximum(count, [=](int i) { return peaks[i]; });
}

// What a row comes to, besides the distribution.
struct RowResult {
  RowStatus status;
  int best;
};

SC_DEVICE RowResult distribution_of(const DistributionArgs& args, int r, int slot) {
  const int count = args.vocabulary;
  float* row = args.logits + static_cast<int64_t>(r) * count;
  const int64_t out = args.out_rows ? args.out_rows[r] : r;
  float* probs = args.probs + out * count;
  const RowPeak peak = peak_of(args, r, row);
  int best = peak.index;
  if (!(peak.value < INFINITY)) return {RowStatus::kNotFinite, BlockMath::argmax(row, count)};
  if (args.slots.wants_logprobs[slot]) {
    const float max = row[best];
    const float sum = BlockMath::sum_of(count, [=](int v) { return expf(row[v] - max); });
    BlockMath::put(args.log_sum, r, max + logf(sum));
  }
  if (edit_row(args.slots, slot, args.row_output[r], row)) best = BlockMath::argmax(row, count);
  if (row[best] == kMasked) return {RowStatus::kNoTokenLeft, best};
  const float temperature = args.slots.temperature[slot];
  if (temperature > 0.0f) {
    BlockMath::softmax(row, count, row[best], temperature, probs);
    filter_row(probs, count, args.slots.top_k[slot], args.slots.top_p[slot]);
  } else if (args.slots.wants_rows[slot]) {
    BlockMath::for_each(count, [=](int v) { probs[v] = v == best ? 1.0f : 0.0f; });
  }
  if (args.slots.wants_rows[slot]) {
    BlockMath::softmax(row, count, row[best], 1.0f, args.unscaled + out * count);
  }
  return {RowStatus::kOk, best};
}

// Row r of distribution_cpu's contract; what it leaves may be read when the block has met.
SC_DEVICE void distribute_row(const DistributionArgs& args, int r) {
  const RowResult result = distribution_of(args, r, args.row_slot[r]);
  if (thread_index() != 0) return;
  args.row_status[r] = static_cast<int32_t>(result.status);
  args.best[r] = result.best;
}

}  // namespace speccascade
