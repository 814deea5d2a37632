// One slot's part of drafting by a cascade: it goes through the recursion of
// test/laws/cs_draft_schedule.h until a model's pass is needed, and takes up there when it was
// made. Over the arithmetic (Math) and over who searches for copies (Lanes, copy_search.h), so that
// the CPU and a block of a GPU run the same code.
#pragma once

#include <cstdint>

#include "decode/accept_chain.h"
#include "decode/adaptive_length.h"
#include "decode/cascade_state.h"
#include "decode/copy_writer.h"
#include "decode/one_hot.h"
#include "decode/review_choices.h"
#include "decode/verify.h"

namespace speccascade {

template <typename Math, typename Lanes>
class CascadeSlot {
 public:
  SC_COLLECTIVE CascadeSlot(const SequenceState& state, const SlotSampling& sampling,
                            const Cascade& cascade, Lanes& lanes, const AdaptiveLength& lengths,
                            int slot)
      : state_(state),
        sampling_(sampling),
        cascade_(cascade),
        lanes_(lanes),
        lengths_(lengths),
        slot_(slot),
        turn_(cascade.turns[slot]),
        frames_(slot_part(cascade.frames, slot, cascade.models + 1)),
        tokens_(slot_part(state.draft_tokens, slot, state.max_nodes)),
        drawn_by_(slot_part(cascade.drawn_by, slot, state.max_nodes)),
        proposal_(slot_part(cascade.proposal, slot, state.max_nodes)) {}

  // The slot's draft, which is empty, is begun.
  SC_COLLECTIVE void open() {
    const bool active = state_.active[slot_] != 0;
    Math::alone([this, active] {
      turn_ = {};
      turn_.waits_for = -1;
      int32_t* passes = slot_part(state_.draft_passes, slot_, cascade_.drafters);
      for (int drafter = 0; drafter < cascade_.drafters; ++drafter) passes[drafter] = 0;
      if (!active) return;
      lengths_.open(slot_);
      push({0, 0, -1, 0, lengths_.limit(state_.draft_limit[slot_])});
    });
    if (active) advance();
  }

  // The pass that the slot waited for was made; its logit rows are [begin, end).
  SC_COLLECTIVE void take_pass(int model, int begin, int end) {
    const CascadeLane& lane = cascade_.lanes[model];
    Math::alone([this, &lane, begin, end] {
      turn_.waits_for = -1;
      lane.cache.length[slot_] = state_.length[slot_] + count();
      for (int at = begin; at < end; ++at) {
        const auto status = static_cast<RowStatus>(lane.status[at]);
        if (status == RowStatus::kOk) continue;
        state_.failure[slot_] =
            static_cast<int32_t>(failure_of(status, Failure::kDrafterNotFinite));
      }
    });
    if (state_.failure[slot_] != 0 || turn_.last_rows != 0) return;
    review(model, begin);
    advance();
  }

 private:
  SC_COLLECTIVE int count() const { return state_.draft_count[slot_]; }
  SC_COLLECTIVE CascadeFrame& top() const { return frames_[turn_.frames - 1]; }
  SC_COLLECTIVE void push(const CascadeFrame& frame) { frames_[turn_.frames++] = frame; }
  SC_COLLECTIVE int64_t row_of(int place) const {
    return static_cast<int64_t>(row_after(state_, slot_, place - 1)) * cascade_.vocabulary;
  }
  SC_COLLECTIVE bool ends(int32_t token) const { return ends_sequence(sampling_, slot_, token); }
  SC_COLLECTIVE bool ended() const { return count() > 0 && ends(tokens_[count() - 1]); }
  SC_COLLECTIVE void count_call(int drafter) {
    ++slot_part(state_.draft_passes, slot_, cascade_.drafters)[drafter];
  }

  // Goes on with the recursion until a model is needed or the draft is made.
  SC_COLLECTIVE void advance() {
    for (;;) {
      Math::alone([this] { go_on(); });
      if (turn_.copies_wanted == 0) return;
      copy();
    }
  }

