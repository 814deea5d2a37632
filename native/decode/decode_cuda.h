// Steps of decoding on CUDA: the contracts are those of each function's CPU twin, all pointers,
// also those within arrays, are to the device's memory, and work is queued on `stream` (a
// cudaStream_t). Nothing waits.
#pragma once

#include "decode/copy_writer.h"
#include "decode/dynamic_tree.h"
#include "decode/level_writer.h"
#include "decode/verify.h"
#include "ops/persistent.h"

namespace speccascade {

// The target's distributions, then verify(), in two launches for all slots: rows, and walks. Reads
// and writes `args.target` instead of the target's probabilities and pi.
void verify_cuda(const DistributionArgs& target, const VerifyArgs& args, void* stream);

// Bookkeeping: verify.h.
void verify_rows_cuda(const SequenceState& state, const CacheTable& target, const DecoderRows& rows,
                      const LogitRows& logits, const SlotSampling& sampling, void* stream);
void commit_cuda(const SequenceState& state, const CacheTable& target, void* stream);
void keep_accepted_cuda(const SequenceState& state, const CacheTable& drafter, void* stream);

// level_draft.h. The records that `lengths` keeps are the device's.
// DraftDistributions::scratch is [slots, vocabulary].
void open_drafts_cuda(const SequenceState& state, const AdaptiveLength& lengths, void* stream);
void extend_drafts_cuda(const SequenceState& state, const SlotSampling& sampling,
                        const DraftShape& shape, const CacheTable& drafter, const DecoderRows& rows,
                        const LogitRows& logits, const DraftDistributions& drafts,
                        const AdaptiveLength& lengths, void* stream);
void draft_rows_cuda(const SequenceState& state, const SlotSampling& sampling,
                     const CacheTable& drafter, const DecoderRows& rows, const LogitRows& logits,
                     void* stream);
// All rounds of a step's drafts, after open_drafts_cuda, in one kernel that stays on the device:
// rows, the drafter's pass, distributions, levels, until no draft is open or for so many rounds.
// Of passes in bf16 (PassTypes): for other types a block has not registers enough. The bits are
// those of the kernels round by round.
struct DraftLoop {
  SequenceState state;
  SlotSampling sampling;
  DraftShape shape;
  CacheTable drafter;
  DecoderRows rows;
  LogitRows logits;
  DraftDistributions drafts;
  AdaptiveLength lengths;
  DistributionArgs distribution;
  PersistentPass pass;
  int rounds;
};
void draft_loop_cuda(const DraftLoop& loop, void* stream);
// Whether the current device has room for it.
bool draft_loop_fits_cuda();
// AdaptiveLength::learn() of every active slot.
void learn_lengths_cuda(const SequenceState& state, const AdaptiveLength& lengths, void* stream);

// Dynamic trees: the rows of a round, what is made of them, and what the drafter's cache keeps of a
// step (dynamic_tree_writer.h).
void tree_rows_cuda(const SequenceState& state, const DynamicTree& tree, const CacheTable& drafter,
                    const DecoderRows& rows, const LogitRows& logits, void* stream);
void grow_trees_cuda(const SequenceState& state, const SlotSampling& sampling,
                     const DynamicTree& tree, const CacheTable& drafter, const DecoderRows& rows,
                     const LogitRows& logits, void* stream);
void commit_trees_cuda(const SequenceState& state, const DynamicTree& tree,
                       const CacheTable& drafter, void* stream);

// ModelLane::catch_up of all slots whose draft is open, one pass of at most `most` positions each:
// the rows of the pass, and, when it has run, that the cache holds them.
void catch_up_rows_cuda(const SequenceState& state, const CacheTable& drafter, int most,
                        const DecoderRows& rows, void* stream);
void caught_up_cuda(const SequenceState& state, const CacheTable& drafter, int most, void* stream);

// Max-Gram's drafts: copy_writer.h. `scratch`: lengths is [slots,
// copy_text_size()] and path [slots, max_path].
void copy_drafts_cuda(const SequenceState& state, const SlotSampling& sampling,
                      const CopyShape& shape, const CopyScratch& scratch,
                      const AdaptiveLength& lengths, void* stream);

}  // namespace speccascade
