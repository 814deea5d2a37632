// The T5 decoder over new positions of several sequences: a single step, the
// verification of a chain or of a tree are the same pass.
#pragma once

#include "base/buffer.h"
#include "model/caches.h"
#include "model/model.h"
#include "ops/program.h"

namespace speccascade {

class DecoderPass {
 public:
  // At most max_rows new positions and max_logits rows of logits in one pass.
  // The caches must outlive the pass.
  DecoderPass(const Model& model, int max_rows, int max_logits, SelfCache& self,
              CrossCache& cross);

  // Filled by the caller before run(): tokens, slot, position, parent, node,
  // num_rows, logit_rows, num_logits.
  const DecoderRows& rows() const { return rows_; }
  void run();
  // [num_logits, V] f32
  float* logits() const { return logits_.data(); }
  int max_logits() const { return max_logits_; }
  size_t bytes() const;

 private:
  void emit();
  void emit_layer(int index);

  const Model& model_;
  SelfCache& self_;
  CrossCache& cross_;
  int max_rows_;
  int max_logits_;
  Array<int32_t> row_data_;
  DecoderRows rows_;
  Array<float> hidden_, normed_, query_, attended_, feed_forward_, logits_;
  Program program_;
};

}  // namespace speccascade
