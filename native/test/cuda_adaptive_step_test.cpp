// Draft lengths chosen step by step, on the emulated device: drafts, tokens and passes are those of
// the CPU's engine, also where a drafter was given up for long and has much to catch up with.
#include "decode/cascade_state.h"
#include "engine/device_drafter.h"
#include "engine/device_step.h"
#include "test/check.h"
#include "test/support/draft_plans.h"
#include "test/support/emulated_models.h"
#include "test/support/engine_rig.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr uint64_t kTargetSeed = 31, kDrafterSeed = 77;

const DraftPlan kCascade = cascade({2, 2, 0, 2}, true);

SessionLimits limits(DraftKind kind, int tokens) {
  constexpr int kMost = 4;
  SessionLimits limits = limits_of(2, Widths(kMost, 1), tokens);
  limits.draft.kind = kind;
  limits.draft.adaptive = {true, kMost, 0.0f};
  if (kind == DraftKind::kCascade) {
    limits.draft.widths.clear();
    limits.draft.lengths = {2};
  }
  return limits;
}

// Half the cost of its target: worth a few trials, not more.
T5Config smaller(T5Config config) {
  config.num_decoder_layers = 1;
  config.d_ff = 48;
  return config;
}

// Two requests side by side, so that one catches up while the other drafts.
std::vector<SampleLog> decode(EngineRig& rig, const Rule& rule, float temperature, int tokens) {
  std::vector<uint64_t> ids;
  std::vector<Request> requests;
  for (int i = 0; i < 2; ++i) {
    Request request = plain_request({3 + i, 1, 4}, tokens - 5 * i);
    request.temperature = temperature;
    request.eos_tokens.clear();  // as long as was asked for
    request.rule = i == 0 ? Rule{} : rule;
    request.seeds = {static_cast<uint64_t>(11 + i)};
    requests.push_back(request);
    ids.push_back(rig.engine.submit(request));
  }
  std::vector<SampleLog> samples;
  for (size_t i = 0; i < ids.size(); ++i) samples.push_back(rig.wait(ids[i], requests[i])[0]);
  return samples;
}

// Passes of the drafter of the first request, which drafts for speed alone. `drafts`: null for
// copies.
int64_t compare(const T5Config* drafts, const Rule& rule, float temperature, int tokens,
                DraftKind kind = DraftKind::kLevels) {
  const T5Config config = tiny_configs()[0].config;
  const SessionLimits session = limits(drafts ? kind : DraftKind::kCopy, tokens);
  EngineRig cpu(random_model(config, kTargetSeed),
                drafts ? random_model(*drafts, kDrafterSeed) : nullptr, session);
  EngineRig device(emulated_model(config, kTargetSeed, "f32"),
                   drafts ? emulated_model(*drafts, kDrafterSeed, "f32") : nullptr, session);
  const std::vector<SampleLog> expected = decode(cpu, rule, temperature, tokens);
  const std::vector<SampleLog> got = decode(device, rule, temperature, tokens);
  for (size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i].tokens == expected[i].tokens, "request ", i, ": ", got[i].message);
    CHECK(got[i].accepted == expected[i].accepted, "request ", i);
    CHECK(got[i].stats.draft_calls == expected[i].stats.draft_calls, "passes of request ", i, ": ",
          got[i].stats.draft_calls[0], ", on the CPU ", expected[i].stats.draft_calls[0]);
    CHECK(got[i].stats.proposed == expected[i].stats.proposed, "proposed of request ", i);
  }
  return got[0].stats.draft_calls[0];
}

// A stranger is given up and tried again, behind by more than two passes take.
void given_up_and_tried_again() {
  const T5Config config = smaller(tiny_configs()[0].config);
  const int tokens = 48;
  for (const DraftKind kind : {DraftKind::kLevels, DraftKind::kCascade}) {
    const int64_t calls = compare(&config, Rule{}, 1.0f, tokens, kind);
    CHECK(calls > 4 && calls < 2 * tokens, calls, " passes");
  }
}

void sampled_and_beside_a_rule_that_reads() {
  const T5Config config = smaller(tiny_configs()[0].config);
  compare(&config, {RuleKind::kTokenV3, 0.5, 1.0}, 0.9f, 12);
}

