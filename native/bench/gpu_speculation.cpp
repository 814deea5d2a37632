// Speculative decoding of one sequence on a GPU, from end to end: a chain of a small model's drafts
// against the target alone, by the wall clock, and what the steps cost by the device's.
//
//   gpu_speculation [TARGET DRAFTER] [--dtype bf16|f16|int8] [--executor kernels|persistent]
//                   [--gamma N] [--tokens N] [--source N]
//
// Weights are random (XXL: 22 GB in bf16), so acceptance is set by construction: at a temperature
// far above all logits both models' distributions are all but uniform, and most drafts are
// accepted; how many is printed. Prints a line of JSON. Exit code 77: there is no GPU, with the
// reason on standard error.
#include <chrono>
#include <cstdio>
#include <optional>

#include "bench/options.h"
#include "bench/shapes.h"
#include "engine/stepper.h"
#include "model/pass_times.h"

namespace {

using namespace speccascade;
using namespace speccascade::bench;
using Clock = std::chrono::steady_clock;

constexpr float kTemperature = 1e4f;

struct Options {
  std::string dtype = "bf16", executor = "kernels";
  int gamma = 7, tokens = 256, source = 64;  // a pass over eight positions
};

struct Decoding {
  Times token_ms;   // by the wall clock, of three runs
  double draft_ms;  // of a step, by the device's; medians
  double target_ms;
  int64_t steps, tokens, proposed, accepted;
};

SessionLimits limits_of(const Options& options, int gamma) {
  SessionLimits limits;
  limits.max_batch = 1;
  limits.max_input_tokens = options.source;
  limits.max_new_tokens = options.tokens;
  if (gamma > 0) limits.draft.kind = DraftKind::kLevels;
  limits.draft.widths.assign(static_cast<size_t>(gamma), 1);
  return limits;
}

// After a first time, when graphs are recorded and clocks are up. Counts are those of the last.
Decoding decode(const Model& target, const Model* drafter, const Options& options, int gamma) {
  std::vector<const Model*> drafters;
  if (gamma > 0) drafters.push_back(drafter);
  Stepper stepper(target, drafters, limits_of(options, gamma));
  if (stepper.device_step() == nullptr) fail(ErrorCode::kDevice, "steps are not the device's");
  Request request;
  request.input_ids.assign(static_cast<size_t>(options.source), 5);
  request.prefix = {0};
  request.max_new_tokens = options.tokens;
  request.temperature = kTemperature;
  const SequenceState& state = stepper.sequences();
  Decoding result = {};
  std::vector<double> token_ms;
  for (const uint64_t seed : {1, 2, 3, 4}) {
    result = {};
    std::vector<double> draft, verify;
    stepper.encode({&request.input_ids}, {0});
    stepper.start(0, 0, request, seed);
    const auto begin = Clock::now();
    while (state.finish[0] == 0 && state.failure[0] == 0) {
      stepper.step();
      draft.push_back(stepper.device_step()->draft_ms());
      verify.push_back(stepper.device_step()->target_ms());
      result.tokens += state.emitted[0];
      result.proposed += state.draft_count[0];
      result.accepted += state.accepted[0];
    }
    const std::chrono::duration<double, std::milli> taken = Clock::now() - begin;
    if (state.failure[0] != 0) fail(ErrorCode::kNumeric, "failure ", state.failure[0]);
    stepper.stop(0);
    result.steps = static_cast<int64_t>(draft.size());
    if (seed > 1) token_ms.push_back(taken.count() / static_cast<double>(result.tokens));
    result.draft_ms = times_of(draft).median;
    result.target_ms = times_of(verify).median;
  }
  result.token_ms = times_of(token_ms);
  return result;
}

int run(const std::vector<std::string>& words) {
  Options options;
  std::vector<std::string> shapes = read_options(words, {{"--dtype", &options.dtype},
                                                         {"--executor", &options.executor},
                                                         {"--gamma", &options.gamma, 64},
                                                         {"--tokens", &options.tokens, 4096},
                                                         {"--source", &options.source, 4096}});
  if (shapes.empty()) shapes = {"xxl", "small"};
  if (shapes.size() != 2) fail(ErrorCode::kInput, "expected the shapes of a target and a drafter");
  const Executor executor = executor_named(options.executor);
  const auto target = random_model(shape_named(shapes[0]), options.dtype, executor, 1);
  const auto drafter = random_model(shape_named(shapes[1]), options.dtype, executor, 2);
  const Decoding alone = decode(*target, nullptr, options, 0);
  const Decoding one = decode(*target, drafter.get(), options, 1);
  const Decoding many = decode(*target, drafter.get(), options, options.gamma);
  // A token more of a draft, sampling included.
  const double drafted = (many.draft_ms - one.draft_ms) / std::max(1, options.gamma - 1);
  const PassTimes pass = time_decoder(*drafter, {1}, options.tokens / 2, options.source, 11);
  const auto a_step = static_cast<double>(many.tokens) / static_cast<double>(many.steps);
  const double predicted = a_step * alone.target_ms / (many.draft_ms + many.target_ms);
  std::printf(
      "{\"target\": \"%s\", \"drafter\": \"%s\", \"dtype\": \"%s\", \"executor\": \"%s\", "
      "\"gamma\": %d, \"accepted\": %.4f, \"tokensPerStep\": %.3f, \"aloneTokenMs\": %.6f, "
      "\"tokenMs\": %.6f, \"leastTokenMs\": %.6f, \"speedup\": %.4f, \"predicted\": %.4f, "
      "\"aloneTargetMs\": %.6f, "
      "\"targetMs\": %.6f, \"draftMs\": %.6f, \"draftedTokenMs\": %.6f, \"draftedBytes\": %.0f, "
      "\"phases\": %d}\n",
      shapes[0].c_str(), shapes[1].c_str(), options.dtype.c_str(), options.executor.c_str(),
      options.gamma,
      static_cast<double>(many.accepted) / static_cast<double>(std::max<int64_t>(many.proposed, 1)),
      a_step, alone.token_ms.median, many.token_ms.median, many.token_ms.least,
      alone.token_ms.median / many.token_ms.median, predicted, alone.target_ms, many.target_ms,
      many.draft_ms, drafted, pass.bytes[0], pass.phases);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run_on_gpu("gpu_speculation", argc, argv, run); }
