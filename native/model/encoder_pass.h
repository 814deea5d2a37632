// The T5 encoder over a packed, ragged batch: rows of all sequences back to back,
// no padding anywhere.
#pragma once

#include <vector>

#include "model/caches.h"
#include "model/model.h"
#include "model/pass_memory.h"
#include "ops/program.h"

namespace speccascade {

class EncoderPass {
 public:
  // `cross`: where the decoder's cross-attention keys and values go; null for
  // states alone. All must outlive the pass.
  EncoderPass(const Model& model, PassMemory& memory, int max_rows, int max_sequences,
              CrossCache* cross);

  // One encoder pass over `sequences`, which go to `sources` of the cross cache.
  // The rows together must not exceed max_rows.
  void run(const std::vector<const std::vector<int32_t>*>& sequences,
           const std::vector<int>& sources);

  // [rows of the last run, d_model] f32: the final states, packed. Only without `cross`.
  const float* states() const { return states_.host(); }
  int max_rows() const { return max_rows_; }
  size_t bytes() const;

 private:
  void emit();
  void run_program();
  void emit_layer(const EncoderLayerWeights& layer);

  const Model& model_;
  PassMemory& memory_;
  CrossCache* cross_;
  int max_rows_;
  int max_sequences_;
  SharedArray<int32_t> num_rows_, tokens_, row_sequence_, offsets_, cross_rows_;
  PassArray<float> hidden_, normed_, qkv_, attended_, feed_forward_;
  SharedArray<float> states_;
  PassArray<char> scratch_;
  Program program_;
  GraphCache graphs_;
};

}  // namespace speccascade
