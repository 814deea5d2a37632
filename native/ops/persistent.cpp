#include "ops/persistent.h"

#include <algorithm>

namespace speccascade {

namespace {

constexpr int kWidestHead = 64;

// What an operation reads and writes, by where it begins. Caches and tables of rows are read where
// they were written by the same operation's row, or before the pass.
struct Uses {
  std::vector<const void*> reads;
  const void* writes = nullptr;
};

Uses uses_of(const PhaseOp& step) {
  switch (step.op.kind) {
    case OpKind::kEmbed:
      return {{step.op.embed.tokens}, step.op.embed.out};
    case OpKind::kGemm: {
      const GemmArgs& gemm = step.op.gemm;
      Uses uses = {{step.norm.x != nullptr ? step.norm.x : gemm.x, gemm.out_rows}, gemm.out};
      if (gemm.epilogue == Epilogue::kAdd) uses.reads.push_back(gemm.out);
      return uses;
    }
    case OpKind::kResolveCacheRows:
      return {{}, step.op.resolve_cache_rows.rows.cache_row};
    case OpKind::kSelfAttention:
      return {{step.op.self_attention.query, step.op.self_attention.cache},
              step.op.self_attention.out};
    case OpKind::kCrossAttention:
      return {{step.op.cross_attention.query, step.op.cross_attention.cache},
              step.op.cross_attention.out};
    case OpKind::kRmsNorm:
    case OpKind::kEncoderAttention:
      break;
  }
  return {};
}

bool reads(const Uses& uses, const void* what) {
  return what != nullptr &&
         std::find(uses.reads.begin(), uses.reads.end(), what) != uses.reads.end();
}

bool waits_for(const Uses& later, const Uses& earlier) {
  return reads(later, earlier.writes) || reads(earlier, later.writes) ||
         later.writes == earlier.writes;
}

bool has_code(const Op& op) {
  switch (op.kind) {
    case OpKind::kGemm:
      return op.gemm.weight.dtype != DType::kF32 && op.gemm.max_rows <= kMostPersistentRows;
    case OpKind::kSelfAttention:
      return op.self_attention.head_dim <= kWidestHead;
    case OpKind::kCrossAttention:
      return op.cross_attention.head_dim <= kWidestHead;
    case OpKind::kEncoderAttention:
      return false;
    case OpKind::kEmbed:
    case OpKind::kRmsNorm:
    case OpKind::kResolveCacheRows:
      break;
  }
  return true;
}

}  // namespace

std::vector<PhaseOp> phases_of(const Program& program) {
  std::vector<PhaseOp> steps;
  std::vector<Uses> phase;  // of the last step's phase
  RmsNormArgs norm = {};
  for (const Op& op : program.ops()) {
    if (!has_code(op)) return {};
    if (op.kind == OpKind::kRmsNorm) {
      norm = op.rms_norm;
      continue;
    }
    PhaseOp step = {};
    step.op = op;
    if (op.kind == OpKind::kGemm && norm.out != nullptr && op.gemm.x == norm.out) {
      // What was normalised may have changed since.
      if (norm.x == nullptr || norm.num_rows != op.gemm.num_rows) return {};
      step.norm = norm;
    }
    const Uses uses = uses_of(step);
    if (uses.writes == norm.x) norm.x = nullptr;
    const auto waits = [&](const Uses& earlier) { return waits_for(uses, earlier); };
    if (std::any_of(phase.begin(), phase.end(), waits)) {
      steps.back().last = 1;
      phase.clear();
    }
    phase.push_back(uses);
    steps.push_back(step);
  }
  if (!steps.empty()) steps.back().last = 1;
  return steps;
}

int count_phases(const std::vector<PhaseOp>& ops) {
  return static_cast<int>(
      std::count_if(ops.begin(), ops.end(), [](const PhaseOp& step) { return step.last != 0; }));
}

}  // namespace speccascade
