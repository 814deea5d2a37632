// Drafts that follow the load (decode/load_lengths.h): which slots of a session draft in a step and
// how far, and what the step taught. Inputs are encoded by the drafters when a draft first reads
// them, since many outputs end without one.
#pragma once

#include <vector>

#include "decode/drafter.h"
#include "decode/load_lengths.h"
#include "engine/request.h"

namespace speccascade {

class LoadFollower {
 public:
  // `draft_cost`: LoadLengths. The state, the host's, and the drafter outlive the follower, which
  // has the drafter encode at most `encoder_rows` at once, and of inputs that wait for drafts as
  // many in a step as the limits let the target encode.
  LoadFollower(const SessionLimits& limits, double draft_cost, const SequenceState& state,
               Drafter& drafter, int encoder_rows);

  // Inputs that the target has encoded into sources.
  void keep(const std::vector<const std::vector<int32_t>*>& inputs,
            const std::vector<int>& sources);
  // A sample begins in a slot, or ends there.
  void start(int slot, int source, const Request& request);
  void stop(int slot);

  // Drafts were emptied: cuts those of slots that follow the load, and encodes what the others
  // will read.
  void limit_drafts(LoadSample& sample);
  // The step's outcome stands in the state: rows of the target's pass in it.
  int target_rows() const;
  // The same: `sample` has all but what the state tells.
  void learn(LoadSample& sample);
  // Whether the drafters' encoder passes of this step were for the slot's input, among others.
  bool encoded_now(int slot) const;

 private:
  struct Source {
    std::vector<int32_t> input;
    bool encoded = false;  // by the drafters
    bool now = false;      // in this step
  };
  struct Follower {
    bool follows = false;
    int source = -1;
    int drafted = -1;  // nodes of the last step's draft; -1: there was no step
  };

  void cut_drafts();
  int rows_of_others() const;
  bool may_draft(int slot, int followers) const;
  Source& source_of(int slot);
  const Source& source_of(int slot) const;
  void encode_drafters(LoadSample& sample);

  bool reproducible_;
  int rows_per_step_;
  const SequenceState& state_;
  Drafter& drafter_;
  int encoder_rows_;
  LoadLengths lengths_;
  std::vector<Source> sources_;
  std::vector<Follower> followers_;  // [slots]
};

}  // namespace speccascade
