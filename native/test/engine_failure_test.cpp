// What cannot be done fails as the named error, before any work starts where it can be known, and
// without harm to neighbours where it cannot: wrong limits and requests, weights that are not
// finite, rows without a token left.
#include <algorithm>
#include <limits>

#include "decode/dynamic_tree.h"
#include "test/check.h"
#include "test/support/checkpoint_files.h"
#include "test/support/draft_plans.h"
#include "test/support/engine_rig.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::shared_ptr<const Model> tiny(int vocabulary = 40, uint64_t seed = 1) {
  return random_model(tiny_config(vocabulary), seed);
}

void limits_out_of_range() {
  const auto model = tiny();
  struct Change {
    const char* field;
    void (*make)(SessionLimits&);
  };
  const Change changes[] = {
      {"maxBatch", [](SessionLimits& l) { l.max_batch = 0; }},
      {"maxBatch", [](SessionLimits& l) { l.max_batch = 1 << 20; }},
      {"maxInputTokens", [](SessionLimits& l) { l.max_input_tokens = 0; }},
      {"maxNewTokens", [](SessionLimits& l) { l.max_new_tokens = -1; }},
      {"maxNewTokens", [](SessionLimits& l) { l.max_new_tokens = 2147483647; }},
      {"decoder prefix length", [](SessionLimits& l) { l.max_prefix_tokens = 0; }},
      {"draft", [](SessionLimits& l) { l.draft.widths.clear(); }},
      {"draft", [](SessionLimits& l) { l.draft.widths.assign(256, 1); }},
      {"draft",
       [](SessionLimits& l) {
         l.draft.widths = {2, 0, 1};
       }},
      {"draft",
       [](SessionLimits& l) {
         l.draft.widths = {1, -3};
       }},
      {"draft", [](SessionLimits& l) { l.draft.widths = {256}; }},
      {"draft",
       [](SessionLimits& l) {
         l.draft.widths = {16, 16};
       }},
      {"draft", [](SessionLimits& l) { l.draft.widths.assign(40, 255); }}};
  for (const Change& change : changes) {
    SessionLimits limits = limits_of(2, 3);
    change.make(limits);
    CHECK_ERROR(ErrorCode::kInput, change.field, EngineRig(model, model, limits));
  }
  CHECK_ERROR(ErrorCode::kInput, "draft", EngineRig(model, nullptr, limits_of(2, 3)));
}

void vocabularies_must_match() {
  CHECK_ERROR(ErrorCode::kVocabMismatch, "vocabulary of 41",
              EngineRig(tiny(40), tiny(41), limits_of(2, 3)));
}

// Limits that are each in range but together beyond any memory: an error, not an attempt.
void limits_beyond_memory() {
  const auto model = tiny();
  for (const int batch : {4096, 2048, 2049}) {
    SessionLimits limits = limits_of(batch, 254, 1 << 20);
    limits.max_input_tokens = 1 << 20;
    limits.max_prefix_tokens = 1 << 20;
    CHECK_ERROR(ErrorCode::kOutOfMemory, "out of memory", EngineRig(model, model, limits));
  }
  // 2^32 rows, which as an int would be none at all: of inputs, and of positions.
  SessionLimits inputs = limits_of(4096, 3);
  inputs.max_input_tokens = 1 << 20;
  CHECK_ERROR(ErrorCode::kOutOfMemory, "needed", EngineRig(model, model, inputs));
  SessionLimits positions = limits_of(4096, 3);
  positions.max_new_tokens = (1 << 20) - positions.max_prefix_tokens - 3;
  CHECK_ERROR(ErrorCode::kOutOfMemory, "needed", EngineRig(model, model, positions));
  CHECK_ERROR(ErrorCode::kOutOfMemory, "needed",
              EngineRig(model, nullptr, limits_of(4096, 0, 1 << 20)));
  // 2^31 rows, but only with those that a tree's drafter computes beside the draft.
  SessionLimits tree = limits_of(4096, 0);
  tree.draft.kind = DraftKind::kDynamicTree;
  tree.draft.nodes = tree.draft.depth = kMaxDraftNodes;
  const int rows = (1 << 19) - tree_computed_nodes(kMaxDraftNodes, kMaxDraftNodes);
  tree.max_new_tokens = rows - kMaxDraftNodes - tree.max_prefix_tokens;
  const T5Config& config = model->config;
  const int64_t row_bytes = int64_t{8} * config.inner() * config.num_decoder_layers;
  CHECK_ERROR(ErrorCode::kOutOfMemory, "needed " + std::to_string((row_bytes << 31)) + " bytes",
              EngineRig(model, model, tree));
}

