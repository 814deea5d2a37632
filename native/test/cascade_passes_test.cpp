// The order of passes that a device queues for cascades (cascade_passes) holds what every slot asks
// for: random plans, whose models answer at random. And what adaptive length is told of a draft.
#include "decode/cascade_drafter.h"
#include "decode/cascade_slot.h"
#include "ops/row_math.h"
#include "test/check.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kVocabulary = 6;
constexpr int kCapacity = 24;
constexpr int kInput = 12;

DraftPlan random_plan(TestRandom& random) {
  DraftPlan plan;
  plan.kind = DraftKind::kCascade;
  plan.copies = random.below(2) == 0;
  plan.copy_length = 1 + random.below(4);
  const int drafters = 1 + (plan.copies ? 1 : 0) + random.below(3);
  for (int row = 0; row < drafters; ++row) {
    for (int column = 0; column < drafters; ++column) {
      plan.lengths.push_back(column < row ? 0 : random.below(4));
    }
  }
  plan.lengths[0] += 1;
  check_plan(plan, plan.models(), kVocabulary);
  return plan;
}

// One slot, and what its models answer.
struct Slot {
  std::vector<int32_t> ints;
  std::vector<int32_t> input, tokens, draft_tokens, parent, depth, passes, consumed, drawn_by,
      text_lengths, best, status;
  std::vector<CascadeLane> lanes;
  std::vector<CascadeFrame> frames;
  std::vector<const float*> proposal;
  CascadeTurn turn = {};
  Rule rule;
  uint32_t end_bits = 1;  // token 0 ends the sequence
  float temperature = 0.0f;
  SequenceState state = {};
  SlotSampling sampling = {};
  Cascade cascade = {};

  Slot(const DraftPlan& plan, TestRandom& random);
};

Slot::Slot(const DraftPlan& plan, TestRandom& random)
    : ints(8),
      input(kInput),
      tokens(kCapacity),
      passes(static_cast<size_t>(plan.drafters())),
      consumed(static_cast<size_t>(plan.models())),
      frames(consumed.size() + 1) {
  const auto nodes = static_cast<size_t>(plan.max_nodes());
  for (auto* each : {&draft_tokens, &parent, &depth, &drawn_by}) each->resize(nodes);
  proposal.resize(nodes);
  for (auto* text : {&input, &tokens}) {
    for (int32_t& token : *text) token = 1 + random.below(2);
  }
  state.slots = 1;
  state.capacity = kCapacity;
  state.max_input = kInput;
  state.max_nodes = state.max_path = plan.max_nodes();
  int32_t** fields[] = {&state.active,      &state.input_length, &state.length,
                        &state.draft_count, &state.draft_limit,  &state.failure};
  for (size_t i = 0; i < std::size(fields); ++i) *fields[i] = &ints[i];
  *state.active = 1;
  *state.input_length = random.below(kInput + 1);
  *state.length = 1 + random.below(kCapacity);
  *state.draft_limit = random.below(plan.max_nodes() + 1);
  rule.kind = random.below(2) == 0 ? RuleKind::kLossless : RuleKind::kChow;
  state.rule = &rule;
  state.input_tokens = input.data();
  state.tokens = tokens.data();
  state.draft_tokens = draft_tokens.data();
  state.draft_parent = parent.data();
  state.draft_depth = depth.data();
  state.draft_passes = passes.data();
  sampling.temperature = &temperature;
  sampling.eos_bits = sampling.stop_bits = &end_bits;
  sampling.bit_words = 1;
  best.resize(nodes + 1);
  status.resize(nodes + 1);
  for (int32_t& length : consumed) {
    lanes.push_back({{nullptr, &length, 0}, nullptr, nullptr, nullptr, best.data(), status.data()});
  }
  text_lengths.resize(static_cast<size_t>(copy_text_size(state)));
  cascade.models = plan.models();
  cascade.drafters = plan.drafters();
  cascade.copy_length = plan.copy_length;
  cascade.vocabulary = kVocabulary;
  cascade.lenience = 1.0;
  cascade.lengths = plan.lengths.data();
  cascade.lanes = lanes.data();
  cascade.frames = frames.data();
  cascade.turns = &turn;
  cascade.drawn_by = drawn_by.data();
  cascade.proposal = proposal.data();
  cascade.text_lengths = text_lengths.data();
}

struct Seen {
  size_t asked = 0, drafted = 0, last_rows = 0;
};

