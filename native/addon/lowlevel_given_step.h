// A verification step as JavaScript hands it in, checked against what the core will read.
#pragma once

#include <vector>

#include "addon/lowlevel_convert.h"

namespace speccascade::addon {

// Parents before children, tokens inside the vocabulary: what the core relies on.
inline void check_nodes(const std::vector<int32_t>& parents, const std::vector<int32_t>& tokens,
                        int vocabulary) {
  if (parents.size() != tokens.size()) {
    fail(ErrorCode::kInput, "tokens: expected one for each of ", parents.size(), " parents, got ",
         tokens.size());
  }
  for (size_t node = 0; node < parents.size(); ++node) {
    if (parents[node] < -1 || parents[node] >= static_cast<int32_t>(node)) {
      fail(ErrorCode::kInput, "parents[", node, "]: ", parents[node]);
    }
    if (tokens[node] < 0 || tokens[node] >= vocabulary) {
      fail(ErrorCode::kInput, "tokens[", node, "]: ", tokens[node]);
    }
  }
}

// Siblings drawn from the drafter need its rows; handed-over proposals must be there.
template <typename Real>
void check_proposals(const StepArgs<Real>& step) {
  if (step.siblings == Siblings::kGiven && step.proposals == nullptr && step.nodes > 0) {
    fail(ErrorCode::kInput, "proposals: expected rows");
  }
  const bool drawn = step.proposals == nullptr && step.siblings != Siblings::kFixed;
  for (int node = 0; drawn && node < step.nodes; ++node) {
    const int row = step.parents[node] + 1;
    if (step.drafter == nullptr || (step.drafter_rows != nullptr && !step.drafter_rows[row])) {
      fail(ErrorCode::kInput, "drafter: no row ", row, ", which node ", node, " was drawn from");
    }
  }
}

inline DrawAddress to_address(const Napi::Object& args) {
  bool lossless = true;
  const auto word = [&](const char* key) {
    return static_cast<uint32_t>(static_cast<int64_t>(to_number(args, key)));
  };
  return {args.Get("seed").As<Napi::BigInt>().Uint64Value(&lossless), word("request"),
          word("position"), word("step")};
}

inline std::vector<uint8_t> drafter_row_flags(const Napi::Object& args, size_t count) {
  const Napi::Value value = args.Get("drafterRows");
  if (!value.IsTypedArray()) return {};
  const auto array = value.As<Napi::Uint8Array>();
  if (array.ElementLength() < count) {
    fail(ErrorCode::kInput, "drafterRows: expected ", count, " flags, got ", array.ElementLength());
  }
  return {array.Data(), array.Data() + count};
}

// Rows stay JavaScript's; what decides where the core reads is copied, as other threads may write
// to shared memory.
template <typename Real>
class GivenStep {
 public:
  explicit GivenStep(const Napi::Object& args)
      : parents_(to_ints(args, "parents")),
        tokens_(to_ints(args, "tokens")),
        stops_(to_ints(args, "stopTokens")) {
    step_.rule = rule_of(args);
    step_.scaling = to_scaling(args);
    step_.vocabulary = vocabulary_of(args);
    check_nodes(parents_, tokens_, step_.vocabulary);
    step_.nodes = static_cast<int>(tokens_.size());
    step_.parents = parents_.data();
    step_.tokens = tokens_.data();
    const int64_t rows = step_.nodes + 1;
    step_.target = need_rows<Real>(args, "target", rows * step_.vocabulary);
    step_.drafter = to_rows<Real>(args, "drafter", rows * step_.vocabulary);
    drafter_rows_ = drafter_row_flags(args, static_cast<size_t>(rows));
    step_.drafter_rows = drafter_rows_.empty() ? nullptr : drafter_rows_.data();
    step_.proposals =
        to_rows<Real>(args, "proposals", static_cast<int64_t>(step_.nodes) * step_.vocabulary);
    step_.verifier = to_verifier(args);
    step_.siblings = to_siblings(args);
    step_.stops = stops_.data();
    step_.num_stops = static_cast<int>(stops_.size());
    step_.uniforms = to_rows<double>(args, "uniforms", rows);
    step_.at = to_address(args);
    if (step_.drafter == nullptr && reads_drafter(step_.rule.kind)) {
      fail(ErrorCode::kInput, "drafter: expected rows");
    }
    check_proposals(step_);
  }
  GivenStep(const GivenStep&) = delete;
  GivenStep& operator=(const GivenStep&) = delete;

  const StepArgs<Real>& step() const { return step_; }

 private:
  std::vector<int32_t> parents_, tokens_, stops_;
  std::vector<uint8_t> drafter_rows_;
  StepArgs<Real> step_ = {};
};

inline Napi::Object from_step(Napi::Env env, const StepResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("accepted", from_ints(env, result.accepted));
  object.Set("next", result.next);
  object.Set("deferral", from_floats(env, result.deferral));
  return object;
}

}  // namespace speccascade::addon