void requests_out_of_range() {
  EngineRig rig(tiny(), nullptr, limits_of(2, 0));
  struct Change {
    const char* field;
    void (*make)(Request&);
  };
  const Change changes[] = {
      {"input length", [](Request& r) { r.input_ids.clear(); }},
      {"input length", [](Request& r) { r.input_ids.assign(41, 1); }},
      {"input: id 40",
       [](Request& r) {
         r.input_ids = {1, 40};
       }},
      {"input: id -1", [](Request& r) { r.input_ids = {-1}; }},
      {"decoder prefix length", [](Request& r) { r.prefix.clear(); }},
      {"decoder prefix length", [](Request& r) { r.prefix.assign(5, 0); }},
      {"decoder prefix: id 99",
       [](Request& r) {
         r.prefix = {0, 99};
       }},
      {"end tokens: id 40", [](Request& r) { r.eos_tokens = {40}; }},
      {"stopTokens: id -2147483648", [](Request& r) { r.stop_tokens = {-2147483647 - 1}; }},
      {"suppressTokens: id 2147483647", [](Request& r) { r.suppress_tokens = {2147483647}; }},
      {"maxNewTokens", [](Request& r) { r.max_new_tokens = 0; }},
      {"maxNewTokens", [](Request& r) { r.max_new_tokens = 41; }},
      {"minNewTokens", [](Request& r) { r.min_new_tokens = -1; }},
      {"minNewTokens", [](Request& r) { r.min_new_tokens = r.max_new_tokens + 1; }},
      {"number of samples", [](Request& r) { r.seeds.clear(); }},
      {"topK", [](Request& r) { r.top_k = -1; }},
      {"temperature", [](Request& r) { r.temperature = kNaN; }},
      {"temperature", [](Request& r) { r.temperature = kInfinity; }},
      {"temperature", [](Request& r) { r.temperature = -0.5f; }},
      {"topP", [](Request& r) { r.top_p = kNaN; }},
      {"topP", [](Request& r) { r.top_p = 0.0f; }},
      {"topP", [](Request& r) { r.top_p = 1.5f; }}};
  for (const Change& change : changes) {
    Request request = plain_request({1, 2, 3}, 5);
    change.make(request);
    CHECK_ERROR(ErrorCode::kInput, change.field, rig.engine.submit(request));
  }
  CHECK(rig.run(plain_request({1, 2, 3}, 5))[0].end == Event::End::kLength);
  CHECK(rig.log.all().size() == 1, "a refused request left events");
}

// A model of its own tensors with one value replaced.
std::shared_ptr<const Model> spoiled(const std::string& tensor, size_t at, float value) {
  const TempFolder folder;
  const T5Config config = tiny_configs()[1].config;  // an output head of its own
  std::vector<Tensor> tensors = model_tensors(config, 3);
  tensor_named(tensors, tensor).values.at(at) = value;
  ModelOptions options;
  options.dtype = "f32";
  options.device = "cpu";
  options.threads = 1;
  return load_model(config, write_checkpoint(folder, tensors, DType::kF32), options, {});
}

// A model whose token has no embedding.
std::shared_ptr<const Model> without_embedding(int token) {
  return spoiled("shared.weight", static_cast<size_t>(token * tiny_configs()[1].config.d_model + 3),
                 kNaN);
}

void check_numeric_failure(const SampleLog& sample, const char* who) {
  CHECK(sample.end == Event::End::kFailed && sample.ends == 1 && sample.after_end == 0);
  CHECK(sample.error == ErrorCode::kNumeric, error_name(sample.error));
  CHECK(sample.message.find(who) != std::string::npos, sample.message);
}

