#include "decode/verify.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "decode/accept_block.h"
#include "decode/accept_chain.h"
#include "decode/accept_tree.h"
#include "decode/kseq.h"
#include "decode/one_hot.h"
#include "decode/philox_choices.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

// One slot's step: its draft, its rows, its outcome. Rows are named by the node
// they follow; -1 follows the committed sequence.
class SlotVerifier {
 public:
  SlotVerifier(const VerifyArgs& args, int slot)
      : args_(args),
        state_(args.state),
        slot_(slot),
        nodes_(state_.draft_count[slot]),
        tokens_(slot_part(state_.draft_tokens, slot, state_.max_nodes)),
        parents_(slot_part(state_.draft_parent, slot, state_.max_nodes)),
        path_(slot_part(state_.path, slot, state_.max_path)),
        first_(args.logits.first[slot]),
        verifier_(static_cast<Verifier>(state_.verifier[slot])),
        greedy_(!(args.sampling.temperature[slot] > 0.0f)) {}

  void run() {
    state_.accepted[slot_] = state_.emitted[slot_] = state_.tested[slot_] = 0;
    state_.decided[slot_] = 0;
    state_.deferred[slot_] = 0.0f;
    const bool trusted = verifier_ == Verifier::kTrusted;
    for (int node = trusted ? nodes_ - 1 : -1; node < nodes_ && state_.failure[slot_] == 0;
         ++node) {
      const auto status = static_cast<RowStatus>(args_.target_status[logit_row(node)]);
      state_.failure[slot_] = static_cast<int32_t>(failure_of(status, Failure::kTargetNotFinite));
    }
    if (state_.failure[slot_] != 0) return;
    TreeOutcome outcome;
    if (trusted) {
      outcome = follow_all();
    } else if (reads_drafter(state_.rule[slot_].kind)) {
      for (int node = -1; node < nodes_; ++node) compute_pi(node);
      outcome = accept([&](int node) { return row(args_.pi, logit_row(node)); });
      add_deferral(outcome);
    } else if (!greedy_) {
      outcome = accept([&](int node) { return row(args_.target_probs, logit_row(node)); });
    } else {
      outcome = follow_best();
    }
    append(outcome);
  }

 private:
  int64_t logit_row(int node) const { return first_ + 1 + node; }

  template <typename T>
  T* row(T* rows, int64_t index) const {
    return rows + index * args_.vocabulary;
  }

  bool ends(int32_t token) const { return ends_sequence(args_.sampling, slot_, token); }

  void compute_pi(int node) const {
    // Nothing follows a token that ends the sequence, and it has no drafter row.
    if (node >= 0 && ends(tokens_[node])) return;
    const int64_t at = logit_row(node);
    const RuleRows<float> rows = {reference(args_.drafts.reference, node),
                                  row(args_.target_probs, at),
                                  reference(args_.drafts.reference_unscaled, node),
                                  row(args_.target_unscaled, at),
                                  args_.vocabulary,
                                  greedy_};
    args_.deferral[at] =
        rule_target<RowMath<float>>(state_.rule[slot_], rows, row(args_.pi, at)).deferral;
  }

  // The reference drafter's row after a node.
  const float* reference(const float* const* rows, int node) const {
    return slot_part(rows, slot_, state_.max_nodes + 1)[1 + node];
  }

  // The accepted path under the session's shape and the request's verifier.
  template <typename TargetRow>
  TreeOutcome accept(const TargetRow& pi) const {
    return args_.drafts.chain ? accept_in_chain(pi) : accept_in_tree(pi);
  }

  template <typename TargetRow>
  TreeOutcome accept_in_tree(const TargetRow& pi) const {
    const TreeShape tree = {nodes_, parents_, tokens_,
                            greedy_ ? Siblings::kFixed : args_.drafts.siblings};
    PhiloxChoices<RowMath<float>> choices(draw_address(state_, slot_, state_.length[slot_]),
                          slot_part(state_.draft_depth, slot_, state_.max_nodes));
    const auto drafter = [&](int node) { return reference(args_.drafts.reference, node); };
    const auto is_end = [&](int32_t token) { return ends(token); };
    if (verifier_ == Verifier::kKseq && !greedy_) {
      return accept_kseq_tree<RowMath<float>>(tree, args_.vocabulary, pi, drafter, scratch(),
                                              is_end, choices, path_);
    }
    return accept_tree<RowMath<float>>(tree, args_.vocabulary, pi, drafter, drafter, scratch(),
                                       scratch() + args_.vocabulary, is_end, choices, path_);
  }

