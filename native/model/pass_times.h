// Times whole passes of a loaded model, for `npm run bench`: what a step costs
// without the engine around it.
#pragma once

#include <vector>

#include "model/model.h"

namespace speccascade {

struct PassTimes {
  std::vector<double> median_ms;  // per number of rows of a sequence
  std::vector<double> min_ms;
  std::vector<double> bytes;  // of weights and caches that a pass reads
  std::vector<double> flops;  // two per multiply-add of the products and of attention
  int phases = 0;             // of decoder passes that one kernel walks (ops/persistent.h)
};

// On a device milliseconds are of its own clock, and of decoder passes alone: no copies.
//
// Decoder passes over each of `rows` new positions of every sequence, of which there are
// `sequences`, after `cached` positions, over a source of `source` tokens each. Row counts take
// turns. ERR_INPUT for sizes out of range.
PassTimes time_decoder(const Model& model, const std::vector<int>& rows, int cached, int source,
                       int repeats, int sequences = 1);

// Medians of the passes that steps of speculation are made of, milliseconds.
struct StepTimes {
  double target;  // over drafts + 1 positions
  double draft;   // over one position; 0 without a drafter
};

// The same passes in the order of decoding: encoder passes, then steps of `drafts` drafter
// passes and one of the target. Between two passes of a model others have used the
// processor's caches, as in a session; time_decoder alone leaves the weights there.
StepTimes time_steps(const Model& target, const Model* drafter, int drafts, int cached, int source,
                     int repeats);

// Encoder passes over one sequence of each of `rows` tokens, in turns.
PassTimes time_encoder(const Model& model, const std::vector<int>& rows, int repeats);

}  // namespace speccascade
