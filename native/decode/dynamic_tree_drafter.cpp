#include "decode/dynamic_tree_drafter.h"

#include <algorithm>
#include <cmath>

#include "decode/slot_rows.h"
#include "decode/verify.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

// Nodes expanded at a level, and candidates below each: more serve no tree of usual size.
constexpr int kBeam = 8;

int beam_of(const DraftPlan& plan) { return std::min(plan.nodes, kBeam); }

// Nodes whose keys a step computes: those expanded, and for rules those that are not.
int computed_nodes(const DraftPlan& plan) { return beam_of(plan) * plan.depth + plan.nodes; }

LaneLimits lane_limits(const DraftPlan& plan, LaneLimits limits) {
  limits.cache_rows += computed_nodes(plan);
  return limits;
}

// Committed positions that the first pass of a step takes.
int most_pending(const DraftPlan& plan, const DraftContext& context) {
  return std::max(context.max_prefix, plan.may_lag() ? kLaggingPass : 2);
}

DecoderPass::Limits pass_limits(const DraftPlan& plan, const DraftContext& context) {
  const int slots = context.limits.slots;
  const int pending = most_pending(plan, context);
  const int level = std::max(beam_of(plan), plan.nodes);
  return {slots, slots * std::max(pending, level), slots * level,
          std::max(pending, computed_nodes(plan))};
}

}  // namespace

DynamicTreeDrafter::DynamicTreeDrafter(const DraftPlan& plan, const Model& model,
                                       const DraftContext& context)
    : Drafter(context, 1),
      budget_(plan.nodes),
      depth_(plan.depth),
      beam_(beam_of(plan)),
      rows_per_slot_(computed_nodes(plan) + 1),
      most_pending_(most_pending(plan, context)),
      lane_(model, lane_limits(plan, context.limits), pass_limits(plan, context),
            context.limits.slots * rows_per_slot_),
      trees_(static_cast<size_t>(context.limits.slots)),
      cache_node_(static_cast<size_t>(context.limits.slots) * static_cast<size_t>(plan.nodes)),
      reference_(static_cast<size_t>(context.limits.slots) * static_cast<size_t>(plan.nodes + 1)),
      reference_unscaled_(reference_.size()) {}

void DynamicTreeDrafter::encode(const std::vector<const std::vector<int32_t>*>& inputs,
                                const std::vector<int>& sources) {
  lane_.encoder.run(inputs, sources);
}

// Row 0 of a slot follows the committed sequence, 1 + n the computed node n.
int64_t DynamicTreeDrafter::row_of(int slot, int cache_node) const {
  return static_cast<int64_t>(slot) * rows_per_slot_ + 1 + cache_node;
}

bool DynamicTreeDrafter::any_open() const {
  return std::any_of(trees_.begin(), trees_.end(), [](const Tree& tree) { return tree.open; });
}

void DynamicTreeDrafter::draft() {
  clear_calls();
  for (int slot = 0; slot < state_.slots; ++slot) {
    open(slot);
    if (trees_[static_cast<size_t>(slot)].open) {
      lane_.catch_up(state_, slot, state_.length[slot], most_pending_);
    }
  }
  while (any_open()) {
    append_rows();
    lane_.run(context_.sampling);
    count_pass(lane_, 0);
    take_rows();
  }
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (state_.active[slot]) write_draft(slot, trees_[static_cast<size_t>(slot)]);
  }
}

void DynamicTreeDrafter::open(int slot) {
  Tree& tree = trees_[static_cast<size_t>(slot)];
  tree.pool.clear();
  tree.frontier.clear();
  tree.cache_nodes = 0;
  tree.levels = 0;
  tree.last_rows = state_.draft_limit[slot] == 0;
  tree.open = state_.active[slot] && (!tree.last_rows || reads_drafter(state_.rule[slot].kind));
}

// First round of a step: the committed positions that the drafter has not consumed.
// Later rounds: the frontier.
void DynamicTreeDrafter::append_rows() {
  const DecoderRows& rows = lane_.decoder.rows();
  const CacheTable cache = lane_.self.table();
  *rows.num_rows = 0;
  *rows.num_logits = 0;
  for (int slot = 0; slot < state_.slots; ++slot) {
    Tree& tree = trees_[static_cast<size_t>(slot)];
    if (!tree.open) continue;
    if (tree.frontier.empty()) {
      const int last = append_pending(state_, rows, cache, slot);
      append_logit(state_, rows, lane_.logits, last, -1, static_cast<int>(row_of(slot, -1)));
      continue;
    }
    for (const int at : tree.frontier) {
      Candidate& node = tree.pool[static_cast<size_t>(at)];
      node.cache_node = tree.cache_nodes++;
      const int parent =
          node.parent < 0 ? -1 : tree.pool[static_cast<size_t>(node.parent)].cache_node;
      const int row = append_row(rows, slot, node.token, state_.length[slot] + node.depth,
                                 node.cache_node, parent);
      append_logit(state_, rows, lane_.logits, row, at,
                   static_cast<int>(row_of(slot, node.cache_node)));
    }
  }
}

