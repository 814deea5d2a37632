// Passes over given outputs, without decoding: final encoder states, logits, and
// log-probabilities. Ragged batches; every row as if it were alone.
#pragma once

#include <functional>
#include <vector>

#include "model/model.h"

namespace speccascade {

using Sequences = std::vector<std::vector<int32_t>>;

// Throws ERR_INPUT naming the request and the value unless every sequence has at
// least one id and every id is in [0, vocabulary).
void check_ids(const Model& model, const Sequences& sequences, const char* what);

// Packed final encoder states, [sum of lengths, d_model].
std::vector<float> encode_states(const Model& model, const Sequences& inputs);

// Packed logits, [sum of decoder lengths, vocabulary]. One decoder sequence per
// input, at least one id each.
std::vector<float> teacher_forced_logits(const Model& model, const Sequences& inputs,
                                         const Sequences& decoder_inputs);

// log p(output[i] | input, output[< i]) of each output id, packed, by the model's
// own softmax at temperature 1. The decoder starts from `start_token`.
std::vector<float> score_outputs(const Model& model, const Sequences& inputs,
                                 const Sequences& outputs, int start_token);

}  // namespace speccascade
