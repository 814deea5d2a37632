// Every drafter behind the engine: greedy output is the target's own, sampled output has the
// rule's law, results do not depend on the batch, counters add up, and a cascade makes the calls
// that its schedule says.
#include "model/teacher_forced.h"
#include "ops/row_math.h"
#include "test/check.h"
#include "test/laws/copy_proposal.h"
#include "test/laws/cs_draft_schedule.h"
#include "test/support/draft_plans.h"
#include "test/support/engine_rig.h"
#include "test/support/plain_decoding.h"
#include "test/support/reference_ops.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::laws;
using namespace speccascade::test;

struct NamedPlan {
  std::string name;
  DraftPlan plan;
  Verifier verifier = Verifier::kToken;
};

DraftPlan adaptive(DraftPlan plan, int max, float confidence = 0.0f) {
  plan.adaptive = {true, max, confidence};
  return plan;
}

std::vector<int32_t> successors(int vocabulary) {
  std::vector<int32_t> next;
  for (int v = 0; v < vocabulary; ++v) next.push_back(v % 3 == 0 ? -1 : (v * 5 + 1) % vocabulary);
  return next;
}

std::vector<NamedPlan> plans(int vocabulary) {
  const std::vector<int32_t> next = successors(vocabulary);
  std::vector<NamedPlan> all = {
      {"copies", copies(Widths(4, 1))},
      {"copies and bigrams", copies(Widths(5, 1), next)},
      {"copies, block", copies(Widths(3, 1), next), Verifier::kBlock},
      {"tree of copies", copies({2, 2, 1}, next)},
      {"dynamic tree, 6", dynamic_tree(6, 3)},
      {"dynamic tree, 24", dynamic_tree(24, 5)},
      {"dynamic tree, 1", dynamic_tree(1, 1)},
      {"k-seq", levels({3, 2}, true), Verifier::kKseq},
      {"adaptive chain", adaptive(levels(Widths(7, 1)), 7)},
      {"adaptive chain with a threshold", adaptive(levels(Widths(5, 1)), 5, 0.2f)},
      {"adaptive copies", adaptive(copies(Widths(6, 1), next), 6)},
      {"cascade of one", cascade({3}, false)},
      {"cascade of one, block", cascade({3}, false), Verifier::kBlock},
      {"cascade of one and copies", cascade({3, 4, 0, 2}, true)},
      {"cascade of two", cascade({2, 3, 0, 2}, false)},
      {"cascade of two, vertical", cascade({4, 0, 0, 3}, false), Verifier::kBlock},
      {"cascade of two, horizontal", cascade({2, 3, 0, 0}, false)},
      {"cascade of two, first unused", cascade({0, 3, 0, 0}, false)},
      {"cascade of three", cascade({2, 2, 3, 0, 2, 2, 0, 0, 2}, true)},
      {"cascade of three, block", cascade({3, 2, 2, 0, 1, 2, 0, 0, 3}, true), Verifier::kBlock},
      {"lenient cascade", cascade({3, 2, 0, 3}, false, 2.5)},
      {"lenient cascade with copies", cascade({3, 2, 2, 0, 2, 2, 0, 0, 2}, true, 1.7)},
      {"adaptive cascade", adaptive(cascade({3, 3, 4, 0, 2, 2, 0, 0, 3}, true), 6)},
  };
  for (NamedPlan& named : all) {
    if (named.plan.copies) named.plan.bigrams = next;
  }
  return all;
}

EngineRig::Drafters drafters_of(const DraftPlan& plan, T5Config config, uint64_t seed) {
  EngineRig::Drafters drafters;
  // Smaller than their target, or adaptive lengths would be zero.
  config.num_decoder_layers = 1;
  config.d_ff /= 2;
  for (int i = 0; i < plan.models(); ++i) {
    drafters.push_back(random_model(config, seed + static_cast<uint64_t>(i)));
  }
  return drafters;
}

SessionLimits limits_for(const DraftPlan& plan, int max_batch) {
  SessionLimits limits = limits_of(max_batch, Widths{});
  limits.draft = plan;
  return limits;
}

