// What the engine emits against a plain decoding loop: greedy with every edit and ending, sampling
// with the documented uniforms, and the law of sampled speculation by a chi-square test.
#include <algorithm>
#include <cmath>

#include "model/teacher_forced.h"
#include "ops/row_math.h"
#include "test/check.h"
#include "test/support/decoder_rig.h"
#include "test/support/engine_rig.h"
#include "test/support/reference_ops.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"
#include "test/support/tolerances.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

struct Expected {
  std::vector<int32_t> tokens;
  std::vector<double> logprobs;
  Event::End end = Event::End::kLength;
};

bool contains(const std::vector<int32_t>& tokens, int32_t token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

// One token after the other, as the documents describe it: edits, distribution, draw.
Expected decode_plainly(const std::shared_ptr<const Model>& model, const Request& request) {
  const int rows = static_cast<int>(request.prefix.size()) + request.max_new_tokens;
  DecoderRig rig(model, 1, rows, rows, {request.input_ids});
  std::vector<Node> next = chain_of(request.prefix);
  Expected expected;
  for (int i = 0; i < request.max_new_tokens; ++i) {
    const Logits logits = rig.run({{0, next}})[0].back();
    std::vector<int> path;
    for (size_t n = 0; n < next.size(); ++n) path.push_back(static_cast<int>(n));
    rig.keep(0, path);
    std::vector<bool> masked(logits.size(), false);
    for (const int32_t t : request.suppress_tokens) masked[static_cast<size_t>(t)] = true;
    if (i < request.min_new_tokens) {
      for (const int32_t t : request.eos_tokens) masked[static_cast<size_t>(t)] = true;
      for (const int32_t t : request.stop_tokens) masked[static_cast<size_t>(t)] = true;
    }
    const DistributionTwin twin =
        distribution_twin(logits, masked, static_cast<double>(request.temperature), request.top_k,
                          static_cast<double>(request.top_p));
    const uint32_t place = static_cast<uint32_t>(i);
    const double uniform = static_cast<double>(
        philox_uniform({request.seeds[0], 0, place, place}, DrawPurpose::kFinal, 0));
    int32_t token = twin.best;
    if (request.temperature > 0) {
      token = RowMath<double>::draw(twin.probs.data(), static_cast<int>(twin.probs.size()), 1.0,
                                    uniform);
    }
    expected.tokens.push_back(token);
    expected.logprobs.push_back(static_cast<double>(logits[static_cast<size_t>(token)]) -
                                twin.log_sum);
    if (contains(request.eos_tokens, token))
      expected.end = Event::End::kEos;
    else if (contains(request.stop_tokens, token))
      expected.end = Event::End::kStop;
    if (expected.end != Event::End::kLength) break;
    next = {{token, -1}};
  }
  return expected;
}

std::vector<int32_t> random_ids(TestRandom& random, int vocabulary, int count) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back(random.below(vocabulary));
  return ids;
}

Request random_request(TestRandom& random, int vocabulary) {
  Request request =
      plain_request(random_ids(random, vocabulary, 1 + random.below(20)), 1 + random.below(24));
  request.prefix = random_ids(random, vocabulary, 1 + random.below(4));
  if (random.below(2)) request.eos_tokens = random_ids(random, vocabulary, 1 + random.below(4));
  if (random.below(2)) request.stop_tokens = random_ids(random, vocabulary, 1 + random.below(4));
  if (random.below(2)) request.suppress_tokens = random_ids(random, vocabulary, random.below(12));
  request.min_new_tokens = random.below(2) ? random.below(request.max_new_tokens + 1) : 0;
  request.seeds = {random.bits()};
  request.logprobs = true;
  return request;
}

void check_sample(const SampleLog& sample, const Expected& expected, const std::string& what) {
  CHECK(sample.tokens == expected.tokens, what, ": ", sample.tokens.size(), " tokens, expected ",
        expected.tokens.size());
  CHECK(sample.end == expected.end, what, ": end ", static_cast<int>(sample.end), ", expected ",
        static_cast<int>(expected.end));
  CHECK(sample.logprobs.size() == sample.tokens.size(), what);
  if (sample.tokens != expected.tokens || sample.logprobs.size() != sample.tokens.size()) return;
  for (size_t i = 0; i < expected.tokens.size(); ++i) {
    CHECK_NEAR(static_cast<double>(sample.logprobs[i]), expected.logprobs[i], kLogProb, what,
               " token ", i);
  }
}

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

