// A step laid out in a device's memory for operations that are called one by one: rows, tables and
// the state of one sequence.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "base/device_memory.h"
#include "base/error.h"
#include "decode/row_scaling.h"
#include "decode/sequence_state.h"
#include "ops/sampling.h"

namespace speccascade {

// Device memory with an image of it on the host, copied whole.
class Desk {
 public:
  Desk(const std::shared_ptr<Device>& device, size_t bytes)
      : memory_(device, bytes), image_(bytes), stream_(device->open_stream()) {}

  // Room for `count` elements, with what `from` holds or zero; the device's address.
  template <typename T>
  T* place(size_t count, const T* from = nullptr) {
    const size_t at = (used_ + 255) / 256 * 256, bytes = count * sizeof(T);
    if (at + bytes > image_.size()) fail(ErrorCode::kDevice, "a desk of ", image_.size(), " bytes");
    if (from != nullptr) std::memcpy(image_.data() + at, from, bytes);
    used_ = at + bytes;
    return reinterpret_cast<T*>(static_cast<char*>(memory_.data()) + at);
  }
  template <typename T>
  T* place_one(const T& value) {
    return place(1, &value);
  }

  // What the image has of a place.
  template <typename T>
  const T* read(const T* placed) const {
    const char* base = static_cast<const char*>(memory_.data());
    const auto at = static_cast<size_t>(reinterpret_cast<const char*>(placed) - base);
    return reinterpret_cast<const T*>(image_.data() + at);
  }

  void* begin() {
    stream_->activate();
    stream_->copy_to_device(memory_.data(), image_.data(), image_.size());
    return stream_->handle();
  }
  void end() {
    stream_->copy_to_host(image_.data(), memory_.data(), image_.size());
    stream_->synchronize();
  }

 private:
  DeviceBuffer memory_;
  std::vector<char> image_;
  std::unique_ptr<DeviceStream> stream_;
  size_t used_ = 0;
};

// Of one slot, whose rows are logits: with room for suppressed tokens, which the caller gives, and
// with tokens that end the sequence.
inline SlotSampling place_sampling(Desk& desk, const RowScaling& scaling, int vocabulary,
                                   const std::vector<int32_t>& stops) {
  SlotSampling sampling = {};
  const int words = bit_words_for(vocabulary);
  std::vector<uint32_t> stop_bits(static_cast<size_t>(words));
  for (const int32_t token : stops) {
    stop_bits[static_cast<size_t>(token / 32)] |= 1u << (token % 32);
  }
  sampling.temperature = desk.place_one(static_cast<float>(scaling.temperature));
  sampling.top_k = desk.place_one(int32_t{scaling.top_k});
  sampling.top_p = desk.place_one(static_cast<float>(scaling.top_p));
  sampling.suppresses = desk.place<int32_t>(1);
  sampling.wants_logprobs = desk.place<int32_t>(1);
  sampling.wants_rows = desk.place_one(int32_t{1});
  sampling.min_new = desk.place<int32_t>(1);
  sampling.suppress_bits = desk.place<uint32_t>(stop_bits.size());
  sampling.eos_bits = desk.place<uint32_t>(stop_bits.size());
  sampling.stop_bits = desk.place(stop_bits.size(), stop_bits.data());
  sampling.bit_words = words;
  return sampling;
}

// `count` rows of logits, from `logits` or zero, and room for what becomes of them. All belong to
// the one slot and to the sequence's first token.
inline DistributionArgs place_distribution(Desk& desk, const float* logits, int count,
                                           int vocabulary, const SlotSampling& sampling) {
  const auto rows = static_cast<size_t>(count), whole = rows * static_cast<size_t>(vocabulary);
  DistributionArgs args = {};
  args.logits = desk.place(whole, logits);
  args.vocabulary = vocabulary;
  args.num_rows = desk.place_one(int32_t{count});
  args.max_rows = count;
  args.row_slot = args.row_output = desk.place<int32_t>(rows);
  args.slots = sampling;
  args.probs = desk.place<float>(whole);
  args.unscaled = desk.place<float>(whole);
  args.best = desk.place<int32_t>(rows);
  args.log_sum = desk.place<float>(rows);
  args.row_status = desk.place<int32_t>(rows);
  return args;
}

// A draft of one slot.
struct DeskDraft {
  int nodes = 0;
  const int32_t *tokens = nullptr, *parents = nullptr, *depths = nullptr;  // [nodes]
  int levels = 0;
  Verifier verifier = Verifier::kToken;
  DrawAddress at = {};  // of the token that follows the committed ones; request 0
};

// One slot with one committed token.
inline SequenceState place_state(Desk& desk, const Rule& rule, const DeskDraft& draft) {
  SequenceState state = {};
  const auto nodes = static_cast<size_t>(draft.nodes);
  const auto integer = [&](int32_t value) { return desk.place_one(value); };
  state.slots = 1;
  state.capacity = draft.nodes + 4;
  state.max_nodes = draft.nodes;
  state.max_path = draft.levels;
  state.active = integer(1);
  state.tokens = desk.place<int32_t>(nodes + 4);
  state.length = integer(1);
  // Positions are counted from the prefix on, and only so.
  state.prefix_length = integer(static_cast<int32_t>(1 - draft.at.position));
  state.max_length = integer(draft.nodes + 4);
  state.seed = desk.place_one(draft.at.seed);
  state.step = desk.place_one(draft.at.step);
  state.rule = desk.place_one(rule);
  state.verifier = integer(static_cast<int32_t>(draft.verifier));
  const auto table = [&](const int32_t* values) {
    std::vector<int32_t> padded(nodes + 1);
    if (nodes > 0) std::memcpy(padded.data(), values, nodes * sizeof(int32_t));
    return desk.place(padded.size(), padded.data());
  };
  state.draft_tokens = table(draft.tokens);
  state.draft_parent = table(draft.parents);
  state.draft_depth = table(draft.depths);
  state.draft_count = integer(draft.nodes);
  state.path = desk.place<int32_t>(nodes + 1);
  for (int32_t** number : {&state.accepted, &state.tested, &state.decided, &state.emitted,
                           &state.finish, &state.failure}) {
    *number = integer(0);
  }
  state.deferred = desk.place<float>(1);
  state.token_logprobs = desk.place<float>(nodes + 2);
  return state;
}

}  // namespace speccascade
