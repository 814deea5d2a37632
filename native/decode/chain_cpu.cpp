#include "decode/chain.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "decode/accept_block.h"
#include "decode/accept_chain.h"
#include "decode/philox_choices.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

// Appends rows for positions [begin, end) of a slot; returns the row of the last.
int append_rows(const SequenceState& state, const DecoderRows& rows, int slot, int begin,
                int end) {
  int row = *rows.num_rows;
  for (int position = begin; position < end; ++position, ++row) {
    rows.tokens[row] = token_at(state, slot, position);
    rows.slot[row] = slot;
    rows.position[row] = position;
    rows.parent[row] = position == begin ? -1 : row - 1;
    rows.node[row] = position - begin;
  }
  *rows.num_rows = row;
  return row - 1;
}

void append_logit(const SequenceState& state, const DecoderRows& rows, const LogitRows& logits,
                  int row, int out_row) {
  const int at = (*rows.num_logits)++;
  const int slot = rows.slot[row];
  rows.logit_rows[at] = row;
  logits.slot[at] = slot;
  logits.output[at] = rows.position[row] + 1 - state.prefix_length[slot];
  logits.out_row[at] = out_row;
}

void set_phase(const SequenceState& state, int slot, DraftPhase phase) {
  state.draft_open[slot] = static_cast<int32_t>(phase);
}

// What follows the last drafted token.
DraftPhase phase_when_full(const SequenceState& state, int slot) {
  return reads_drafter(state.rule[slot].kind) ? DraftPhase::kLastRow : DraftPhase::kClosed;
}

Failure failure_of(int32_t status, Failure not_finite) {
  switch (static_cast<RowStatus>(status)) {
    case RowStatus::kOk: return Failure::kNone;
    case RowStatus::kNotFinite: return not_finite;
    case RowStatus::kNoTokenLeft: return Failure::kNoTokenLeft;
  }
  return not_finite;
}

}  // namespace

void open_drafts(const SequenceState& state, bool drafts) {
  for (int slot = 0; slot < state.slots; ++slot) {
    const int left = state.max_length[slot] - state.length[slot];
    state.draft_count[slot] = 0;
    state.draft_limit[slot] = std::clamp(left - 1, 0, state.max_draft);
    DraftPhase phase = DraftPhase::kClosed;
    if (drafts && state.active[slot]) {
      phase = state.draft_limit[slot] > 0 ? DraftPhase::kDrafting : phase_when_full(state, slot);
    }
    set_phase(state, slot, phase);
  }
}

bool any_draft_open(const SequenceState& state) {
  return std::any_of(state.draft_open, state.draft_open + state.slots, [](int32_t phase) {
    return phase != static_cast<int32_t>(DraftPhase::kClosed);
  });
}

void draft_rows(const SequenceState& state, const CacheTable& drafter, const DecoderRows& rows,
                const LogitRows& logits) {
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.draft_open[slot]) continue;
    const int drafted = state.draft_count[slot];
    const int last = append_rows(state, rows, slot, drafter.length[slot],
                                 state.length[slot] + drafted);
    append_logit(state, rows, logits, last, slot * (state.max_draft + 1) + drafted);
  }
}

namespace {

bool stops_before(const SequenceState& state, const DraftDistributions& drafts, int slot,
                  int64_t row) {
  const float stop = state.confidence_stop[slot];
  if (!(stop > 0.0f)) return false;
  return RowMath<float>::max(drafts.unscaled + row * drafts.vocabulary, drafts.vocabulary) < stop;
}

int32_t draw_draft_token(const SequenceState& state, const SlotSampling& sampling,
                         const DraftDistributions& drafts, int slot, int position, int at,
                         int64_t out_row) {
  if (!(sampling.temperature[slot] > 0.0f)) return drafts.best[at];
  const float* row = drafts.probs + out_row * drafts.vocabulary;
  const float uniform =
      philox_uniform(draw_address(state, slot, position), DrawPurpose::kDraft, 0);
  return RowMath<float>::draw(row, drafts.vocabulary, RowMath<float>::sum(row, drafts.vocabulary),
                              uniform);
}

}  // namespace

