// One slot's part of drafting by a model, level by level (level_draft.h). Over the arithmetic
// (Math), so that the CPU and a block of a GPU run the same code.
#pragma once

#include <cmath>
#include <cstdint>

#include "decode/adaptive_length.h"
#include "decode/draft_shape.h"
#include "decode/logit_rows.h"
#include "decode/rules.h"
#include "decode/sequence_state.h"
#include "decode/slot_rows.h"
#include "decode/verify.h"
#include "ops/sampling.h"

namespace speccascade {

// The drafter's distributions of this round. Rows of a slot: 0 follows the
// committed sequence, 1 + n follows node n.
struct DraftDistributions {
  const float* logits;        // [logit rows, vocabulary], edited
  const float* probs;         // [slots * (max_nodes + 1), vocabulary]
  const float* unscaled;      // likewise
  const int32_t* best;        // [logit rows]
  const int32_t* row_status;  // [logit rows]
  const float** proposal;     // [slots * max_nodes] receives the row each token is drawn from
  float* scratch;             // [vocabulary]
  int vocabulary;
};

SC_HOST_DEVICE inline void set_phase(const SequenceState& state, int slot, DraftPhase phase) {
  state.draft_phase[slot] = static_cast<int32_t>(phase);
}

// What follows the last level: rules read the rows behind it, if anything does.
SC_HOST_DEVICE inline DraftPhase phase_when_full(const SequenceState& state, int slot) {
  const bool reads = reads_drafter(state.rule[slot].kind) && !trusted_to_the_end(state, slot);
  return reads ? DraftPhase::kLastRows : DraftPhase::kClosed;
}

// Levels that a slot's draft may get, and whether the rows behind it are wanted: the drafter's
// passes that open_slot() is about to ask for, at most.
SC_HOST_DEVICE inline int passes_to_draft(const SequenceState& state, const AdaptiveLength& lengths,
                                          int slot) {
  if (!state.active[slot]) return 0;
  const bool drafts = state.draft_limit[slot] > 0 && lengths.begins(slot);
  const int last = reads_drafter(state.rule[slot].kind) ? 1 : 0;
  return (drafts ? state.draft_limit[slot] : 0) + last;
}

// open_drafts() of one slot; by one thread.
SC_HOST_DEVICE inline void open_slot(const SequenceState& state, const AdaptiveLength& lengths,
                                     int slot) {
  set_phase(state, slot, DraftPhase::kClosed);
  state.draft_passes[slot] = 0;
  if (!state.active[slot]) return;
  state.draft_level[slot] = 0;
  state.level_begin[slot] = 0;
  state.draft_consumed[slot] = 0;
  lengths.open(slot);
  const bool drafts = state.draft_limit[slot] > 0 && lengths.goes_on(slot);
  set_phase(state, slot, drafts ? DraftPhase::kDrafting : phase_when_full(state, slot));
}

template <typename Math>
class LevelWriter {
 public:
  // drafts.scratch is the slot's own.
  SC_COLLECTIVE LevelWriter(const SequenceState& state, const SlotSampling& sampling,
                            const DraftShape& shape, const DraftDistributions& drafts,
                            const AdaptiveLength& lengths, int slot)
      : state_(state),
        sampling_(sampling),
        shape_(shape),
        drafts_(drafts),
        lengths_(lengths),
        slot_(slot),
        count_(state.draft_count[slot]) {}

  // extend_drafts() of the slot, whose logit rows are [begin, end).
  SC_COLLECTIVE void extend(const CacheTable& drafter, const LogitRows& logits, int begin,
                            int end) {
    // Read again where it is asked for: a register would cost kernels more than the load.
    const auto drafting = [this] { return phase_of(state_, slot_) == DraftPhase::kDrafting; };
    auto failure = static_cast<Failure>(state_.failure[slot_]);
    Math::alone([this] {
      lengths_.count_pass(slot_);
      ++state_.draft_passes[slot_];
    });
    for (int at = begin; at < end; ++at) {
      const auto status = static_cast<RowStatus>(drafts_.row_status[at]);
      if (status != RowStatus::kOk) {
        failure = failure_of(status, Failure::kDrafterNotFinite);
      } else if (drafting()) {
        add_children(logits.node[at], at, logits.out_row[at]);
      }
    }
    const bool closes = drafting() && failure == Failure::kNone;
    const bool continues = closes && any_continues();
    Math::alone([this, drafter, failure, closes, continues] {
      // The committed positions of the first round are nodes no longer.
      drafter.length[slot_] = state_.length[slot_];
      state_.draft_consumed[slot_] = before();
      state_.draft_count[slot_] = count_;
      state_.failure[slot_] = static_cast<int32_t>(failure);
      set_phase(state_, slot_, DraftPhase::kClosed);
      if (closes) close_level(continues);
    });
  }

