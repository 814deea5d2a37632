// A result depends on the request and its seed alone: tokens, log-probabilities and counts have the
// same bits in any batch, in any order, with any number of threads, after cancelled neighbours.
#include <algorithm>

#include "test/check.h"
#include "test/support/engine_rig.h"
#include "test/support/pretend_cores.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kVocabulary = 60;

// Settings of every kind, so that neighbours in a batch differ in all of them.
std::vector<Request> mixed_requests(int count, const Widths& widths) {
  const bool chain = limits_of(1, widths).draft.max_nodes() == static_cast<int>(widths.size());
  TestRandom random(77);
  std::vector<Request> requests;
  for (int i = 0; i < count; ++i) {
    std::vector<int32_t> input;
    for (int n = 1 + random.below(30); n > 0; --n) input.push_back(random.below(kVocabulary));
    Request request = plain_request(input, 1 + random.below(30));
    for (int n = random.below(3); n > 0; --n) request.prefix.push_back(random.below(kVocabulary));
    constexpr float kTemperatures[] = {0.0f, 0.0f, 0.7f, 1.0f, 1.5f};
    request.temperature = kTemperatures[random.below(5)];
    if (random.below(3) == 0) request.top_k = 1 + random.below(10);
    if (random.below(3) == 0) request.top_p = 0.9f;
    if (random.below(2)) request.eos_tokens = {1, 2, 3};
    if (random.below(4) == 0) request.stop_tokens = {7};
    if (random.below(3) == 0) request.suppress_tokens = {5, 6, 40};
    if (random.below(3) == 0) request.min_new_tokens = random.below(request.max_new_tokens);
    request.logprobs = random.below(2) == 1;
    if (!widths.empty() && random.below(2)) request.rule = {RuleKind::kTokenV3, 0.3, 1.0};
    if (!widths.empty() && chain && random.below(2) == 1) request.verifier = Verifier::kBlock;
    request.seeds.clear();
    for (int n = 1 + random.below(3); n > 0; --n) request.seeds.push_back(random.bits());
    requests.push_back(request);
  }
  return requests;
}

struct Setting {
  std::shared_ptr<const Model> target, drafter;
  Widths widths;
};

using Results = std::vector<std::vector<SampleLog>>;

Results one_at_a_time(const Setting& setting, const std::vector<Request>& requests) {
  Results results;
  for (const Request& request : requests) {
    EngineRig rig(setting.target, setting.drafter, limits_of(1, setting.widths));
    results.push_back(rig.run(request));
  }
  return results;
}

void compare(const Results& expected, EngineRig& rig, const std::vector<Request>& requests,
             const std::vector<int32_t>& order, const std::string& what) {
  std::vector<uint64_t> ids(requests.size());
  for (const int32_t i : order) {
    ids[static_cast<size_t>(i)] = rig.engine.submit(requests[static_cast<size_t>(i)]);
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::vector<SampleLog> got = rig.wait(ids[i], requests[i]);
    for (size_t s = 0; s < got.size(); ++s) {
      CHECK(same_result(got[s], expected[i][s]), what, " request ", i, " sample ", s);
      CHECK(got[s].ends == 1 && got[s].after_end == 0, what, " request ", i, " sample ", s);
    }
  }
}

void try_batches(const Setting& setting, const std::string& what) {
  const std::vector<Request> requests = mixed_requests(24, setting.widths);
  const Results expected = one_at_a_time(setting, requests);
  TestRandom random(5);
  for (int batch = 1; batch <= 8; ++batch) {
    SessionLimits limits = limits_of(batch, setting.widths, 30 + batch);
    limits.max_input_tokens = 30 + 7 * batch;  // room that is not used must not matter
    EngineRig rig(setting.target, setting.drafter, limits);
    std::vector<int32_t> order = random.permutation(24);
    if (batch % 3 == 0) std::sort(order.begin(), order.end());
    if (batch % 3 == 1) std::sort(order.rbegin(), order.rend());
    compare(expected, rig, requests, order, what + " batch " + std::to_string(batch));
    // Again in the same session: slots and caches have been used before.
    compare(expected, rig, requests, random.permutation(24),
            what + " again, batch " + std::to_string(batch));
  }
}

void without_a_drafter() {
  try_batches({random_model(tiny_config(kVocabulary), 1), nullptr, {}}, "autoregressive");
}

void with_a_drafter() {
  const auto target = random_model(tiny_config(kVocabulary), 1);
  const auto drafter = random_model(tiny_config(kVocabulary), 2);
  try_batches({target, drafter, Widths(3, 1)}, "gamma 3");
  try_batches({target, drafter, Widths(8, 1)}, "gamma 8");
  try_batches({target, drafter, {3, 2, 1}}, "tree");
}

void in_bf16() {
  const auto target = random_model(tiny_config(kVocabulary), 1, "bf16");
  const auto drafter = random_model(tiny_config(kVocabulary), 2, "bf16");
  try_batches({target, drafter, Widths(4, 1)}, "bf16");
}

void with_any_number_of_threads() {
  T5Config config = tiny_config(kVocabulary);
  config.d_model = 64;
  config.d_ff = 256;  // large enough for some products to be split
  const std::vector<Request> requests = mixed_requests(16, {1, 1, 1, 1});
  Results expected;
  for (int threads = 1; threads <= kPretendedCores; ++threads) {
    const Setting setting = {random_model(config, 1, "f32", threads),
                             random_model(config, 2, "f32", threads), Widths(4, 1)};
    if (threads == 1) expected = one_at_a_time(setting, requests);
    EngineRig rig(setting.target, setting.drafter, limits_of(8, 4));
    TestRandom random(static_cast<uint64_t>(threads));
    compare(expected, rig, requests, random.permutation(16), "threads " + std::to_string(threads));
  }
}

void among_cancelled_neighbours() {
  const Setting setting = {random_model(tiny_config(kVocabulary), 1),
                           random_model(tiny_config(kVocabulary), 2), Widths(4, 1)};
  const std::vector<Request> requests = mixed_requests(20, {1, 1, 1, 1});
  const Results expected = one_at_a_time(setting, requests);
  for (int round = 0; round < 5; ++round) {
    EngineRig rig(setting.target, setting.drafter, limits_of(4, 4, 400));
    std::vector<uint64_t> ids, doomed;
    for (const Request& request : requests) {
      ids.push_back(rig.engine.submit(request));
      doomed.push_back(rig.engine.submit(plain_request({9, 9, 9}, 400)));
      if (doomed.size() % 3 == 0) rig.engine.cancel(doomed[doomed.size() - 2]);
    }
    for (const uint64_t id : doomed) rig.engine.cancel(id);
    for (size_t i = 0; i < requests.size(); ++i) {
      const std::vector<SampleLog> got = rig.wait(ids[i], requests[i]);
      for (size_t s = 0; s < got.size(); ++s) {
        CHECK(same_result(got[s], expected[i][s]), "request ", i, " sample ", s);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(without_a_drafter), CASE(with_a_drafter), CASE(in_bf16),
                    CASE(with_any_number_of_threads), CASE(among_cancelled_neighbours)});
}