void DynamicTreeDrafter::take_rows() {
  const CacheTable cache = lane_.self.table();
  for (int at = 0; at < *lane_.decoder.rows().num_logits;) {
    const int slot = lane_.logits.slot[at];
    Tree& tree = trees_[static_cast<size_t>(slot)];
    // The committed positions of the first round are nodes no longer.
    cache.length[slot] = state_.length[slot];
    const bool expands = !tree.last_rows;
    for (; at < *lane_.decoder.rows().num_logits && lane_.logits.slot[at] == slot; ++at) {
      const auto status = static_cast<RowStatus>(lane_.status[static_cast<size_t>(at)]);
      if (status != RowStatus::kOk) {
        state_.failure[slot] = static_cast<int32_t>(failure_of(status, Failure::kDrafterNotFinite));
      } else if (expands) {
        expand(slot, lane_.logits.node[at], lane_.logits.out_row[at], tree);
      }
    }
    tree.frontier.clear();
    tree.open = false;
    if (state_.failure[slot] != 0 || !expands) continue;
    ++tree.levels;
    choose_frontier(slot, tree);
    if (tree.frontier.empty() && reads_drafter(state_.rule[slot].kind)) {
      ask_missing_rows(slot, tree);
    }
    tree.open = !tree.frontier.empty();
  }
}

// Adds the most probable successors of a node, or of the committed sequence.
void DynamicTreeDrafter::expand(int slot, int node, int64_t row, Tree& tree) {
  // It may have lost its place to a candidate of this round; its successors would, too.
  if (node >= 0 && row_of(slot, tree.pool[static_cast<size_t>(node)].cache_node) != row) return;
  const float* probs = lane_.unscaled_row(row);
  const int vocabulary = context_.vocabulary;
  const float stop = state_.confidence_stop[slot];
  best_tokens_.clear();
  // Sorted, best first; equals stay in the order of their indices.
  for (int32_t token = 0; token < vocabulary; ++token) {
    const bool full = static_cast<int>(best_tokens_.size()) == beam_;
    if (!(probs[token] > 0.0f) || (full && !(probs[token] > probs[best_tokens_.back()]))) continue;
    if (full) best_tokens_.pop_back();
    const auto place = std::find_if(best_tokens_.begin(), best_tokens_.end(),
                                    [&](int32_t other) { return probs[token] > probs[other]; });
    best_tokens_.insert(place, token);
  }
  if (best_tokens_.empty() || probs[best_tokens_[0]] < stop) return;
  const Candidate parent =
      node < 0 ? Candidate{0, -1, -1, 0.0f, -1, 0} : tree.pool[static_cast<size_t>(node)];
  for (const int32_t token : best_tokens_) {
    insert(tree,
           {token, node, parent.depth + 1, parent.score + std::log(probs[token]), -1, ++age_});
  }
}

// A full pool gives up its worst candidate, of equals the youngest: never one that has
// descendants in the pool, whose scores are not above its own.
void DynamicTreeDrafter::insert(Tree& tree, const Candidate& candidate) const {
  if (static_cast<int>(tree.pool.size()) < budget_) {
    tree.pool.push_back(candidate);
    return;
  }
  const auto worst = std::min_element(
      tree.pool.begin(), tree.pool.end(), [](const Candidate& a, const Candidate& b) {
        return a.score != b.score ? a.score < b.score : a.age > b.age;
      });
  if (candidate.score > worst->score) *worst = candidate;
}

// The best candidates of the newest level whose successors could still enter the pool.
void DynamicTreeDrafter::choose_frontier(int slot, Tree& tree) {
  const int level = tree.levels - 1;
  if (tree.levels >= std::min<int>(depth_, state_.draft_limit[slot])) return;
  const bool full = static_cast<int>(tree.pool.size()) == budget_;
  float worst = 0.0f;
  for (const Candidate& candidate : tree.pool) worst = std::min(worst, candidate.score);
  for (size_t i = 0; i < tree.pool.size(); ++i) {
    const Candidate& candidate = tree.pool[i];
    if (candidate.depth != level) continue;
    if (ends_sequence(context_.sampling, slot, candidate.token)) continue;
    if (full && !(candidate.score > worst)) continue;
    tree.frontier.push_back(static_cast<int>(i));
  }
  std::sort(tree.frontier.begin(), tree.frontier.end(), [&](int a, int b) {
    const Candidate& left = tree.pool[static_cast<size_t>(a)];
    const Candidate& right = tree.pool[static_cast<size_t>(b)];
    return left.score != right.score ? left.score > right.score : left.age < right.age;
  });
  if (static_cast<int>(tree.frontier.size()) > beam_) {
    tree.frontier.resize(static_cast<size_t>(beam_));
  }
}

