// From logits to a distribution by one block, for the kernels that need rows of their own.
#pragma once

#include <cmath>

#include "ops/row_filter_cuda.cuh"
#include "ops/sampling.h"

namespace speccascade {

constexpr float kMasked = -INFINITY;

SC_DEVICE ProbabilityRow powers_row(const float* logits, float max, float temperature) {
  const float scale = BlockMath::inverse_of(temperature) * kLog2E;
  return {logits, max, scale, 1.0f, all_entries(), 1.0f};
}

// What is known of a row whose softmax is wanted. `peaks`: what the product left of it, null where
// it left nothing or the row was edited since.
struct KnownRow {
  const float* logits;
  const LeftPeak* peaks;
  int count;
  float max;

  // Without a pass over the row.
  SC_DEVICE bool knows_sum(float temperature) const {
    return (peaks != nullptr) & (temperature == 1.0f);
  }
};

// row_sum of the powers at temperature 1. The parts' sums stay in RowPartials here too.
SC_DEVICE double sum_of_peaks(const KnownRow& row) {
  static_assert(kBatchEntries % kPeakOutputs == 0, "a part begins with a peak");
  constexpr int kFew = 4;  // of a lane: a part of 32128 entries has 128 peaks
  const LeftPeak* peaks = row.peaks;
  const float max = row.max;
  const auto powers = [=](int i) {
    return exp2_flushed((peaks[i].peak.value - max) * kLog2E) * peaks[i].powers;
  };
  RowPartials& partials = shared<RowPartials>();
  for_parts(row.count, [&](int p, const RowPart& part) {
    const RowPart own = {part.begin / kPeakOutputs, peaks_of(part.end)};
    const double sum = part_sum<double, kFew>(own, powers);
    if (lane_index() == 0) partials.sum[p] = sum;
  });
  return sum_of_parts(row.count, partials.sum);
}

SC_DEVICE ProbabilityRow softmax_row(const KnownRow& known, float temperature) {
  ProbabilityRow row = powers_row(known.logits, known.max, temperature);
  const double sum = known.knows_sum(temperature)
                         ? sum_of_peaks(known)
                         : row_sum(known.count, [=](int v) { return row.unfiltered(v); });
  row.factor = 1.0f / static_cast<float>(sum);
  return row;
}

// The same by a pass, which finds the largest entry of the row `beside` as well.
SC_DEVICE ProbabilityRow softmax_row_beside(const KnownRow& known, float temperature,
                                            const float* beside, float& largest) {
  ProbabilityRow row = powers_row(known.logits, known.max, temperature);
  const auto both = [=](int v) { return TermBeside{row.unfiltered(v), beside[v]}; };
  row.factor = 1.0f / static_cast<float>(row_sum_beside(known.count, both, largest));
  return row;
}

// One at a token, which is a largest one.
SC_DEVICE ProbabilityRow one_hot_row(const float* logits, int token) {
  const float scale = BlockMath::inverse_of(0.0f);
  return {logits, logits[token], scale, 1.0f, {bits_of(1.0f), token, token}, 1.0f};
}

SC_DEVICE void mask_bits(const uint32_t* bits, int words, float* row) {
  for (int w = thread_index(); w < words; w += block_threads()) {
    for (uint32_t rest = bits[w]; rest != 0; rest &= rest - 1) {
      row[w * 32 + lowest_bit(rest)] = kMasked;
    }
  }
}

// Applies the slot's edits.
SC_DEVICE void edit_row(const SlotSampling& table, int slot, int output_index, float* row) {
  const int64_t at = static_cast<int64_t>(slot) * table.bit_words;
  const bool early = output_index < table.min_new[slot];
  const bool suppresses = table.suppresses[slot] != 0;
  sync_block();
  if (suppresses) mask_bits(table.suppress_bits + at, table.bit_words, row);
  if (early) {
    mask_bits(table.eos_bits + at, table.bit_words, row);
    mask_bits(table.stop_bits + at, table.bit_words, row);
  }
  sync_block();
}

// Row r's largest entry; +infinity where the row has that or what is no number.
SC_DEVICE RowPeak peak_of(const DistributionArgs& args, int r, const float* row) {
  if (args.peaks == nullptr) {
    return block_maximum(args.vocabulary, [=](int v) { return finite_entry(row[v], v); });
  }
  const int count = peaks_of(args.vocabulary);
  const LeftPeak* peaks = args.peaks + static_cast<int64_t>(r) * count;
  return block_maximum(count, [=](int i) { return peaks[i].peak; });
}

// What is asked of a row.
struct RowSettings {
  float temperature, top_p;
  int32_t top_k, wants_logprobs, output;
  bool edits;
};

// What a rule asks of a row's passes.
struct RowConfidence {
  bool unscaled;        // the factor of the softmax at temperature 1
  bool entries;         // the row itself
  const float* beside;  // a row whose largest entry a pass may find that reads another, or null
  const float* later;   // a row that is read then or after it, or null
  bool found;
  float largest;

