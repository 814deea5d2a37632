// Drafting by a cascade on CUDA (cascade_slot.h), in launches; decode_cuda.h says how they are
// called. Text lengths are [slots, copy_text_size()], scratch and one-hot rows [slots, vocabulary].
#pragma once

#include "decode/adaptive_length.h"
#include "decode/cascade_state.h"
#include "ops/sampling.h"

namespace speccascade {

// Every slot's draft is begun.
void open_cascade_cuda(const SequenceState& state, const SlotSampling& sampling,
                       const Cascade& cascade, const AdaptiveLength& lengths, void* stream);

// The rows of a pass of `model` for the slots that wait for it; none where no slot does.
void cascade_rows_cuda(const SequenceState& state, const Cascade& cascade, int model,
                       const DecoderRows& rows, const LogitRows& logits, void* stream);
// The pass and its distributions were queued: reviews, and what follows up to the next pass.
void cascade_review_cuda(const SequenceState& state, const SlotSampling& sampling,
                         const Cascade& cascade, const AdaptiveLength& lengths, int model,
                         const DecoderRows& rows, const LogitRows& logits, void* stream);

// The rows of a pass of `model` for slots that it lags behind in, and, when the pass was queued,
// that these were consumed.
void cascade_lag_rows_cuda(const SequenceState& state, const Cascade& cascade, int model,
                           const DecoderRows& rows, void* stream);
void cascade_take_lag_cuda(const SequenceState& state, const Cascade& cascade, int model,
                           void* stream);

void commit_cascade_cuda(const SequenceState& state, const Cascade& cascade, void* stream);

}  // namespace speccascade
