#include "decode/draft_plan.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace speccascade {

namespace {

void check_widths(const std::vector<int32_t>& widths) {
  if (widths.empty()) fail(ErrorCode::kInput, "draft widths: expected at least one level, got 0");
  int64_t level = 1, nodes = 0;
  for (const int32_t width : widths) {
    check_range("draft width", width, 1, kMaxDraftNodes);
    level *= width;
    nodes += level;
    if (nodes > kMaxDraftNodes) {
      fail(ErrorCode::kInput, "draft: expected at most ", kMaxDraftNodes, " nodes, got ", nodes,
           " or more");
    }
  }
}

void check_lengths(const DraftPlan& plan) {
  check_range("drafters of a cascade", plan.drafters(), 1, kMaxCascade);
  const auto drafters = static_cast<size_t>(plan.drafters());
  if (plan.lengths.size() != drafters * drafters) {
    fail(ErrorCode::kInput, "draft lengths: expected ", drafters, " x ", drafters, " values, got ",
         plan.lengths.size());
  }
  for (size_t row = 0; row < drafters; ++row) {
    int64_t total = 0;
    for (size_t column = 0; column < drafters; ++column) {
      const int32_t length = plan.lengths[row * drafters + column];
      check_range("draft length", length, 0, kMaxDraftNodes);
      if (column < row && length != 0) {
        fail(ErrorCode::kInput, "draft lengths: expected 0 below the diagonal, got ", length,
             " in row ", row);
      }
      total += length;
    }
    check_range("tokens of a row of the draft lengths", total, row == 0 ? 1 : 0, kMaxDraftNodes);
  }
}

// Most tokens of the draft that a row of the lengths makes: its stages, and what the
// last review of a neural stage may give beyond.
int64_t largest_draft(const DraftPlan& plan, int row) {
  const int drafters = plan.drafters();
  int64_t count = 0, wanted = 0;
  for (int stage = row; stage < drafters; ++stage) {
    wanted += plan.length(row, stage);
    const bool copy = plan.copies && stage == drafters - 1;
    const int64_t beyond = copy || wanted == 0 ? 0 : largest_draft(plan, stage + 1);
    count = std::max(count, wanted + beyond);
  }
  return std::min<int64_t>(count, kMaxDraftNodes);
}

}  // namespace

int DraftPlan::models() const {
  switch (kind) {
    case DraftKind::kLevels:
    case DraftKind::kDynamicTree:
      return 1;
    case DraftKind::kCascade:
      return drafters() - (copies ? 1 : 0);
    default:
      return 0;
  }
}

int DraftPlan::drafters() const {
  if (kind != DraftKind::kCascade) return kind == DraftKind::kNone ? 0 : 1;
  int size = 0;
  while (static_cast<size_t>(size) * static_cast<size_t>(size) < lengths.size()) ++size;
  return size;
}

int DraftPlan::max_nodes() const {
  if (kind == DraftKind::kCascade) return static_cast<int>(largest_draft(*this, 0));
  return nodes_to(max_path());
}

int DraftPlan::nodes_to(int levels) const {
  if (kind == DraftKind::kCascade) return levels;
  if (kind == DraftKind::kDynamicTree) return levels > 0 ? nodes : 0;
  int level = 1, all = 0;
  for (int i = 0; i < levels; ++i) all += level *= widths[static_cast<size_t>(i)];
  return all;
}

int DraftPlan::max_path() const {
  if (kind == DraftKind::kDynamicTree) return depth;
  return kind == DraftKind::kCascade ? max_nodes() : static_cast<int>(widths.size());
}

int DraftPlan::largest_level() const {
  if (kind == DraftKind::kDynamicTree) return nodes;
  int level = 1;
  for (const int32_t width : widths) level *= width;
  return level;
}

int DraftPlan::length(int row, int drafter) const {
  return lengths[static_cast<size_t>(row) * static_cast<size_t>(drafters()) +
                 static_cast<size_t>(drafter)];
}

bool DraftPlan::is_chain() const {
  if (kind == DraftKind::kDynamicTree) return false;
  return std::all_of(widths.begin(), widths.end(), [](int32_t width) { return width == 1; });
}

bool DraftPlan::reads_confidence() const {
  return kind == DraftKind::kDynamicTree || adaptive.on || lenience > 1.0;
}

void check_plan(const DraftPlan& plan, int models, int vocabulary) {
  switch (plan.kind) {
    case DraftKind::kNone:
      break;
    case DraftKind::kLevels:
    case DraftKind::kCopy:
      check_widths(plan.widths);
      break;
    case DraftKind::kDynamicTree:
      check_range("draft nodes", plan.nodes, 1, kMaxDraftNodes);
      check_range("draft depth", plan.depth, 1, plan.nodes);
      break;
    case DraftKind::kCascade:
      check_lengths(plan);
      check_range("length of a copy", plan.copy_length, 1, kMaxDraftNodes);
      break;
  }
  if (plan.models() != models) {
    fail(ErrorCode::kInput, "draft: expected ", plan.models(), " models, got ", models);
  }
  if (!(plan.lenience >= 1.0) || !std::isfinite(plan.lenience)) {
    fail(ErrorCode::kInput, "lenience: expected a finite number >= 1, got ", plan.lenience);
  }
  if (!plan.bigrams.empty() && plan.bigrams.size() != static_cast<size_t>(vocabulary)) {
    fail(ErrorCode::kInput, "bigrams: expected ", vocabulary, " successors, got ",
         plan.bigrams.size());
  }
  for (const int32_t next : plan.bigrams) {
    if (next >= vocabulary) {
      fail(ErrorCode::kInput, "bigrams: id ", next, " is outside the vocabulary of ", vocabulary);
    }
  }
  if (!plan.adaptive.on) return;
  check_range("adaptive max", plan.adaptive.max, 1, kMaxDraftNodes);
  if (!(plan.adaptive.confidence >= 0.0f && plan.adaptive.confidence <= 1.0f)) {
    fail(ErrorCode::kInput, "adaptive confidence: expected a number from 0 to 1, got ",
         plan.adaptive.confidence);
  }
  if (!plan.is_chain()) fail(ErrorCode::kInput, "adaptive: expected a chain or a cascade");
}

}  // namespace speccascade
