#include "test/support/forward_cases.h"

#include <cmath>

#include "model/teacher_forced.h"
#include "test/support/reference_model.h"
#include "test/support/test_random.h"
#include "test/support/tolerances.h"

namespace speccascade::test {

namespace {

using Lengths = std::vector<int>;

const Backend* backend = nullptr;
bool brief = false;

struct Pair {
  std::string name;
  T5Config config;
  std::shared_ptr<const Model> model;
  ReferenceModel twin;
};

// Norm weights and biases are random too: ones and zeros would hide mistakes.
Pair load_pair(const NamedConfig& named, DType dtype, uint64_t seed) {
  std::vector<Tensor> tensors = model_tensors(named.config, seed);
  TestRandom random(seed);
  for (Tensor& tensor : tensors) {
    if (tensor.name.find("layer_norm") == std::string::npos) continue;
    for (float& w : tensor.values) w = 1.0f + random.value(0.3);
  }
  const TempFolder folder;
  ModelOptions options;
  options.dtype = dtype_name(dtype);
  options.threads = 2;
  options.device = "cpu";
  options.backend = backend;
  return {named.name + " " + dtype_name(dtype), named.config,
          load_model(named.config, write_checkpoint(folder, tensors, DType::kF32), options, {}),
          ReferenceModel(named.config, tensors, dtype,
                         backend ? InputRounding::kCuda : InputRounding::kCpu)};
}

std::vector<int32_t> random_ids(TestRandom& random, const T5Config& config, int count) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back(random.below(config.vocab_size));
  return ids;
}

// Row by row in L2 where what is on the way was rounded, else (tolerance 0) entry by entry.
void compare(const std::vector<float>& actual, const DoubleRows& expected, double tolerance,
             const std::string& what) {
  const bool by_row = tolerance > 0.0;
  size_t at = 0;
  for (size_t r = 0; r < expected.size(); ++r) {
    double difference = 0.0, size = 0.0;
    for (const double value : expected[r]) {
      if (at >= actual.size()) break;
      const double got = static_cast<double>(actual[at++]);
      if (!by_row) CHECK_NEAR(got, value, kForward, what, " row ", r);
      difference += (got - value) * (got - value);
      size += value * value;
    }
    if (by_row) CHECK_NEAR(std::sqrt(difference / size), 0.0, tolerance, what, " row ", r);
  }
  CHECK(at == actual.size(), what, ": ", actual.size(), " values");
}

double tolerance_of_inputs(const Pair& pair) {
  if (backend != nullptr) return kForwardCuda;
  return pair.model->dtype == DType::kInt8 ? kForwardInt8 : kForwardBf16;
}
double tolerance_of_logits(const Pair& pair) {
  if (backend != nullptr) return kForwardCuda;
  return pair.twin.rounds_caches() ? kForwardCached : tolerance_of_inputs(pair);
}

void compare_states(const Pair& pair, const std::vector<int32_t>& ids, const std::string& what) {
  compare(encode_states(*pair.model, {ids}), pair.twin.encode(ids),
          pair.twin.rounds_inputs() ? tolerance_of_inputs(pair) : 0.0, what);
}

template <typename Body>
void for_each_pair(const Body& body) {
  uint64_t seed = 300;
  for (const NamedConfig& named : tiny_configs()) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kInt8}) {
      body(load_pair(named, dtype, ++seed));
    }
  }
}

void encoder_states() {
  for_each_pair([](const Pair& pair) {
    TestRandom random(1);
    for (const int length : brief ? Lengths{9} : Lengths{1, 2, 17, 40}) {
      const std::vector<int32_t> ids = random_ids(random, pair.config, length);
      compare_states(pair, ids, pair.name + " length " + std::to_string(length));
    }
  });
}

void decoder_logits() {
  for_each_pair([](const Pair& pair) {
    TestRandom random(2);
    for (const int length : brief ? Lengths{14} : Lengths{1, 3, 16, 35}) {
      const std::vector<int32_t> ids = random_ids(random, pair.config, 1 + random.below(30));
      const std::vector<int32_t> decoder_ids = random_ids(random, pair.config, length);
      const bool rounds = pair.twin.rounds_inputs() || pair.twin.rounds_caches();
      compare(teacher_forced_logits(*pair.model, {ids}, {decoder_ids}),
              pair.twin.logits(ids, decoder_ids), rounds ? tolerance_of_logits(pair) : 0.0,
              pair.name + " length " + std::to_string(length));
    }
  });
}

}  // namespace

std::vector<Case> forward_cases(const Backend* tested, bool few_lengths) {
  backend = tested;
  brief = few_lengths;
  return {CASE(encoder_states), CASE(decoder_logits)};
}

void check_encoder(const NamedConfig& named, DType dtype, int length) {
  const Pair pair = load_pair(named, dtype, 7);
  TestRandom random(1);
  const std::vector<int32_t> ids = random_ids(random, pair.config, length);
  compare_states(pair, ids, pair.name);
}

}  // namespace speccascade::test