// However far a drafter lags, its graphs are those of the drafts' lengths and one to catch up in;
// and where the step does not ask it about the slot, it stays behind: it may not have its input.
void catches_up(const DraftPlan& plan, int passes, int rounds) {
  const auto model = emulated_model(tiny_configs()[0].config, kTargetSeed, "f32");
  const int vocabulary = model->config.vocab_size, tokens = 400;
  SessionLimits session = limits_of(2, Widths(4, 1), tokens);
  session.draft = plan;
  session.draft.follows_load = true;
  SlotTables tables(session, vocabulary);
  const LaneLimits lane = {session.max_batch, session.max_input_tokens,
                           SlotTables::cache_rows(session), false};
  const DraftContext context = {
      tables.sequences(), tables.drafter_sampling(), lane, session.max_prefix_tokens, vocabulary,
      model.get()};
  const auto drafter = make_drafter(session.draft, {model.get(), model.get()}, context);
  PassMemory memory(*model);
  const auto device = make_device_drafter(session, memory, drafter.get());
  tables.assign(0, plain_request({3}, tokens), 1);
  drafter->start(0, 0);
  const SequenceState& state = tables.sequences();
  for (const int length : {1, passes, passes + 1, tokens - 5}) {
    state.length[0] = state.draft_lag[0] = length;
    empty_drafts(state);
    CHECK(device->rounds(state) == rounds, device->rounds(state), " rounds at length ", length);
    CHECK(device->catch_ups(state) == (length - 1) / passes, "length ", length);
    state.draft_limit[0] = 0;
    CHECK(device->catch_ups(state) == 0, "not asked at length ", length);
    CHECK(device->rounds(state) == 0, device->rounds(state), " rounds without a draft");
  }
}

void lags_need_no_graphs_of_their_own() {
  catches_up(levels(Widths(4, 1)), kLaggingPass, 4);
  const int nodes = kCascade.max_nodes();
  catches_up(kCascade, cascade_most_behind(1, nodes), 2 * nodes);
}

void copied_drafts() { compare(nullptr, Rule{}, 0.9f, 12); }

// Lengths follow clocks, so steps differ; greedy tokens do not.
void lengths_by_load() {
  constexpr int kLength = 14;
  const T5Config config = tiny_configs()[0].config;
  const auto target = emulated_model(config, kTargetSeed, "f32");
  const auto stranger = emulated_model(smaller(config), kDrafterSeed, "f32");
  EngineRig plain(target, nullptr, limits_of(2, {}, kLength));
  const std::vector<SampleLog> expected = decode(plain, Rule{}, 0.0f, kLength);
  SessionLimits session = limits_of(2, Widths(3, 1), kLength);
  for (const DraftPlan& plan : {session.draft, kCascade}) {
    session.draft = plan;
    session.draft.follows_load = true;
    CHECK(DeviceStep::runs(session, *target, {stranger.get()}), "steps stay on the device");
    EngineRig rig(target, stranger, session);
    const std::vector<SampleLog> got = decode(rig, Rule{}, 0.0f, kLength);
    for (size_t i = 0; i < got.size(); ++i) {
      CHECK(got[i].tokens == expected[i].tokens, "request ", i, ": ", got[i].message);
      CHECK(got[i].stats.proposed > 0, "nothing was tried for request ", i);
    }
  }
}

// Drafts are tried after three plain steps that count, not the first two.
void first_steps_are_not_timed() {
  const auto model = emulated_model(tiny_configs()[0].config, kTargetSeed, "f32");
  SessionLimits session = limits_of(1, Widths(3, 1), 7);
  session.draft.follows_load = true;
  for (const int tokens : {6, 7}) {  // the last step has nothing to draft
    EngineRig rig(model, model, session);
    const int64_t calls = rig.run(plain_request({5}, tokens))[0].stats.draft_calls[0];
    CHECK((calls > 0) == (tokens == 7));
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Case> cases = {CASE(sampled_and_beside_a_rule_that_reads), CASE(copied_drafts),
                             CASE(lags_need_no_graphs_of_their_own), CASE(lengths_by_load),
                             CASE(first_steps_are_not_timed)};
  if (!kSanitized) cases.push_back(CASE(given_up_and_tried_again));
  return run_cases(argc, argv, cases);
}
