#include "engine/load_follower.h"

#include <algorithm>

#include "engine/clock.h"

namespace speccascade {

namespace {

size_t count(int n) { return static_cast<size_t>(n); }

}  // namespace

LoadFollower::LoadFollower(const SessionLimits& limits, double draft_cost,
                           const SequenceState& state, Drafter& drafter, int encoder_rows)
    : reproducible_(limits.reproducible),
      rows_per_step_(limits.encoder_rows_per_step),
      state_(state),
      drafter_(drafter),
      encoder_rows_(encoder_rows),
      lengths_(limits.draft, draft_cost),
      sources_(count(limits.max_batch)),
      followers_(count(limits.max_batch)) {}

void LoadFollower::keep(const std::vector<const std::vector<int32_t>*>& inputs,
                        const std::vector<int>& sources) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    sources_[count(sources[i])] = {*inputs[i]};
  }
}

void LoadFollower::start(int slot, int source, const Request& request) {
  const bool any_length = !reads_drafter(request.rule.kind);
  const bool may_vary = request.temperature == 0.0f || !reproducible_;
  followers_[count(slot)] = {any_length && may_vary, source};
}

void LoadFollower::stop(int slot) {
  lengths_.learn_end(state_.length[slot] - state_.prefix_length[slot]);
}

void LoadFollower::limit_drafts(LoadSample& sample) {
  cut_drafts();
  encode_drafters(sample);
}

LoadFollower::Source& LoadFollower::source_of(int slot) {
  return sources_[count(followers_[count(slot)].source)];
}

const LoadFollower::Source& LoadFollower::source_of(int slot) const {
  return sources_[count(followers_[count(slot)].source)];
}

bool LoadFollower::encoded_now(int slot) const { return source_of(slot).now; }

// A drafter that has far to catch up costs more than it gives before the output ends,
// unless few others wait for it.
bool LoadFollower::may_draft(int slot, int followers) const {
  return followers <= 4 || state_.draft_lag[slot] <= 2 * kLaggingPass;
}

// What they will be, if drafts are as long as they were.
int LoadFollower::rows_of_others() const {
  int rows = 0;
  for (int slot = 0; slot < state_.slots; ++slot) {
    const Follower& own = followers_[count(slot)];
    if (!state_.active[slot] || own.follows) continue;
    rows += own.drafted < 0 ? lengths_.rows_of(state_.draft_limit[slot]) : 1 + own.drafted;
  }
  return rows;
}

// Those that have the least to catch up with draft first.
void LoadFollower::cut_drafts() {
  std::vector<int> slots;
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (state_.active[slot] && followers_[count(slot)].follows) slots.push_back(slot);
  }
  const LoadChoice choice = lengths_.choose(static_cast<int>(slots.size()), rows_of_others());
  if (choice.slots > 0) {
    std::stable_sort(slots.begin(), slots.end(), [&](int a, int b) {
      const bool encoded = source_of(a).encoded;
      return encoded != source_of(b).encoded ? encoded : state_.draft_lag[a] < state_.draft_lag[b];
    });
  }
  int drafting = 0, rows = 0;
  std::vector<int> sources;  // to be encoded for these drafts
  // Whether a draft could read the slot's input in this step, which has room for one at least.
  const auto has_input = [&](int slot) {
    const int source = followers_[count(slot)].source;
    const bool chosen = std::find(sources.begin(), sources.end(), source) != sources.end();
    if (source_of(slot).encoded || chosen) return true;
    const auto more = static_cast<int>(source_of(slot).input.size());
    if (rows > 0 && rows + more > rows_per_step_) return false;
    rows += more;
    sources.push_back(source);
    return true;
  };
  for (const int slot : slots) {
    const bool drafts = drafting < choice.slots &&
                        may_draft(slot, static_cast<int>(slots.size())) && has_input(slot);
    state_.draft_limit[slot] = drafts ? std::min(state_.draft_limit[slot], choice.levels) : 0;
    drafting += drafts ? 1 : 0;
  }
}

// The inputs that this step's drafts read and no drafter has encoded yet.
void LoadFollower::encode_drafters(LoadSample& sample) {
  const double begin = now_ms();
  std::vector<const std::vector<int32_t>*> inputs;
  std::vector<int> sources;
  int rows = 0;
  const auto run = [&] {
    if (inputs.empty()) return;
    drafter_.encode(inputs, sources);
    // Not before: what fails is to be encoded again.
    for (const int source : sources) {
      sources_[count(source)].encoded = sources_[count(source)].now = true;
    }
    inputs.clear();
    sources.clear();
    rows = 0;
  };
  for (Source& source : sources_) source.now = false;
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (!asks_drafter(state_, slot)) continue;
    if (state_.draft_lag[slot] > kLaggingPass) sample.caught_up = true;
    const Source& source = source_of(slot);
    const int place = followers_[count(slot)].source;
    const bool chosen = std::find(sources.begin(), sources.end(), place) != sources.end();
    if (source.encoded || chosen) continue;
    if (rows + static_cast<int>(source.input.size()) > encoder_rows_) run();
    rows += static_cast<int>(source.input.size());
    inputs.push_back(&source.input);
    sources.push_back(place);
    ++sample.encoded;
  }
  run();
  sample.encode_ms = sample.encoded > 0 ? now_ms() - begin : 0.0;
}

int LoadFollower::target_rows() const {
  int rows = 0;
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (!state_.active[slot]) continue;
    // The first step of a sample consumes its prefix, later ones the last token.
    const int pending = state_.step[slot] == 1 ? state_.prefix_length[slot] : 1;
    rows += pending + state_.draft_count[slot];
  }
  return rows;
}

void LoadFollower::learn(LoadSample& sample) {
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (!state_.active[slot]) continue;
    Follower& own = followers_[count(slot)];
    if (own.follows) sample.tokens += state_.emitted[slot];
    own.drafted = state_.draft_count[slot];
    if (own.drafted == 0) continue;
    const int32_t* depths = slot_part(state_.draft_depth, slot, state_.max_nodes);
    const int levels = 1 + depths[own.drafted - 1];
    sample.draft_levels = std::max(sample.draft_levels, levels);
    ++sample.draft_slots;
    if (own.follows) lengths_.learn_levels(state_.tested[slot], state_.accepted[slot]);
  }
  lengths_.learn(sample);
}

}  // namespace speccascade