  SC_DEVICE bool knows_largest_of(const float* row) const { return found && row == beside; }
};

SC_DEVICE RowSettings settings_of(const DistributionArgs& args, int r) {
  const SlotSampling& slots = args.slots;
  const int slot = args.row_slot[r], output = args.row_output[r];
  const bool early = output < slots.min_new[slot], suppresses = slots.suppresses[slot] != 0;
  return {slots.temperature[slot],
          slots.top_p[slot],
          slots.top_k[slot],
          slots.wants_logprobs[slot],
          output,
          early || suppresses};
}

SC_DEVICE bool filters_rows(int32_t top_k, float top_p, int count) {
  return ((top_k > 0) & (top_k < count)) | (top_p < 1.0f);
}

// Whether its entries are read: by a pass that peaks do not spare, or by a rule.
SC_DEVICE bool reads_row(const RowSettings& settings, const RowConfidence& confidence, int count) {
  const bool scales = (settings.temperature > 0.0f) & (settings.temperature != 1.0f);
  const bool filters = filters_rows(settings.top_k, settings.top_p, count);
  const bool samples = settings.temperature > 0.0f;
  return settings.edits | scales | (samples & filters) | confidence.entries;
}

// Row r's status and best token, edited; its distribution, at temperature 0 one-hot, and the factor
// of its softmax at temperature 1, where asks(), called by one thread, says so.
struct MadeRow {
  RowStatus status;
  int best;
  ProbabilityRow probs;  // without logits where there is none
  float unscaled_factor;
};

// Leaves the sums of its parts, but for the factor, and what RowConfidence asks beside, if there is
// a pass to find it in.
SC_DEVICE ProbabilityRow softmax_with_sums(const KnownRow& row, float temperature,
                                           double* part_sums) {
  RowConfidence& confidence = shared<RowConfidence>();
  const bool finds = confidence.beside != nullptr && !row.knows_sum(temperature);
  float largest = 0.0f;
  const ProbabilityRow probs =
      finds ? softmax_row_beside(row, temperature, confidence.beside, largest)
            : softmax_row(row, temperature);
  if (thread_index() < row_parts(row.count)) {
    part_sums[thread_index()] = shared<RowPartials>().sum[thread_index()];
  }
  if (thread_index() == 0) {
    confidence.largest = largest;
    confidence.found = finds;
  }
  sync_block();  // before the next pass
  return probs;
}

// kLeavesSums: `part_sums` receives those of a softmax, and other rows may be asked for.
template <bool kLeavesSums, typename Asks>
SC_DEVICE MadeRow make_row(const DistributionArgs& args, int r, const Asks& asks,
                           double* part_sums = nullptr) {
  const int count = args.vocabulary;
  float* row = args.logits + static_cast<int64_t>(r) * count;
  MadeRow made = {};
  // Whoever leaves sums may be spared the row.
  if (!kLeavesSums || args.peaks == nullptr) prefetch_row(row, count);
  // While the others look for the largest entry: each of these would be waited for. By threads of
  // two warps, which wait at the same time.
  RowSettings& settings = shared<RowSettings>();
  RowConfidence& confidence = shared<RowConfidence>();
  sync_block();  // a row before may be read still
  const int last = block_threads() - 1;
  if (thread_index() == last) settings = settings_of(args, r);
  if (thread_index() == (last >= kWarpLanes ? last - kWarpLanes : last)) {
    confidence = asks();
  }
  const RowPeak peak = peak_of(args, r, row);
  if (kLeavesSums) {
    if (args.peaks != nullptr && reads_row(settings, confidence, count)) prefetch_row(row, count);
    if (confidence.later != nullptr) prefetch_row(confidence.later, count);
  }
  made.best = peak.index;
  made.status = RowStatus::kNotFinite;
  if (!(peak.value < INFINITY)) {
    made.best = BlockMath::argmax(row, count);
    return made;
  }
  const LeftPeak* peaks =
      args.peaks == nullptr ? nullptr : args.peaks + static_cast<int64_t>(r) * peaks_of(count);
  KnownRow known = {row, peaks, count, peak.value};
  if (settings.wants_logprobs) {
    BlockMath::put(args.log_sum, r, known.max - logf(softmax_row(known, 1.0f).factor));
  }
  if (settings.edits) {
    edit_row(args.slots, args.row_slot[r], settings.output, row);
    const RowPeak left = row_maximum(row, count);
    made.best = left.index;
    known.max = left.value;
    known.peaks = nullptr;
  }
  made.status = known.max == kMasked ? RowStatus::kNoTokenLeft : RowStatus::kOk;
  if (made.status != RowStatus::kOk) return made;
  const float temperature = settings.temperature;
  if (temperature > 0.0f) {
    made.probs = kLeavesSums ? softmax_with_sums(known, temperature, part_sums)
                             : softmax_row(known, temperature);
    made.unscaled_factor = made.probs.factor;
    filter_row(made.probs, count, settings.top_k, settings.top_p);
  } else {
    made.probs = one_hot_row(row, made.best);
  }
  if (confidence.unscaled && temperature != 1.0f) {
    made.unscaled_factor = softmax_row(known, 1.0f).factor;
  }
  return made;
}

SC_DEVICE void leave_result(const DistributionArgs& args, int r, const MadeRow& made) {
  args.row_status[r] = static_cast<int32_t>(made.status);
  args.best[r] = made.best;
}

// Row r of distribution_cpu's contract; what it leaves may be read when the block has met.
SC_DEVICE void distribute_row(const DistributionArgs& args, int r) {
  const auto wants_rows = [&] { return args.slots.wants_rows[args.row_slot[r]] != 0; };
  const MadeRow made = make_row<false>(
      args, r, [&] { return RowConfidence{wants_rows(), true, nullptr, nullptr, false, 0.0f}; });
  if (thread_index() == 0) leave_result(args, r, made);
  const ProbabilityRow row = made.probs;
  const bool greedy = !(args.slots.temperature[args.row_slot[r]] > 0.0f);
  if (row.logits == nullptr || (greedy && !wants_rows())) return;
  const int count = args.vocabulary;
  const int64_t out = static_cast<int64_t>(args.out_rows ? args.out_rows[r] : r) * count;
  BlockMath::write(args.probs + out, count, [=](int v) { return row[v]; });
  if (!wants_rows()) return;
  const ProbabilityRow unscaled = row.unscaled(made.unscaled_factor);
  BlockMath::write(args.unscaled + out, count, [=](int v) { return unscaled.unfiltered(v); });
}

}  // namespace speccascade
