// Decoding as the documents describe it, one token after the other, and what the engine's
// output is compared with: tokens and log-probabilities, and the law of short outputs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/request.h"
#include "model/model.h"
#include "test/support/engine_rig.h"
#include "test/support/test_random.h"

namespace speccascade::test {

struct Expected {
  std::vector<int32_t> tokens;
  std::vector<double> logprobs;
  Event::End end = Event::End::kLength;
};

// Edits, distribution, draw; lossless, without a drafter.
Expected decode_plainly(const std::shared_ptr<const Model>& model, const Request& request);

// A greedy request with settings of every kind.
Request random_request(TestRandom& random, int vocabulary);

void check_sample(const SampleLog& sample, const Expected& expected, const std::string& what);

// Chance of each output of `length` tokens, coded to the base of the vocabulary: ancestral
// sampling from the request's rule, in double from teacher-forced rows. `drafter`: of the rule.
std::vector<double> output_law(const Model& target, const Model* drafter, const Request& request,
                               int length);

// Chi-square test of the outputs against a law.
void check_law(const std::vector<SampleLog>& samples, const std::vector<double>& law,
               int vocabulary, const std::string& what);

}  // namespace speccascade::test
