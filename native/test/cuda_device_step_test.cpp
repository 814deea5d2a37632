// Steps that stay on the device (engine/device_step.h), under the emulation: outputs are those of
// the CPU's engine, and what a step asks of the device does not depend on batch or draft.
#include <algorithm>
#include <cstdio>

#include "emulation/cuda_emulation.h"
#include "test/check.h"
#include "test/support/emulated_models.h"
#include "test/support/engine_rig.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr uint64_t kTargetSeed = 31, kDrafterSeed = 77;

struct Session {
  const char* name;
  DraftPlan plan;
  RuleKind rule = RuleKind::kLossless;
  Verifier verifier = Verifier::kToken;
  float confidence_stop = 0.0f;
  bool alike = false;  // in the memory that it touches, to another of the list
};

DraftPlan levels(const Widths& widths, bool replacement = false) {
  DraftPlan plan;
  plan.kind = widths.empty() ? DraftKind::kNone : DraftKind::kLevels;
  plan.widths = widths;
  plan.replacement = replacement;
  return plan;
}

DraftPlan paths(int nodes, int depth) {
  DraftPlan plan;
  plan.kind = DraftKind::kDynamicTree;
  plan.nodes = nodes;
  plan.depth = depth;
  return plan;
}

// With a successor for every third token.
DraftPlan copies(const Widths& widths) {
  DraftPlan plan;
  plan.kind = DraftKind::kCopy;
  plan.widths = widths;
  const int vocabulary = tiny_configs()[0].config.vocab_size;
  for (int token = 0; token < vocabulary; ++token) {
    plan.bigrams.push_back(token % 3 == 0 ? (token + 7) % vocabulary : -1);
  }
  return plan;
}

DraftPlan cascade(std::vector<int32_t> lengths, bool with_copies, double lenience = 1.0) {
  DraftPlan plan;
  plan.kind = DraftKind::kCascade;
  plan.lengths = std::move(lengths);
  plan.copies = with_copies;
  plan.lenience = lenience;
  return plan;
}

std::vector<Request> requests_of(const Session& session, const T5Config& config, float temperature,
                                 int tokens) {
  TestRandom random(5);
  std::vector<Request> requests;
  for (int i = 0; i < 3; ++i) {
    std::vector<int32_t> input;
    for (int at = 0; at < 4 + 3 * i; ++at) input.push_back(random.below(config.vocab_size));
    Request request = plain_request(input, tokens - i);
    request.temperature = temperature;
    request.top_k = i == 1 ? 20 : 0;
    request.top_p = i == 2 ? 0.9f : 1.0f;
    request.seeds = {random.bits()};
    request.rule.kind = session.rule;
    request.rule.alpha = 0.3;
    request.verifier = session.verifier;
    request.confidence_stop = session.confidence_stop;
    if (i == 0) request.suppress_tokens = {1, 2, 3};
    requests.push_back(request);
  }
  return requests;
}

SessionLimits limits(const Session& session, int tokens) {
  SessionLimits limits = limits_of(2, Widths{}, tokens);
  limits.draft = session.plan;
  return limits;
}

// More requests than slots, so that one begins while others decode.
std::vector<SampleLog> decode(EngineRig& rig, const std::vector<Request>& requests) {
  std::vector<uint64_t> ids;
  for (const Request& request : requests) ids.push_back(rig.engine.submit(request));
  std::vector<SampleLog> samples;
  for (size_t i = 0; i < ids.size(); ++i) {
    samples.push_back(rig.wait(ids[i], requests[i])[0]);
  }
  return samples;
}

