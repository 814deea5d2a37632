#include "ops/persistent.h"

#include <algorithm>

#include "ops/fragment_matrix.h"

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

// From so many tiles on, blocks take several of them each.
constexpr int kManyTiles = 1024;

bool is_prepared(const FoldedOp& step) {
  if (step.op.kind != OpKind::kGemm || step.reads.rows != nullptr) return false;
  const Matrix& weight = step.op.gemm.weight;
  return input_dtype(weight.dtype) == DType::kBF16 || tiles_of(weight.n) >= kManyTiles;
}

}  // namespace

std::vector<PhaseOp> phases_of(const Program& program) {
  std::vector<PhaseOp> steps;
  std::vector<OpUses> phase;  // of the last step's phase
  const auto close = [&] {
    if (!steps.empty()) steps.back().last = 1;
    phase.clear();
  };
  for (const FoldedOp& folded : fold_norms(program)) {
    if (!has_code(folded.op)) return {};
    const OpUses uses = uses_of(folded);
    const auto waits = [&](const OpUses& earlier) { return uses.waits_for(earlier); };
    // What it leaves might lie where another's inputs were prepared.
    const bool leaves = folded.leaves.rows != nullptr && !steps.empty() && steps.back().prepared;
    if (leaves || std::any_of(phase.begin(), phase.end(), waits)) close();
    const bool prepared = is_prepared(folded);
    if (prepared) {
      close();
      steps.push_back({folded, 1, 1, 0});
    }
    phase.push_back(uses);
    steps.push_back({folded, 0, 0, prepared ? 1 : 0});
  }
  close();
  return steps;
}

int count_phases(const std::vector<PhaseOp>& ops) {
  return static_cast<int>(
      std::count_if(ops.begin(), ops.end(), [](const PhaseOp& step) { return step.last != 0; }));
}

PassTypes types_of(const std::vector<PhaseOp>& ops) {
  const auto dtype_of = [](const Op& op) {
    return op.kind == OpKind::kGemm             ? op.gemm.weight.dtype
           : op.kind == OpKind::kSelfAttention  ? op.self_attention.cache_dtype
           : op.kind == OpKind::kCrossAttention ? op.cross_attention.cache_dtype
                                                : DType::kBF16;
  };
  const bool bf16 = std::all_of(ops.begin(), ops.end(), [&](const PhaseOp& step) {
    return dtype_of(step.op) == DType::kBF16;
  });
  return bf16 ? PassTypes::kBf16 : PassTypes::kAll;
}

}  // namespace speccascade
