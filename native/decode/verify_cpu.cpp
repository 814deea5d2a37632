#include "decode/verify.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "decode/accept_block.h"
#include "decode/accept_chain.h"
#include "decode/accept_tree.h"
#include "decode/philox_choices.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

Failure failure_of(int32_t status) {
  switch (static_cast<RowStatus>(status)) {
    case RowStatus::kOk:
      return Failure::kNone;
    case RowStatus::kNotFinite:
      return Failure::kTargetNotFinite;
    case RowStatus::kNoTokenLeft:
      return Failure::kNoTokenLeft;
  }
  return Failure::kTargetNotFinite;
}

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
        draft_first_(static_cast<int64_t>(slot) * (state_.max_nodes + 1)) {}

  void run() {
    state_.accepted[slot_] = state_.emitted[slot_] = state_.tested[slot_] = 0;
    state_.deferred[slot_] = 0.0f;
    for (int node = -1; node < nodes_ && state_.failure[slot_] == 0; ++node) {
      state_.failure[slot_] =
          static_cast<int32_t>(failure_of(args_.target_status[logit_row(node)]));
    }
    if (state_.failure[slot_] != 0) return;
    TreeOutcome outcome;
    if (reads_drafter(state_.rule[slot_].kind)) {
      for (int node = -1; node < nodes_; ++node) compute_pi(node);
      outcome = accept([&](int node) { return row(args_.pi, logit_row(node)); });
      add_deferral(outcome);
    } else if (args_.sampling.temperature[slot_] > 0.0f) {
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
    const int64_t draft = draft_first_ + 1 + node;
    const bool greedy = !(args_.sampling.temperature[slot_] > 0.0f);
    const RuleRows<float> rows = {row(args_.draft_probs, draft),
                                  row(args_.target_probs, at),
                                  row(args_.draft_unscaled, draft),
                                  row(args_.target_unscaled, at),
                                  args_.vocabulary,
                                  greedy};
    args_.deferral[at] =
        rule_target<RowMath<float>>(state_.rule[slot_], rows, row(args_.pi, at)).deferral;
  }

  // The accepted path under the session's shape and the request's verifier.
  template <typename TargetRow>
  TreeOutcome accept(const TargetRow& pi) const {
    const DrawAddress at = draw_address(state_, slot_, state_.length[slot_]);
    const auto drafter = [&](int node) { return row(args_.draft_probs, draft_first_ + 1 + node); };
    const auto is_end = [&](int32_t token) { return ends(token); };
    float* scratch = row(args_.scratch, 2 * static_cast<int64_t>(slot_));
    if (!args_.shape.chain) {
      const bool greedy = !(args_.sampling.temperature[slot_] > 0.0f);
      const TreeShape tree = {nodes_, parents_, tokens_,
                              greedy ? Siblings::kFixed : args_.shape.siblings};
      PhiloxChoices choices(at, slot_part(state_.draft_depth, slot_, state_.max_nodes));
      return accept_tree<RowMath<float>>(tree, args_.vocabulary, pi, drafter, drafter, scratch,
                                         scratch + args_.vocabulary, is_end, choices, path_);
    }
    // In a chain place i follows node i - 1.
    PhiloxChoices choices(at);
    const auto pi_at = [&](int place) { return pi(place - 1); };
    const auto drafter_at = [&](int place) { return drafter(place - 1); };
    const ChainOutcome chain =
        state_.block[slot_] ? accept_block<RowMath<float>>(nodes_, tokens_, args_.vocabulary, pi_at,
                                                           drafter_at, scratch, is_end, choices)
                            : accept_chain<RowMath<float>>(nodes_, tokens_, args_.vocabulary, pi_at,
                                                           drafter_at, scratch, is_end, choices);
    for (int i = 0; i < chain.accepted; ++i) path_[i] = i;
    return {chain.accepted, chain.tested, chain.next};
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
  int64_t draft_first_;
};

// Moves the first `kept` nodes of the path, which lie `offset` nodes behind the
// committed ones, to the front of the free rows.
void keep_path(const CacheTable& cache, int slot, int offset, const int32_t* path, int kept) {
  int32_t* order = slot_part(cache.order, slot, cache.rows_per_slot) + cache.length[slot] + offset;
  for (int i = 0; i < kept; ++i) std::swap(order[i], order[path[i]]);
}

}  // namespace

void verify_rows(const SequenceState& state, const CacheTable& target, const DecoderRows& rows,
                 const LogitRows& logits) {
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    const int pending = state.length[slot] - target.length[slot];
    logits.first[slot] = *rows.num_logits;
    const int last = append_pending(state, rows, target, slot);
    append_logit(state, rows, logits, last, -1, *rows.num_logits);
    const int32_t* tokens = slot_part(state.draft_tokens, slot, state.max_nodes);
    const int32_t* parents = slot_part(state.draft_parent, slot, state.max_nodes);
    const int32_t* depths = slot_part(state.draft_depth, slot, state.max_nodes);
    for (int node = 0; node < state.draft_count[slot]; ++node) {
      const int row = append_row(rows, slot, tokens[node], state.length[slot] + depths[node],
                                 pending + node, pending + parents[node]);
      append_logit(state, rows, logits, row, node, *rows.num_logits);
    }
  }
}

void verify(const VerifyArgs& args, int threads) {
  parallel_for(args.state.slots, threads, [&](int64_t slot) {
    if (args.state.active[slot]) SlotVerifier(args, static_cast<int>(slot)).run();
  });
}

void commit(const SequenceState& state, const CacheTable& target, const CacheTable* drafter) {
  for (int slot = 0; slot < state.slots; ++slot) {
    if (!state.active[slot]) continue;
    const int before = state.length[slot] - state.emitted[slot];
    const int accepted = state.accepted[slot];
    const int32_t* path = slot_part(state.path, slot, state.max_path);
    keep_path(target, slot, before - target.length[slot], path, accepted);
    target.length[slot] = before + accepted;
    // A drafter that had nothing to draft in this step stays behind.
    if (drafter != nullptr && drafter->length[slot] == before) {
      const int consumed = static_cast<int>(
          std::lower_bound(path, path + accepted, state.draft_consumed[slot]) - path);
      keep_path(*drafter, slot, 0, path, consumed);
      drafter->length[slot] = before + consumed;
    }
    ++state.step[slot];
  }
}

}  // namespace speccascade
