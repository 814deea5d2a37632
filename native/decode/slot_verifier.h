// One slot's part of verify(): its draft, its rows, its outcome. Over the arithmetic (Math), so
// that the CPU and a block of a GPU run the same code; there all threads come to every pass
// together, and what the slot's step comes to is written at its end, by one of them.
#pragma once

#include <cstdint>

#include "decode/accept_block.h"
#include "decode/accept_chain.h"
#include "decode/accept_traversal.h"
#include "decode/accept_tree.h"
#include "decode/chain_of_rows.h"
#include "decode/kseq.h"
#include "decode/philox_choices.h"
#include "decode/slot_rows.h"
#include "decode/verify.h"

namespace speccascade {

// Rows are named by the node they follow; -1 follows the committed sequence. Pi: where pi's rows
// come from; Pi::row(args, verifier, node), and Pi::Chain<SlotVerifier>, what the walk of a chain
// reads (ChainOfRows, or what has the same).
template <typename Math, typename Pi>
class SlotVerifier {
 public:
  SC_COLLECTIVE SlotVerifier(const VerifyArgs& args, int slot)
      : args_(args),
        state_(args.state),
        slot_(slot),
        nodes_(state_.draft_count[slot]),
        length_(state_.length[slot]),
        tokens_(slot_part(state_.draft_tokens, slot, state_.max_nodes)),
        parents_(slot_part(state_.draft_parent, slot, state_.max_nodes)),
        path_(slot_part(state_.path, slot, state_.max_path)),
        first_(args.logits.first[slot]),
        verifier_(static_cast<Verifier>(state_.verifier[slot])),
        greedy_(!(args.sampling.temperature[slot] > 0.0f)) {}

  // Whether run() will need pi after a node, whose row is ok, from the rule.
  SC_COLLECTIVE bool asks_rule(int node) const {
    if (!has_rule() || node >= nodes_ || failed() || trusted_to_the_end(state_, slot_))
      return false;
    // Nothing follows a token that ends the sequence, and it has no drafter row.
    if (node >= 0 && ends(tokens_[node])) return false;
    return verifier_ != Verifier::kTrusted || node >= nodes_ - 1;
  }

  // One that reads the drafter.
  SC_COLLECTIVE bool has_rule() const { return reads_drafter(rule().kind); }
  SC_COLLECTIVE const Rule& rule() const { return state_.rule[slot_]; }
  SC_COLLECTIVE bool greedy() const { return greedy_; }
  SC_COLLECTIVE bool failed() const { return state_.failure[slot_] != 0; }
  SC_COLLECTIVE bool trusted() const { return verifier_ == Verifier::kTrusted; }
  SC_COLLECTIVE int nodes() const { return nodes_; }
  SC_COLLECTIVE const int32_t* tokens() const { return tokens_; }
  SC_COLLECTIVE int32_t token(int node) const { return tokens_[node]; }
  SC_COLLECTIVE int parent(int node) const { return parents_[node]; }
  SC_COLLECTIVE bool ends(int32_t token) const {
    return ends_sequence(args_.sampling, slot_, token);
  }
  // The row that a node's token was drawn from; null where it was chosen without chance.
  SC_COLLECTIVE const float* drawn_from(int node) const {
    return slot_part(args_.drafts.proposal, slot_, state_.max_nodes)[node];
  }

  // Choices along a chain.
  SC_COLLECTIVE PhiloxChoices<Math> chain_choices() const {
    return PhiloxChoices<Math>(draw_address(state_, slot_, length_));
  }

  SC_COLLECTIVE int64_t logit_row(int node) const { return first_ + 1 + node; }
  // The reference drafter's row after a node, if there is a drafter.
  SC_COLLECTIVE const float* reference(const float* const* rows, int node) const {
    if (rows == nullptr) return nullptr;
    return rows[row_after(state_, slot_, node)];
  }

  // `chain`: args.drafts.chain, where it may be known before.
  SC_COLLECTIVE void run(bool chain) const {
    Failure failure = static_cast<Failure>(state_.failure[slot_]);
    const bool trusted = this->trusted();
    // All rows, without leaving early, so that no load waits for another; from the last, so that
    // the first that fails decides.
    Failure first = Failure::kNone;
    const bool spared = spares_target(state_, args_.sampling, slot_);
    const int begin = spared ? nodes_ : skipped_logits(state_, args_.sampling, slot_) - 1;
    for (int node = nodes_ - 1; node >= begin; --node) {
      const Failure own = failure_after(node);
      first = own != Failure::kNone ? own : first;
    }
    TreeOutcome outcome;
    const bool best = !trusted && !has_rule() && greedy_;
    if (failure == Failure::kNone) {
      // Behind a rejected token is what plain decoding would not have read.
      failure = best ? follow_best(first == Failure::kNone, outcome) : first;
    }
    if (failure != Failure::kNone) {
      Math::alone([this, failure] { write_failure(failure); });
      return;
    }
    if (trusted) {
      outcome = follow_all();
    } else if (!best) {
      outcome = chain ? accept_in_chain() : accept_in_tree();
    }
    write(outcome);
  }