void compare(const Session& session, float temperature) {
  if (kSanitized && session.alike) return;
  constexpr int kTokens = kSanitized ? 3 : 5;
  const T5Config config = tiny_configs()[0].config;
  EngineRig::Drafters drafters, device_drafters;
  for (int i = 0; i < session.plan.models(); ++i) {
    const uint64_t seed = kDrafterSeed + static_cast<uint64_t>(i);
    drafters.push_back(random_model(config, seed, "f32"));
    device_drafters.push_back(emulated_model(config, seed, "f32"));
  }
  const auto target = random_model(config, kTargetSeed, "f32");
  const auto device_target = emulated_model(config, kTargetSeed, "f32");
  const std::vector<Request> requests = requests_of(session, config, temperature, kTokens);
  EngineRig cpu(target, drafters, limits(session, kTokens));
  EngineRig device(device_target, device_drafters, limits(session, kTokens));
  const int64_t graphs = emulation::device_counts().graphs;
  const std::vector<SampleLog> expected = decode(cpu, requests), got = decode(device, requests);
  const int64_t recorded = emulation::device_counts().graphs - graphs;
  CHECK(recorded >= 2 + session.plan.models(), session.name, ": ", recorded, " graphs");
  for (size_t i = 0; i < requests.size(); ++i) {
    CHECK(got[i].end == expected[i].end, session.name, " request ", i, ": ", got[i].message);
    CHECK(got[i].tokens == expected[i].tokens, session.name, " request ", i);
    CHECK(got[i].accepted == expected[i].accepted, session.name, " request ", i);
    CHECK(got[i].stats.draft_calls == expected[i].stats.draft_calls, session.name, " passes");
    CHECK(got[i].stats.proposed == expected[i].stats.proposed, session.name, " proposed");
    CHECK(got[i].stats.tested == expected[i].stats.tested, session.name, " tested");
    CHECK(got[i].stats.decided == expected[i].stats.decided, session.name, " decided");
  }
}

const Session kSessions[] = {
    {"no drafter", levels({})},
    {"chain", levels({1, 1, 1}), RuleKind::kLossless, Verifier::kToken, 0.0f, true},
    {"tree", levels({3, 2})},
    {"chain, block", levels({1, 1, 1}), RuleKind::kLossless, Verifier::kBlock},
    {"tree, K-SEQ", levels({2, 2}, true), RuleKind::kLossless, Verifier::kKseq},
    {"chain, Chow", levels({1, 1, 1}), RuleKind::kChow, Verifier::kToken, 0.0f, true},
    {"tree, Token V3", levels({2, 2}), RuleKind::kTokenV3},
    {"chain, confidence stop", levels({1, 1, 1}), RuleKind::kLossless, Verifier::kToken, 0.02f},
    {"trusted, Chow", levels({1, 1, 1}), RuleKind::kChow, Verifier::kTrusted, 0.0f, true},
    {"dynamic tree", paths(6, 3)},
    {"dynamic tree, Token V3", paths(9, 3), RuleKind::kTokenV3},
    {"dynamic tree, confidence stop", paths(5, 2), RuleKind::kDiff, Verifier::kToken, 0.02f, true},
    {"copied chain", copies({1, 1, 1}), RuleKind::kLossless, Verifier::kToken, 0.0f, true},
    {"copied tree", copies({2, 2})},
    {"cascade", cascade({1, 1, 0, 1}, false), RuleKind::kLossless, Verifier::kToken, 0.0f, true},
    {"cascade with copies", cascade({1, 1, 1, 0, 1, 1, 0, 0, 2}, true), RuleKind::kLossless,
     Verifier::kToken, 0.0f, true},
    {"lenient cascade, Chow", cascade({1, 2, 0, 2}, true, 4.0), RuleKind::kChow},
    {"cascade of copies", cascade({3}, true), RuleKind::kLossless, Verifier::kToken, 0.0f, true},
};

void greedy_equals_the_cpu() {
  for (const Session& session : kSessions) {
    const bool plain = session.verifier == Verifier::kToken && session.confidence_stop == 0.0f;
    // Alike at any temperature.
    const bool copied = kSanitized && session.plan.uses_copies();
    const bool lenient = session.plan.lenience > 1.0;
    const bool widths = session.plan.widths.size() > 1 && !session.plan.replacement;
    const bool tree = widths || session.plan.kind == DraftKind::kDynamicTree;
    if (plain && (tree || lenient) && !copied) compare(session, 0.0f);
  }
}

void sampling_equals_the_cpu() {
  for (const Session& session : kSessions) compare(session, 0.9f);
}

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
  count_steps(copies({1, 1, 1}), 4, 1);
  count_steps(paths(1, 1), 2, 2);
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

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(greedy_equals_the_cpu), CASE(sampling_equals_the_cpu),
                    CASE(steps_ask_the_same_of_the_device), CASE(sessions_fail_alone),
                    CASE(samples_after_a_failed_encoder_pass)});
}
