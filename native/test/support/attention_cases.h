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

// Encoder attention over sequences of random rows, entry by entry.
struct EncoderTrial {
  int heads, head_dim, max_distance;
  std::vector<int> lengths;
  uint64_t seed;
  int threads = 1, parts = 0;
  double scale = 0.7;  // of queries and keys
};
void try_encoder(void (*encoder)(const EncoderAttentionArgs& args, int threads),
                 const EncoderTrial& trial);

extern const std::vector<int> kHeadDims;

std::vector<Case> attention_cases(const AttentionOps& tested);

}  // namespace speccascade::test
