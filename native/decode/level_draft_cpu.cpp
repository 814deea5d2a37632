#include "decode/level_draft.h"

#include <algorithm>
#include <limits>

#include "decode/slot_rows.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

void set_phase(const SequenceState& state, int slot, DraftPhase phase) {
  state.draft_phase[slot] = static_cast<int32_t>(phase);
}

// What follows the last level.
DraftPhase phase_when_full(const SequenceState& state, int slot) {
  return reads_drafter(state.rule[slot].kind) ? DraftPhase::kLastRows : DraftPhase::kClosed;
}

// One slot's part in a round of drafting.
class LevelWriter {
 public:
  LevelWriter(const SequenceState& state, const SlotSampling& sampling, const DraftShape& shape,
              const DraftDistributions& drafts, AdaptiveLength& adaptive, int slot)
      : state_(state),
        sampling_(sampling),
        shape_(shape),
        drafts_(drafts),
        adaptive_(adaptive),
        slot_(slot) {}

  // Adds children below `node` from logit row `at`, distribution row `out_row`.
  void add_children(int node, int at, int out_row) {
    const int64_t row = static_cast<int64_t>(out_row) * drafts_.vocabulary;
    float confidence = 0.0f;
    const float stop = std::max(state_.confidence_stop[slot_], adaptive_.confidence());
    if (adaptive_.on() || stop > 0.0f) {
      confidence = RowMath<float>::max(drafts_.unscaled + row, drafts_.vocabulary);
    }
    if (confidence < stop || defers(row)) return;
    const int first = state_.draft_count[slot_];
    const int depth =
        node < 0 ? 0 : slot_part(state_.draft_depth, slot_, state_.max_nodes)[node] + 1;
    const int width = shape_.widths[depth];
    if (sampling_.temperature[slot_] > 0.0f) {
      draw_children(node, depth, width, drafts_.probs + row);
    } else if (width == 1) {
      append(node, depth, drafts_.best[at]);
    } else {
      pick_children(node, depth, width,
                    drafts_.logits + static_cast<int64_t>(at) * drafts_.vocabulary);
    }
    const float** proposal = slot_part(drafts_.proposal, slot_, state_.max_nodes);
    for (int child = first; child < state_.draft_count[slot_]; ++child) {
      proposal[child] = drafts_.probs + row;
      if (adaptive_.on()) adaptive_.add(slot_, child, confidence);
    }
  }

 private:
  // A trusted draft ends where the rule asks the target.
  bool defers(int64_t row) const {
    if (static_cast<Verifier>(state_.verifier[slot_]) != Verifier::kTrusted) return false;
    return !keeps_drafter_alone<RowMath<float>>(state_.rule[slot_], drafts_.unscaled + row,
                                                drafts_.vocabulary);
  }

  void append(int parent, int depth, int32_t token) {
    const int node = state_.draft_count[slot_]++;
    slot_part(state_.draft_tokens, slot_, state_.max_nodes)[node] = token;
    slot_part(state_.draft_parent, slot_, state_.max_nodes)[node] = parent;
    slot_part(state_.draft_depth, slot_, state_.max_nodes)[node] = depth;
  }

  float uniform(int depth) const {
    const int position = state_.length[slot_] + depth;
    return philox_uniform(draw_address(state_, slot_, position), DrawPurpose::kDraft,
                          static_cast<uint32_t>(state_.draft_count[slot_]));
  }

  void draw_children(int node, int depth, int width, const float* row) {
    const int count = drafts_.vocabulary;
    const bool distinct = shape_.siblings == Siblings::kWithoutReplacement && width > 1;
    if (distinct) std::copy(row, row + count, drafts_.scratch);
    const float* weights = distinct ? drafts_.scratch : row;
    for (int child = 0; child < width; ++child) {
      const float total = RowMath<float>::sum(weights, count);
      if (!(total > 0.0f)) break;
      const int32_t token = RowMath<float>::draw(weights, count, total, uniform(depth));
      append(node, depth, token);
      if (distinct) drafts_.scratch[token] = 0.0f;
    }
  }