 private:
  // Of the target's row there.
  SC_COLLECTIVE Failure failure_after(int node) const {
    const auto status = static_cast<RowStatus>(args_.target_status[logit_row(node)]);
    return failure_of(status, Failure::kTargetNotFinite);
  }

  template <typename T>
  SC_COLLECTIVE T* row(T* rows, int64_t index) const {
    return rows + index * args_.vocabulary;
  }

  SC_COLLECTIVE auto pi(int node) const { return Pi::row(args_, *this, node); }

  // The accepted path under the session's shape and the request's verifier.
  SC_COLLECTIVE TreeOutcome accept_in_tree() const {
    const auto pi_after = [this](int node) { return pi(node); };
    const TreeShape tree = {nodes_, parents_, tokens_,
                            greedy_ ? Siblings::kFixed : args_.drafts.siblings};
    PhiloxChoices<Math> choices(draw_address(state_, slot_, length_),
                                slot_part(state_.draft_depth, slot_, state_.max_nodes));
    const auto drafter = [this](int node) { return reference(args_.drafts.reference, node); };
    const auto is_end = [this](int32_t token) { return ends(token); };
    if (verifier_ == Verifier::kKseq && !greedy_) {
      return accept_kseq_tree<Math>(tree, args_.vocabulary, pi_after, drafter, scratch(), is_end,
                                    choices, path_);
    }
    if (verifier_ == Verifier::kTraversal) {
      return accept_traversal<Math>(tree, args_.vocabulary, pi_after, drafter, drafter, scratch(),
                                    slot_part(args_.weights, slot_, state_.max_path), is_end,
                                    choices, path_);
    }
    return accept_tree<Math>(tree, args_.vocabulary, pi_after, drafter, drafter, scratch(),
                             scratch() + args_.vocabulary, is_end, choices, path_);
  }

  SC_COLLECTIVE TreeOutcome accept_in_chain() const {
    typename Pi::template Chain<SlotVerifier> chain(args_, *this, row(args_.one_hot, slot_));
    const auto pi_at = [&](int place) { return chain.pi(place); };
    const auto drawn_at = [&](int place) { return chain.drawn(place); };
    const auto is_end = [&](int32_t token) { return chain.ends(token); };
    const ChainOutcome outcome =
        verifier_ == Verifier::kBlock
            ? accept_block<Math>(nodes_, chain.tokens(), args_.vocabulary, pi_at, drawn_at,
                                 scratch(), is_end, chain.choices())
            : accept_chain<Math>(nodes_, chain.tokens(), args_.vocabulary, pi_at, drawn_at,
                                 scratch(), is_end, chain.choices());
    follow_chain(outcome.accepted);
    return {outcome.accepted, outcome.tested, outcome.next};
  }

  // The path along the first nodes of a chain.
  SC_COLLECTIVE void follow_chain(int count) const {
    Math::alone([this, count] {
      for (int i = 0; i < count; ++i) path_[i] = i;
    });
  }

  // [scratch_rows, vocabulary]
  SC_COLLECTIVE float* scratch() const {
    return row(args_.scratch, args_.scratch_rows * static_cast<int64_t>(slot_));
  }

  // A trusted draft was made where the rule keeps the drafter; the token after it, if the output
  // goes on, is drawn from pi, which defers unless the draft ended for another reason.
  SC_COLLECTIVE TreeOutcome follow_all() const {
    TreeOutcome outcome;
    follow_chain(nodes_);
    outcome.accepted = outcome.tested = nodes_;
    if (trusted_to_the_end(state_, slot_) || (nodes_ > 0 && ends(tokens_[nodes_ - 1]))) {
      return outcome;
    }
    const int count = args_.vocabulary;
    const auto wanted = weights_of<Math>(pi(nodes_ - 1), count);
    outcome.next = chain_choices().draw(wanted.entries, count, wanted.total, nodes_);
    return outcome;
  }

