// Keys and values that decoding keeps: per slot for self-attention, per encoder
// pass ("source") for cross-attention.
#pragma once

#include "base/buffer.h"
#include "model/config.h"
#include "ops/decoder_rows.h"

namespace speccascade {

class SelfCache {
 public:
  SelfCache(const T5Config& config, int slots, int rows_per_slot)
      : keys_values_(static_cast<size_t>(config.num_decoder_layers) * static_cast<size_t>(slots) *
                     static_cast<size_t>(rows_per_slot) * 2 * static_cast<size_t>(config.inner())),
        order_(static_cast<size_t>(slots) * static_cast<size_t>(rows_per_slot)),
        length_(static_cast<size_t>(slots)),
        layer_stride_(static_cast<size_t>(slots) * static_cast<size_t>(rows_per_slot) * 2 *
                      static_cast<size_t>(config.inner())),
        rows_per_slot_(rows_per_slot) {
    for (int s = 0; s < slots; ++s) reset(s);
  }

  // Empties a slot.
  void reset(int slot) {
    length_[static_cast<size_t>(slot)] = 0;
    int32_t* order =
        order_.data() + static_cast<size_t>(slot) * static_cast<size_t>(rows_per_slot_);
    for (int i = 0; i < rows_per_slot_; ++i) order[i] = i;
  }

  // [slots * rows_per_slot, 2 * inner]
  float* layer(int i) const { return keys_values_.data() + static_cast<size_t>(i) * layer_stride_; }
  CacheTable table() const { return {order_.data(), length_.data(), rows_per_slot_}; }
  int rows_per_slot() const { return rows_per_slot_; }
  size_t bytes() const { return keys_values_.bytes() + order_.bytes() + length_.bytes(); }

 private:
  Array<float> keys_values_;
  Array<int32_t> order_;
  Array<int32_t> length_;
  size_t layer_stride_;
  int rows_per_slot_;
};

class CrossCache {
 public:
  CrossCache(const T5Config& config, int slots, int sources, int max_source)
      : keys_values_(static_cast<size_t>(config.num_decoder_layers) * static_cast<size_t>(sources) *
                     static_cast<size_t>(max_source) * 2 * static_cast<size_t>(config.inner())),
        source_length_(static_cast<size_t>(sources)),
        slot_source_(static_cast<size_t>(slots)),
        layer_stride_(static_cast<size_t>(sources) * static_cast<size_t>(max_source) * 2 *
                      static_cast<size_t>(config.inner())),
        max_source_(max_source) {}

  // [sources * max_source, 2 * inner]
  float* layer(int i) const { return keys_values_.data() + static_cast<size_t>(i) * layer_stride_; }
  int32_t* source_length() const { return source_length_.data(); }
  int32_t* slot_source() const { return slot_source_.data(); }
  int max_source() const { return max_source_; }
  size_t bytes() const { return keys_values_.bytes(); }

 private:
  Array<float> keys_values_;
  Array<int32_t> source_length_;
  Array<int32_t> slot_source_;
  size_t layer_stride_;
  int max_source_;
};

}  // namespace speccascade