void extend_drafts(const SequenceState& state, const SlotSampling& sampling,
                   const CacheTable& drafter, const DecoderRows& rows, const LogitRows& logits,
                   const DraftDistributions& drafts) {
  for (int at = 0; at < *rows.num_logits; ++at) {
    const int slot = logits.slot[at];
    const int position = state.length[slot] + state.draft_count[slot];
    const auto phase = static_cast<DraftPhase>(state.draft_open[slot]);
    drafter.length[slot] = position;
    set_phase(state, slot, DraftPhase::kClosed);
    const Failure failure = failure_of(drafts.row_status[at], Failure::kDrafterNotFinite);
    if (failure != Failure::kNone) {
      state.failure[slot] = static_cast<int32_t>(failure);
      continue;
    }
    if (phase == DraftPhase::kLastRow) continue;
    if (stops_before(state, drafts, slot, logits.out_row[at])) continue;
    const int32_t token =
        draw_draft_token(state, sampling, drafts, slot, position, at, logits.out_row[at]);
    const int count = ++state.draft_count[slot];
    state.draft_tokens[static_cast<int64_t>(slot) * state.max_draft + count - 1] = token;
    // Behind an end token nothing is emitted, so no row is needed there.
    if (ends_sequence(sampling, slot, token)) continue;
    set_phase(state, slot,
              count < state.draft_limit[slot] ? DraftPhase::kDrafting
                                              : phase_when_full(state, slot));
  }
}

void verify_rows(const SequenceState& state, const CacheTable& target, const DecoderRows& rows,
                 const LogitRows& logits) {
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    const int end = state.length[slot] + state.draft_count[slot];
    const int last = append_rows(state, rows, slot, target.length[slot], end);
    logits.first[slot] = *rows.num_logits;
    for (int row = last - state.draft_count[slot]; row <= last; ++row) {
      append_logit(state, rows, logits, row, *rows.num_logits);
    }
  }
}

namespace {

// Appends the outcome's tokens and decides whether the sequence ends with them.
void append_outcome(const VerifyArgs& args, int slot, const ChainOutcome& outcome) {
  const SequenceState& state = args.state;
  const int length = state.length[slot];
  const int emitted = outcome.accepted + (outcome.next >= 0 ? 1 : 0);
  int32_t* tokens = state.tokens + static_cast<int64_t>(slot) * state.capacity + length;
  const int32_t* draft = state.draft_tokens + static_cast<int64_t>(slot) * state.max_draft;
  std::copy(draft, draft + outcome.accepted, tokens);
  if (outcome.next >= 0) tokens[outcome.accepted] = outcome.next;
  if (args.sampling.wants_logprobs[slot]) {
    for (int i = 0; i < emitted; ++i) {
      const int64_t row = args.logits.first[slot] + i;
      state.token_logprobs[slot * (state.max_draft + 1) + i] =
          args.target_logits[row * args.vocabulary + tokens[i]] - args.target_log_sum[row];
    }
  }
  const int32_t last = tokens[emitted - 1];
  const int64_t bits = static_cast<int64_t>(slot) * args.sampling.bit_words;
  Finish finish = Finish::kNone;
  if (has_bit(args.sampling.eos_bits + bits, last)) {
    finish = Finish::kEos;
  } else if (has_bit(args.sampling.stop_bits + bits, last)) {
    finish = Finish::kStop;
  } else if (length + emitted >= state.max_length[slot]) {
    finish = Finish::kLength;
  }
  state.tested[slot] = outcome.tested;
  state.accepted[slot] = outcome.accepted;
  state.emitted[slot] = emitted;
  state.finish[slot] = static_cast<int32_t>(finish);
  state.length[slot] = length + emitted;
}

const float* row_of(const float* rows, int64_t index, int vocabulary) {
  return rows + index * vocabulary;
}

// The slot's rows, by place in the step.
struct SlotRows {
  const VerifyArgs& args;
  int slot;
  int64_t first;        // its first logit row
  int64_t draft_first;  // its first drafter row

  const float* target(int i) const {
    return row_of(args.target_probs, first + i, args.vocabulary);
  }
  const float* drafter(int i) const {
    return row_of(args.draft_probs, draft_first + i, args.vocabulary);
  }
  float* pi(int i) const { return args.pi + (first + i) * args.vocabulary; }

