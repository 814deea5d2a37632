// Passes over given outputs: the same logits as decoding step by step, scores as their log-softmax,
// every request as if alone, and bad ids named.
#include "model/teacher_forced.h"

#include <limits>

#include "test/check.h"
#include "test/support/checkpoint_files.h"
#include "test/support/decoder_rig.h"
#include "test/support/reference_ops.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"
#include "test/support/tolerances.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

Sequences random_sequences(TestRandom& random, int vocabulary, int count, int longest) {
  Sequences sequences;
  for (int i = 0; i < count; ++i) {
    sequences.emplace_back();
    for (int n = 1 + random.below(longest); n > 0; --n) {
      sequences.back().push_back(random.below(vocabulary));
    }
  }
  return sequences;
}

void logits_are_those_of_decoding() {
  for (const NamedConfig& named : tiny_configs()) {
    const auto model = random_model(named.config, 4);
    const size_t vocabulary = static_cast<size_t>(named.config.vocab_size);
    TestRandom random(4);
    const Sequences inputs = random_sequences(random, named.config.vocab_size, 9, 30);
    const Sequences outputs = random_sequences(random, named.config.vocab_size, 9, 20);
    const std::vector<float> together = teacher_forced_logits(*model, inputs, outputs);
    const float* row = together.data();
    for (size_t i = 0; i < inputs.size(); ++i) {
      for (const Logits& expected : one_by_one(model, inputs[i], outputs[i])) {
        CHECK(same_bits(row, expected.data(), vocabulary), named.name, " request ", i);
        row += vocabulary;
      }
    }
    CHECK(row == together.data() + together.size(), named.name);
  }
}

void scores_are_log_probabilities() {
  const T5Config config = tiny_configs()[3].config;
  const auto model = random_model(config, 5);
  const size_t vocabulary = static_cast<size_t>(config.vocab_size);
  TestRandom random(6);
  const Sequences inputs = random_sequences(random, config.vocab_size, 8, 10);
  const Sequences outputs = random_sequences(random, config.vocab_size, 8, 12);
  Sequences decoder_inputs;
  for (const auto& ids : outputs) {
    decoder_inputs.push_back({2});
    decoder_inputs.back().insert(decoder_inputs.back().end(), ids.begin(), ids.end() - 1);
  }
  const std::vector<float> scores = score_outputs(*model, inputs, outputs, 2);
  const std::vector<float> logits = teacher_forced_logits(*model, inputs, decoder_inputs);
  size_t place = 0;
  for (const auto& ids : outputs) {
    for (const int32_t token : ids) {
      const auto row = logits.begin() + static_cast<ptrdiff_t>(place * vocabulary);
      const DistributionTwin twin = distribution_twin({row, row + config.vocab_size},
                                                      std::vector<bool>(vocabulary), 1.0, 0, 1.0);
      CHECK_NEAR(static_cast<double>(scores[place]), static_cast<double>(row[token]) - twin.log_sum,
                 kLogProb, "place ", place);
      ++place;
    }
  }
  CHECK(place == scores.size());
}

void bad_ids_are_named() {
  const auto model = random_model(tiny_config(40), 1);
  CHECK_ERROR(ErrorCode::kInput, "request 1: expected at least one id",
              encode_states(*model, {{1}, {}}));
  CHECK_ERROR(ErrorCode::kInput, "request 2: id 40", encode_states(*model, {{1}, {2}, {3, 40}}));
  CHECK_ERROR(ErrorCode::kInput, "id -1", teacher_forced_logits(*model, {{1}}, {{-1}}));
  CHECK_ERROR(ErrorCode::kInput, "got 1 for 2", teacher_forced_logits(*model, {{1}, {2}}, {{0}}));
  CHECK_ERROR(ErrorCode::kInput, "got 2 for 1", score_outputs(*model, {{1}}, {{0}, {1}}, 0));
  CHECK_ERROR(ErrorCode::kInput, "output of request 0", score_outputs(*model, {{1}}, {{}}, 0));
  CHECK_ERROR(ErrorCode::kInput, "id 77", score_outputs(*model, {{1}}, {{3}}, 77));
  CHECK(encode_states(*model, {}).empty());
  CHECK(teacher_forced_logits(*model, {}, {}).empty());
  CHECK(score_outputs(*model, {}, {}, 0).empty());
}

void check_head_fails(size_t first, size_t stride, float value) {
  const TempFolder folder;
  const T5Config config = tiny_configs()[1].config;
  std::vector<Tensor> tensors = model_tensors(config, 3);
  std::vector<float>& head = tensor_named(tensors, "lm_head.weight").values;
  for (size_t at = first; at < head.size(); at += stride) head[at] = value;
  ModelOptions options;
  options.dtype = "f32";
  options.device = "cpu";
  const auto model =
      load_model(config, write_checkpoint(folder, tensors, DType::kF32), options, {});
  CHECK_ERROR(ErrorCode::kNumeric, "request 0", score_outputs(*model, {{1}}, {{2}}, 0));
}

void logits_that_are_not_finite_are_an_error() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto width = static_cast<size_t>(tiny_configs()[1].config.d_model);
  check_head_fails(50, 1000000, std::numeric_limits<float>::quiet_NaN());
  // A column of the head: whatever the state's sign, all logits are infinity with one of them, and
  // minus infinity with the other, which is no token at all.
  for (const float value : {kInfinity, -kInfinity}) check_head_fails(3, width, value);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(logits_are_those_of_decoding), CASE(scores_are_log_probabilities),
                    CASE(bad_ids_are_named), CASE(logits_that_are_not_finite_are_an_error)});
}
