// What steps on the device (engine/device_step.h) ask of it, which does not depend on batch or
// draft, and what becomes of sessions when it refuses: counted and made to fail by the emulation.
#include <cstdio>

#include "emulation/cuda_emulation.h"
#include "test/check.h"
#include "test/support/draft_plans.h"
#include "test/support/emulated_models.h"
#include "test/support/engine_rig.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr uint64_t kTargetSeed = 31, kDrafterSeed = 77;

struct Cost {
  emulation::DeviceCounts device;
  int64_t steps;
};

// What a request asks of the device: so many samples of so many tokens, decoded side by side.
Cost cost_of(EngineRig& rig, int samples, int tokens) {
  Request request = plain_request({5, 4, 3}, tokens);
  request.seeds.assign(static_cast<size_t>(samples), 1);
  const emulation::DeviceCounts before = emulation::device_counts();
  const std::vector<SampleLog> logs = rig.run(request);
  const emulation::DeviceCounts after = emulation::device_counts();
  return {{after.launches - before.launches, after.graphs - before.graphs,
           after.copies_down - before.copies_down, after.copies_up - before.copies_up,
           after.bytes_up - before.bytes_up, after.waits - before.waits},
          logs[0].stats.target_calls};
}

// A drafter has the target's weights: every greedy step of a model's drafts emits `emitted` tokens.
// The graphs are the draft's and the target's, whatever the draft's length and the batch are.
void count_steps(const DraftPlan& plan, int emitted, int samples) {
  const auto model = emulated_model(tiny_configs()[0].config, kTargetSeed, "f32");
  SessionLimits limits = limits_of(2, Widths{}, 40);
  limits.draft = plan;
  EngineRig rig(model, EngineRig::Drafters(static_cast<size_t>(plan.models()), model), limits);
  const int graphs = plan.kind == DraftKind::kNone ? 1 : 2;
  const Cost first = cost_of(rig, samples, 2 * emitted), second = cost_of(rig, samples, 1);
  CHECK(first.device.graphs == graphs, first.device.graphs, " graphs recorded");
  CHECK(second.device.graphs == 1 + plan.models(), second.device.graphs, " of encoders");
  const Cost two = cost_of(rig, samples, 2 * emitted), four = cost_of(rig, samples, 4 * emitted);
  const int64_t recorded = two.device.graphs + four.device.graphs, steps = four.steps - two.steps;
  CHECK(recorded == 0, "recorded again: ", recorded);
  CHECK(steps > 0, steps, " steps");
  const auto a_step = [&](int64_t emulation::DeviceCounts::*count) {
    return static_cast<double>(four.device.*count - two.device.*count) / static_cast<double>(steps);
  };
  CHECK(a_step(&emulation::DeviceCounts::launches) == graphs, "launches");
  CHECK(a_step(&emulation::DeviceCounts::waits) == 1, "waits");
  CHECK(a_step(&emulation::DeviceCounts::copies_up) == 1, "copies up");
  CHECK(a_step(&emulation::DeviceCounts::copies_down) == 1, "copies down");
  // Integers of the slots, not rows of the vocabulary.
  CHECK(a_step(&emulation::DeviceCounts::bytes_up) < 4096, "bytes up");
}

void steps_ask_the_same_of_the_device() {
  if (kSanitized) {
    std::printf("skipped: counting touches no memory that the other cases do not\n");
    return;
  }
  count_steps(levels({1, 1}), 3, 2);
  count_steps(levels({}), 1, 1);
  count_steps(levels({1, 1, 1}), 4, 1);
  count_steps(levels({2, 2}), 3, 1);
  count_steps(copies({1, 1, 1}), 4, 1);
  count_steps(dynamic_tree(1, 1), 2, 2);
  count_steps(cascade({1, 1, 0, 1}, false), 3, 1);
}