  // The same until copies are wanted. By one thread, and so are all that follow up to copy().
  SC_COLLECTIVE void go_on() {
    turn_.copies_wanted = 0;
    while (turn_.waits_for < 0 && turn_.copies_wanted == 0) {
      CascadeFrame& frame = top();
      if (is_complete(frame)) {
        if (frame.row == 0) return finish();
        turn_.waits_for = frame.row - 1;  // reviews it
      } else if (frame.stage < 0 || count() - frame.begin >= frame.wanted) {
        next_stage(frame);
      } else {
        ask(frame);
      }
    }
  }

  SC_COLLECTIVE bool is_complete(const CascadeFrame& frame) const {
    if (frame.stage >= cascade_.drafters || count() >= frame.limit || ended()) return true;
    return frame.row == 0 && !lengths_.goes_on(slot_);
  }

  SC_COLLECTIVE void next_stage(CascadeFrame& frame) const {
    frame.stage = frame.stage < 0 ? frame.row : frame.stage + 1;
    if (frame.stage >= cascade_.drafters) return;
    frame.wanted += cascade_.lengths[frame.row * cascade_.drafters + frame.stage];
  }

  // Lets the stage's drafter give more. A model begins a draft of its own to review.
  SC_COLLECTIVE void ask(const CascadeFrame& frame) {
    count_call(frame.stage);
    if (frame.stage == cascade_.models) {
      const int lacking = frame.wanted - (count() - frame.begin), room = frame.limit - count();
      const int most = lacking < room ? lacking : room;
      turn_.copies_wanted = most < cascade_.copy_length ? most : cascade_.copy_length;
      return;
    }
    if (turn_.frames == 1) lengths_.count_pass(slot_);
    push({frame.stage + 1, count(), -1, 0, frame.limit - 1});
  }

  // The draft is made. Rules read the first model's row after every token: those that it
  // has not computed yet need a pass.
  SC_COLLECTIVE void finish() {
    const int needed = count() + (ended() ? 0 : 1);
    if (!reads_drafter(state_.rule[slot_].kind) || turn_.known_rows >= needed) return;
    turn_.waits_for = 0;
    turn_.last_rows = 1;
    count_call(0);
  }

  SC_COLLECTIVE void put(int32_t token, int source) {
    const int node = state_.draft_count[slot_]++;
    put_node(state_, slot_, node, token, node - 1, node);
    drawn_by_[node] = source;
    proposal_[node] = nullptr;
  }

  // Takes back the tokens from `length` on; models forget those they have consumed.
  SC_COLLECTIVE void cut(int length) {
    state_.draft_count[slot_] = length;
    for (int model = 0; model < cascade_.models; ++model) {
      int32_t& consumed = cascade_.lanes[model].cache.length[slot_];
      const int left = state_.length[slot_] + length;
      if (consumed > left) consumed = left;
    }
  }

  // What the copy model gives; where that is nothing, its stage ends.
  SC_COLLECTIVE void copy() {
    const MaxGramText text = copy_text(state_, slot_, tokens_, count());
    const MaxGramMatch match = CopySearch<Lanes>(lanes_, text, cascade_.text_lengths).longest();
    Math::alone([this, &text, &match] {
      const int before = count(), most = before + turn_.copies_wanted;
      max_gram_propose(text, match, cascade_.bigrams, [this, most](int32_t token) {
        put(token, -1);
        return count() < most && !ends(token);
      });
      if (count() == before) next_stage(top());
    });
    if (turn_.frames == 1) consider();
  }

  // Accepts tokens of the draft that the last frame holds, and adds one.
  SC_COLLECTIVE void review(int model, int first_logit) {
    const CascadeLane& lane = cascade_.lanes[model];
    const int begin = top().begin;
    const bool greedy = !(sampling_.temperature[slot_] > 0.0f);
    const ChainOutcome outcome =
        greedy ? accept_greedy(lane, begin, first_logit) : accept_sampled(lane, begin);
    Math::alone([this, model, begin, &lane, &outcome] {
      cut(begin + outcome.accepted);
      for (int i = begin; i < count(); ++i) drawn_by_[i] = model;
      if (outcome.next >= 0) put(outcome.next, model);
      const float* rows = cascade_.lenient() ? lane.lenient : lane.probs;
      for (int i = begin; i < count(); ++i) proposal_[i] = rows + row_of(i);
      ++turn_.reviews;
      --turn_.frames;
      if (model == 0) turn_.known_rows = count();
    });
    if (turn_.frames == 1) consider();
  }