void check_counts(const SampleLog& sample, const DraftPlan& plan, const std::string& what) {
  const DecodeStats& stats = sample.stats;
  int64_t accepted = 0;
  for (const int n : sample.accepted) accepted += n;
  CHECK(stats.accepted == accepted, what);
  CHECK(stats.target_calls == static_cast<int64_t>(sample.accepted.size()), what);
  CHECK(accepted <= stats.tested && stats.tested <= stats.proposed, what);
  CHECK(stats.tested <= accepted + stats.target_calls, what);
  CHECK(stats.proposed <= plan.max_nodes() * stats.target_calls, what);
  CHECK(stats.draft_calls.size() == static_cast<size_t>(plan.drafters()), what);
  CHECK(static_cast<int64_t>(sample.tokens.size()) <= accepted + stats.target_calls, what);
}

// The last of the models is the target itself where `right`, so that drafts are accepted.
void greedy_equals_the_plain_loop() {
  constexpr int kVocabulary = 40;
  const T5Config config = tiny_config(kVocabulary);
  const auto target = random_model(config, 1);
  for (const NamedPlan& named : plans(kVocabulary)) {
    for (const bool right : {false, true}) {
      EngineRig::Drafters drafters = drafters_of(named.plan, config, 50);
      if (right && !drafters.empty()) drafters.back() = target;
      if (right && drafters.empty()) continue;
      EngineRig rig(target, drafters, limits_for(named.plan, 3));
      TestRandom random(9);
      int64_t accepted = 0;
      for (int i = 0; i < (kSanitized ? 6 : 24); ++i) {
        Request request = random_request(random, kVocabulary);
        request.verifier = named.verifier;
        const SampleLog sample = rig.run(request)[0];
        check_sample(sample, decode_plainly(target, request), named.name);
        check_counts(sample, named.plan, named.name);
        accepted += sample.stats.accepted;
      }
      // A drafter of the target's own cost is not worth its time.
      if (right && !named.plan.adaptive.on) CHECK(accepted > 0, named.name);
    }
  }
}

// A greedy draft by any cascade, tree or copy under a rule: the one-token loop over pi.
void greedy_rules_do_not_depend_on_the_drafter() {
  constexpr int kVocabulary = 30;
  const T5Config config = tiny_config(kVocabulary);
  const auto target = random_model(config, 1);
  for (const Rule& rule : {Rule{RuleKind::kChow, 0.9, 1.0}, Rule{RuleKind::kOpt, 0.3, 1.0},
                           Rule{RuleKind::kTokenV3, 0.6, 1.0}, Rule{RuleKind::kBild, 3.0, 1.0}}) {
    // The reference drafter is the first model.
    const auto reference = drafters_of(levels({1}), config, 50)[0];
    for (const NamedPlan& named : plans(kVocabulary)) {
      if (named.plan.models() == 0) continue;
      EngineRig rig(target, drafters_of(named.plan, config, 50), limits_for(named.plan, 2));
      EngineRig plain(target, reference, limits_of(2, Widths{1}));
      TestRandom random(11);
      for (int i = 0; i < (kSanitized ? 3 : 10); ++i) {
        Request request = random_request(random, kVocabulary);
        request.rule = rule;
        const SampleLog expected = plain.run(request)[0];
        request.verifier = named.verifier;
        const SampleLog sample = rig.run(request)[0];
        CHECK(sample.tokens == expected.tokens, named.name, " rule ", static_cast<int>(rule.kind),
              " request ", i);
      }
    }
  }
}

void law_of(const NamedPlan& named, const Rule& rule) {
  constexpr int kVocabulary = 6, kLength = 3, kDraws = kSanitized ? 1000 : 6000;
  const T5Config config = tiny_config(kVocabulary);
  const auto target = random_model(config, 21);
  const EngineRig::Drafters drafters = drafters_of(named.plan, config, 50);
  EngineRig rig(target, drafters, limits_for(named.plan, 16));
  Request request = plain_request({1, 2, 3, 4, 2, 3}, kLength);
  request.temperature = 1.2f;
  request.rule = rule;
  request.verifier = named.verifier;
  request.seeds.clear();
  for (uint64_t i = 0; i < kDraws; ++i) request.seeds.push_back(i * 7919 + 5);
  const std::vector<double> law =
      output_law(*target, drafters.empty() ? nullptr : drafters[0].get(), request, kLength);
  check_law(rig.run(request), law, kVocabulary, named.name);
}

void sampled_output_has_the_law() {
  for (const NamedPlan& named : plans(6)) {
    law_of(named, Rule{});
    if (named.plan.models() == 0) continue;
    law_of(named, {RuleKind::kTokenV3, 0.5, 1.0});
    law_of(named, {RuleKind::kOpt, 0.4, 1.0});
  }
}

