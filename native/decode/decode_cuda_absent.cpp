// In place of the kernels of a step in builds without nvcc, where no model is on a device.
#include "base/error.h"
#include "decode/cascade_cuda.h"
#include "decode/decode_cuda.h"

namespace speccascade {

namespace {

[[noreturn]] void absent() { fail(ErrorCode::kDevice, "this build has no kernels for GPUs"); }

}  // namespace

void verify_cuda(const DistributionArgs&, const VerifyArgs&, void*) { absent(); }

void verify_rows_cuda(const SequenceState&, const CacheTable&, const DecoderRows&, const LogitRows&,
                      const SlotSampling&, void*) {
  absent();
}

void commit_cuda(const SequenceState&, const CacheTable&, void*) { absent(); }

void keep_accepted_cuda(const SequenceState&, const CacheTable&, void*) { absent(); }

void open_drafts_cuda(const SequenceState&, const AdaptiveLength&, void*) { absent(); }

void extend_drafts_cuda(const SequenceState&, const SlotSampling&, const DraftShape&,
                        const CacheTable&, const DecoderRows&, const LogitRows&,
                        const DraftDistributions&, const AdaptiveLength&, void*) {
  absent();
}

void tree_rows_cuda(const SequenceState&, const DynamicTree&, const CacheTable&, const DecoderRows&,
                    const LogitRows&, void*) {
  absent();
}

void grow_trees_cuda(const SequenceState&, const SlotSampling&, const DynamicTree&,
                     const CacheTable&, const DecoderRows&, const LogitRows&, void*) {
  absent();
}

void commit_trees_cuda(const SequenceState&, const DynamicTree&, const CacheTable&, void*) {
  absent();
}

void draft_loop_cuda(const DraftLoop&, void*) { absent(); }

bool draft_loop_fits_cuda() { absent(); }

void learn_lengths_cuda(const SequenceState&, const AdaptiveLength&, void*) { absent(); }

void catch_up_rows_cuda(const SequenceState&, const CacheTable&, int, const DecoderRows&, void*) {
  absent();
}

void caught_up_cuda(const SequenceState&, const CacheTable&, int, void*) { absent(); }

void draft_rows_cuda(const SequenceState&, const SlotSampling&, const CacheTable&,
                     const DecoderRows&, const LogitRows&, void*) {
  absent();
}

void copy_drafts_cuda(const SequenceState&, const SlotSampling&, const CopyShape&,
                      const CopyScratch&, const AdaptiveLength&, void*) {
  absent();
}

void open_cascade_cuda(const SequenceState&, const SlotSampling&, const Cascade&,
                       const AdaptiveLength&, void*) {
  absent();
}

void cascade_rows_cuda(const SequenceState&, const Cascade&, int, const DecoderRows&,
                       const LogitRows&, void*) {
  absent();
}

void cascade_review_cuda(const SequenceState&, const SlotSampling&, const Cascade&,
                         const AdaptiveLength&, int, const DecoderRows&, const LogitRows&, void*) {
  absent();
}

void cascade_lag_rows_cuda(const SequenceState&, const Cascade&, int, const DecoderRows&, void*) {
  absent();
}

void cascade_take_lag_cuda(const SequenceState&, const Cascade&, int, void*) { absent(); }

void commit_cascade_cuda(const SequenceState&, const Cascade&, void*) { absent(); }

}  // namespace speccascade
