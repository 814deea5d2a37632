// A step's drafts in one kernel that stays on the device, under the emulation: sessions have the
// tokens and counters that the kernels round by round give them.
#include "test/check.h"
#include "test/support/emulated_models.h"
#include "test/support/engine_rig.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr uint64_t kTargetSeed = 31, kDrafterSeed = 77;

struct Session {
  const char* name;
  const char* dtype;
  Widths widths;
  float temperature;
  RuleKind rule = RuleKind::kLossless;
  float confidence_stop = 0.0f;
  bool adaptive = false;
};

// Those in int8 have one kernel a pass, which stays; their loop has others in between.
const Session kSessions[] = {
    {"greedy chain", "int8", {1, 1, 1}, 0.0f},
    {"sampled tree", "bf16", {3, 2}, 0.9f},
    {"lengths that adapt, a rule, stopped early",
     "bf16",
     {1, 1, 1},
     0.9f,
     RuleKind::kChow,
     0.02f,
     true},
};

// More requests than slots, of different lengths.
std::vector<SampleLog> decode(const Session& session, Executor executor, int tokens) {
  const T5Config config = tiny_configs()[1].config;
  SessionLimits limits = limits_of(2, session.widths, tokens);
  if (session.adaptive) {
    limits.draft.adaptive = {true, static_cast<int>(session.widths.size()), 0.0f};
  }
  EngineRig rig(emulated_model(config, kTargetSeed, session.dtype, Executor::kKernels),
                emulated_model(config, kDrafterSeed, session.dtype, executor), limits);
  std::vector<Request> requests;
  std::vector<uint64_t> ids;
  for (int i = 0; i < 3; ++i) {
    Request request = plain_request({5 + i, 4, 3}, tokens - i);
    request.temperature = session.temperature;
    request.top_k = i == 1 ? 20 : 0;
    request.seeds = {static_cast<uint64_t>(11 + i)};
    request.rule.kind = session.rule;
    request.confidence_stop = session.confidence_stop;
    requests.push_back(request);
    ids.push_back(rig.engine.submit(request));
  }
  std::vector<SampleLog> samples;
  for (size_t i = 0; i < ids.size(); ++i) samples.push_back(rig.wait(ids[i], requests[i])[0]);
  return samples;
}

void sessions_are_those_of_the_kernels() {
  for (const Session& session : kSessions) {
    // The others touch the same memory.
    if (kSanitized && !session.adaptive) continue;
    const int tokens = kSanitized ? 4 : 7;
    const std::vector<SampleLog> expected = decode(session, Executor::kKernels, tokens),
                                 got = decode(session, Executor::kPersistent, tokens);
    for (size_t i = 0; i < got.size(); ++i) {
      CHECK(same_result(got[i], expected[i]), session.name, " request ", i, ": ", got[i].message);
      CHECK(got[i].stats.draft_calls == expected[i].stats.draft_calls, session.name, " passes");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, {CASE(sessions_are_those_of_the_kernels)});
}