// Graphs are a session's own, and so is what goes wrong with them.
void sessions_fail_alone() {
  constexpr int kTokens = kSanitized ? 3 : 6;
  const T5Config config = tiny_configs()[0].config;
  const auto target = emulated_model(config, kTargetSeed, "f32"),
             drafter = emulated_model(config, kDrafterSeed, "f32");
  EngineRig chain(target, drafter, limits_of(1, {1, 1}, kTokens)),
      plain(target, nullptr, limits_of(1, {}, kTokens));
  const Request request = plain_request({5, 4, 3}, kTokens);
  plain.run(plain_request({5, 4, 3}, 1));
  const std::vector<int32_t> expected = plain.run(request)[0].tokens;  // all is recorded
  emulation::fail_recordings(1);
  const uint64_t failing = chain.engine.submit(request), working = plain.engine.submit(request);
  const SampleLog failed = chain.wait(failing, request)[0];
  CHECK(failed.end == Event::End::kFailed && failed.error == ErrorCode::kDevice, "end");
  CHECK(failed.message.find("recording a graph") != failed.message.npos, failed.message);
  CHECK(plain.wait(working, request)[0].tokens == expected, "the session beside it");
  for (int round = kSanitized ? 1 : 0; round < 2; ++round) {
    CHECK(chain.run(request)[0].tokens == expected, "the session afterwards");
  }
}

// An input that the drafters failed to encode is encoded again before the next sample drafts.
void samples_after_a_failed_encoder_pass() {
  constexpr int kTokens = 12;
  const T5Config config = tiny_configs()[0].config;
  const auto target = emulated_model(config, kTargetSeed, "f32"),
             drafter = emulated_model(config, kDrafterSeed, "f32");
  SessionLimits limits = limits_of(1, {1, 1}, kTokens);
  limits.draft.follows_load = true;
  // The rule reads the drafter, so that what it has encoded decides the tokens.
  Request request = plain_request({5, 4, 3}, kTokens);
  request.rule = {RuleKind::kChow, 0.3, 0.0};
  request.temperature = 1.0f;
  request.seeds = {1, 2, 3};
  const std::vector<SampleLog> expected = EngineRig(target, drafter, limits).run(request);
  EngineRig rig(target, drafter, limits);
  // The second time work comes it is recorded: the target's passes here, without drafts,
  for (int round = 0; round < 2; ++round) rig.run(plain_request({9, 8, 7}, 2));
  // and next time the drafter's encoder pass.
  Request first = request;
  first.input_ids = {9, 8, 7};
  first.seeds = {4};
  rig.run(first);
  emulation::fail_recordings(1);
  const std::vector<SampleLog> samples = rig.run(request);
  CHECK(samples[0].end == Event::End::kFailed, "the sample that was to draft first");
  for (size_t s = 1; s < samples.size(); ++s) {
    CHECK(same_result(samples[s], expected[s]), "sample ", s);
  }
}

// Nothing of a request whose encoder pass failed is decoded: not its samples that wait, either.
void requests_whose_encoder_pass_fails() {
  constexpr int kTokens = 1;
  const auto model = emulated_model(tiny_configs()[0].config, kTargetSeed, "f32");
  EngineRig rig(model, nullptr, limits_of(2, Widths{}, kTokens));
  rig.run(plain_request({9, 8, 7}, 1));
  Request request = plain_request({5, 4, 3}, kTokens);
  request.seeds = {1, 2, 3, 4, 5};
  emulation::fail_recordings(1);  // of the encoder's second pass
  for (const SampleLog& sample : rig.run(request)) {
    CHECK(sample.end == Event::End::kFailed && sample.error == ErrorCode::kDevice, "end");
    CHECK(sample.ends == 1 && sample.tokens.empty(), sample.tokens.size(), " tokens");
  }
  CHECK(rig.engine.stats().queued == 0, rig.engine.stats().queued, " in the queue");
  request.seeds = {1};
  CHECK(rig.run(request)[0].end == Event::End::kLength, "the session afterwards");
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(steps_ask_the_same_of_the_device), CASE(sessions_fail_alone),
       CASE(samples_after_a_failed_encoder_pass), CASE(requests_whose_encoder_pass_fails)});
}