// Chow's token cascade keeps what a small model drafts where it is sure: the rule's law, without
// a test.
void token_cascades_have_the_rules_law() {
  for (const Rule& rule : {Rule{RuleKind::kChow, 0.72, 1.0}, Rule{RuleKind::kChowLog, 1.55, 1.0},
                           Rule{RuleKind::kOpt, 0.4, 1.0}, Rule{RuleKind::kTokenV2, 0.2, 1.0}}) {
    law_of({"token cascade", levels({1, 1}), Verifier::kTrusted}, rule);
  }
}

// A rule that always keeps the drafter makes the drafter's own output, wherever the last draft is
// cut: one that fills the output has no rows of the target's, and asks the rule about none.
void trusted_drafts_fill_outputs() {
  constexpr int kVocabulary = 40;
  const T5Config config = tiny_config(kVocabulary);
  const DraftPlan plan = levels(Widths(5, 1));
  const EngineRig::Drafters drafters = drafters_of(plan, config, 50);
  EngineRig alone(drafters[0], EngineRig::Drafters{}, limits_for(DraftPlan{}, 1));
  for (const int batch : {1, 3}) {
    EngineRig cascade(random_model(config, 1), drafters, limits_for(plan, batch));
    for (int tokens = 1; tokens <= 16; ++tokens) {
      Request request = plain_request({5, 6, 7}, tokens);
      request.seeds = Request{}.seeds;
      for (int i = 0; i < batch; ++i) request.seeds.push_back(static_cast<uint64_t>(i));
      const std::vector<int32_t> expected = alone.run(request)[0].tokens;
      request.rule = {RuleKind::kChow, 1.0, 1.0};
      request.verifier = Verifier::kTrusted;
      for (const SampleLog& sample : cascade.run(request)) {
        CHECK(sample.tokens == expected, tokens, " tokens, batch ", batch);
      }
    }
  }
}

void results_do_not_depend_on_the_batch() {
  constexpr int kVocabulary = 40;
  const T5Config config = tiny_config(kVocabulary);
  const auto target = random_model(config, 1);
  for (const NamedPlan& named : plans(kVocabulary)) {
    const EngineRig::Drafters drafters = drafters_of(named.plan, config, 50);
    EngineRig alone(target, drafters, limits_for(named.plan, 1));
    EngineRig together(target, drafters, limits_for(named.plan, 5));
    TestRandom random(3);
    std::vector<Request> requests;
    std::vector<uint64_t> ids;
    for (int i = 0; i < (kSanitized ? 8 : 15); ++i) {
      requests.push_back(random_request(random, kVocabulary));
      requests.back().temperature = i % 3 == 0 ? 0.0f : 0.8f;
      requests.back().verifier = named.verifier;
      if (named.plan.models() > 0 && i % 2) requests.back().rule = {RuleKind::kTokenV1, 0.3, 1.0};
    }
    for (const Request& request : requests) ids.push_back(together.engine.submit(request));
    for (size_t i = 0; i < requests.size(); ++i) {
      const SampleLog expected = alone.run(requests[i])[0];
      CHECK(same_result(together.wait(ids[i], requests[i])[0], expected), named.name, " request ",
            i);
    }
  }
}

// Drafters that were not asked for many steps have much to catch up with: adaptive lengths
// give strangers up and try them again.
void drafters_catch_up() {
  constexpr int kVocabulary = 40;
  const T5Config config = tiny_config(kVocabulary);
  const auto target = random_model(config, 1);
  for (const DraftPlan& plan :
       {adaptive(levels(Widths(4, 1)), 4), adaptive(cascade({2, 2, 0, 2}, false), 4),
        adaptive(cascade({2, 2, 2, 0, 2, 2, 0, 0, 2}, true), 6)}) {
    SessionLimits limits = limits_for(plan, 2);
    limits.max_new_tokens = 400;
    EngineRig rig(target, drafters_of(plan, config, 50), limits);
    for (const float temperature : {0.0f, 1.0f}) {
      Request request = plain_request({5, 6, 7}, 400);
      request.temperature = temperature;
      request.logprobs = true;
      const SampleLog sample = rig.run(request)[0];
      CHECK(sample.tokens.size() == 400, sample.message);
      const int64_t calls = sample.stats.draft_calls[0];
      const int64_t fixed = plan.max_path() * sample.stats.target_calls;
      CHECK(calls > 4 && calls < fixed, calls, " calls, fixed lengths make ", fixed);
      if (temperature == 0.0f) check_sample(sample, decode_plainly(target, request), "adaptive");
    }
  }
}