  // In a chain place i follows node i - 1.
  template <typename TargetRow>
  TreeOutcome accept_in_chain(const TargetRow& pi) const {
    PhiloxChoices<RowMath<float>> choices(draw_address(state_, slot_, state_.length[slot_]));
    OneHot<RowMath<float>> one_hot(row(args_.one_hot, slot_));
    const auto pi_at = [&](int place) { return pi(place - 1); };
    const auto drawn_at = [&](int place) {
      const float* drawn = slot_part(args_.drafts.proposal, slot_, state_.max_nodes)[place];
      return drawn != nullptr ? drawn : one_hot.at(tokens_[place]);
    };
    const auto is_end = [&](int32_t token) { return ends(token); };
    const ChainOutcome chain =
        verifier_ == Verifier::kBlock
            ? accept_block<RowMath<float>>(nodes_, tokens_, args_.vocabulary, pi_at, drawn_at,
                                           scratch(), is_end, choices)
            : accept_chain<RowMath<float>>(nodes_, tokens_, args_.vocabulary, pi_at, drawn_at,
                                           scratch(), is_end, choices);
    for (int i = 0; i < chain.accepted; ++i) path_[i] = i;
    return {chain.accepted, chain.tested, chain.next};
  }

  // [2, vocabulary]
  float* scratch() const { return row(args_.scratch, 2 * static_cast<int64_t>(slot_)); }

  // A trusted draft was made where the rule keeps the drafter; the token after it is
  // drawn from pi, which defers unless the draft ended for another reason.
  TreeOutcome follow_all() const {
    TreeOutcome outcome;
    for (int i = 0; i < nodes_; ++i) path_[i] = i;
    outcome.accepted = outcome.tested = state_.decided[slot_] = nodes_;
    if (nodes_ > 0 && ends(tokens_[nodes_ - 1])) return outcome;
    compute_pi(nodes_ - 1);
    const int64_t at = logit_row(nodes_ - 1);
    const float* pi = row(args_.pi, at);
    ++state_.decided[slot_];
    state_.deferred[slot_] = args_.deferral[at];
    const PhiloxChoices<RowMath<float>> choices(draw_address(state_, slot_, state_.length[slot_]));
    outcome.next =
        choices.draw(pi, args_.vocabulary, RowMath<float>::sum(pi, args_.vocabulary), nodes_);
    return outcome;
  }

  // Lossless at temperature 0: rows are one-hot, and every verifier follows the
  // target's best tokens as far as the draft has them.
  TreeOutcome follow_best() const {
    TreeOutcome outcome;
    int node = -1;
    for (int child = 0; child < nodes_; ++child) {
      if (parents_[child] != node) continue;
      if (child == 0 || parents_[child - 1] != node) ++outcome.tested;
      if (tokens_[child] != args_.target_best[logit_row(node)]) continue;
      path_[outcome.accepted++] = child;
      if (ends(tokens_[child])) return outcome;
      node = child;
    }
    outcome.next = args_.target_best[logit_row(node)];
    return outcome;
  }

  void add_deferral(const TreeOutcome& outcome) const {
    state_.decided[slot_] = outcome.tested;
    for (int i = 0; i < outcome.tested; ++i) {
      state_.deferred[slot_] += args_.deferral[logit_row(i == 0 ? -1 : path_[i - 1])];
    }
  }

  void append(const TreeOutcome& outcome) const {
    const int length = state_.length[slot_];
    const int emitted = outcome.accepted + (outcome.next >= 0 ? 1 : 0);
    int32_t* out = slot_part(state_.tokens, slot_, state_.capacity) + length;
    for (int i = 0; i < outcome.accepted; ++i) out[i] = tokens_[path_[i]];
    if (outcome.next >= 0) out[outcome.accepted] = outcome.next;
    if (args_.sampling.wants_logprobs[slot_]) {
      float* logprobs = slot_part(state_.token_logprobs, slot_, state_.max_path + 1);
      for (int i = 0; i < emitted; ++i) {
        const int64_t at = logit_row(i == 0 ? -1 : path_[i - 1]);
        logprobs[i] = row(args_.target_logits, at)[out[i]] - args_.target_log_sum[at];
      }
    }
    state_.tested[slot_] = outcome.tested;
    state_.accepted[slot_] = outcome.accepted;
    state_.emitted[slot_] = emitted;
    state_.length[slot_] = length + emitted;
    state_.finish[slot_] = static_cast<int32_t>(finish_after(out[emitted - 1]));
  }

