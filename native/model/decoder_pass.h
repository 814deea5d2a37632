// The T5 decoder over new positions of several sequences: a single step, the
// verification of a chain or of a tree are the same pass.
#pragma once

#include "model/caches.h"
#include "model/model.h"
#include "model/pass_memory.h"
#include "model/persistent_form.h"
#include "ops/program.h"

namespace speccascade {

class DecoderPass {
 public:
  struct Limits {
    int slots;
    int max_rows;    // new positions in one pass
    int max_logits;  // rows of logits in one pass
    int max_nodes;   // uncommitted positions of a slot
  };

  // The memory, which is theirs too, and the caches must outlive the pass.
  DecoderPass(const Model& model, PassMemory& memory, const Limits& limits, SelfCache& self,
              CrossCache& cross);

  // Filled by the caller before run(): tokens, slot, position, node, num_rows,
  // logit_rows, num_logits, and node_parent of every uncommitted node.
  const DecoderRows& rows() const { return rows_; }
  void run();
  // Where kernels fill the rows: theirs, and what computes them. Nothing is copied, nothing waits.
  const DecoderRows& device_rows();
  void queue(DeviceStream& stream);
  // The pass as one kernel walks it; null where kernels run it one by one.
  const PersistentPass* persistent(DeviceStream& stream);
  // How often its blocks meet; 0: kernels run the pass one by one.
  int phases() const { return persistent_.phases(); }
  float* device_logits() const { return logits_.device(); }
  // Of the logits (gemm.h), on devices.
  const LeftPeak* device_peaks() const { return peaks_.data(); }
  // [num_logits, V] f32, the host's
  float* logits() const { return logits_.host(); }
  int max_logits() const { return limits_.max_logits; }
  size_t bytes() const;

 private:
  void emit();
  void emit_layer(int index);

  const Model& model_;
  PassMemory& memory_;
  SelfCache& self_;
  CrossCache& cross_;
  Limits limits_;
  SharedArray<int32_t> row_data_;
  SharedArray<int32_t> node_parent_;
  DecoderRows rows_;         // the host's
  DecoderRows device_rows_;  // the operations'
  PassArray<float> hidden_, normed_, query_, attended_, feed_forward_;
  SharedArray<float> logits_;
  PassArray<LeftPeak> peaks_;
  PassArray<char> scratch_;
  Program program_;
  PersistentForm persistent_;
  GraphCache graphs_;
};

}  // namespace speccascade
