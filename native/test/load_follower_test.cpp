// Which slots of a session draft when lengths follow the load, and when drafters encode inputs,
// over a drafter that does nothing and a target that takes as long as its rows.
#include "engine/load_follower.h"

#include <algorithm>

#include "engine/slot_tables.h"
#include "test/check.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// Remembers how many rows of inputs it was given at once.
struct Listener : Drafter {
  explicit Listener(const DraftContext& context) : Drafter(context) {}
  void encode(const std::vector<const std::vector<int32_t>*>& inputs,
              const std::vector<int>&) override {
    size_t rows = 0;
    for (const auto* input : inputs) rows += input->size();
    encoded.push_back(static_cast<int>(rows));
  }
  void start(int, int) override {}
  void draft() override {}
  void commit() override {}
  DraftRows rows() const override { return {}; }
  size_t bytes() const override { return 0; }

  std::vector<int> encoded;
};

constexpr int kVocabulary = 40;

SessionLimits limits_for(int slots, const std::vector<int>& widths) {
  SessionLimits limits;
  limits.draft.kind = DraftKind::kLevels;
  limits.draft.widths = widths;
  limits.draft.follows_load = true;
  limits.max_batch = slots;
  limits.max_new_tokens = 1000;
  limits.encoder_rows_per_step = 256;
  return limits;
}

struct Session {
  explicit Session(const SessionLimits& wanted, int encoder_rows = 1024)
      : limits(wanted),
        tables(limits, kVocabulary),
        drafter({tables.sequences(), tables.drafter_sampling(), {}, 1, kVocabulary, nullptr}),
        follower(limits, 0.05, tables.sequences(), drafter, encoder_rows) {}

  void start(int slot, int input_tokens, float temperature = 0.0f) {
    Request request;
    request.input_ids.assign(static_cast<size_t>(input_tokens), 5);
    request.prefix = {0};
    request.max_new_tokens = 1000;
    request.temperature = temperature;
    tables.assign(slot, request, 1);
    follower.keep({&request.input_ids}, {slot});
    follower.start(slot, slot, request);
  }

  // A step in which each slot drafts all that it may, and none of it is accepted but where the slot
  // follows the load. Returns what its drafters did.
  LoadSample step(double draft_ms = 0.01) {
    const SequenceState& state = tables.sequences();
    LoadSample sample;
    empty_drafts(state);
    follower.limit_drafts(sample);
    for (int slot = 0; slot < state.slots; ++slot) {
      if (state.active[slot] == 0) continue;
      const int levels = std::min(state.draft_limit[slot], limits.draft.max_path());
      const int nodes = limits.draft.nodes_to(levels);
      state.draft_count[slot] = nodes;
      if (nodes > 0) slot_part(state.draft_depth, slot, state.max_nodes)[nodes - 1] = levels - 1;
      state.tested[slot] = state.accepted[slot] = levels;
      state.emitted[slot] = 1;
      state.draft_lag[slot] = nodes > 0 ? 1 : state.draft_lag[slot] + 1;
      ++state.step[slot];
      ++state.length[slot];
    }
    sample.target_rows = follower.target_rows();
    sample.target_ms = 1.0 + 0.001 * sample.target_rows;
    sample.draft_ms = draft_ms;
    follower.learn(sample);
    return sample;
  }

  SessionLimits limits;
  SlotTables tables;
  Listener drafter;
  LoadFollower follower;
};

void inputs_are_encoded_in_portions() {
  constexpr int kSlots = 12;
  Session session(limits_for(kSlots, {1, 1}));
  for (int slot = 0; slot < kSlots; ++slot) session.start(slot, slot == 0 ? 500 : 100);
  int steps = 0;
  for (; steps < 40 && session.drafter.encoded.size() < 7; ++steps) {
    const size_t before = session.drafter.encoded.size();
    const LoadSample sample = session.step();
    CHECK(session.drafter.encoded.size() <= before + 1, "one pass a step");
    const bool encoded = session.drafter.encoded.size() > before;
    CHECK(encoded == (sample.encoded > 0), "step ", steps);
    for (int slot = 0; slot < kSlots && encoded; ++slot) {
      CHECK(!session.follower.encoded_now(slot) || session.tables.sequences().draft_limit[slot] > 0,
            "slot ", slot, " of step ", steps);
    }
  }
  // One input that exceeds the portion alone, then two at a time.
  CHECK((session.drafter.encoded == std::vector<int>{500, 200, 200, 200, 200, 200, 100}), "in ",
        steps, " steps");
  for (int i = 0; i < 20; ++i) (void)session.step();
  CHECK(session.drafter.encoded.size() == 7, "none is encoded twice");
}

// Drafts that do not follow the load, in one step: as many inputs in a pass as the drafters' rows
// hold, and the next pass begins with the one that did not fit.
void passes_hold_the_encoders_rows() {
  Session session(limits_for(5, {1}), 8);
  for (const int slot : {0, 1, 2, 3, 4}) session.start(slot, slot == 1 ? 3 : 5, 1.0f);
  CHECK(session.step().encoded == 5, "inputs");
  CHECK((session.drafter.encoded == std::vector<int>{8, 5, 5, 5}), session.drafter.encoded.size(),
        " passes");
}

void the_next_input_of_a_source_is_encoded() {
  Session session(limits_for(1, {1}));
  for (const int tokens : {10, 12}) {
    session.start(0, tokens, 1.0f);
    for (int i = 0; i < 3; ++i) (void)session.step();
    session.follower.stop(0);
    session.tables.clear(0);
  }
  CHECK((session.drafter.encoded == std::vector<int>{10, 12}), session.drafter.encoded.size(),
        " passes");
}

// Beside a request whose drafts are trees of 28 nodes, whatever the load.
void rows_of_others_are_what_they_were() {
  Session session(limits_for(2, {4, 2, 2}));
  session.start(0, 10);
  session.start(1, 10, 1.0f);
  CHECK(session.limits.draft.max_nodes() == 28, "nodes");
  int drafted = 0;
  for (int i = 0; i < 40; ++i) {
    (void)session.step();
    drafted += session.tables.sequences().draft_limit[0] > 0 ? 1 : 0;
    CHECK(session.tables.sequences().draft_limit[1] > 0, "the other always drafts");
  }
  CHECK(drafted > 20, "drafted in ", drafted, " of 40 steps");
}

// Drafts that cost much end soon; when they are tried again the drafter has far to go, once.
void steps_that_catch_up_are_told() {
  Session session(limits_for(1, {1}));
  session.start(0, 10);
  int plain = 0, caught_up = 0;
  for (int i = 0; i < 400; ++i) {
    const LoadSample sample = session.step(5.0);
    const bool drafted = sample.draft_slots > 0;
    CHECK(sample.caught_up == (drafted && plain > kLaggingPass), "step ", i, " after ", plain);
    caught_up += sample.caught_up ? 1 : 0;
    plain = drafted ? 0 : plain + 1;
  }
  CHECK(caught_up > 0 && caught_up < 10, "caught up in ", caught_up, " steps");
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(inputs_are_encoded_in_portions), CASE(passes_hold_the_encoders_rows),
                    CASE(the_next_input_of_a_source_is_encoded),
                    CASE(rows_of_others_are_what_they_were), CASE(steps_that_catch_up_are_told)});
}
