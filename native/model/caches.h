// Keys and values that decoding keeps: per slot for self-attention, per encoder
// pass ("source") for cross-attention.
#pragma once

#include "model/model.h"
#include "model/pass_memory.h"
#include "ops/decoder_rows.h"

namespace speccascade {

// Where weights are in bf16, and in int8 on devices, whose products round their inputs to it, keys
// and values are kept in bf16: where inputs are long or sequences many, most of what a step reads
// are these. Elsewhere they would add to a precision that is used up (int8 on the CPU) or is the
// point (f32, f16).
inline DType cache_dtype(const Model& model) {
  const bool in_bf16 = model.dtype == DType::kInt8 && model.device != nullptr;
  return model.dtype == DType::kBF16 || in_bf16 ? DType::kBF16 : DType::kF32;
}

// Of all decoder layers.
class KeysValues {
 public:
  KeysValues(PassMemory& memory, const Model& model, size_t rows)
      : dtype_(cache_dtype(model)),
        layer_bytes_(rows * 2 * static_cast<size_t>(model.config.inner()) * dtype_bytes(dtype_)),
        layers_(memory, static_cast<size_t>(model.config.num_decoder_layers) * layer_bytes_) {}

  // [rows, 2 * inner]: keys, values
  void* layer(int i) const { return layers_.data() + static_cast<size_t>(i) * layer_bytes_; }
  DType dtype() const { return dtype_; }
  size_t bytes() const { return layers_.bytes(); }

 private:
  DType dtype_;
  size_t layer_bytes_;
  PassArray<char> layers_;
};

class SelfCache {
 public:
  SelfCache(PassMemory& memory, const Model& model, int slots, int rows_per_slot)
      : keys_values_(memory, model, area(slots, rows_per_slot)),
        order_(memory, area(slots, rows_per_slot)),
        length_(memory, static_cast<size_t>(slots)),
        rows_per_slot_(rows_per_slot) {
    for (int s = 0; s < slots; ++s) reset(s);
  }

  // Empties a slot.
  void reset(int slot) {
    length_[static_cast<size_t>(slot)] = 0;
    int32_t* order =
        order_.host() + static_cast<size_t>(slot) * static_cast<size_t>(rows_per_slot_);
    for (int i = 0; i < rows_per_slot_; ++i) order[i] = i;
  }

  // A row for each of rows_per_slot positions of each slot.
  const KeysValues& keys_values() const { return keys_values_; }
  // The host's, which decides; operations read theirs as of the last to_device().
  CacheTable table() const { return {order_.host(), length_.host(), rows_per_slot_}; }
  CacheTable device_table() const { return {order_.device(), length_.device(), rows_per_slot_}; }
  void to_device() const {
    order_.to_device();
    length_.to_device();
  }
  // Queues a slot's tables alone, after its reset(): where kernels commit, those of the other slots
  // are known to the device only.
  void slot_to_device(DeviceStream& stream, int slot) const {
    const auto s = static_cast<size_t>(slot), rows = static_cast<size_t>(rows_per_slot_);
    stream.copy_to_device(order_.device() + s * rows, order_.host() + s * rows,
                          rows * sizeof(int32_t));
    stream.copy_to_device(length_.device() + s, length_.host() + s, sizeof(int32_t));
  }
  int rows_per_slot() const { return rows_per_slot_; }
  size_t bytes() const { return keys_values_.bytes() + order_.bytes() + length_.bytes(); }

 private:
  KeysValues keys_values_;
  SharedArray<int32_t> order_;
  SharedArray<int32_t> length_;
  int rows_per_slot_;
};

class CrossCache {
 public:
  CrossCache(PassMemory& memory, const Model& model, int slots, int sources, int max_source)
      : keys_values_(memory, model, area(sources, max_source)),
        source_length_(memory, static_cast<size_t>(sources)),
        slot_source_(memory, static_cast<size_t>(slots)),
        max_source_(max_source) {}

  // max_source rows for each source.
  const KeysValues& keys_values() const { return keys_values_; }
  // The host's and, as of the last to_device(), the operations' tables.
  int32_t* source_length() const { return source_length_.host(); }
  int32_t* slot_source() const { return slot_source_.host(); }
  const int32_t* device_source_length() const { return source_length_.device(); }
  const int32_t* device_slot_source() const { return slot_source_.device(); }
  void to_device() const {
    source_length_.to_device();
    slot_source_.to_device();
  }
  // The same on a stream of the caller's.
  void to_device(DeviceStream& stream) const {
    source_length_.to_device(stream);
    slot_source_.to_device(stream);
  }
  int max_source() const { return max_source_; }
  size_t bytes() const { return keys_values_.bytes(); }

 private:
  KeysValues keys_values_;
  SharedArray<int32_t> source_length_;
  SharedArray<int32_t> slot_source_;
  int max_source_;
};

}  // namespace speccascade
