// The low-level functions that run on a GPU.
#include "addon/lowlevel.h"
#include "addon/lowlevel_convert.h"
#include "addon/lowlevel_given_step.h"
#include "decode/draft_plan.h"
#include "decode/position_cuda.h"
#include "decode/step_cuda.h"

namespace speccascade::addon {

namespace {

Napi::Value device_position(Napi::Env env, const Napi::Object& args) {
  const int vocabulary = vocabulary_of(args);
  DevicePosition position;
  position.vocabulary = vocabulary;
  position.target = need_rows<float>(args, "target", vocabulary);
  position.drafter = to_rows<float>(args, "drafter", vocabulary);
  position.target_unscaled = to_rows<float>(args, "targetUnscaled", vocabulary);
  position.drafter_unscaled = to_rows<float>(args, "drafterUnscaled", vocabulary);
  position.scaling = to_scaling(args);
  position.rule = rule_of(args);
  const bool unscaled = position.target_unscaled != nullptr;
  if (reads_drafter(position.rule.kind) &&
      (position.drafter == nullptr || (position.drafter_unscaled != nullptr) != unscaled)) {
    fail(ErrorCode::kInput, "drafter: expected rows of the target's form");
  }
  const DevicePositionRows rows = position_on_cuda(to_int(args, "device", 0, 999), position);
  const auto row = [&](const std::vector<float>& values) {
    auto array = new_rows<float>(env, vocabulary);
    std::copy(values.begin(), values.end(), array.Data());
    return array;
  };
  Napi::Object object = Napi::Object::New(env);
  object.Set("target", row(rows.target));
  object.Set("pi", row(rows.pi));
  object.Set("deferral", rows.deferral);
  return object;
}

// What a session's kernels take no part in.
void check_device_step(const StepArgs<float>& step) {
  const auto only_here = [](bool given, const std::string& what) {
    if (given) fail(ErrorCode::kDevice, what, ": on the CPU alone");
  };
  only_here(step.nodes > kMaxDraftNodes,
            "more than " + std::to_string(kMaxDraftNodes) + " candidates");
  only_here(step.uniforms != nullptr, "uniforms");
  only_here(step.drafter_rows != nullptr, "drafterRows");
  const bool tree =
      step.verifier == StepVerifier::kTree || step.verifier == StepVerifier::kTraversal;
  only_here(tree && step.proposals != nullptr, "proposals, by tree or traversal");
  only_here(step.at.request != 0, "request");
  only_here(step.at.position > (1u << 30), "position above 2^30");
}

Verifier device_verifier(StepVerifier verifier) {
  switch (verifier) {
    case StepVerifier::kBlock:
      return Verifier::kBlock;
    case StepVerifier::kTraversal:
      return Verifier::kTraversal;
    case StepVerifier::kChain:
    case StepVerifier::kTree:
      break;
  }
  return Verifier::kToken;
}

Napi::Value device_verify(Napi::Env env, const Napi::Object& args) {
  const GivenStep<float> given(args);
  const StepArgs<float>& step = given.step();
  check_device_step(step);
  const std::vector<int32_t> depths = node_depths(step.parents, step.nodes);
  DeviceStepArgs wanted;
  wanted.rule = step.rule;
  wanted.scaling = step.scaling;
  wanted.vocabulary = step.vocabulary;
  wanted.draft = {step.nodes,    step.tokens,       step.parents,
                  depths.data(), levels_of(depths), device_verifier(step.verifier),
                  step.at};
  wanted.chain = step.verifier == StepVerifier::kChain || step.verifier == StepVerifier::kBlock;
  wanted.target = step.target;
  wanted.drafter = step.drafter;
  wanted.proposals = step.proposals;
  wanted.siblings = step.siblings;
  wanted.stops.assign(step.stops, step.stops + step.num_stops);
  return from_step(env, step_on_cuda(to_int(args, "device", 0, 999), wanted));
}

}  // namespace

void define_lowlevel_device(Napi::Object& functions) {
  define_function(functions, "deviceVerify", device_verify);
  define_function(functions, "devicePosition", device_position);
}

}  // namespace speccascade::addon
