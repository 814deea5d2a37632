// One slot's draft by Max-Gram (copy_drafter.h): over who searches (Lanes, copy_search.h), so that
// the CPU and a block of a GPU run the same code.
#pragma once

#include <cstdint>

#include "decode/adaptive_length.h"
#include "decode/copy_search.h"
#include "decode/sequence_state.h"
#include "ops/sampling.h"

namespace speccascade {

// Fixed for a session.
struct CopyShape {
  const int32_t* widths;  // [levels] candidates per node
  bool chain;             // all of them are 1
  BigramTable bigrams;
};

// What a slot's search writes.
struct CopyScratch {
  int32_t* lengths;  // [copy_text_size()]
  int32_t* path;     // [max_path] drafted tokens down to a node
};

// One more than the longest text of a slot.
SC_HOST_DEVICE inline int copy_text_size(const SequenceState& state) {
  return state.max_input + state.capacity + state.max_path + 1;
}

// A slot's input and committed tokens, followed by drafted ones.
SC_HOST_DEVICE inline MaxGramText copy_text(const SequenceState& state, int slot,
                                            const int32_t* drafted, int count) {
  return {slot_part(state.input_tokens, slot, state.max_input),
          state.input_length[slot],
          slot_part(state.tokens, slot, state.capacity),
          state.length[slot],
          drafted,
          count};
}

template <typename Lanes>
class CopyWriter {
 public:
  SC_COLLECTIVE CopyWriter(const SequenceState& state, const SlotSampling& sampling,
                           const CopyShape& shape, const CopyScratch& scratch, Lanes& lanes,
                           const AdaptiveLength& lengths, int slot)
      : state_(state),
        sampling_(sampling),
        shape_(shape),
        scratch_(scratch),
        lanes_(lanes),
        lengths_(lengths),
        slot_(slot) {}

  // Fills the slot's draft, which is empty.
  SC_COLLECTIVE void draft() {
    const bool drafts = state_.active[slot_] != 0 && state_.draft_limit[slot_] > 0;
    lanes_.alone([this, drafts] {
      state_.draft_passes[slot_] = drafts ? 1 : 0;
      if (state_.active[slot_] != 0) lengths_.open(slot_);
    });
    if (!drafts) return;
    shape_.chain ? draft_chain() : draft_tree();
  }

 private:
  SC_COLLECTIVE void draft_chain() {
    const MaxGramText text = copy_text(state_, slot_, scratch_.path, 0);
    const MaxGramMatch match = CopySearch<Lanes>(lanes_, text, scratch_.lengths).longest();
    lanes_.alone([this, &text, &match] {
      if (!lengths_.goes_on(slot_)) return;
      max_gram_propose(text, match, shape_.bigrams, [this](int32_t token) {
        const int node = state_.draft_count[slot_];
        append(token, node - 1, node);
        lengths_.add_copy(slot_, node);
        return node + 1 < state_.draft_limit[slot_] && !ends_sequence(sampling_, slot_, token) &&
               lengths_.goes_on(slot_);
      });
    });
  }

  SC_COLLECTIVE void draft_tree() {
    const int limit = state_.draft_limit[slot_];
    const int32_t* tokens = slot_part(state_.draft_tokens, slot_, state_.max_nodes);
    int begin = -1, end = 0;  // the nodes of a level; -1: the committed sequence
    for (int depth = 0; depth < limit; ++depth) {
      for (int node = begin; node < end; ++node) {
        if (node >= 0 && ends_sequence(sampling_, slot_, tokens[node])) continue;
        lanes_.alone([this, node, depth] { write_path(node, depth); });
        CopySearch<Lanes> search(lanes_, copy_text(state_, slot_, scratch_.path, depth),
                                 scratch_.lengths);
        search.candidates(shape_.bigrams, shape_.widths[depth],
                          [this, node, depth](int32_t token) { append(token, node, depth); });
      }
      begin = end;
      end = state_.draft_count[slot_];
      if (begin == end) return;
    }
  }

  // The `depth` drafted tokens that end with a node's.
  SC_COLLECTIVE void write_path(int node, int depth) const {
    const int32_t* tokens = slot_part(state_.draft_tokens, slot_, state_.max_nodes);
    const int32_t* parents = slot_part(state_.draft_parent, slot_, state_.max_nodes);
    for (int at = node, place = depth; at >= 0; at = parents[at])
      scratch_.path[--place] = tokens[at];
  }

  SC_COLLECTIVE void append(int32_t token, int parent, int depth) const {
    put_node(state_, slot_, state_.draft_count[slot_]++, token, parent, depth);
  }

  const SequenceState& state_;
  const SlotSampling& sampling_;
  const CopyShape& shape_;
  const CopyScratch scratch_;
  Lanes& lanes_;
  const AdaptiveLength& lengths_;
  int slot_;
};

}  // namespace speccascade
