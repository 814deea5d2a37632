#include "model/teacher_forced.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/thread_pool.h"
#include "model/decoder_pass.h"
#include "model/encoder_pass.h"
#include "ops/cpu_kernels.h"
#include "ops/sampling.h"

namespace speccascade {

namespace {

int longest(const Sequences& sequences) {
  size_t length = 1;
  for (const auto& ids : sequences) length = std::max(length, ids.size());
  return static_cast<int>(length);
}

// Runs one sequence at a time through encoder and decoder and hands its logits
// [length, V] to `consume`. One at a time keeps the logits of a long batch from
// existing together; the products are tall enough to be efficient.
template <typename Consume>
void for_each_logits(const Model& model, const Sequences& inputs, const Sequences& decoder_inputs,
                     const Consume& consume) {
  const int max_input = longest(inputs);
  const int max_output = longest(decoder_inputs);
  PassMemory memory(model);
  CrossCache cross(memory, model, 1, 1, max_input);
  SelfCache self(memory, model, 1, max_output);
  EncoderPass encoder(model, memory, max_input, 1, &cross);
  DecoderPass decoder(model, memory, {1, max_output, max_output, max_output}, self, cross);
  memory.allocate();
  for (size_t i = 0; i < inputs.size(); ++i) {
    encoder.run({&inputs[i]}, {0});
    self.reset(0);
    const std::vector<int32_t>& ids = decoder_inputs[i];
    const int length = static_cast<int>(ids.size());
    const DecoderRows& rows = decoder.rows();
    for (int r = 0; r < length; ++r) {
      rows.tokens[r] = ids[static_cast<size_t>(r)];
      rows.slot[r] = 0;
      rows.position[r] = r;
      rows.node[r] = r;
      rows.node_parent[r] = r - 1;
      rows.logit_rows[r] = r;
    }
    *rows.num_rows = length;
    *rows.num_logits = length;
    decoder.run();
    consume(i, decoder.logits(), length);
  }
}

void check_finite(const float* row, int count, size_t request) {
  bool finite = true;
  const int best = cpu_kernels().argmax(row, count, &finite);
  // Minus infinity stands for tokens that are left out; of nothing else there is no distribution.
  if (!finite || !std::isfinite(row[best]))
    fail(ErrorCode::kNumeric, "the model gave logits that are not finite (request ", request, ")");
}

}  // namespace

void check_ids(const Model& model, const Sequences& sequences, const char* what) {
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (sequences[i].empty()) {
      fail(ErrorCode::kInput, what, " of request ", i, ": expected at least one id, got none");
    }
    for (const int32_t id : sequences[i]) {
      if (id < 0 || id >= model.config.vocab_size) {
        fail(ErrorCode::kInput, what, " of request ", i, ": id ", id,
             " is outside the vocabulary of ", model.config.vocab_size);
      }
    }
  }
}

std::vector<float> encode_states(const Model& model, const Sequences& inputs) {
  check_ids(model, inputs, "input");
  size_t total = 0;
  for (const auto& ids : inputs) total += ids.size();
  const size_t width = static_cast<size_t>(model.config.d_model);
  std::vector<float> states(total * width);
  PassMemory memory(model);
  EncoderPass encoder(model, memory, longest(inputs), 1, nullptr);
  memory.allocate();
  float* out = states.data();
  for (const auto& ids : inputs) {
    encoder.run({&ids}, {0});
    std::memcpy(out, encoder.states(), ids.size() * width * sizeof(float));
    out += ids.size() * width;
  }
  return states;
}

std::vector<float> teacher_forced_logits(const Model& model, const Sequences& inputs,
                                         const Sequences& decoder_inputs) {
  check_ids(model, inputs, "input");
  check_ids(model, decoder_inputs, "decoder input");
  if (inputs.size() != decoder_inputs.size()) {
    fail(ErrorCode::kInput, "expected one decoder input per input, got ", decoder_inputs.size(),
         " for ", inputs.size());
  }
  const size_t vocabulary = static_cast<size_t>(model.config.vocab_size);
  std::vector<float> all;
  for_each_logits(model, inputs, decoder_inputs, [&](size_t, const float* logits, int length) {
    all.insert(all.end(), logits, logits + static_cast<size_t>(length) * vocabulary);
  });
  return all;
}

std::vector<float> score_outputs(const Model& model, const Sequences& inputs,
                                 const Sequences& outputs, int start_token) {
  check_ids(model, inputs, "input");
  check_ids(model, outputs, "output");
  if (inputs.size() != outputs.size()) {
    fail(ErrorCode::kInput, "expected one output per input, got ", outputs.size(), " for ",
         inputs.size());
  }
  Sequences decoder_inputs;
  for (const auto& ids : outputs) {
    std::vector<int32_t> shifted = {start_token};
    shifted.insert(shifted.end(), ids.begin(), ids.end() - 1);
    decoder_inputs.push_back(std::move(shifted));
  }
  check_ids(model, decoder_inputs, "decoder input");
  const int vocabulary = model.config.vocab_size;
  std::vector<float> scores;
  std::vector<float> scratch(static_cast<size_t>(vocabulary));
  const auto add = [&](size_t request, const float* logits, int length) {
    for (int r = 0; r < length; ++r) {
      const float* row = logits + static_cast<int64_t>(r) * vocabulary;
      check_finite(row, vocabulary, request);
      bool finite = true;
      const float max = row[cpu_kernels().argmax(row, vocabulary, &finite)];
      scores.push_back(row[outputs[request][static_cast<size_t>(r)]] -
                       log_sum_exp(row, vocabulary, max, scratch.data()));
    }
  };
  for_each_logits(model, inputs, decoder_inputs, add);
  return scores;
}

}  // namespace speccascade
