// Lengths that follow the load, on machines that are made up: costs by a formula, acceptance by
// chance. They come close to the best fixed length, everywhere, and waste little on learning.
#include "decode/load_lengths.h"

#include <algorithm>

#include "test/check.h"
#include "test/support/draft_plans.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// A pass over `rows` rows takes `fixed` + `per_row` * rows, in milliseconds.
struct Pass {
  double fixed, per_row;
  double ms(int rows) const { return fixed + per_row * rows; }
};

struct Machine {
  Pass target, draft;
  double encode_ms;  // per input
  double chance;     // that a drafted token is accepted
  double noise;
  int output;  // tokens; what reaches beyond is lost
  // What a plain pass costs after a draft, which has taken the caches, against one after another.
  double after_draft = 1.0;
};

DraftPlan chain_of(int length) {
  DraftPlan plan = levels(Widths(static_cast<size_t>(length), 1));
  plan.follows_load = true;
  return plan;
}

// Decodes `tokens` tokens in `slots` slots; `fixed` levels, or by the load where negative.
// Returns tokens per millisecond.
double run(const Machine& machine, LoadLengths& lengths, int slots, int fixed, int tokens,
           TestRandom& random) {
  struct Slot {
    int left = 0;
    bool encoded = false;
  };
  // Drafters encode as many inputs in a step as may begin in it.
  const int most_inputs = slots / 2 + 1;
  std::vector<Slot> all(static_cast<size_t>(slots), {machine.output, false});
  double total_ms = 0.0;
  int made = 0;
  bool drafted_last = false;
  const auto noisy = [&](double ms) {
    const bool outlier = random.below(50) == 0;
    return ms * (1.0 + machine.noise * (random.uniform() - 0.5)) * (outlier ? 20.0 : 1.0);
  };
  while (made < tokens) {
    const LoadChoice choice =
        fixed >= 0 ? LoadChoice{fixed, fixed > 0 ? slots : 0} : lengths.choose(slots, 0);
    LoadSample sample;
    // Those whose input is encoded draft first.
    std::stable_partition(all.begin(), all.end(), [](const Slot& slot) { return slot.encoded; });
    int drafting = 0;
    for (int i = 0; i < choice.slots; ++i) {
      Slot& slot = all[static_cast<size_t>(i)];
      if (!slot.encoded && sample.encoded == most_inputs) continue;
      sample.encoded += slot.encoded ? 0 : 1;
      slot.encoded = true;
      ++drafting;
    }
    sample.encode_ms = sample.encoded * machine.encode_ms;
    sample.draft_slots = drafting;
    sample.draft_levels = drafting > 0 ? choice.levels : 0;
    sample.draft_ms = sample.draft_levels * noisy(machine.draft.ms(drafting));
    sample.target_rows = slots + drafting * choice.levels;
    const bool cold = drafted_last && drafting == 0;
    drafted_last = drafting > 0;
    const double pass_ms =
        machine.target.ms(sample.target_rows) * (cold ? machine.after_draft : 1.0);
    sample.target_ms = noisy(pass_ms);
    // What the clock shows is noisy; what counts is not.
    total_ms += sample.encode_ms + sample.draft_levels * machine.draft.ms(drafting) + pass_ms;
    for (int i = 0; i < slots; ++i) {
      Slot& slot = all[static_cast<size_t>(i)];
      int accepted = 0;
      const int drafted = i < drafting ? choice.levels : 0;
      while (accepted < drafted && random.uniform() < machine.chance) ++accepted;
      accepted = std::min(accepted, slot.left);
      const int emitted = std::min(1 + accepted, slot.left);
      const int tested = std::min({drafted, accepted + 1, slot.left});
      if (drafted > 0) lengths.learn_levels(tested, accepted);
      sample.tokens += emitted;
      slot.left -= emitted;
      if (slot.left > 0) continue;
      lengths.learn_end(machine.output);
      slot = {machine.output, false};
    }
    made += sample.tokens;
    lengths.learn(sample);
  }
  return made / total_ms;
}

void comes_close_to_the_best_fixed_length() {
  const std::vector<Machine> machines = {
      {{1.0, 0.01}, {0.1, 0.001}, 0.05, 0.8, 0.1, 24},     // a large model: drafting pays, long
      {{1.0, 0.05}, {0.2, 0.01}, 0.2, 0.7, 0.1, 24},       // it pays while batches are small
      {{0.2, 0.1}, {0.15, 0.05}, 0.3, 0.6, 0.1, 24},       // hardly ever
      {{0.1, 0.1}, {0.1, 0.1}, 0.5, 0.9, 0.1, 24},         // never
      {{1.0, 0.001}, {0.5, 0.0005}, 0.1, 0.95, 0.1, 24},   // rows are free, the drafter is not
      {{1.0, 0.01}, {0.5, 0.01}, 0.1, 0.85, 0.1, 5},       // drafts reach beyond short outputs
      {{1.0, 0.05}, {0.5, 0.05}, 0.1, 0.6, 0.1, 24, 1.4},  // they lose, but for the caches
  };
  constexpr int kMost = 6;
  for (size_t m = 0; m < machines.size(); ++m) {
    for (const int slots : {1, 2, 4, 8, 16, 32, 64}) {
      TestRandom random(17 + m);
      LoadLengths lengths(chain_of(kMost), 0.3);
      double best = 0.0;
      for (int fixed = 0; fixed <= kMost; ++fixed) {
        LoadLengths unused(chain_of(kMost), 0.3);
        best = std::max(best,
                        run(machines[m], unused, slots, fixed, 1000 * std::max(slots, 8), random));
      }
      (void)run(machines[m], lengths, slots, -1, 200 * std::max(slots, 4), random);
      const double own = run(machines[m], lengths, slots, -1, 1000 * std::max(slots, 8), random);
      CHECK(own >= 0.95 * best, "machine ", m, " with ", slots, " slots: ", own / best,
            " of the best");
    }
  }
}