  Finish finish_after(int32_t last) const {
    const SlotSampling& sampling = args_.sampling;
    if (has_bit(slot_part(sampling.eos_bits, slot_, sampling.bit_words), last)) {
      return Finish::kEos;
    }
    if (has_bit(slot_part(sampling.stop_bits, slot_, sampling.bit_words), last)) {
      return Finish::kStop;
    }
    return state_.length[slot_] >= state_.max_length[slot_] ? Finish::kLength : Finish::kNone;
  }

  const VerifyArgs& args_;
  const SequenceState& state_;
  int slot_;
  int nodes_;
  const int32_t* tokens_;
  const int32_t* parents_;
  int32_t* path_;
  int64_t first_;
  Verifier verifier_;
  bool greedy_;
};

}  // namespace

Failure failure_of(RowStatus status, Failure not_finite) {
  switch (status) {
    case RowStatus::kOk:
      return Failure::kNone;
    case RowStatus::kNotFinite:
      return not_finite;
    case RowStatus::kNoTokenLeft:
      return Failure::kNoTokenLeft;
  }
  return not_finite;
}

void verify_rows(const SequenceState& state, const CacheTable& target, const DecoderRows& rows,
                 const LogitRows& logits, const SlotSampling& sampling) {
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    const int pending = state.length[slot] - target.length[slot];
    const int nodes = state.draft_count[slot];
    const bool last_alone = static_cast<Verifier>(state.verifier[slot]) == Verifier::kTrusted &&
                            sampling.wants_logprobs[slot] == 0;
    const int skipped = last_alone ? nodes : 0;
    logits.first[slot] = *rows.num_logits - skipped;
    const int last = append_pending(state, rows, target, slot);
    if (skipped == 0) append_logit(state, rows, logits, last, -1, *rows.num_logits);
    const int32_t* tokens = slot_part(state.draft_tokens, slot, state.max_nodes);
    const int32_t* parents = slot_part(state.draft_parent, slot, state.max_nodes);
    const int32_t* depths = slot_part(state.draft_depth, slot, state.max_nodes);
    for (int node = 0; node < nodes; ++node) {
      const int row = append_row(rows, slot, tokens[node], state.length[slot] + depths[node],
                                 pending + node, pending + parents[node]);
      if (node + 1 >= skipped) append_logit(state, rows, logits, row, node, *rows.num_logits);
    }
  }
}

void verify(const VerifyArgs& args, int threads) {
  parallel_for(args.state.slots, threads, [&](int64_t slot) {
    if (args.state.active[slot]) SlotVerifier(args, static_cast<int>(slot)).run();
  });
}

void keep_path(const CacheTable& cache, int slot, int offset, const int32_t* path, int kept) {
  int32_t* order = slot_part(cache.order, slot, cache.rows_per_slot) + cache.length[slot] + offset;
  for (int i = 0; i < kept; ++i) std::swap(order[i], order[path[i]]);
}

void commit(const SequenceState& state, const CacheTable& target) {
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    const int before = state.length[slot] - state.emitted[slot];
    const int accepted = state.accepted[slot];
    const int32_t* path = slot_part(state.path, slot, state.max_path);
    keep_path(target, slot, before - target.length[slot], path, accepted);
    target.length[slot] = before + accepted;
    ++state.step[slot];
  }
}

void keep_accepted(const SequenceState& state, const CacheTable& drafter) {
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    const int before = state.length[slot] - state.emitted[slot];
    // A drafter that had nothing to draft in this step stays behind.
    if (drafter.length[slot] != before) continue;
    const int32_t* path = slot_part(state.path, slot, state.max_path);
    const int consumed = static_cast<int>(
        std::lower_bound(path, path + state.accepted[slot], state.draft_consumed[slot]) - path);
    keep_path(drafter, slot, 0, path, consumed);
    drafter.length[slot] = before + consumed;
  }
}

}  // namespace speccascade