  // Lossless at temperature 0: rows are one-hot, and every verifier follows the
  // target's best tokens as far as the draft has them. Returns the failure of a row on the way,
  // where not all are ok.
  SC_COLLECTIVE Failure follow_best(bool all_ok, TreeOutcome& outcome) const {
    int node = -1;
    Failure failure = all_ok ? Failure::kNone : failure_after(node);
    for (int child = 0; child < nodes_ && failure == Failure::kNone; ++child) {
      if (parents_[child] != node) continue;
      outcome.tested = outcome.accepted + 1;
      if (tokens_[child] != args_.target_best[logit_row(node)]) continue;
      const int place = outcome.accepted++;
      Math::alone([this, place, child] { path_[place] = child; });
      if (ends(tokens_[child])) return Failure::kNone;
      node = child;
      if (!all_ok) failure = failure_after(node);
    }
    outcome.next = args_.target_best[logit_row(node)];
    return failure;
  }

  SC_COLLECTIVE void write_failure(Failure failure) const {
    state_.accepted[slot_] = state_.emitted[slot_] = state_.tested[slot_] = 0;
    state_.decided[slot_] = 0;
    state_.deferred[slot_] = 0.0f;
    state_.failure[slot_] = static_cast<int32_t>(failure);
  }

  SC_COLLECTIVE void write(const TreeOutcome& outcome) const {
    const int emitted = outcome.accepted + (outcome.next >= 0 ? 1 : 0);
    int32_t* out = slot_part(state_.tokens, slot_, state_.capacity) + length_;
    float* logprobs = args_.sampling.wants_logprobs[slot_]
                          ? slot_part(state_.token_logprobs, slot_, state_.max_path + 1)
                          : nullptr;
    Math::for_each(emitted, [this, outcome, out, logprobs](int i) {
      out[i] = emitted_token(outcome, i);
      if (logprobs == nullptr) return;
      const int64_t at = logit_row(i == 0 ? -1 : path_[i - 1]);
      logprobs[i] = row(args_.target_logits, at)[out[i]] - args_.target_log_sum[at];
    });
    Math::alone([this, outcome, emitted] {
      const int32_t last = emitted_token(outcome, emitted - 1);
      state_.finish[slot_] = static_cast<int32_t>(finish_after(last, length_ + emitted));
      write_deferral(outcome);
      state_.tested[slot_] = outcome.tested;
      state_.accepted[slot_] = outcome.accepted;
      state_.emitted[slot_] = emitted;
      state_.length[slot_] = length_ + emitted;
    });
  }

  SC_COLLECTIVE int32_t emitted_token(const TreeOutcome& outcome, int i) const {
    return i < outcome.accepted ? tokens_[path_[i]] : outcome.next;
  }

  // Of the positions where the rule was asked: in a trusted draft of its last row alone, since
  // the others had the drafter kept.
  SC_COLLECTIVE void write_deferral(const TreeOutcome& outcome) const {
    int decided = 0;
    float deferred = 0.0f;
    const bool defers = reads_confidence(rule().kind);
    if (defers && trusted()) {
      const bool asked = outcome.next >= 0;
      decided = nodes_ + (asked ? 1 : 0);
      if (asked) deferred = args_.deferral[logit_row(nodes_ - 1)];
    } else if (defers) {
      decided = outcome.tested;
      for (int i = 0; i < decided; ++i) {
        deferred += args_.deferral[logit_row(i == 0 ? -1 : path_[i - 1])];
      }
    }
    state_.decided[slot_] = decided;
    state_.deferred[slot_] = deferred;
  }

  SC_COLLECTIVE Finish finish_after(int32_t last, int length) const {
    // All are read before one is tested.
    const SlotSampling& sampling = args_.sampling;
    const bool eos = has_bit(slot_part(sampling.eos_bits, slot_, sampling.bit_words), last);
    const bool stop = has_bit(slot_part(sampling.stop_bits, slot_, sampling.bit_words), last);
    const Finish in_time = length >= state_.max_length[slot_] ? Finish::kLength : Finish::kNone;
    return eos ? Finish::kEos : stop ? Finish::kStop : in_time;
  }

  const VerifyArgs& args_;
  const SequenceState& state_;
  int slot_;
  int nodes_;
  int length_;  // before this step
  const int32_t* tokens_;
  const int32_t* parents_;
  int32_t* path_;
  int64_t first_;
  Verifier verifier_;
  bool greedy_;
};

}  // namespace speccascade
