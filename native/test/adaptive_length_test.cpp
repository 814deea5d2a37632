// What lengths chosen step by step learn from outcomes.
#include "decode/adaptive_length.h"

#include <vector>

#include "test/check.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kNodes = 3;

// One slot whose drafts are copies, which cost no pass.
struct Slot {
  Slot() {
    state.slots = 1;
    state.max_nodes = kNodes;
    state.adaptive = &record;
    state.draft_class = classes.data();
    state.tested = &tested;
    state.accepted = &accepted;
    state.emitted = &emitted;
  }

  AdaptiveSlot record = {};
  std::vector<int32_t> classes = std::vector<int32_t>(kNodes);
  int32_t tested = 0, accepted = 0, emitted = 0;
  SequenceState state = {};
};

// How many of so many steps draft, if of each draft so many tokens are accepted.
int steps_that_draft(int accepted, int steps) {
  Slot slot;
  const AdaptiveLength lengths({true, kNodes, 0.0f}, {0.0f, 0.5f}, slot.state);
  lengths.start(0);
  int drafting = 0;
  for (int step = 0; step < steps; ++step) {
    const bool drafts = lengths.begins(0);
    lengths.open(0);
    for (int node = 0; drafts && node < kNodes; ++node) lengths.add_copy(0, node);
    slot.accepted = drafts ? accepted : 0;
    slot.tested = drafts && accepted < kNodes ? accepted + 1 : slot.accepted;
    slot.emitted = slot.accepted + 1;
    lengths.learn(slot.state, 0);
    drafting += drafts ? 1 : 0;
  }
  return drafting;
}

// But for a try now and then.
void rejected_drafts_are_given_up() {
  const int rejected = steps_that_draft(0, 100), right = steps_that_draft(kNodes, 100);
  CHECK(rejected > 0 && rejected < 50, rejected, " of 100 steps drafted in vain");
  CHECK(right == 100, right, " of 100 steps drafted what is right");
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, {CASE(rejected_drafts_are_given_up)});
}
