// From logits to the distribution that tokens are drawn from.
//
//   edits        suppressed tokens, and end tokens before the minimum length, are
//                set to minus infinity, in target and drafter rows alike
//   temperature  softmax(logits / T); T = 0: one-hot at the lowest-index maximum
//   top-k        the k most probable tokens stay, equals by lowest index
//   top-p        then the most probable ones whose mass first reaches p stay
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "ops/gemm.h"

namespace speccascade {

// Sampling settings of each slot, as device data: requests with different
// settings share a batch.
struct SlotSampling {
  float* temperature;       // [slots] 0: greedy
  int32_t* top_k;           // [slots] 0: off
  float* top_p;             // [slots] 1: off
  int32_t* suppresses;      // [slots] whether suppress_bits has any bit set
  int32_t* wants_logprobs;  // [slots]
  int32_t* wants_rows;      // [slots] probs at temperature 0 too, and unscaled
  int32_t* min_new;         // [slots] end tokens are suppressed before this many tokens
  uint32_t* suppress_bits;  // [slots, bit_words] one bit a token
  uint32_t* eos_bits;       // [slots, bit_words]
  uint32_t* stop_bits;      // [slots, bit_words]
  int bit_words;            // words per slot: ceil(vocabulary / 32)
};

SC_HOST_DEVICE constexpr int bit_words_for(int vocabulary) { return (vocabulary + 31) / 32; }

SC_HOST_DEVICE inline bool has_bit(const uint32_t* bits, int token) {
  return ((bits[token / 32] >> (token % 32)) & 1u) != 0;
}

// Whether a token ends the slot's sequence. Both tables are read before one is tested.
SC_HOST_DEVICE inline bool ends_sequence(const SlotSampling& table, int slot, int token) {
  const int64_t at = static_cast<int64_t>(slot) * table.bit_words;
  const bool eos = has_bit(table.eos_bits + at, token);
  const bool stop = has_bit(table.stop_bits + at, token);
  return eos || stop;
}

enum class RowStatus : int32_t { kOk = 0, kNotFinite = 1, kNoTokenLeft = 2 };

// logits [rows, V] are edited in place. For each row: best = lowest-index maximum;
// where temperature > 0 or the slot wants rows, probs[out_rows[r], :] (or [r, :]) =
// the distribution; where it wants rows, unscaled[...] likewise = the softmax at
// temperature 1, unfiltered; where it wants log-probabilities, log_sum[r] =
// log sum e^logit of the row as the model gave it, before edits.
struct DistributionArgs {
  float* logits;
  int vocabulary;
  const int32_t* num_rows;
  int max_rows;
  const int32_t* row_slot;    // [rows]
  const int32_t* row_output;  // [rows] index in the output of the token this row predicts
  const int32_t* out_rows;    // [rows] or null
  SlotSampling slots;
  float* probs;
  float* unscaled;
  int32_t* best;        // [rows]
  float* log_sum;       // [rows]
  int32_t* row_status;  // [rows] RowStatus
  // On devices: what the product of the logits left (gemm.h), [rows, peaks_of(vocabulary)], or
  // null.
  const LeftPeak* peaks = nullptr;
};

void distribution_cpu(const DistributionArgs& args, int threads);

// log sum e^logit over a row whose maximum is `max`.
float log_sum_exp(const float* logits, int count, float max, float* scratch);

// The row that tokens are drawn from: softmax(logits / temperature) filtered by
// top-k, then top-p; one-hot at the lowest-index maximum at temperature 0.
template <typename Real>
void scale_logits(const Real* logits, int count, Real temperature, int top_k, Real top_p,
                  Real* out);

// Keeps the k largest entries of a distribution, then the most probable ones that
// first reach mass p, and renormalises. k = 0 and p = 1 switch the filters off.
template <typename Real>
void filter_top(Real* probs, int count, int top_k, Real top_p);

}  // namespace speccascade