void follow(uint64_t seed, Seen& seen) {
  TestRandom random(seed);
  const DraftPlan plan = random_plan(random);
  Slot slot(plan, random);
  std::vector<int> passes = cascade_passes(plan, *slot.state.draft_limit, 100000);
  if (reads_drafter(slot.rule.kind)) passes.push_back(0);
  HostLanes search(slot.state);
  const AdaptiveLength lengths({}, {}, slot.state);
  CascadeSlot<RowMath<float>, HostLanes> machine(slot.state, slot.sampling, slot.cascade, search,
                                                 lengths, 0);
  machine.open();
  size_t at = 0;
  while (slot.turn.waits_for >= 0) {
    const int model = slot.turn.waits_for;
    while (at < passes.size() && passes[at] != model) ++at;
    CHECK(at < passes.size(), "model ", model, " is not in the order, seed ", seed);
    if (at == passes.size()) return;
    ++at;
    const SlotRows rows = cascade_slot_rows(slot.state, slot.cascade, model, 0);
    const bool fits = rows.logits >= 1 && rows.logits <= plan.max_nodes() + 1;
    CHECK(fits && rows.rows >= rows.logits, rows.rows, " rows, ", rows.logits, " logits, ", seed);
    if (!fits) return;
    // Often the tokens that copies are made of, seldom the end.
    for (int32_t& token : slot.best) token = random.below(12) == 0 ? 0 : 1 + random.below(2);
    seen.last_rows += slot.turn.last_rows != 0 ? 1 : 0;
    machine.take_pass(model, 0, rows.logits);
    ++seen.asked;
  }
  CHECK(*slot.state.draft_count <= *slot.state.draft_limit, "too long, seed ", seed);
  seen.drafted += static_cast<size_t>(*slot.state.draft_count);
}

void every_slot_finds_its_passes() {
  Seen seen;
  for (uint64_t seed = 1; seed <= 3000; ++seed) follow(seed, seen);
  CHECK(seen.asked > 5000 && seen.drafted > 5000, seen.asked, " passes, ", seen.drafted, " tokens");
  CHECK(seen.last_rows > 100, seen.last_rows, " for rules");
}

// A pass for each token that a model adds, below and above, and no more of them than were wanted.
void orders_are_those_of_the_recursion() {
  DraftPlan plan;
  plan.kind = DraftKind::kCascade;
  plan.lengths = {2, 1, 0, 1};
  CHECK(cascade_passes(plan, 8, 100) == (std::vector<int>{1, 0, 1, 0, 1}));
  CHECK(cascade_passes(plan, 1, 100) == (std::vector<int>{0}));
  CHECK(cascade_passes(plan, 0, 100).empty());
  CHECK(cascade_passes(plan, 8, 3).size() == 3);
  plan.lengths = {255, 0, 0, 0, 255, 0, 0, 0, 255};  // some millions, if nothing cut them
  CHECK(cascade_passes(plan, 255, 65).size() == 65);
}

// What a review lets stand counts as the reviewer's own, with the confidence of its row, and a pass
// of the model below is part of what the token costs.
void lengths_learn_of_the_targets_draft() {
  DraftPlan plan;
  plan.kind = DraftKind::kCascade;
  plan.lengths = {2, 1, 0, 1};
  check_plan(plan, plan.models(), kVocabulary);
  TestRandom random(1);
  Slot slot(plan, random);
  const auto nodes = static_cast<size_t>(plan.max_nodes());
  *slot.state.draft_limit = plan.max_nodes();
  slot.rule.kind = RuleKind::kLossless;
  slot.best.assign(nodes + 1, 1);  // all agree
  AdaptiveSlot record = {};
  std::vector<int32_t> classes(nodes);
  slot.state.adaptive = &record;
  slot.state.draft_class = classes.data();
  const std::vector<float> sure((nodes + 1) * kVocabulary, 1.0f),
      unsure((nodes + 1) * kVocabulary, 0.1f);
  slot.lanes[0].unscaled = sure.data();
  slot.lanes[1].unscaled = unsure.data();
  HostLanes search(slot.state);
  const AdaptiveLength lengths({true, kMaxDraftNodes, 0.0f}, {0.25f, 0.125f}, slot.state);
  lengths.start(0);
  CascadeSlot<RowMath<float>, HostLanes> machine(slot.state, slot.sampling, slot.cascade, search,
                                                 lengths, 0);
  machine.open();
  std::vector<int> asked;
  while (slot.turn.waits_for >= 0 && asked.size() < 9) {
    asked.push_back(slot.turn.waits_for);
    const SlotRows rows = cascade_slot_rows(slot.state, slot.cascade, asked.back(), 0);
    machine.take_pass(asked.back(), 0, rows.logits);
  }
  CHECK((asked == std::vector<int>{1, 0, 1}), asked.size(), " passes");
  CHECK((slot.drawn_by == std::vector<int32_t>{0, 0, 1}), "whose tokens they are");
  constexpr int kSurest = AdaptiveLength::kCopyClass - 1;
  CHECK((classes == std::vector<int32_t>{kSurest, kSurest, 0}), "how sure they are");
  // Two drafts were asked for, of three tokens.
  CHECK(record.step_time == 1.0f + 2 * 0.25f + 3 * 0.125f, "time ", record.step_time);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(every_slot_finds_its_passes), CASE(orders_are_those_of_the_recursion),
                    CASE(lengths_learn_of_the_targets_draft)});
}
