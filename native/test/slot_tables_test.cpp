// A sample in a slot begins as if nothing had been there before.
#include "engine/slot_tables.h"

#include "test/check.h"
#include "test/support/engine_rig.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

void the_last_sample_of_a_slot_is_forgotten() {
  SlotTables used(limits_of(2, 3), 40);
  const SequenceState& state = used.sequences();
  Request request = plain_request({1, 2, 3}, 5);
  request.eos_tokens = {7};
  used.assign(1, request, 1);
  state.step[1] = 9;
  state.draft_lag[1] = 300;
  state.finish[1] = static_cast<int32_t>(Finish::kEos);
  state.failure[1] = static_cast<int32_t>(Failure::kNoTokenLeft);
  state.deferred[1] = 0.5f;
  used.clear(1);
  request.eos_tokens = {8};
  used.assign(1, request, 2);
  CHECK(state.active[1] == 1 && state.step[1] == 0, "step ", state.step[1]);
  CHECK(state.draft_lag[1] == 0, "the drafter lags by ", state.draft_lag[1]);
  CHECK(state.finish[1] == static_cast<int32_t>(Finish::kNone), "finish ", state.finish[1]);
  CHECK(state.failure[1] == static_cast<int32_t>(Failure::kNone), "failure ", state.failure[1]);
  CHECK(state.deferred[1] == 0.0f, "deferred ", state.deferred[1]);
  CHECK(!ends_sequence(used.sampling(), 1, 7) && ends_sequence(used.sampling(), 1, 8),
        "end tokens");
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, {CASE(the_last_sample_of_a_slot_is_forgotten)});
}