  // At temperature 0 a mismatch x is kept if p0(x) > q0(x) / lenience, with the unscaled
  // rows of the reviewer and of the model that drafted x (a copy: 1).
  SC_COLLECTIVE ChainOutcome accept_greedy(const CascadeLane& lane, int begin,
                                           int first_logit) const {
    ChainOutcome outcome;
    for (int place = begin; place < count(); ++place) {
      const int32_t token = tokens_[place], best = lane.best[first_logit + place - begin];
      bool kept = token == best;
      if (!kept && cascade_.lenient()) {
        const int source = drawn_by_[place];
        const float drawn =
            source < 0 ? 1.0f : cascade_.lanes[source].unscaled[row_of(place) + token];
        kept = static_cast<double>(lane.unscaled[row_of(place) + token]) * cascade_.lenience >
               static_cast<double>(drawn);
      }
      if (!kept) {
        outcome.next = best;
        return outcome;
      }
      ++outcome.accepted;
      if (ends(token)) return outcome;
    }
    outcome.next = lane.best[first_logit + count() - begin];
    return outcome;
  }

  SC_COLLECTIVE ChainOutcome accept_sampled(const CascadeLane& lane, int begin) const {
    const int drafted = count() - begin, vocabulary = cascade_.vocabulary;
    OneHot<Math> one_hot(cascade_.one_hot);
    const auto drawn = [this, begin, &one_hot](int i) {
      const float* row = proposal_[begin + i];
      return row != nullptr ? row : one_hot.at(tokens_[begin + i]);
    };
    if (cascade_.lenient()) {
      for (int i = 0; i <= drafted; ++i) {
        const int64_t row = row_of(begin + i);
        const RuleRows<float> rows = {i < drafted ? drawn(i) : nullptr,
                                      lane.probs + row,
                                      nullptr,
                                      nullptr,
                                      vocabulary,
                                      false};
        rule_target<Math>(i < drafted ? cascade_.lenient_rule : Rule{}, rows, lane.lenient + row);
      }
    }
    const float* wanted_rows = cascade_.lenient() ? lane.lenient : lane.probs;
    const auto wanted = [this, begin, wanted_rows](int i) {
      return wanted_rows + row_of(begin + i);
    };
    ReviewChoices<Math> choices(draw_address(state_, slot_, state_.length[slot_] + begin),
                                turn_.reviews);
    return accept_chain<Math>(
        drafted, tokens_ + begin, vocabulary, wanted, drawn, cascade_.scratch,
        [this](int32_t token) { return ends(token); }, choices);
  }

  // Tells adaptive length of the tokens that the target's draft has gained.
  SC_COLLECTIVE void consider() {
    if (!lengths_.on()) return;
    for (int node = turn_.considered; node < count(); ++node) {
      const int source = drawn_by_[node];
      const float confidence =
          source < 0
              ? 0.0f
              : Math::max(cascade_.lanes[source].unscaled + row_of(node), cascade_.vocabulary);
      Math::alone([this, node, source, confidence] {
        source < 0 ? lengths_.add_copy(slot_, node) : lengths_.add(slot_, node, confidence);
        turn_.considered = node + 1;
      });
    }
  }

  const SequenceState& state_;
  const SlotSampling& sampling_;
  const Cascade& cascade_;
  Lanes& lanes_;
  const AdaptiveLength& lengths_;
  int slot_;
  CascadeTurn& turn_;
  CascadeFrame* frames_;
  int32_t* tokens_;
  int32_t* drawn_by_;
  const float** proposal_;
};

}  // namespace speccascade