 private:
  // Adds children below `node` from logit row `at`, distribution row `out_row`.
  SC_COLLECTIVE void add_children(int node, int at, int out_row) {
    const int64_t row = static_cast<int64_t>(out_row) * drafts_.vocabulary;
    float confidence = 0.0f;
    const float own_stop = state_.confidence_stop[slot_], stop_of_all = lengths_.confidence();
    const float stop = own_stop < stop_of_all ? stop_of_all : own_stop;
    if (lengths_.on() || stop > 0.0f) {
      confidence = Math::max(drafts_.unscaled + row, drafts_.vocabulary);
    }
    if (confidence < stop || defers(row)) return;
    const int first = count_;
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
    Math::alone([this, first, row, confidence] {
      const float** proposal = slot_part(drafts_.proposal, slot_, state_.max_nodes);
      for (int child = first; child < count_; ++child) {
        proposal[child] = drafts_.probs + row;
        if (lengths_.on()) lengths_.add(slot_, child, confidence);
      }
    });
  }

  // A trusted draft ends where the rule asks the target.
  SC_COLLECTIVE bool defers(int64_t row) const {
    if (!is_trusted(state_, slot_)) return false;
    return !keeps_drafter_alone<Math>(state_.rule[slot_], drafts_.unscaled + row,
                                      drafts_.vocabulary);
  }

  SC_COLLECTIVE void append(int parent, int depth, int32_t token) {
    const int node = count_++;
    Math::alone([this, node, token, parent, depth] {
      put_node(state_, slot_, node, token, parent, depth);
    });
  }

  SC_COLLECTIVE float uniform(int depth) const {
    const int position = state_.length[slot_] + depth;
    return philox_uniform(draw_address(state_, slot_, position), DrawPurpose::kDraft,
                          static_cast<uint32_t>(count_));
  }

  SC_COLLECTIVE const float* copied(const float* row) const {
    Math::copy(row, drafts_.vocabulary, drafts_.scratch);
    return drafts_.scratch;
  }

  SC_COLLECTIVE void draw_children(int node, int depth, int width, const float* row) {
    const int count = drafts_.vocabulary;
    const bool distinct = shape_.siblings == Siblings::kWithoutReplacement && width > 1;
    const float* weights = distinct ? copied(row) : row;
    for (int child = 0; child < width; ++child) {
      const float total = Math::sum(weights, count);
      if (!(total > 0.0f)) break;
      const int32_t token = Math::draw(weights, count, total, uniform(depth));
      append(node, depth, token);
      if (distinct) Math::put(drafts_.scratch, token, 0.0f);
    }
  }

  // The most probable tokens, ties by lowest index.
  SC_COLLECTIVE void pick_children(int node, int depth, int width, const float* logits) {
    const float* left = copied(logits);
    for (int child = 0; child < width; ++child) {
      const int best = Math::argmax(left, drafts_.vocabulary);
      if (left[best] == -INFINITY) break;
      append(node, depth, best);
      Math::put(drafts_.scratch, best, -INFINITY);
    }
  }

  // Whether anything may follow the new level: behind an end token nothing is emitted.
  SC_COLLECTIVE bool any_continues() const {
    const int32_t* tokens = slot_part(state_.draft_tokens, slot_, state_.max_nodes);
    // A level without nodes ends a draft, too.
    for (int node = before(); node < count_; ++node) {
      if (!ends_sequence(sampling_, slot_, tokens[node])) return true;
    }
    return false;
  }

  // Nodes of earlier levels: draft_count changes when this one ends.
  SC_COLLECTIVE int before() const { return state_.draft_count[slot_]; }

  // Counts the level and decides whether another round is needed.
  SC_COLLECTIVE void close_level(bool continues) const {
    state_.level_begin[slot_] = state_.draft_consumed[slot_];
    ++state_.draft_level[slot_];
    if (!continues) return;
    const bool full =
        state_.draft_level[slot_] == state_.draft_limit[slot_] || !lengths_.goes_on(slot_);
    set_phase(state_, slot_, full ? phase_when_full(state_, slot_) : DraftPhase::kDrafting);
  }

  const SequenceState& state_;
  const SlotSampling& sampling_;
  const DraftShape& shape_;
  const DraftDistributions drafts_;
  const AdaptiveLength& lengths_;
  int slot_;
  int count_;  // nodes so far
};

}  // namespace speccascade
