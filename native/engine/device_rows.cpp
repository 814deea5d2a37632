#include "engine/device_rows.h"

namespace speccascade {

DeviceRows::DeviceRows(PassMemory& memory, ModelLane& lane, int slots, int rows)
    : lane_(lane),
      vocabulary_(lane.model.config.vocab_size),
      max_logits_(lane.decoder.max_logits()),
      ints_(memory, 6 * static_cast<size_t>(max_logits_) + static_cast<size_t>(slots)),
      log_sum_(memory, static_cast<size_t>(max_logits_)),
      probs_(memory, area(rows, vocabulary_)),
      unscaled_(memory, area(rows, vocabulary_)) {}

LogitRows DeviceRows::logits() const { return {field(0), field(1), field(2), field(3), field(6)}; }

DistributionArgs DeviceRows::distribution(const SlotSampling& sampling) const {
  const LogitRows rows = logits();
  DistributionArgs args = {};
  args.logits = lane_.decoder.device_logits();
  args.vocabulary = static_cast<int>(vocabulary_);
  args.num_rows = lane_.decoder.device_rows().num_logits;
  args.max_rows = static_cast<int>(max_logits_);
  args.row_slot = rows.slot;
  args.row_output = rows.output;
  args.out_rows = rows.out_row;
  args.slots = sampling;
  args.probs = probs_.data();
  args.unscaled = unscaled_.data();
  args.best = field(4);
  args.log_sum = log_sum_.data();
  args.row_status = field(5);
  args.peaks = lane_.decoder.device_peaks();
  return args;
}

}  // namespace speccascade