// Every request fails, none hangs, and the session still closes.
void weights_that_are_not_finite() {
  for (const char* tensor :
       {"lm_head.weight", "decoder.block.0.layer.0.SelfAttention.q.weight",
        "encoder.block.2.layer.1.DenseReluDense.wi_1.weight", "decoder.final_layer_norm.weight"}) {
    for (const float value : {kNaN, kInfinity}) {
      // One infinite weight of the head may also give minus infinity: a token that cannot occur.
      if (tensor == std::string("lm_head.weight") && value == kInfinity) continue;
      EngineRig rig(spoiled(tensor, 7, value), nullptr, limits_of(3, 0));
      std::vector<uint64_t> ids;
      Request request = plain_request({1, 2, 3}, 5);
      request.seeds = {1, 2, 3, 4, 5};
      for (const float temperature : {0.0f, 1.0f, 0.5f, 0.0f}) {
        request.temperature = temperature;
        request.logprobs = temperature > 0.6f;
        ids.push_back(rig.engine.submit(request));
      }
      for (const uint64_t id : ids) {
        for (const SampleLog& sample : rig.log.wait(id, 5)) {
          check_numeric_failure(sample, "target");
          CHECK(sample.tokens.empty(), tensor);
        }
      }
    }
  }
}

void a_drafter_that_is_not_finite() {
  const auto healthy = random_model(tiny_configs()[1].config, 3);
  EngineRig rig(healthy, spoiled("lm_head.weight", 7, kNaN), limits_of(2, 3));
  for (const float temperature : {0.0f, 1.0f}) {
    Request request = plain_request({1, 2, 3}, 5);
    request.temperature = temperature;
    check_numeric_failure(rig.run(request)[0], "drafter");
    // One token needs no draft, and no drafter.
    request.max_new_tokens = 1;
    CHECK(rig.run(request)[0].end == Event::End::kLength);
  }
}

// One bad embedding: only requests that use its token fail; neighbours in the same steps, and
// later ones in the same slots, are as they would be alone.
void a_failed_request_harms_no_neighbour() {
  constexpr int kBadToken = 17;
  const auto model = without_embedding(kBadToken);
  std::vector<Request> requests;
  for (int i = 0; i < 18; ++i) {
    Request request = plain_request({20 + i, 2, 3}, 12);
    request.temperature = i % 2 ? 1.0f : 0.0f;
    request.suppress_tokens = {kBadToken};
    if (i % 3 == 1) request.input_ids = {5, kBadToken};
    if (i % 3 == 2) request.prefix = {0, kBadToken};
    requests.push_back(request);
  }
  for (const bool drafts : {false, true}) {
    const SessionLimits alone = limits_of(1, drafts ? 3 : 0);
    const SessionLimits together = limits_of(4, drafts ? 3 : 0);
    EngineRig rig(model, drafts ? model : nullptr, together);
    std::vector<uint64_t> ids;
    for (const Request& request : requests) ids.push_back(rig.engine.submit(request));
    for (size_t i = 0; i < requests.size(); ++i) {
      const SampleLog sample = rig.wait(ids[i], requests[i])[0];
      if (i % 3 != 0) {
        check_numeric_failure(sample, drafts ? "drafter" : "target");
        continue;
      }
      EngineRig solo(model, drafts ? model : nullptr, alone);
      CHECK(same_result(sample, solo.run(requests[i])[0]), "request ", i);
      CHECK(sample.end == Event::End::kLength, "request ", i);
    }
  }
}

// Drafted everywhere and never the target's own: plain decoding would not have read what follows.
void a_bad_token_that_is_rejected() {
  constexpr int kBadToken = 17;
  const T5Config config = tiny_configs()[1].config;
  const auto model = without_embedding(kBadToken);
  for (const Widths& widths : {Widths{1, 1}, Widths{2, 1}}) {
    SessionLimits limits = limits_of(1, widths);
    limits.draft.kind = DraftKind::kCopy;
    limits.draft.bigrams.assign(static_cast<size_t>(config.vocab_size), kBadToken);
    EngineRig plain(model, nullptr, limits_of(1, 0)), copies(model, nullptr, limits);
    const Request request = plain_request({20, 2, 3}, 12);
    const SampleLog expected = plain.run(request)[0], got = copies.run(request)[0];
    CHECK(expected.tokens.size() == 12, expected.message);
    CHECK(got.tokens == expected.tokens, got.message);
    CHECK(got.stats.proposed > got.stats.accepted, "nothing was rejected");
  }
}