// Exact law of the first `length` tokens under the target, by its own teacher-forced rows.
void enumerate_law(const Model& target, const Request& request, int length,
                   std::vector<int32_t>& prefix, double mass, std::vector<double>& law) {
  const int vocabulary = target.config.vocab_size;
  if (static_cast<int>(prefix.size()) == length) {
    size_t code = 0;
    for (const int32_t token : prefix)
      code = code * static_cast<size_t>(vocabulary) + static_cast<size_t>(token);
    law[code] = mass;
    return;
  }
  std::vector<int32_t> decoder_input = request.prefix;
  decoder_input.insert(decoder_input.end(), prefix.begin(), prefix.end());
  const std::vector<float> rows =
      teacher_forced_logits(target, {request.input_ids}, {decoder_input});
  const DistributionTwin twin = distribution_twin(
      {rows.end() - vocabulary, rows.end()}, std::vector<bool>(static_cast<size_t>(vocabulary)),
      static_cast<double>(request.temperature), request.top_k, static_cast<double>(request.top_p));
  for (int32_t v = 0; v < vocabulary; ++v) {
    prefix.push_back(v);
    enumerate_law(target, request, length, prefix, mass * twin.probs[static_cast<size_t>(v)], law);
    prefix.pop_back();
  }
}

// Pearson's statistic against the quantile of its distribution (Wilson and Hilferty).
void check_frequencies(const std::vector<int64_t>& counts, const std::vector<double>& law,
                       int64_t draws, const std::string& what) {
  double statistic = 0.0, rare_expected = 0.0, rare_count = 0.0;
  int cells = 0;
  const auto add = [&](double count, double expected) {
    statistic += (count - expected) * (count - expected) / expected;
    ++cells;
  };
  for (size_t i = 0; i < law.size(); ++i) {
    const double expected = law[i] * static_cast<double>(draws);
    if (law[i] == 0.0) CHECK(counts[i] == 0, what, ": an impossible output");
    if (expected >= 5.0)
      add(static_cast<double>(counts[i]), expected);
    else
      rare_expected += expected, rare_count += static_cast<double>(counts[i]);
  }
  if (rare_expected > 0.0) add(rare_count, std::max(rare_expected, 1e-9));
  const double freedom = cells - 1, spread = 2.0 / (9.0 * freedom);
  const double limit =
      freedom * std::pow(1.0 - spread + kChiSquareQuantile * std::sqrt(spread), 3.0);
  CHECK(statistic < limit, what, ": chi-square ", statistic, " over ", limit, " with ", freedom,
        " degrees of freedom");
}

struct LawSetting {
  std::string what;
  Widths widths;
  bool replacement, block;
  int top_k;
  float temperature;
};

void try_law(const LawSetting& setting) {
  constexpr int kVocabulary = 7, kLength = 3, kDraws = 12000;
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
  std::vector<double> law(static_cast<size_t>(kVocabulary * kVocabulary * kVocabulary));
  std::vector<int32_t> prefix;
  enumerate_law(*target, request, kLength, prefix, 1.0, law);
  std::vector<int64_t> counts(law.size());
  int64_t accepted = 0, tested = 0;
  for (const SampleLog& sample : rig.run(request)) {
    size_t code = 0;
    for (const int32_t token : sample.tokens)
      code = code * kVocabulary + static_cast<size_t>(token);
    CHECK(sample.tokens.size() == kLength && code < counts.size(), what);
    ++counts[code];
    accepted += sample.stats.accepted;
    tested += sample.stats.tested;
  }
  // Some drafts must be rejected and some kept, or the test shows nothing.
  if (drafter) CHECK(accepted > tested / 20 && accepted < tested, accepted, " of ", tested);
  check_frequencies(counts, law, kDraws, what);
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
       CASE(sampling_uses_the_documented_uniforms), CASE(sampled_output_has_the_targets_law)});
}
