#include "engine/slot_tables.h"

#include <algorithm>
#include <type_traits>

namespace speccascade {

namespace {

size_t slots_of(const SessionLimits& limits) { return static_cast<size_t>(limits.max_batch); }

size_t capacity_of(const SessionLimits& limits) {
  return static_cast<size_t>(limits.max_prefix_tokens) + static_cast<size_t>(limits.max_new_tokens);
}

}  // namespace

int SlotTables::cache_rows(const SessionLimits& limits) {
  return limits.max_prefix_tokens + limits.max_new_tokens + limits.draft.max_nodes();
}

TableViews carve_tables(const SessionLimits& limits, int vocabulary, void* base) {
  TableViews views = {};
  SequenceState& state = views.sequences;
  SlotSampling& sampling = views.sampling;
  const size_t slots = slots_of(limits);
  const auto max_nodes = static_cast<size_t>(limits.draft.max_nodes());
  const auto max_path = static_cast<size_t>(limits.draft.max_path());
  state.slots = limits.max_batch;
  state.capacity = static_cast<int>(capacity_of(limits));
  state.max_input = limits.max_input_tokens;
  state.max_nodes = limits.draft.max_nodes();
  state.max_path = limits.draft.max_path();
  sampling.bit_words = bit_words_for(vocabulary);

  // On addresses as integers: without memory, at 0, this is how much it takes.
  const auto take = [&views, base](auto*& pointer, size_t count) {
    constexpr size_t kAlign = 64;
    using Pointer = std::remove_reference_t<decltype(pointer)>;
    pointer = reinterpret_cast<Pointer>(reinterpret_cast<uintptr_t>(base) + views.bytes);
    const size_t bytes = count * sizeof(*pointer);
    views.bytes += (bytes + kAlign - 1) / kAlign * kAlign;
  };
  for (uint32_t** bits : {&sampling.suppress_bits, &sampling.eos_bits, &sampling.stop_bits}) {
    take(*bits, slots * static_cast<size_t>(sampling.bit_words));
  }
  const auto input = static_cast<size_t>(limits.max_input_tokens);
  take(state.input_tokens, limits.draft.uses_copies() ? slots * input : 0);
  take(state.rule, slots);
  take(state.seed, slots);
  for (float** value : {&state.confidence_stop, &sampling.temperature, &sampling.top_p}) {
    take(*value, slots);
  }
  for (int32_t** value :
       {&state.input_length, &state.prefix_length, &state.max_length, &state.verifier,
        &state.draft_wants_rows, &sampling.top_k, &sampling.suppresses, &sampling.wants_logprobs,
        &sampling.wants_rows, &sampling.min_new}) {
    take(*value, slots);
  }

  views.step_begin = views.bytes;
  take(state.tokens, slots * capacity_of(limits));
  for (int32_t** nodes : {&state.draft_tokens, &state.draft_parent, &state.draft_depth}) {
    take(*nodes, slots * max_nodes);
  }
  const size_t adapts = limits.draft.adaptive.on ? slots : 0;
  take(state.adaptive, adapts);
  take(state.draft_class, adapts * max_nodes);
  take(state.path, slots * max_path);
  take(state.token_logprobs, slots * (max_path + 1));
  take(state.deferred, slots);
  take(state.draft_passes, slots * static_cast<size_t>(limits.draft.drafters()));
  take(state.step, slots);
  for (int32_t** value : {&state.active, &state.length, &state.draft_count, &state.draft_limit,
                          &state.draft_level, &state.level_begin, &state.draft_consumed,
                          &state.draft_phase, &state.draft_lag, &state.tested, &state.accepted,
                          &state.emitted, &state.finish, &state.failure, &state.decided}) {
    take(*value, slots);
  }
  return views;
}

SlotTables::SlotTables(const SessionLimits& limits, int vocabulary,
                       const std::shared_ptr<Device>& device)
    : drafter_reads_confidence_(limits.draft.reads_confidence()),
      keeps_inputs_(limits.draft.uses_copies()),
      memory_(device, carve_tables(limits, vocabulary, nullptr).bytes),
      views_(carve_tables(limits, vocabulary, memory_.data())) {}

void SlotTables::set_bits(uint32_t* table, int slot, const std::vector<int32_t>& tokens) const {
  uint32_t* bits = table + static_cast<int64_t>(slot) * sampling().bit_words;
  std::fill(bits, bits + sampling().bit_words, 0u);
  for (const int32_t token : tokens) bits[token / 32] |= 1u << (token % 32);
}

void SlotTables::assign(int slot, const Request& request, uint64_t seed) {
  const size_t s = static_cast<size_t>(slot);
  const SequenceState& state = sequences();
  const SlotSampling& sampling = views_.sampling;
  const int prefix = static_cast<int>(request.prefix.size());
  std::copy(request.prefix.begin(), request.prefix.end(),
            state.tokens + static_cast<int64_t>(slot) * state.capacity);
  if (keeps_inputs_) {
    std::copy(request.input_ids.begin(), request.input_ids.end(),
              slot_part(state.input_tokens, slot, state.max_input));
  }
  state.input_length[s] = static_cast<int32_t>(request.input_ids.size());
  state.active[s] = 1;
  state.length[s] = prefix;
  state.prefix_length[s] = prefix;
  state.max_length[s] = prefix + request.max_new_tokens;
  state.seed[s] = seed;
  state.step[s] = 0;
  state.draft_lag[s] = 0;
  state.finish[s] = static_cast<int32_t>(Finish::kNone);
  state.failure[s] = static_cast<int32_t>(Failure::kNone);
  state.rule[s] = request.rule;
  state.verifier[s] = static_cast<int32_t>(request.verifier);
  state.confidence_stop[s] = request.confidence_stop;
  state.deferred[s] = 0.0f;
  const bool rule_reads = reads_drafter(request.rule.kind);
  sampling.wants_rows[s] = rule_reads ? 1 : 0;
  state.draft_wants_rows[s] =
      rule_reads || request.confidence_stop > 0.0f || drafter_reads_confidence_ ? 1 : 0;
  sampling.temperature[s] = request.temperature;
  sampling.top_k[s] = request.top_k;
  sampling.top_p[s] = request.top_p;
  sampling.min_new[s] = request.min_new_tokens;
  sampling.suppresses[s] = request.suppress_tokens.empty() ? 0 : 1;
  sampling.wants_logprobs[s] = request.logprobs ? 1 : 0;
  set_bits(sampling.suppress_bits, slot, request.suppress_tokens);
  set_bits(sampling.eos_bits, slot, request.eos_tokens);
  set_bits(sampling.stop_bits, slot, request.stop_tokens);
}

void SlotTables::clear(int slot) { views_.sequences.active[static_cast<size_t>(slot)] = 0; }

}  // namespace speccascade
