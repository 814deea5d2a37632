#include "engine/request_check.h"

#include <cmath>
#include <iomanip>
#include <limits>

#include "base/buffer.h"
#include "decode/dynamic_tree.h"
#include "engine/schedule.h"
#include "engine/slot_tables.h"

namespace speccascade {

namespace {

void check_tokens(const char* name, const std::vector<int32_t>& tokens, int vocabulary) {
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocabulary) {
      fail(ErrorCode::kInput, name, ": id ", token, " is outside the vocabulary of ", vocabulary);
    }
  }
}

// Of a slot's cache, at most: the drafter of a dynamic tree computes nodes beside the draft's.
int64_t most_cache_rows(const SessionLimits& limits) {
  const DraftPlan& draft = limits.draft;
  const bool tree = draft.kind == DraftKind::kDynamicTree;
  return SlotTables::cache_rows(limits) +
         (tree ? tree_computed_nodes(draft.nodes, draft.depth) : 0);
}

// Rows of all slots together are numbered by int. More of them are beyond any memory that a
// cache of this model would fit, so they are refused as what they are: too much of it.
void check_rows(int64_t slots, int64_t rows_per_slot, const T5Config& config) {
  if (slots * rows_per_slot <= std::numeric_limits<int32_t>::max()) return;
  const double row_bytes = 2.0 * sizeof(float) * config.inner() * config.num_decoder_layers;
  fail(ErrorCode::kOutOfMemory, "out of memory: needed ", std::fixed, std::setprecision(0),
       static_cast<double>(slots) * static_cast<double>(rows_per_slot) * row_bytes, " bytes, free ",
       free_memory_bytes());
}

}  // namespace

SessionLimits checked_limits(const SessionLimits& limits, const Model& target,
                             const std::vector<std::shared_ptr<const Model>>& drafters) {
  check_range("maxBatch", limits.max_batch, 1, 4096);
  check_range("maxInputTokens", limits.max_input_tokens, 1, 1 << 20);
  check_range("maxNewTokens", limits.max_new_tokens, 1, 1 << 20);
  check_range("decoder prefix length", limits.max_prefix_tokens, 1, 1 << 20);
  check_range("encoder rows per step", limits.encoder_rows_per_step, 1, 1 << 20);
  check_plan(limits.draft, static_cast<int>(drafters.size()), target.config.vocab_size);
  std::vector<const Model*> models = {&target};
  for (const auto& drafter : drafters) {
    models.push_back(drafter.get());
    if (drafter->config.vocab_size == target.config.vocab_size) continue;
    fail(ErrorCode::kVocabMismatch, "the drafter has a vocabulary of ", drafter->config.vocab_size,
         ", the target one of ", target.config.vocab_size);
  }
  for (const Model* model : models) {
    check_rows(limits.max_batch, most_cache_rows(limits), model->config);
    check_rows(limits.max_batch, limits.max_input_tokens, model->config);
  }
  return limits;
}

namespace {

// What the session's drafts allow.
void check_verifier(const Request& request, const SessionLimits& limits) {
  const DraftPlan& draft = limits.draft;
  switch (request.verifier) {
    case Verifier::kToken:
      return;
    case Verifier::kBlock:
      if (draft.is_chain()) return;
      fail(ErrorCode::kInput, "verifier: expected a chain of drafts for block, got a tree");
    case Verifier::kKseq:
      if (draft.kind == DraftKind::kLevels && draft.replacement) return;
      fail(ErrorCode::kInput, "verifier: expected a tree drawn with replacement for k-seq");
    case Verifier::kTraversal:
      if (limits.traversal && !draft.is_chain()) return;
      fail(ErrorCode::kInput, "verifier: traversal is of trees, in sessions planned for it");
    case Verifier::kTrusted:
      if (draft.kind == DraftKind::kLevels && draft.is_chain()) return;
      fail(ErrorCode::kInput, "verifier: a draft is trusted where a model drafts a chain");
  }
}

}  // namespace

void check_request(const Request& request, const SessionLimits& limits, int vocabulary) {
  check_range("input length", static_cast<int64_t>(request.input_ids.size()), 1,
              limits.max_input_tokens);
  check_range("decoder prefix length", static_cast<int64_t>(request.prefix.size()), 1,
              limits.max_prefix_tokens);
  check_range("maxNewTokens", request.max_new_tokens, 1, limits.max_new_tokens);
  check_range("minNewTokens", request.min_new_tokens, 0, request.max_new_tokens);
  check_range("number of samples", static_cast<int64_t>(request.seeds.size()), 1, 1 << 16);
  check_range("priority", request.priority, -kMaxPriority, kMaxPriority);
  check_range("topK", request.top_k, 0, 1 << 30);
  check_tokens("input", request.input_ids, vocabulary);
  check_tokens("decoder prefix", request.prefix, vocabulary);
  check_tokens("end tokens", request.eos_tokens, vocabulary);
  check_tokens("stopTokens", request.stop_tokens, vocabulary);
  check_tokens("suppressTokens", request.suppress_tokens, vocabulary);
  if (!(request.temperature >= 0.0f) || !std::isfinite(request.temperature)) {
    fail(ErrorCode::kInput, "temperature: expected a finite number >= 0, got ",
         request.temperature);
  }
  if (!(request.top_p > 0.0f && request.top_p <= 1.0f)) {
    fail(ErrorCode::kInput, "topP: expected a number above 0 and at most 1, got ", request.top_p);
  }
  check_rule(request.rule);
  if (reads_drafter(request.rule.kind) && limits.draft.models() == 0) {
    fail(ErrorCode::kInput, "rule: a rule other than lossless needs a model as drafter");
  }
  if (request.verifier == Verifier::kTrusted && !reads_drafter(request.rule.kind)) {
    fail(ErrorCode::kInput, "rule: a token cascade needs a rule that can keep the drafter");
  }
  check_verifier(request, limits);
  if (!(request.confidence_stop >= 0.0f && request.confidence_stop <= 1.0f)) {
    fail(ErrorCode::kInput, "confidence stop: expected a number from 0 to 1, got ",
         request.confidence_stop);
  }
}

void check_rule(const Rule& rule) {
  if (std::isnan(rule.alpha)) fail(ErrorCode::kInput, "rule: alpha is NaN");
  if (rule.kind != RuleKind::kLossy && rule.kind != RuleKind::kLossyMatched) return;
  if (!(rule.alpha >= 0.0 && rule.alpha < 1.0)) {
    fail(ErrorCode::kInput, "lossy: expected 0 <= alpha < 1, got ", rule.alpha);
  }
  if (rule.kind == RuleKind::kLossy && !(rule.beta >= 1.0 - rule.alpha)) {
    fail(ErrorCode::kInput, "lossy: expected beta >= 1 - alpha = ", 1.0 - rule.alpha, ", got ",
         rule.beta);
  }
}

}  // namespace speccascade