// Rows of real models for the schedule of one sequence.
struct TeacherForced {
  using Real = float;
  const Model& target;
  EngineRig::Drafters drafters;
  const Request& request;

  void row(int drafter, const std::vector<int32_t>& prefix, float* row, float*) {
    const Model& model = drafter < 0 ? target : *drafters[static_cast<size_t>(drafter)];
    const std::vector<float> rows = teacher_forced_logits(model, {request.input_ids}, {prefix});
    const int vocabulary = model.config.vocab_size;
    const float* last = rows.data() + rows.size() - vocabulary;
    std::fill(row, row + vocabulary, 0.0f);
    row[RowMath<float>::argmax(last, vocabulary)] = 1.0f;
  }

  void copy(const std::vector<int32_t>& prefix, int length, std::vector<int32_t>* tokens) {
    const MaxGramText text = {request.input_ids.data(), static_cast<int>(request.input_ids.size()),
                              prefix.data(), static_cast<int>(prefix.size())};
    const std::vector<int32_t> copied = copy_proposal(text, {nullptr, 0}, {}, length).tokens;
    tokens->insert(tokens->end(), copied.begin(), copied.end());
  }
};

void cascades_make_the_calls_of_the_schedule() {
  constexpr int kVocabulary = 8;
  const T5Config config = tiny_config(kVocabulary);
  const auto target = random_model(config, 4);
  for (const DraftPlan& plan :
       {cascade({2, 1, 0, 2}, true), cascade({2, 3, 0, 2}, false),
        cascade({3, 2, 4, 0, 2, 2, 0, 0, 3}, true), cascade({1, 4, 0, 0, 1, 2, 0, 0, 0}, false)}) {
    const EngineRig::Drafters drafters = drafters_of(plan, config, 60);
    SessionLimits limits = limits_for(plan, 1);
    limits.max_new_tokens = 300;
    EngineRig rig(target, drafters, limits);
    const Request request = plain_request({3, 1, 4, 1, 5, 2, 6, 5, 3, 5}, 60);
    const SampleLog sample = rig.run(request)[0];
    TeacherForced models{*target, drafters, request};
    const std::vector<int> lengths(plan.lengths.begin(), plan.lengths.end());
    const CascadeShape shape = {kVocabulary,    plan.drafters(), plan.copies,
                                lengths.data(), Rule{},          true};
    // Steps that begin far from the last token are the schedule's own.
    size_t steps = 0;
    int64_t tokens = 0;
    while (tokens + plan.max_nodes() + 2 < request.max_new_tokens) {
      tokens += sample.accepted[steps++] + 1;
    }
    CHECK(steps > 5, steps, " steps");
    std::vector<int32_t> output = {0};
    struct Argmax {
      bool accept(float probability, int) const { return probability > 0.5f; }
      int draw(const float* weights, int count, float, int) const {
        return RowMath<float>::argmax(weights, count);
      }
    } choices;
    CascadeSchedule<RowMath<float>, TeacherForced, Argmax> schedule(shape, models, choices);
    for (size_t i = 0; i < steps; ++i) {
      const auto draft = schedule.draft(output);
      const auto emitted = schedule.review_by_target(Rule{}, output, draft, choices);
      CHECK(static_cast<int>(emitted.tokens.size()) == sample.accepted[i] + 1, "step ", i);
      output.insert(output.end(), emitted.tokens.begin(), emitted.tokens.end());
    }
    CHECK(static_cast<int64_t>(output.size()) == tokens + 1, "tokens of the schedule");
    for (size_t i = 0; i < schedule.calls().size(); ++i) {
      CHECK(schedule.calls()[i] <= sample.stats.draft_calls[i], "calls of drafter ", i);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(greedy_equals_the_plain_loop), CASE(greedy_rules_do_not_depend_on_the_drafter),
       CASE(sampled_output_has_the_law), CASE(token_cascades_have_the_rules_law),
       CASE(trusted_drafts_fill_outputs), CASE(results_do_not_depend_on_the_batch),
       CASE(drafters_catch_up), CASE(cascades_make_the_calls_of_the_schedule)});
}