void learning_is_cheap() {
  // Drafting costs three steps and gives nothing.
  const Machine machine = {{0.5, 0.05}, {1.5, 0.1}, 1.0, 0.05, 0.1, 24};
  for (const int slots : {1, 16, 64}) {
    TestRandom random(5);
    LoadLengths lengths(chain_of(5), 0.1), unused(chain_of(5), 0.1);
    const double plain = run(machine, unused, slots, 0, 400 * slots, random);
    const double first = run(machine, lengths, slots, -1, 400 * slots, random);
    CHECK(first >= 0.85 * plain, "the first tokens in ", slots, " slots: ", first / plain);
    const double later = run(machine, lengths, slots, -1, 2000 * slots, random);
    CHECK(later >= 0.97 * plain, "later ones: ", later / plain);
  }
}

// The batch grows and shrinks, and so does the draft.
void follows_the_batch() {
  const Machine machine = {{1.0, 0.08}, {0.15, 0.01}, 0.1, 0.7, 0.1, 24};
  TestRandom random(3);
  LoadLengths lengths(chain_of(6), 0.2);
  for (int round = 0; round < 3; ++round) {
    for (const int slots : {1, 64, 8}) {
      TestRandom same(9);
      double best = 0.0;
      for (int fixed = 0; fixed <= 6; ++fixed) {
        LoadLengths unused(chain_of(6), 0.2);
        best = std::max(best, run(machine, unused, slots, fixed, 600 * slots, same));
      }
      const double own = run(machine, lengths, slots, -1, 600 * slots, random);
      CHECK(own >= 0.9 * best, "round ", round, " with ", slots, " slots: ", own / best);
    }
  }
}

void begins_again_when_drafts_become_good() {
  Machine machine = {{1.0, 0.02}, {0.1, 0.005}, 0.1, 0.02, 0.1, 24};
  TestRandom random(11);
  LoadLengths lengths(chain_of(5), 0.2), unused(chain_of(5), 0.2);
  (void)run(machine, lengths, 4, -1, 4000, random);
  machine.chance = 0.9;
  (void)run(machine, lengths, 4, -1, 60000, random);
  const double own = run(machine, lengths, 4, -1, 4000, random);
  const double best = run(machine, unused, 4, 5, 4000, random);
  CHECK(own >= 0.9 * best, own / best, " of the best");
}

// Capitals count: three plain steps, then the four of a trial.
void first_runs_do_not_count() {
  LoadLengths lengths(chain_of(3), 0.2);
  for (const char step : std::string("ppppPPPdddDDDDP")) {
    const LoadChoice choice = lengths.choose(1, 0);
    CHECK((choice.levels > 0) == (step == 'd' || step == 'D'));
    LoadSample sample = {1 + choice.levels, 1.0, choice.levels, choice.slots, 99.0};
    sample.typical = step < 'a';
    lengths.learn(sample);
  }
}

void times_between_and_beyond_known_ones() {
  TimesByRows times;
  times.add(8, 2.0);
  CHECK(times.at(8, 16.0) == 2.0, "what was measured");
  CHECK(std::abs(times.at(32, 16.0) - 4.0) < 1e-12, "as if 16 rows were the fixed part");
  times.add(16, 3.0);
  CHECK(std::abs(times.at(12, 16.0) - 2.5) < 1e-12, "between two");
  CHECK(std::abs(times.at(32, 16.0) - 5.0) < 1e-12, "along two");
  times.add(64, 3.0);
  CHECK(times.at(100, 16.0) == 3.0, "never less than the last");
  for (int i = 0; i < 10; ++i) times.add(8, i % 3 == 0 ? 1000.0 : 2.0);
  CHECK(times.at(8, 16.0) == 2.0, "outliers make it ", times.at(8, 16.0));
}

void one_interruption_is_not_believed() {
  TimesByRows times;
  for (int i = 0; i < 3; ++i) times.add(4, 1.0);
  times.add(5, 100.0);
  CHECK(times.at(5, 16.0) < 1.1, "one slow pass makes it ", times.at(5, 16.0));
  for (int i = 0; i < 2; ++i) times.add(5, 1.5);
  CHECK(times.at(5, 16.0) == 1.5, "the median of three is ", times.at(5, 16.0));
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(comes_close_to_the_best_fixed_length), CASE(learning_is_cheap), CASE(follows_the_batch),
       CASE(begins_again_when_drafts_become_good), CASE(first_runs_do_not_count),
       CASE(times_between_and_beyond_known_ones), CASE(one_interruption_is_not_believed)});
}
