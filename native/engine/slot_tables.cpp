#include "engine/slot_tables.h"

#include <algorithm>

namespace speccascade {

namespace {

constexpr size_t kIntFields = 24;
constexpr size_t kFloatFields = 4;

size_t slots_of(const SessionLimits& limits) { return static_cast<size_t>(limits.max_batch); }

size_t capacity_of(const SessionLimits& limits) {
  return static_cast<size_t>(limits.max_prefix_tokens) + static_cast<size_t>(limits.max_new_tokens);
}

}  // namespace

int SlotTables::cache_rows(const SessionLimits& limits) {
  return limits.max_prefix_tokens + limits.max_new_tokens + limits.draft.max_nodes();
}

SlotTables::SlotTables(const SessionLimits& limits, int vocabulary)
    : drafter_reads_confidence_(limits.draft.reads_confidence()),
      ints_(kIntFields * slots_of(limits)),
      tokens_(slots_of(limits) * capacity_of(limits)),
      nodes_(3 * slots_of(limits) * static_cast<size_t>(limits.draft.max_nodes())),
      inputs_(limits.draft.uses_copies()
                  ? slots_of(limits) * static_cast<size_t>(limits.max_input_tokens)
                  : 0),
      path_(slots_of(limits) * static_cast<size_t>(limits.draft.max_path())),
      floats_(kFloatFields * slots_of(limits)),
      logprobs_(slots_of(limits) * static_cast<size_t>(limits.draft.max_path() + 1)),
      rule_(slots_of(limits)),
      seed_(slots_of(limits)),
      step_(slots_of(limits)),
      bits_(3 * slots_of(limits) * static_cast<size_t>(bit_words_for(vocabulary))) {
  sequences_.slots = limits.max_batch;
  sequences_.capacity = static_cast<int>(capacity_of(limits));
  sequences_.max_input = limits.max_input_tokens;
  sequences_.max_nodes = limits.draft.max_nodes();
  sequences_.max_path = limits.draft.max_path();
  sequences_.tokens = tokens_.data();
  const size_t nodes = slots_of(limits) * static_cast<size_t>(limits.draft.max_nodes());
  sequences_.draft_tokens = nodes_.data();
  sequences_.draft_parent = nodes_.data() + nodes;
  sequences_.draft_depth = nodes_.data() + 2 * nodes;
  sequences_.input_tokens = inputs_.data();
  sequences_.path = path_.data();
  sequences_.token_logprobs = logprobs_.data();
  sequences_.seed = seed_.data();
  sequences_.step = step_.data();
  sequences_.rule = rule_.data();
  size_t next = 0;
  for (int32_t** pointer :
       {&sequences_.active,           &sequences_.length,      &sequences_.prefix_length,
        &sequences_.max_length,       &sequences_.draft_count, &sequences_.draft_limit,
        &sequences_.draft_level,      &sequences_.level_begin, &sequences_.draft_consumed,
        &sequences_.draft_phase,      &sequences_.tested,      &sequences_.accepted,
        &sequences_.emitted,          &sequences_.finish,      &sequences_.failure,
        &sequences_.verifier,         &sequences_.decided,     &sequences_.input_length,
        &sequences_.draft_wants_rows, &sampling_.top_k,        &sampling_.suppresses,
        &sampling_.wants_logprobs,    &sampling_.wants_rows,   &sampling_.min_new}) {
    *pointer = ints_.data() + slots_of(limits) * next++;
  }
  next = 0;
  for (float** pointer : {&sequences_.confidence_stop, &sequences_.deferred, &sampling_.temperature,
                          &sampling_.top_p}) {
    *pointer = floats_.data() + slots_of(limits) * next++;
  }
  sampling_.bit_words = bit_words_for(vocabulary);
  const size_t table = slots_of(limits) * static_cast<size_t>(sampling_.bit_words);
  sampling_.suppress_bits = bits_.data();
  sampling_.eos_bits = bits_.data() + table;
  sampling_.stop_bits = bits_.data() + 2 * table;
}

void SlotTables::set_bits(uint32_t* table, int slot, const std::vector<int32_t>& tokens) const {
  uint32_t* bits = table + static_cast<int64_t>(slot) * sampling_.bit_words;
  std::fill(bits, bits + sampling_.bit_words, 0u);
  for (const int32_t token : tokens) bits[token / 32] |= 1u << (token % 32);
}

void SlotTables::assign(int slot, const Request& request, uint64_t seed) {
  const size_t s = static_cast<size_t>(slot);
  const int prefix = static_cast<int>(request.prefix.size());
  std::copy(request.prefix.begin(), request.prefix.end(),
            sequences_.tokens + static_cast<int64_t>(slot) * sequences_.capacity);
  if (inputs_.size() > 0) {
    std::copy(request.input_ids.begin(), request.input_ids.end(),
              slot_part(sequences_.input_tokens, slot, sequences_.max_input));
  }
  sequences_.input_length[s] = static_cast<int32_t>(request.input_ids.size());
  sequences_.active[s] = 1;
  sequences_.length[s] = prefix;
  sequences_.prefix_length[s] = prefix;
  sequences_.max_length[s] = prefix + request.max_new_tokens;
  sequences_.seed[s] = seed;
  sequences_.step[s] = 0;
  sequences_.finish[s] = static_cast<int32_t>(Finish::kNone);
  sequences_.failure[s] = static_cast<int32_t>(Failure::kNone);
  sequences_.rule[s] = request.rule;
  sequences_.verifier[s] = static_cast<int32_t>(request.verifier);
  sequences_.confidence_stop[s] = request.confidence_stop;
  sequences_.deferred[s] = 0.0f;
  const bool rule_reads = reads_drafter(request.rule.kind);
  sampling_.wants_rows[s] = rule_reads ? 1 : 0;
  sequences_.draft_wants_rows[s] =
      rule_reads || request.confidence_stop > 0.0f || drafter_reads_confidence_ ? 1 : 0;
  sampling_.temperature[s] = request.temperature;
  sampling_.top_k[s] = request.top_k;
  sampling_.top_p[s] = request.top_p;
  sampling_.min_new[s] = request.min_new_tokens;
  sampling_.suppresses[s] = request.suppress_tokens.empty() ? 0 : 1;
  sampling_.wants_logprobs[s] = request.logprobs ? 1 : 0;
  set_bits(sampling_.suppress_bits, slot, request.suppress_tokens);
  set_bits(sampling_.eos_bits, slot, request.eos_tokens);
  set_bits(sampling_.stop_bits, slot, request.stop_tokens);
}

SlotSampling SlotTables::drafter_sampling() const {
  SlotSampling sampling = sampling_;
  sampling.wants_rows = sequences_.draft_wants_rows;
  return sampling;
}

size_t SlotTables::bytes() const {
  return ints_.bytes() + tokens_.bytes() + nodes_.bytes() + inputs_.bytes() + path_.bytes() +
         floats_.bytes() + logprobs_.bytes() + rule_.bytes() + seed_.bytes() + step_.bytes() +
         bits_.bytes();
}

void SlotTables::clear(int slot) { sequences_.active[static_cast<size_t>(slot)] = 0; }

}  // namespace speccascade
