// Steps that stay on the device (engine/device_step.h): outputs are those of the CPU's engine.
#include "test/check.h"
#include "test/support/draft_plans.h"
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

// With a successor for every third token.
DraftPlan copies_of(const Widths& widths) {
  std::vector<int32_t> bigrams;
  const int vocabulary = tiny_configs()[0].config.vocab_size;
  for (int token = 0; token < vocabulary; ++token) {
    bigrams.push_back(token % 3 == 0 ? (token + 7) % vocabulary : -1);
  }
  return copies(widths, bigrams);
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
  const std::vector<SampleLog> expected = decode(cpu, requests), got = decode(device, requests);
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
    {"dynamic tree", dynamic_tree(6, 3)},
    {"dynamic tree, Token V3", dynamic_tree(9, 3), RuleKind::kTokenV3},
    {"dynamic tree, confidence stop", dynamic_tree(5, 2), RuleKind::kDiff, Verifier::kToken, 0.02f,
     true},
    {"copied chain", copies_of({1, 1, 1}), RuleKind::kLossless, Verifier::kToken, 0.0f, true},
    {"copied tree", copies_of({2, 2})},
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

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, {CASE(greedy_equals_the_cpu), CASE(sampling_equals_the_cpu)});
}
