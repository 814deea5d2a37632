// The T5 encoder over a packed, ragged batch: rows of all sequences back to back,
// no padding anywhere.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "model/caches.h"
#include "model/model.h"
#include "ops/program.h"

namespace speccascade {

class EncoderPass {
 public:
  // `cross`: where the decoder's cross-attention keys and values go; null for
  // states alone. Both must outlive the pass.
  EncoderPass(const Model& model, int max_rows, int max_sequences, CrossCache* cross);

  // One encoder pass over `sequences`, which go to `sources` of the cross cache.
  // The rows together must not exceed max_rows.
  void run(const std::vector<const std::vector<int32_t>*>& sequences,
           const std::vector<int>& sources);

  // [rows of the last run, d_model] f32: the final states, packed.
  const float* states() const { return normed_.data(); }
  int max_rows() const { return max_rows_; }
  int max_sequences() const { return max_sequences_; }
  size_t bytes() const;

 private:
  void emit();
  void emit_layer(const EncoderLayerWeights& layer);

  const Model& model_;
  CrossCache* cross_;
  int max_rows_;
  int max_sequences_;
  Array<int32_t> num_rows_, tokens_, row_sequence_, offsets_, cross_rows_;
  Array<float> hidden_, normed_, qkv_, attended_, feed_forward_;
  Buffer scratch_;
  Program program_;
};

}  // namespace speccascade
