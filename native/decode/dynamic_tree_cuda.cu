#include "base/cuda_launch.h"
#include "decode/decode_cuda.h"
#include "decode/dynamic_tree_writer.h"
#include "decode/slot_threads_cuda.cuh"
#include "ops/row_math_cuda.cuh"

namespace speccascade {

namespace {

SC_KERNEL(kSlotThreads)
tree_rows_kernel(SequenceState state, DynamicTree tree, CacheTable drafter, DecoderRows rows,
                 LogitRows logits) {
  wait_for_previous();
  append_slot(
      slot_of_thread(), state.slots, rows,
      [&](int slot) { return tree_slot_rows(state, tree, drafter, slot); },
      [&](const DecoderRows& own, int slot) {
        append_tree_slot(state, tree, drafter, own, logits, slot);
      });
}

// A block per slot.
SC_KERNEL(kMaxRowThreads, 1)
grow_tree_kernel(SequenceState state, SlotSampling sampling, DynamicTree tree, CacheTable drafter,
                 const int32_t* num_logits, LogitRows logits) {
  wait_for_previous();
  const int slot = block_index();
  const LogitRange range = logits_of_slot(logits, *num_logits, slot);
  if (range.begin == range.end) return;
  DynamicTreeWriter<BlockMath>(state, sampling, tree, slot)
      .take_pass(drafter, logits, range.begin, range.end);
}

SC_KERNEL(kSlotThreads)
commit_tree_kernel(SequenceState state, DynamicTree tree, CacheTable drafter) {
  wait_for_previous();
  const int slot = slot_of_thread();
  if (slot < state.slots) commit_tree_slot(state, tree, drafter, slot);
}

}  // namespace

void tree_rows_cuda(const SequenceState& state, const DynamicTree& tree, const CacheTable& drafter,
                    const DecoderRows& rows, const LogitRows& logits, void* stream) {
  launch(thread_per_slot(state.slots), stream, tree_rows_kernel, state, tree, drafter, rows,
         logits);
}

void grow_trees_cuda(const SequenceState& state, const SlotSampling& sampling,
                     const DynamicTree& tree, const CacheTable& drafter, const DecoderRows& rows,
                     const LogitRows& logits, void* stream) {
  launch(waiting(state.slots, row_threads(tree.vocabulary)), stream, grow_tree_kernel, state,
         sampling, tree, drafter, rows.num_logits, logits);
}

void commit_trees_cuda(const SequenceState& state, const DynamicTree& tree,
                       const CacheTable& drafter, void* stream) {
  launch(thread_per_slot(state.slots), stream, commit_tree_kernel, state, tree, drafter);
}

}  // namespace speccascade
