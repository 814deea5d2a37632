#include "test/support/plain_decoding.h"

#include <algorithm>
#include <cmath>

#include "model/teacher_forced.h"
#include "ops/row_math.h"
#include "test/check.h"
#include "test/support/decoder_rig.h"
#include "test/support/reference_ops.h"
#include "test/support/tolerances.h"

namespace speccascade::test {

namespace {

bool contains(const std::vector<int32_t>& tokens, int32_t token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

}  // namespace

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

namespace {

using Row = std::vector<double>;

DistributionTwin scaled_row(const Model& model, const Request& request,
                            const std::vector<int32_t>& prefix, const Request& scaling) {
  std::vector<int32_t> decoder_input = request.prefix;
  decoder_input.insert(decoder_input.end(), prefix.begin(), prefix.end());
  const std::vector<float> rows =
      teacher_forced_logits(model, {request.input_ids}, {decoder_input});
  const auto vocabulary = static_cast<size_t>(model.config.vocab_size);
  return distribution_twin({rows.end() - static_cast<ptrdiff_t>(vocabulary), rows.end()},
                           std::vector<bool>(vocabulary), static_cast<double>(scaling.temperature),
                           scaling.top_k, static_cast<double>(scaling.top_p));
}

// pi after a prefix.
Row wanted_row(const Model& target, const Model* drafter, const Request& request,
               const std::vector<int32_t>& prefix) {
  const Row scaled = scaled_row(target, request, prefix, request).probs;
  if (!reads_drafter(request.rule.kind)) return scaled;
  Request plain;
  plain.temperature = 1.0f;
  const Row unscaled = scaled_row(target, request, prefix, plain).probs;
  const Row drawn = scaled_row(*drafter, request, prefix, request).probs;
  const Row confidence = scaled_row(*drafter, request, prefix, plain).probs;
  Row pi(scaled.size());
  rule_target<RowMath<double>>(
      request.rule,
      RuleRows<double>{drawn.data(), scaled.data(), confidence.data(), unscaled.data(),
                       static_cast<int>(pi.size()), false},
      pi.data());
  return pi;
}

struct LawEnumeration {
  const Model& target;
  const Model* drafter;
  const Request& request;
  int length;
  Row law;

  void add(std::vector<int32_t>& prefix, double mass, size_t code) {
    if (static_cast<int>(prefix.size()) == length) {
      law[code] = mass;
      return;
    }
    const Row pi = wanted_row(target, drafter, request, prefix);
    for (size_t v = 0; v < pi.size(); ++v) {
      prefix.push_back(static_cast<int32_t>(v));
      add(prefix, mass * pi[v], code * pi.size() + v);
      prefix.pop_back();
    }
  }
};

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

}  // namespace

std::vector<double> output_law(const Model& target, const Model* drafter, const Request& request,
                               int length) {
  const auto outputs = std::pow(target.config.vocab_size, length);
  LawEnumeration all{target, drafter, request, length, Row(static_cast<size_t>(outputs))};
  std::vector<int32_t> prefix;
  all.add(prefix, 1.0, 0);
  return all.law;
}

void check_law(const std::vector<SampleLog>& samples, const std::vector<double>& law,
               int vocabulary, const std::string& what) {
  std::vector<int64_t> counts(law.size());
  for (const SampleLog& sample : samples) {
    size_t code = 0;
    for (const int32_t token : sample.tokens) {
      code = code * static_cast<size_t>(vocabulary) + static_cast<size_t>(token);
    }
    CHECK(code < counts.size(), what, ": ", sample.tokens.size(), " tokens");
    ++counts[code];
  }
  check_frequencies(counts, law, static_cast<int64_t>(samples.size()), what);
}

}  // namespace speccascade::test
