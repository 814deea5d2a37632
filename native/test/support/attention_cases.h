// The three forms of attention against the plain formula, whatever computes them: ragged sequences,
// trees over a permuted cache, distances beyond the bias table, head sizes that are multiples of
// nothing.
#pragma once

#include <vector>

#include "ops/attention.h"
#include "test/check.h"

namespace speccascade::test {

struct AttentionOps {
  void (*encoder)(const EncoderAttentionArgs& args, int threads);
  void (*self)(const SelfAttentionArgs& args, int threads);
  void (*cross)(const CrossAttentionArgs& args, int threads);
  void (*resolve_cache_rows)(const ResolveCacheRowsArgs& args);
};

std::vector<Case> attention_cases(const AttentionOps& tested);

}  // namespace speccascade::test