// The target's own best token, with no embedding to go on from: what follows it is no output,
// although the draft was right so far.
void a_bad_token_that_is_accepted() {
  const T5Config config = tiny_configs()[1].config;
  const auto healthy = random_model(config, 3);
  Request request = plain_request({20, 2, 3}, 12);
  const std::vector<int32_t> tokens =
      EngineRig(healthy, nullptr, limits_of(1, 0)).run(request)[0].tokens;
  // The last that neither the input nor what stands before it has.
  size_t place = tokens.size() - 1;
  const auto is_new = [&](size_t at) {
    const auto& input = request.input_ids;
    const auto before = tokens.begin() + static_cast<ptrdiff_t>(at);
    return std::find(input.begin(), input.end(), tokens[at]) == input.end() &&
           std::find(tokens.begin(), before, tokens[at]) == before;
  };
  while (place > 0 && !is_new(place)) --place;
  CHECK(place > 0, "no token of the output is new");
  const auto model = without_embedding(tokens[place]);
  // The token after it would be the last.
  request.max_new_tokens = static_cast<int>(place) + 2;
  for (const Widths& widths : {Widths{1, 1}, Widths{2, 1}}) {
    SessionLimits limits = limits_of(1, widths);
    limits.draft =
        copies(widths, std::vector<int32_t>(static_cast<size_t>(config.vocab_size), tokens[place]));
    EngineRig plain(model, nullptr, limits_of(1, 0)), drafts(model, nullptr, limits);
    check_numeric_failure(plain.run(request)[0], "target");
    const SampleLog got = drafts.run(request)[0];
    check_numeric_failure(got, "target");
    CHECK(got.tokens.size() <= place + 1 &&
              std::equal(got.tokens.begin(), got.tokens.end(), tokens.begin()),
          got.tokens.size(), " tokens");
  }
}

// No token may come first, and the drafted one has no embedding: decoding would not have come to
// the second.
void the_first_failure_of_a_draft_is_told() {
  constexpr int kBadToken = 17;
  const T5Config config = tiny_configs()[1].config;
  const auto model = without_embedding(kBadToken);
  SessionLimits limits = limits_of(1, {1, 1});
  limits.draft =
      copies({1, 1}, std::vector<int32_t>(static_cast<size_t>(config.vocab_size), kBadToken));
  EngineRig rig(model, nullptr, limits);
  Request request = plain_request({20, 2, 3}, 12);
  request.temperature = 1.0f;
  for (int32_t t = 0; t < config.vocab_size; ++t) request.suppress_tokens.push_back(t);
  const SampleLog sample = rig.run(request)[0];
  CHECK(sample.end == Event::End::kFailed && sample.error == ErrorCode::kInput,
        error_name(sample.error));
}

void a_request_that_suppresses_everything() {
  const auto model = tiny();
  for (const int gamma : {0, 3}) {
    EngineRig rig(model, gamma ? model : nullptr, limits_of(3, gamma));
    Request impossible = plain_request({1, 2}, 5);
    for (int32_t t = 0; t < 40; ++t) impossible.suppress_tokens.push_back(t);
    // Nothing but an end token is left, and it may not come yet.
    Request too_early = plain_request({1, 2}, 5);
    for (int32_t t = 1; t < 40; ++t) too_early.suppress_tokens.push_back(t);
    too_early.eos_tokens = {0};
    too_early.min_new_tokens = 2;
    const Request fine = plain_request({3, 4}, 8);
    const uint64_t a = rig.engine.submit(impossible), b = rig.engine.submit(fine),
                   c = rig.engine.submit(too_early);
    for (const uint64_t id : {a, c}) {
      const SampleLog sample = rig.log.wait(id, 1)[0];
      CHECK(sample.end == Event::End::kFailed && sample.error == ErrorCode::kInput);
    }
    CHECK(rig.log.wait(b, 1)[0].end == Event::End::kLength);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(limits_out_of_range), CASE(vocabularies_must_match), CASE(limits_beyond_memory),
       CASE(requests_out_of_range), CASE(weights_that_are_not_finite),
       CASE(a_drafter_that_is_not_finite), CASE(a_failed_request_harms_no_neighbour),
       CASE(a_bad_token_that_is_rejected), CASE(a_bad_token_that_is_accepted),
       CASE(the_first_failure_of_a_draft_is_told), CASE(a_request_that_suppresses_everything)});
}
