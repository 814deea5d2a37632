#include "decode/chain.h"

#include <algorithm>

#include "base/thread_pool.h"
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

Failure failure_of(int32_t status, Failure not_finite) {
  switch (static_cast<RowStatus>(status)) {
    case RowStatus::kOk: return Failure::kNone;
    case RowStatus::kNotFinite: return not_finite;
    case RowStatus::kNoTokenLeft: return Failure::kNoTokenLeft;
  }
  return not_finite;
}

}  // namespace

void open_drafts(const SequenceState& state) {
  for (int slot = 0; slot < state.slots; ++slot) {
    const int left = state.max_length[slot] - state.length[slot];
    state.draft_count[slot] = 0;
    state.draft_limit[slot] = std::clamp(left - 1, 0, state.max_draft);
    state.draft_open[slot] = state.active[slot] && state.draft_limit[slot] > 0 ? 1 : 0;
  }
}

bool any_draft_open(const SequenceState& state) {
  return std::any_of(state.draft_open, state.draft_open + state.slots,
                     [](int32_t open) { return open != 0; });
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
    append_logit(state, rows, logits, last, slot * state.max_draft + drafted);
  }
}

void extend_drafts(const SequenceState& state, const SlotSampling& sampling,
                   const CacheTable& drafter, const DecoderRows& rows, const LogitRows& logits,
                   const DraftDistributions& drafts) {
  for (int at = 0; at < *rows.num_logits; ++at) {
    const int slot = logits.slot[at];
    const int position = state.length[slot] + state.draft_count[slot];
    drafter.length[slot] = position;
    const Failure failure = failure_of(drafts.row_status[at], Failure::kDrafterNotFinite);
    if (failure != Failure::kNone) {
      state.failure[slot] = static_cast<int32_t>(failure);
      state.draft_open[slot] = 0;
      continue;
    }
    int32_t token = drafts.best[at];
    if (sampling.temperature[slot] > 0.0f) {
      const float* row =
          drafts.probs + static_cast<int64_t>(logits.out_row[at]) * drafts.vocabulary;
      const float uniform =
          philox_uniform(draw_address(state, slot, position), DrawPurpose::kDraft, 0);
      token = RowMath<float>::draw(row, drafts.vocabulary,
                                   RowMath<float>::sum(row, drafts.vocabulary), uniform);
    }
    const int count = state.draft_count[slot]++;
    state.draft_tokens[static_cast<int64_t>(slot) * state.max_draft + count] = token;
    if (count + 1 == state.draft_limit[slot] || ends_sequence(sampling, slot, token)) {
      state.draft_open[slot] = 0;
    }
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

void verify_slot(const VerifyArgs& args, int slot) {
  const SequenceState& state = args.state;
  const int drafted = state.draft_count[slot];
  const int first = args.logits.first[slot];
  for (int i = 0; i <= drafted && state.failure[slot] == 0; ++i) {
    state.failure[slot] = static_cast<int32_t>(
        failure_of(args.target_status[first + i], Failure::kTargetNotFinite));
  }
  if (state.failure[slot] != 0) return;
  const int32_t* draft = state.draft_tokens + static_cast<int64_t>(slot) * state.max_draft;
  const auto ends = [&](int32_t token) { return ends_sequence(args.sampling, slot, token); };
  ChainOutcome outcome;
  if (args.sampling.temperature[slot] > 0.0f) {
    const auto row = [&](const float* rows, int64_t index) {
      return rows + index * args.vocabulary;
    };
    PhiloxChoices choices(draw_address(state, slot, state.length[slot]));
    outcome = accept_chain<RowMath<float>>(
        drafted, draft, args.vocabulary,
        [&](int i) { return row(args.target_probs, first + i); },
        [&](int i) {
          return row(args.draft_probs, static_cast<int64_t>(slot) * state.max_draft + i);
        },
        args.scratch + static_cast<int64_t>(slot) * args.vocabulary, ends, choices);
  } else {
    outcome = accept_chain_greedy(drafted, draft, args.target_best + first, ends);
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