  void compute_pi(int i) const {
    const bool greedy = !(args.sampling.temperature[slot] > 0.0f);
    const RuleRows<float> rows = {
        drafter(i), target(i), row_of(args.draft_unscaled, draft_first + i, args.vocabulary),
        row_of(args.target_unscaled, first + i, args.vocabulary), args.vocabulary, greedy};
    args.deferral[first + i] =
        rule_target<RowMath<float>>(args.state.rule[slot], rows, pi(i)).deferral;
  }
};

SlotRows rows_of(const VerifyArgs& args, int slot) {
  return {args, slot, args.logits.first[slot],
          static_cast<int64_t>(slot) * (args.state.max_draft + 1)};
}

// Whether the place after the draft is reached by any outcome: not when the draft
// ends the sequence.
bool draft_ends(const VerifyArgs& args, int slot) {
  const SequenceState& state = args.state;
  const int drafted = state.draft_count[slot];
  return drafted > 0 &&
         ends_sequence(args.sampling, slot,
                       state.draft_tokens[static_cast<int64_t>(slot) * state.max_draft + drafted -
                                          1]);
}

template <typename TargetRow>
ChainOutcome accept_sampled(const VerifyArgs& args, const SlotRows& rows, const TargetRow& pi) {
  const SequenceState& state = args.state;
  const int slot = rows.slot;
  const auto ends = [&](int32_t token) { return ends_sequence(args.sampling, slot, token); };
  const auto drafter = [&](int i) { return rows.drafter(i); };
  PhiloxChoices choices(draw_address(state, slot, state.length[slot]));
  const int drafted = state.draft_count[slot];
  const int32_t* draft = state.draft_tokens + static_cast<int64_t>(slot) * state.max_draft;
  float* scratch = args.scratch + static_cast<int64_t>(slot) * args.vocabulary;
  return state.block[slot]
             ? accept_block<RowMath<float>>(drafted, draft, args.vocabulary, pi, drafter, scratch,
                                            ends, choices)
             : accept_chain<RowMath<float>>(drafted, draft, args.vocabulary, pi, drafter, scratch,
                                            ends, choices);
}

void verify_slot(const VerifyArgs& args, int slot) {
  const SequenceState& state = args.state;
  const int drafted = state.draft_count[slot];
  const SlotRows rows = rows_of(args, slot);
  for (int i = 0; i <= drafted && state.failure[slot] == 0; ++i) {
    state.failure[slot] = static_cast<int32_t>(
        failure_of(args.target_status[rows.first + i], Failure::kTargetNotFinite));
  }
  if (state.failure[slot] != 0) return;
  state.deferred[slot] = 0.0f;
  ChainOutcome outcome;
  if (reads_drafter(state.rule[slot].kind)) {
    const int places = draft_ends(args, slot) ? drafted : drafted + 1;
    for (int i = 0; i < places; ++i) rows.compute_pi(i);
    outcome = accept_sampled(args, rows, [&](int i) { return rows.pi(i); });
    for (int i = 0; i < outcome.tested; ++i) state.deferred[slot] += args.deferral[rows.first + i];
  } else if (args.sampling.temperature[slot] > 0.0f) {
    outcome = accept_sampled(args, rows, [&](int i) { return rows.target(i); });
  } else {
    // Rows are one-hot, and all verifiers the same.
    outcome = accept_chain_greedy(
        drafted, state.draft_tokens + static_cast<int64_t>(slot) * state.max_draft,
        args.target_best + rows.first,
        [&](int32_t token) { return ends_sequence(args.sampling, slot, token); });
  }
  append_outcome(args, slot, outcome);
}

}  // namespace

void verify_chains(const VerifyArgs& args, int threads) {
  parallel_for(args.state.slots, threads, [&](int64_t slot) {
    if (args.state.active[slot]) verify_slot(args, static_cast<int>(slot));
  });
}

void commit(const SequenceState& state, const CacheTable& target, const CacheTable* drafter) {
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    // The last token was emitted, not consumed.
    const int consumed = state.length[slot] - 1;
    target.length[slot] = consumed;
    if (drafter != nullptr) drafter->length[slot] = std::min(drafter->length[slot], consumed);
    ++state.step[slot];
  }
}

}  // namespace speccascade