  // The most probable tokens, ties by lowest index.
  void pick_children(int node, int depth, int width, const float* logits) {
    const int count = drafts_.vocabulary;
    std::copy(logits, logits + count, drafts_.scratch);
    for (int child = 0; child < width; ++child) {
      const int best = RowMath<float>::argmax(drafts_.scratch, count);
      if (drafts_.scratch[best] == -std::numeric_limits<float>::infinity()) break;
      append(node, depth, best);
      drafts_.scratch[best] = -std::numeric_limits<float>::infinity();
    }
  }

  const SequenceState& state_;
  const SlotSampling& sampling_;
  const DraftShape& shape_;
  const DraftDistributions& drafts_;
  AdaptiveLength& adaptive_;
  int slot_;
};

bool any_continues(const SequenceState& state, const SlotSampling& sampling, int slot) {
  const int32_t* tokens = slot_part(state.draft_tokens, slot, state.max_nodes);
  return std::any_of(tokens + state.level_begin[slot], tokens + state.draft_count[slot],
                     [&](int32_t token) { return !ends_sequence(sampling, slot, token); });
}

// Counts the level and decides whether another round is needed.
void close_level(const SequenceState& state, const SlotSampling& sampling,
                 const AdaptiveLength& adaptive, int slot, int count_before) {
  state.level_begin[slot] = count_before;
  ++state.draft_level[slot];
  // Behind an end token nothing is emitted: no row is needed there.
  if (!any_continues(state, sampling, slot)) return set_phase(state, slot, DraftPhase::kClosed);
  const bool full = state.draft_level[slot] == state.draft_limit[slot] || !adaptive.goes_on(slot);
  set_phase(state, slot, full ? phase_when_full(state, slot) : DraftPhase::kDrafting);
}

}  // namespace

void open_drafts(const SequenceState& state, AdaptiveLength& adaptive) {
  for (int slot = 0; slot < state.slots; ++slot) {
    set_phase(state, slot, DraftPhase::kClosed);
    if (!state.active[slot]) continue;
    state.draft_level[slot] = 0;
    state.level_begin[slot] = 0;
    state.draft_consumed[slot] = 0;
    adaptive.open(slot);
    const bool drafts = state.draft_limit[slot] > 0 && adaptive.goes_on(slot);
    set_phase(state, slot, drafts ? DraftPhase::kDrafting : phase_when_full(state, slot));
  }
}

bool is_draft_open(const SequenceState& state, int slot) {
  return phase_of(state, slot) != DraftPhase::kClosed;
}

bool any_draft_open(const SequenceState& state) {
  for (int slot = 0; slot < state.slots; ++slot) {
    if (is_draft_open(state, slot)) return true;
  }
  return false;
}

void draft_rows(const SequenceState& state, const SlotSampling& sampling, const CacheTable& drafter,
                const DecoderRows& rows, const LogitRows& logits) {
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    append_draft_slot(state, sampling, drafter, rows, logits, slot);
  }
}

void extend_drafts(const SequenceState& state, const SlotSampling& sampling,
                   const DraftShape& shape, const CacheTable& drafter, const DecoderRows& rows,
                   const LogitRows& logits, const DraftDistributions& drafts,
                   AdaptiveLength& adaptive) {
  for (int at = 0; at < *rows.num_logits;) {
    const int slot = logits.slot[at];
    const DraftPhase phase = phase_of(state, slot);
    const int count_before = state.draft_count[slot];
    LevelWriter level(state, sampling, shape, drafts, adaptive, slot);
    adaptive.count_pass(slot);
    // The committed positions of the first round are nodes no longer.
    drafter.length[slot] = state.length[slot];
    state.draft_consumed[slot] = count_before;
    for (; at < *rows.num_logits && logits.slot[at] == slot; ++at) {
      if (drafts.row_status[at] != static_cast<int32_t>(RowStatus::kOk)) {
        const bool empty = drafts.row_status[at] == static_cast<int32_t>(RowStatus::kNoTokenLeft);
        state.failure[slot] =
            static_cast<int32_t>(empty ? Failure::kNoTokenLeft : Failure::kDrafterNotFinite);
      } else if (phase == DraftPhase::kDrafting) {
        level.add_children(logits.node[at], at, logits.out_row[at]);
      }
    }
    if (phase == DraftPhase::kDrafting && state.failure[slot] == 0) {
      close_level(state, sampling, adaptive, slot, count_before);
    } else {
      set_phase(state, slot, DraftPhase::kClosed);
    }
  }
}

}  // namespace speccascade
