// How a session drafts: who proposes, and in which shape. Fixed for a session; its
// memory is planned from it. A chain of length g is g levels of one candidate.
#pragma once

#include <cstdint>
#include <vector>

namespace speccascade {

// With the last token, at most 256 candidate positions a sequence and step.
constexpr int kMaxDraftNodes = 255;
// Drafters of a cascade, copies included.
constexpr int kMaxCascade = 8;

enum class DraftKind : int32_t {
  kNone,         // plain autoregressive decoding
  kLevels,       // a model: a chain, or a tree with given widths
  kDynamicTree,  // a model: the most probable paths of a tree
  kCopy,         // Max-Gram: a chain, or a tree with given widths
  kCascade,      // models that review each other's drafts
};

// Draft lengths chosen step by step: adaptive_length.h.
struct AdaptivePlan {
  bool on = false;
  int max = kMaxDraftNodes;  // most tokens of a step
  float confidence = 0.0f;   // nothing is drafted where the drafter's confidence is below
};

struct DraftPlan {
  DraftKind kind = DraftKind::kNone;
  std::vector<int32_t> widths;       // kLevels, kCopy: candidates per node, level by level
  bool replacement = false;          // kLevels: siblings drawn with replacement
  int nodes = 0;                     // kDynamicTree: budget of a step
  int depth = 0;                     // kDynamicTree: levels
  std::vector<int32_t> lengths;      // kCascade: [drafters, drafters], see cs_draft_schedule.h
  bool copies = false;               // kCascade: the last drafter is Max-Gram
  int copy_length = kMaxDraftNodes;  // kCascade: most tokens Max-Gram proposes at once
  double lenience = 1.0;             // kCascade: of reviews below the target, >= 1
  std::vector<int32_t> bigrams;  // successors for Max-Gram, [vocabulary]; negative: none; or empty
  AdaptivePlan adaptive;         // chains and cascades
  // Lengths are upper bounds, and follow the load where results do not depend on them:
  // load_lengths.h. Drafters may lag, and encode an input when they are first asked about it.
  bool follows_load = false;

  // Models that draft, the copy model not counted.
  int models() const;
  // Whatever counts as a drafter in the statistics.
  int drafters() const;
  // An entry of `lengths`.
  int length(int row, int drafter) const;
  // Largest draft of a step: nodes, and tokens on one path. Of a checked plan.
  int max_nodes() const;
  int max_path() const;
  // Most nodes of a draft of so many levels, at most max_path().
  int nodes_to(int levels) const;
  // Candidates of the largest level.
  int largest_level() const;
  // One candidate per node.
  bool is_chain() const;
  // Whether drafting reads the drafters' unscaled rows, whatever the rule.
  bool reads_confidence() const;
  // Drafters may have more than the last step's tokens to catch up with.
  bool may_lag() const { return adaptive.on || follows_load; }
  bool uses_copies() const { return copies || kind == DraftKind::kCopy; }
};

// Throws ERR_INPUT with the value that makes no sense. `models`: how many there are.
void check_plan(const DraftPlan& plan, int models, int vocabulary);

}  // namespace speccascade
