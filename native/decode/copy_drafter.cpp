#include "decode/copy_drafter.h"

#include <algorithm>

namespace speccascade {

CopySource::CopySource(const DraftPlan& plan, const DraftContext& context)
    : context_(context), bigrams_(plan.bigrams) {
  const auto longest =
      static_cast<size_t>(context.state.capacity) + static_cast<size_t>(context.state.max_nodes);
  output_.reserve(longest);
  scratch_.resize(longest);
}

MaxGramText CopySource::text(int slot, const int32_t* drafted, int count) {
  const SequenceState& state = context_.state;
  const int32_t* committed = slot_part(state.tokens, slot, state.capacity);
  output_.assign(committed, committed + state.length[slot]);
  output_.insert(output_.end(), drafted, drafted + count);
  return {slot_part(state.input_tokens, slot, state.max_input), state.input_length[slot],
          output_.data(), static_cast<int>(output_.size())};
}

void CopySource::propose(int slot, const int32_t* drafted, int count, int length,
                         std::vector<int32_t>* tokens) {
  const MaxGramText given = text(slot, drafted, count);
  tokens->resize(static_cast<size_t>(length));
  const BigramTable bigrams = {bigrams_.data(), static_cast<int>(bigrams_.size())};
  const int proposed = max_gram_propose(given, max_gram_match(given, scratch_.data()), bigrams,
                                        nullptr, 0, length, tokens->data());
  tokens->resize(static_cast<size_t>(proposed));
  const auto end = std::find_if(tokens->begin(), tokens->end(), [&](int32_t token) {
    return ends_sequence(context_.sampling, slot, token);
  });
  if (end != tokens->end()) tokens->erase(end + 1, tokens->end());
}

void CopySource::candidates(int slot, const int32_t* drafted, int count, int width,
                            std::vector<int32_t>* tokens) {
  const MaxGramText given = text(slot, drafted, count);
  tokens->resize(static_cast<size_t>(width));
  const BigramTable bigrams = {bigrams_.data(), static_cast<int>(bigrams_.size())};
  tokens->resize(static_cast<size_t>(
      max_gram_candidates(given, bigrams, scratch_.data(), width, tokens->data())));
}

CopyDrafter::CopyDrafter(const DraftPlan& plan, const DraftContext& context)
    : Drafter(context, 1),
      widths_(plan.widths),
      chain_(plan.is_chain()),
      source_(plan, context_),
      adaptive_(plan.adaptive, step_costs(*context.target, nullptr), context.limits.slots,
                context.state.max_nodes),
      proposal_(static_cast<size_t>(context.limits.slots) *
                static_cast<size_t>(context.state.max_nodes)) {}

void CopyDrafter::draft() {
  clear_calls();
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (!state_.active[slot]) continue;
    adaptive_.open(slot);
    if (state_.draft_limit[slot] == 0) continue;
    count_call(slot, 0);
    chain_ ? draft_chain(slot) : draft_tree(slot);
  }
}

void CopyDrafter::draft_chain(int slot) {
  source_.propose(slot, nullptr, 0, state_.draft_limit[slot], &tokens_);
  for (int i = 0; i < static_cast<int>(tokens_.size()) && adaptive_.goes_on(slot); ++i) {
    append(slot, tokens_[static_cast<size_t>(i)], i - 1, i);
    adaptive_.add_copy(slot, i);
  }
}

void CopyDrafter::draft_tree(int slot) {
  const int32_t* tokens = slot_part(state_.draft_tokens, slot, state_.max_nodes);
  const int32_t* parents = slot_part(state_.draft_parent, slot, state_.max_nodes);
  int begin = -1, end = 0;  // the nodes of a level; -1: the committed sequence
  for (int depth = 0; depth < state_.draft_limit[slot]; ++depth) {
    for (int node = begin; node < end; ++node) {
      if (node >= 0 && ends_sequence(context_.sampling, slot, tokens[node])) continue;
      path_.clear();
      for (int at = node; at >= 0; at = parents[at]) path_.push_back(tokens[at]);
      std::reverse(path_.begin(), path_.end());
      source_.candidates(slot, path_.data(), static_cast<int>(path_.size()),
                         widths_[static_cast<size_t>(depth)], &tokens_);
      for (const int32_t token : tokens_) append(slot, token, node, depth);
    }
    begin = std::max(end, 0);
    end = state_.draft_count[slot];
    if (begin == end) return;
  }
}

void CopyDrafter::append(int slot, int32_t token, int parent, int depth) {
  const int node = state_.draft_count[slot]++;
  slot_part(state_.draft_tokens, slot, state_.max_nodes)[node] = token;
  slot_part(state_.draft_parent, slot, state_.max_nodes)[node] = parent;
  slot_part(state_.draft_depth, slot, state_.max_nodes)[node] = depth;
}

void CopyDrafter::commit() {
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (state_.active[slot]) adaptive_.learn(state_, slot);
  }
}

DraftRows CopyDrafter::rows() const {
  return {nullptr, nullptr, proposal_.data(), Siblings::kFixed, chain_};
}

}  // namespace speccascade