// Rules read the drafter's row after every node. Parents come first.
void DynamicTreeDrafter::ask_missing_rows(int slot, Tree& tree) {
  tree.last_rows = true;
  for (size_t i = 0; i < tree.pool.size(); ++i) {
    const Candidate& candidate = tree.pool[i];
    if (candidate.cache_node >= 0) continue;
    if (!ends_sequence(context_.sampling, slot, candidate.token)) {
      tree.frontier.push_back(static_cast<int>(i));
    }
  }
  std::sort(tree.frontier.begin(), tree.frontier.end(), [&](int a, int b) {
    const Candidate& left = tree.pool[static_cast<size_t>(a)];
    const Candidate& right = tree.pool[static_cast<size_t>(b)];
    return left.depth != right.depth ? left.depth < right.depth : left.age < right.age;
  });
}

// Level by level, the children of a node together, the most probable first.
void DynamicTreeDrafter::write_draft(int slot, const Tree& tree) {
  std::vector<int> order, place(tree.pool.size());
  int32_t* tokens = slot_part(state_.draft_tokens, slot, state_.max_nodes);
  int32_t* parents = slot_part(state_.draft_parent, slot, state_.max_nodes);
  int32_t* depths = slot_part(state_.draft_depth, slot, state_.max_nodes);
  const auto reference = slot_part(reference_.data(), slot, state_.max_nodes + 1);
  const auto unscaled = slot_part(reference_unscaled_.data(), slot, state_.max_nodes + 1);
  reference[0] = lane_.prob_row(row_of(slot, -1));
  unscaled[0] = lane_.unscaled_row(row_of(slot, -1));
  for (size_t i = 0; i < tree.pool.size(); ++i) order.push_back(static_cast<int>(i));
  // Parents are placed before their children are compared: level by level.
  for (size_t begin = 0; begin < order.size();) {
    const int depth = begin == 0 ? 0 : depths[begin - 1] + 1;
    const auto end =
        std::partition(order.begin() + static_cast<ptrdiff_t>(begin), order.end(),
                       [&](int at) { return tree.pool[static_cast<size_t>(at)].depth == depth; });
    std::sort(order.begin() + static_cast<ptrdiff_t>(begin), end, [&](int a, int b) {
      const Candidate& left = tree.pool[static_cast<size_t>(a)];
      const Candidate& right = tree.pool[static_cast<size_t>(b)];
      const int left_parent = left.parent < 0 ? -1 : place[static_cast<size_t>(left.parent)];
      const int right_parent = right.parent < 0 ? -1 : place[static_cast<size_t>(right.parent)];
      if (left_parent != right_parent) return left_parent < right_parent;
      return left.age < right.age;
    });
    for (; begin < static_cast<size_t>(end - order.begin()); ++begin) {
      const Candidate& node = tree.pool[static_cast<size_t>(order[begin])];
      place[static_cast<size_t>(order[begin])] = static_cast<int>(begin);
      tokens[begin] = node.token;
      parents[begin] = node.parent < 0 ? -1 : place[static_cast<size_t>(node.parent)];
      depths[begin] = depth;
      slot_part(cache_node_.data(), slot, state_.max_nodes)[begin] = node.cache_node;
      reference[begin + 1] = lane_.prob_row(row_of(slot, node.cache_node));
      unscaled[begin + 1] = lane_.unscaled_row(row_of(slot, node.cache_node));
    }
  }
  state_.draft_count[slot] = static_cast<int32_t>(tree.pool.size());
}

void DynamicTreeDrafter::commit() {
  std::vector<int32_t> kept;
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (!state_.active[slot]) continue;
    const int before = state_.length[slot] - state_.emitted[slot];
    const CacheTable cache = lane_.self.table();
    if (cache.length[slot] != before) continue;  // had nothing to draft in this step
    kept.clear();
    for (int i = 0; i < state_.accepted[slot]; ++i) {
      const int node = slot_part(state_.path, slot, state_.max_path)[i];
      const int32_t at = slot_part(cache_node_.data(), slot, state_.max_nodes)[node];
      if (at < 0) break;
      kept.push_back(at);
    }
    keep_path(cache, slot, 0, kept.data(), static_cast<int>(kept.size()));
    cache.length[slot] = before + static_cast<int>(kept.size());
  }
}

DraftRows DynamicTreeDrafter::rows() const {
  return {reference_.data(), reference_unscaled_.data(), nullptr, Siblings::kFixed, false};
}

}  // namespace speccascade
