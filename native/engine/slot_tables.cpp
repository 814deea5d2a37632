#include "engine/slot_tables.h"

#include <algorithm>

namespace speccascade {

namespace {

constexpr size_t kIntFields = 21;
constexpr size_t kFloatFields = 4;

size_t slots_of(const SessionLimits& limits) { return static_cast<size_t>(limits.max_batch); }

size_t capacity_of(const SessionLimits& limits) {
  return static_cast<size_t>(limits.max_prefix_tokens) + static_cast<size_t>(limits.max_new_tokens);
}

}  // namespace

int SlotTables::cache_rows(const SessionLimits& limits) {
  return limits.max_prefix_tokens + limits.max_new_tokens + limits.draft_nodes();
}

SlotTables::SlotTables(const SessionLimits& limits, int vocabulary)
    : ints_(kIntFields * slots_of(limits)),
      tokens_(slots_of(limits) * capacity_of(limits)),
      nodes_(3 * slots_of(limits) * static_cast<size_t>(limits.draft_nodes())),
      path_(slots_of(limits) * static_cast<size_t>(limits.draft_levels())),
      floats_(kFloatFields * slots_of(limits)),
      logprobs_(slots_of(limits) * static_cast<size_t>(limits.draft_levels() + 1)),
      rule_(slots_of(limits)),
      seed_(slots_of(limits)),
      step_(slots_of(limits)),
      bits_(3 * slots_of(limits) * static_cast<size_t>(bit_words_for(vocabulary))) {
  sequences_.slots = limits.max_batch;
  sequences_.capacity = static_cast<int>(capacity_of(limits));
  sequences_.max_nodes = limits.draft_nodes();
  sequences_.max_path = limits.draft_levels();
  sequences_.tokens = tokens_.data();
  const size_t nodes = slots_of(limits) * static_cast<size_t>(limits.draft_nodes());
  sequences_.draft_tokens = nodes_.data();
  sequences_.draft_parent = nodes_.data() + nodes;
  sequences_.draft_depth = nodes_.data() + 2 * nodes;
  sequences_.path = path_.data();
  sequences_.token_logprobs = logprobs_.data();
  sequences_.seed = seed_.data();
  sequences_.step = step_.data();
  sequences_.rule = rule_.data();
  size_t next = 0;
  for (int32_t** pointer :
       {&sequences_.active,        &sequences_.length,      &sequences_.prefix_length,
        &sequences_.max_length,    &sequences_.draft_count, &sequences_.draft_limit,
        &sequences_.draft_level,   &sequences_.level_begin, &sequences_.draft_consumed,
        &sequences_.draft_phase,   &sequences_.tested,      &sequences_.accepted,
        &sequences_.emitted,       &sequences_.finish,      &sequences_.failure,
        &sequences_.block,         &sampling_.top_k,        &sampling_.suppresses,
        &sampling_.wants_logprobs, &sampling_.wants_rows,   &sampling_.min_new}) {
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
  sequences_.active[s] = 1;
  sequences_.length[s] = prefix;
  sequences_.prefix_length[s] = prefix;
  sequences_.max_length[s] = prefix + request.max_new_tokens;
  sequences_.seed[s] = seed;
  sequences_.step[s] = 0;
  sequences_.finish[s] = static_cast<int32_t>(Finish::kNone);
  sequences_.failure[s] = static_cast<int32_t>(Failure::kNone);
  sequences_.rule[s] = request.rule;
  sequences_.block[s] = request.block_verification ? 1 : 0;
  sequences_.confidence_stop[s] = request.confidence_stop;
  sequences_.deferred[s] = 0.0f;
  sampling_.wants_rows[s] =
      reads_drafter(request.rule.kind) || request.confidence_stop > 0.0f ? 1 : 0;
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

void SlotTables::clear(int slot) { sequences_.active[static_cast<size_t>(slot)] = 0; }

}  // namespace speccascade
