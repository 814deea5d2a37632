// What the engine emits against a plain decoding loop: greedy with every edit and ending, sampling
// with the documented uniforms, and the law of sampled speculation by a chi-square test.
#include "test/check.h"
#include "test/support/engine_rig.h"
#include "test/support/plain_decoding.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

void check_counts(const SampleLog& sample, const SessionLimits& limits, const std::string& what) {
  const int levels = limits.draft.max_path();
  int64_t accepted = 0;
  for (const int n : sample.accepted) {
    CHECK(n >= 0 && n <= levels, what);
    accepted += n;
  }
  const DecodeStats& stats = sample.stats;
  CHECK(stats.target_calls == static_cast<int64_t>(sample.accepted.size()), what);
  CHECK(stats.accepted == accepted, what);
  CHECK(accepted <= stats.tested && stats.tested <= stats.proposed, what);
  CHECK(stats.proposed <= limits.draft.max_nodes() * stats.target_calls, what);
  const int64_t draft_calls = stats.draft_calls.empty() ? 0 : stats.draft_calls[0];
  CHECK(draft_calls <= levels * stats.target_calls, what);
  if (limits.draft.max_nodes() == levels) CHECK(draft_calls == stats.proposed, what);
  CHECK(static_cast<int64_t>(sample.tokens.size()) <= accepted + stats.target_calls, what);
}

void compare_greedy(const NamedConfig& named, const std::shared_ptr<const Model>& target,
                    const std::shared_ptr<const Model>& drafter, const Widths& widths,
                    uint64_t seed) {
  const SessionLimits limits = limits_of(3, widths);
  EngineRig rig(target, drafter, limits);
  TestRandom random(seed);
  for (int i = 0; i < 8; ++i) {
    const Request request = random_request(random, named.config.vocab_size);
    const SampleLog sample = rig.run(request)[0];
    const std::string what = named.name + " levels " + std::to_string(widths.size()) + " nodes " +
                             std::to_string(limits.draft.max_nodes());
    check_sample(sample, decode_plainly(target, request), what);
    check_counts(sample, limits, what);
    if (drafter == target) CHECK(sample.stats.tested == sample.stats.accepted, what);
  }
}

// Greedy output is the target's own, whatever the draft's shape and the drafter.
void greedy_equals_the_plain_loop() {
  uint64_t seed = 10;
  for (const NamedConfig& named : tiny_configs()) {
    const auto target = random_model(named.config, ++seed);
    const auto stranger = random_model(named.config, ++seed);
    compare_greedy(named, target, nullptr, {}, seed);
    for (size_t gamma = 1; gamma <= 8; ++gamma) {
      // A drafter that is never wrong and one that is.
      compare_greedy(named, target, gamma % 2 ? target : stranger, Widths(gamma, 1), seed);
    }
    for (const Widths& widths : {Widths{3}, {2, 2}, {4, 2, 1}, {1, 3, 2, 1}}) {
      compare_greedy(named, target, target, widths, seed);
      compare_greedy(named, target, stranger, widths, seed);
    }
  }
}

// bf16 weights: the same statement, with the bf16 model's own greedy output.
void greedy_in_bf16() {
  const T5Config config = tiny_configs()[2].config;
  const auto target = random_model(config, 3, "bf16"), drafter = random_model(config, 4, "bf16");
  EngineRig rig(target, drafter, limits_of(2, 4));
  TestRandom random(3);
  for (int i = 0; i < 20; ++i) {
    const Request request = random_request(random, config.vocab_size);
    check_sample(rig.run(request)[0], decode_plainly(target, request), "bf16");
  }
}

// Without a drafter every token is the inverse of the cumulative distribution at the uniform of
// its address: the randomness is a documented function of seed and position.
void sampling_uses_the_documented_uniforms() {
  const auto target = random_model(tiny_config(50), 5);
  EngineRig rig(target, nullptr, limits_of(4, 0));
  TestRandom random(5);
  constexpr float kTemperatures[] = {0.3f, 1.0f, 1.8f};
  for (int i = 0; i < 60; ++i) {
    Request request = random_request(random, 50);
    request.temperature = kTemperatures[i % 3];
    if (i % 2) request.top_k = 1 + random.below(20);
    if (i % 5 == 0) request.top_p = 0.8f;
    check_sample(rig.run(request)[0], decode_plainly(target, request), "sampling");
  }
}

// A token that ends the sequence and is one to stop at, too: the model has come to its end.
void an_end_token_goes_before_a_stop_token() {
  const auto target = random_model(tiny_config(50), 5);
  EngineRig rig(target, nullptr, limits_of(1, 0));
  Request request = plain_request({1, 2, 3}, 5);
  const int32_t last = rig.run(request)[0].tokens.at(2);
  request.stop_tokens = {last};
  CHECK(rig.run(request)[0].end == Event::End::kStop, "stop");
  request.eos_tokens = {last};
  CHECK(rig.run(request)[0].end == Event::End::kEos, "end");
}

struct LawSetting {
  std::string what;
  Widths widths;
  bool replacement, block;
  int top_k;
  float temperature;
};

void try_law(const LawSetting& setting) {
  constexpr int kVocabulary = 7, kLength = 3, kDraws = kSanitized ? 2000 : 12000;
  const std::string& what = setting.what;
  const auto target = random_model(tiny_config(kVocabulary), 21);
  const auto drafter =
      setting.widths.empty() ? nullptr : random_model(tiny_config(kVocabulary), 22);
  SessionLimits limits = limits_of(16, setting.widths);
  limits.draft.replacement = setting.replacement;
  EngineRig rig(target, drafter, limits);
  Request request = plain_request({1, 2, 3, 4}, kLength);
  request.temperature = setting.temperature;
  request.top_k = setting.top_k;
  if (setting.block) request.verifier = Verifier::kBlock;
  request.seeds.clear();
  for (uint64_t i = 0; i < kDraws; ++i) request.seeds.push_back(i * 7919 + 5);
  int64_t accepted = 0, tested = 0;
  const std::vector<SampleLog> samples = rig.run(request);
  for (const SampleLog& sample : samples) {
    accepted += sample.stats.accepted;
    tested += sample.stats.tested;
  }
  // Some drafts must be rejected and some kept, or the test shows nothing.
  if (drafter) CHECK(accepted > tested / 20 && accepted < tested, accepted, " of ", tested);
  check_law(samples, output_law(*target, nullptr, request, kLength), kVocabulary, what);
}

void sampled_output_has_the_targets_law() {
  try_law({"autoregressive", {}, false, false, 0, 1.0f});
  try_law({"token-wise", {1, 1}, false, false, 0, 1.0f});
  try_law({"token-wise, hot", {1}, false, false, 0, 1.6f});
  try_law({"token-wise, top-k", {1, 1}, false, false, 4, 0.8f});
  try_law({"block", {1, 1}, false, true, 0, 1.0f});
  try_law({"tree, with replacement", {3, 2}, true, false, 0, 1.0f});
  try_law({"tree, without replacement", {3, 2}, false, false, 0, 1.0f});
  try_law({"tree, top-k", {2, 2}, false, false, 3, 1.3f});
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(greedy_equals_the_plain_loop), CASE(greedy_in_bf16),
       CASE(an_end_token_goes_before_a_stop_token), CASE(sampling_uses_the_documented_uniforms),
       CASE(sampled_output_has_the_targets_law)});
}
