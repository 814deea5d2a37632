#include "ops/persistent.h"

#include <algorithm>

namespace speccascade {

namespace {

constexpr int kWidestHead = 64;

bool has_code(const Op& op) {
  switch (op.kind) {
    case OpKind::kGemm:
      return op.gemm.weight.dtype != DType::kF32 && op.gemm.max_rows <= kMostPersistentRows;
    case OpKind::kSelfAttention:
      return op.self_attention.head_dim <= kWidestHead;
    case OpKind::kCrossAttention:
      return op.cross_attention.head_dim <= kWidestHead;
    case OpKind::kRmsNorm:
    case OpKind::kEncoderAttention:
      return false;
    case OpKind::kEmbed:
    case OpKind::kResolveCacheRows:
      break;
  }
  return true;
}

}  // namespace

std::vector<PhaseOp> phases_of(const Program& program) {
  std::vector<PhaseOp> steps;
  std::vector<OpUses> phase;  // of the last step's phase
  for (const FoldedOp& folded : fold_norms(program)) {
    if (!has_code(folded.op)) return {};
    const OpUses uses = uses_of(folded);
    const auto waits = [&](const OpUses& earlier) { return uses.waits_for(earlier); };
    if (std::any_of(phase.begin(), phase.end(), waits)) {
      steps.back().last = 1;
      phase.clear();
    }
    phase.push_back(uses);
    steps.push_back({folded, 0});
  }
  if (!steps.empty()) steps.back().last = 1;
  return steps;
}

int count_phases(const std::vector<PhaseOp>& ops) {
  return static_cast<int>(
      std::count_if(ops.begin(), ops.end(), [](const PhaseOp& step) { return step.last != 0; }));
}

}  // namespace speccascade
