#include "decode/cascade_drafter.h"

#include <algorithm>

#include "decode/accept_chain.h"
#include "decode/one_hot.h"
#include "decode/review_choices.h"
#include "decode/verify.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

// Positions behind the first that a pass is asked about: usually the last draft,
// committed meanwhile, and what smaller models have added to this one.
int most_behind(const DraftContext& context) {
  return std::max(context.max_prefix, context.state.max_nodes) + 1;
}

DecoderPass::Limits pass_limits(const DraftContext& context) {
  const int nodes = most_behind(context) + context.state.max_nodes;
  const int slots = context.limits.slots;
  return {slots, slots * nodes, slots * (context.state.max_nodes + 1), nodes};
}

}  // namespace

CascadeDrafter::CascadeDrafter(const DraftPlan& plan, const std::vector<const Model*>& models,
                               const DraftContext& context)
    : Drafter(context, plan.drafters()),
      plan_(plan),
      models_(plan.models()),
      copy_length_(plan.copy_length),
      lenience_factor_(plan.lenience),
      lenience_(plan.lenience > 1.0 ? Rule{RuleKind::kLossy, 1.0 - 1.0 / plan.lenience, 1.0}
                                    : Rule{}),
      source_(plan, context_),
      adaptive_(plan.adaptive, step_costs(*context.target, models.empty() ? nullptr : models[0]),
                context.state),
      slots_(static_cast<size_t>(context.limits.slots)),
      scratch_(static_cast<size_t>(context.vocabulary)),
      one_hot_(static_cast<size_t>(context.vocabulary)) {
  const int rows = context.limits.slots * (context.state.max_nodes + 1);
  const size_t nodes =
      static_cast<size_t>(context.limits.slots) * static_cast<size_t>(context.state.max_nodes);
  for (const Model* model : models) {
    lanes_.push_back(
        std::make_unique<ModelLane>(*model, context.limits, pass_limits(context), rows));
    lenient_rows_.emplace_back(
        lenient() ? static_cast<size_t>(rows) * static_cast<size_t>(context.vocabulary) : 0);
  }
  drawn_by_.assign(nodes, -1);
  proposal_.assign(nodes, nullptr);
  for (int row = 0; row < rows && !lanes_.empty(); ++row) {
    reference_.push_back(lanes_[0]->prob_row(row));
    reference_unscaled_.push_back(lanes_[0]->unscaled_row(row));
  }
}

void CascadeDrafter::encode(const std::vector<const std::vector<int32_t>*>& inputs,
                            const std::vector<int>& sources) {
  for (const auto& lane : lanes_) lane->encoder.run(inputs, sources);
}

void CascadeDrafter::start(int slot, int source) {
  for (const auto& lane : lanes_) lane->start(slot, source);
  adaptive_.start(slot);
}

void CascadeDrafter::draft() {
  clear_calls();
  for (int slot = 0; slot < state_.slots; ++slot) open(slot);
  // The smallest model first: slots that need a larger one gather there meanwhile.
  for (int model = deepest_wanted(); model >= 0; model = deepest_wanted()) run(model);
}

void CascadeDrafter::open(int slot) {
  Slot& own = slots_[static_cast<size_t>(slot)];
  own.frames.clear();
  own.waits_for = -1;
  own.last_rows = false;
  own.reviews = own.known_rows = own.considered = 0;
  if (!state_.active[slot]) return;
  adaptive_.open(slot);
  own.frames.push_back({0, 0, -1, 0, adaptive_.limit(state_.draft_limit[slot])});
  advance(slot);
}

// Goes on with a slot's recursion until a model is needed or the draft is made.
void CascadeDrafter::advance(int slot) {
  Slot& own = slots_[static_cast<size_t>(slot)];
  for (;;) {
    Frame& frame = own.frames.back();
    if (draft_is_complete(slot, frame)) {
      if (frame.row == 0) return finish(slot);
      own.waits_for = frame.row - 1;  // reviews it
      return;
    }
    const bool stage_is_complete = frame.stage < 0 || count(slot) - frame.begin >= frame.wanted;
    if (stage_is_complete || !ask(slot, frame)) {
      frame.stage = frame.stage < 0 ? frame.row : frame.stage + 1;
      if (frame.stage < drafters()) {
        frame.wanted += plan_.length(frame.row, frame.stage);
      }
    }
  }
}

bool CascadeDrafter::draft_is_complete(int slot, const Frame& frame) const {
  if (frame.stage >= drafters() || count(slot) >= frame.limit || ended(slot)) return true;
  if (frame.row != 0) return false;
  return !adaptive_.goes_on(slot);
}

// Lets the stage's drafter give more; false: it has nothing. A model begins a draft of
// its own to review.
bool CascadeDrafter::ask(int slot, Frame& frame) {
  Slot& own = slots_[static_cast<size_t>(slot)];
  count_call(slot, frame.stage);
  const int lacking =
      std::min(frame.wanted - (count(slot) - frame.begin), frame.limit - count(slot));
  if (frame.stage == models_) {
    const bool gave = copy(slot, lacking) > 0;
    if (gave && own.frames.size() == 1) consider(slot);
    return gave;
  }
  if (own.frames.size() == 1) adaptive_.count_pass(slot);
  own.frames.push_back({frame.stage + 1, count(slot), -1, 0, frame.limit - 1});
  return true;
}

int CascadeDrafter::copy(int slot, int length) {
  source_.propose(slot, tokens(slot), count(slot), std::min(length, copy_length_), &copied_);
  for (const int32_t token : copied_) put(slot, token, -1);
  return static_cast<int>(copied_.size());
}

// The draft is made. Rules read the first model's row after every token: those that it
// has not computed yet need a pass.
void CascadeDrafter::finish(int slot) {
  Slot& own = slots_[static_cast<size_t>(slot)];
  const bool needs_rows =
      reads_drafter(state_.rule[slot].kind) && own.known_rows < count(slot) + (ended(slot) ? 0 : 1);
  own.waits_for = needs_rows && !own.last_rows ? 0 : -1;
  own.last_rows = needs_rows;
  if (own.waits_for == 0) count_call(slot, 0);
}

int CascadeDrafter::deepest_wanted() const {
  int model = -1;
  for (const Slot& slot : slots_) model = std::max(model, slot.waits_for);
  return model;
}

// One pass of a model for every slot that waits for it.
void CascadeDrafter::run(int model) {
  ModelLane& lane = *lanes_[static_cast<size_t>(model)];
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (slots_[static_cast<size_t>(slot)].waits_for != model) continue;
    // The rows asked for come from the last pass.
    lane.catch_up(state_, slot, state_.length[slot] + first_place(slot), most_behind(context_));
  }
  *lane.decoder.rows().num_rows = 0;
  *lane.decoder.rows().num_logits = 0;
  std::vector<std::pair<int, int>> waiting;  // slot, first logit
  for (int slot = 0; slot < state_.slots; ++slot) {
    Slot& own = slots_[static_cast<size_t>(slot)];
    if (own.waits_for != model) continue;
    waiting.emplace_back(slot, append_rows(model, slot, first_place(slot)));
  }
  lane.run(context_.sampling);
  for (const auto& [slot, first_logit] : waiting) {
    Slot& own = slots_[static_cast<size_t>(slot)];
    own.waits_for = -1;
    lane.self.table().length[slot] = state_.length[slot] + count(slot);
    for (int at = first_logit; at < *lane.decoder.rows().num_logits; ++at) {
      if (lane.logits.slot[at] != slot) break;
      const auto status = static_cast<RowStatus>(lane.status[static_cast<size_t>(at)]);
      if (status == RowStatus::kOk) continue;
      state_.failure[slot] = static_cast<int32_t>(failure_of(status, Failure::kDrafterNotFinite));
    }
    if (state_.failure[slot] != 0 || own.last_rows) continue;
    review(model, slot, first_logit);
    advance(slot);
  }
}

// The first draft token whose row a slot waits for.
int CascadeDrafter::first_place(int slot) const {
  const Slot& own = slots_[static_cast<size_t>(slot)];
  return own.last_rows ? own.known_rows : own.frames.back().begin;
}

// The tokens that the model has not consumed, with logits from the row that predicts
// draft token `first_place` on; returns the first of them.
int CascadeDrafter::append_rows(int model, int slot, int first_place) {
  ModelLane& lane = *lanes_[static_cast<size_t>(model)];
  const DecoderRows& rows = lane.decoder.rows();
  const CacheTable cache = lane.self.table();
  const int consumed = cache.length[slot];
  const int length = state_.length[slot];
  const int first_logit = *rows.num_logits;
  const int first_row = *rows.num_rows;
  append_positions(state_, rows, cache, slot, consumed, length + count(slot));
  for (int place = first_place; place <= count(slot); ++place) {
    // The row that predicts a place is that of the position before it.
    append_logit(state_, rows, lane.logits, first_row + length + place - 1 - consumed, place - 1,
                 static_cast<int>(row_of(slot, place)));
  }
  return first_logit;
}

// Accepts tokens of the draft that the slot's last frame holds, and adds one.
void CascadeDrafter::review(int model, int slot, int first_logit) {
  Slot& own = slots_[static_cast<size_t>(slot)];
  const int begin = own.frames.back().begin;
  const bool greedy = !(context_.sampling.temperature[slot] > 0.0f);
  const int next =
      greedy ? accept_greedy(model, slot, begin, first_logit) : accept_sampled(model, slot, begin);
  for (int i = begin; i < count(slot); ++i) {
    slot_part(drawn_by_.data(), slot, state_.max_nodes)[i] = model;
  }
  if (next >= 0) put(slot, next, model);
  const float* rows = lenient() ? lenient_rows_[static_cast<size_t>(model)].data()
                                : lanes_[static_cast<size_t>(model)]->probs.data();
  for (int i = begin; i < count(slot); ++i) {
    slot_part(proposal_.data(), slot, state_.max_nodes)[i] =
        rows + row_of(slot, i) * context_.vocabulary;
  }
  ++own.reviews;
  own.frames.pop_back();
  if (model == 0) own.known_rows = count(slot);
  if (own.frames.size() == 1) consider(slot);
}

// At temperature 0 a mismatch x is kept if p0(x) > q0(x) / lenience, with the unscaled
// rows of the reviewer and of the model that drafted x (a copy: 1).
int CascadeDrafter::accept_greedy(int model, int slot, int begin, int first_logit) {
  const ModelLane& lane = *lanes_[static_cast<size_t>(model)];
  const auto best_of = [&](int place) {
    return lane.best[static_cast<size_t>(first_logit + place - begin)];
  };
  for (int place = begin; place < count(slot); ++place) {
    const int32_t token = tokens(slot)[place];
    bool kept = token == best_of(place);
    if (!kept && lenient()) {
      const int source = slot_part(drawn_by_.data(), slot, state_.max_nodes)[place];
      const float drawn =
          source < 0
              ? 1.0f
              : lanes_[static_cast<size_t>(source)]->unscaled_row(row_of(slot, place))[token];
      kept = static_cast<double>(lane.unscaled_row(row_of(slot, place))[token]) * lenience_factor_ >
             static_cast<double>(drawn);
    }
    if (!kept) {
      cut(slot, place);
      return best_of(place);
    }
    if (ends_sequence(context_.sampling, slot, token)) {
      cut(slot, place + 1);
      return -1;
    }
  }
  return best_of(count(slot));
}

int CascadeDrafter::accept_sampled(int model, int slot, int begin) {
  const ModelLane& lane = *lanes_[static_cast<size_t>(model)];
  const int drafted = count(slot) - begin;
  const int vocabulary = context_.vocabulary;
  OneHot<RowMath<float>> one_hot(one_hot_.data());
  const auto drawn = [&](int i) {
    const float* row = slot_part(proposal_.data(), slot, state_.max_nodes)[begin + i];
    return row != nullptr ? row : one_hot.at(tokens(slot)[begin + i]);
  };
  float* lenient_rows = lenient_rows_[static_cast<size_t>(model)].data();
  if (lenient()) {
    for (int i = 0; i <= drafted; ++i) {
      const int64_t row = row_of(slot, begin + i);
      const RuleRows<float> rows = {i < drafted ? drawn(i) : nullptr,
                                    lane.prob_row(row),
                                    nullptr,
                                    nullptr,
                                    vocabulary,
                                    false};
      rule_target<RowMath<float>>(i < drafted ? lenience_ : Rule{}, rows,
                                  lenient_rows + row * vocabulary);
    }
  }
  const auto wanted = [&](int i) {
    const int64_t row = row_of(slot, begin + i);
    return lenient() ? lenient_rows + row * vocabulary : lane.prob_row(row);
  };
  const auto ends = [&](int32_t token) { return ends_sequence(context_.sampling, slot, token); };
  ReviewChoices<RowMath<float>> choices(draw_address(state_, slot, state_.length[slot] + begin),
                                        slots_[static_cast<size_t>(slot)].reviews);
  const ChainOutcome outcome = accept_chain<RowMath<float>>(
      drafted, tokens(slot) + begin, vocabulary, wanted, drawn, scratch_.data(), ends, choices);
  cut(slot, begin + outcome.accepted);
  return outcome.next;
}

// Tells adaptive length of the tokens that the target's draft has gained.
void CascadeDrafter::consider(int slot) {
  if (!adaptive_.on()) return;
  Slot& own = slots_[static_cast<size_t>(slot)];
  for (; own.considered < count(slot); ++own.considered) {
    const int source = slot_part(drawn_by_.data(), slot, state_.max_nodes)[own.considered];
    if (source < 0) {
      adaptive_.add_copy(slot, own.considered);
      continue;
    }
    adaptive_.add(slot, own.considered,
                  RowMath<float>::max(lanes_[static_cast<size_t>(source)]->unscaled_row(
                                          row_of(slot, own.considered)),
                                      context_.vocabulary));
  }
}

void CascadeDrafter::put(int slot, int32_t token, int source) {
  const int node = state_.draft_count[slot]++;
  tokens(slot)[node] = token;
  slot_part(state_.draft_parent, slot, state_.max_nodes)[node] = node - 1;
  slot_part(state_.draft_depth, slot, state_.max_nodes)[node] = node;
  slot_part(drawn_by_.data(), slot, state_.max_nodes)[node] = source;
  slot_part(proposal_.data(), slot, state_.max_nodes)[node] = nullptr;
}

// Takes back the tokens from `length` on; models forget those they have consumed.
void CascadeDrafter::cut(int slot, int length) {
  state_.draft_count[slot] = length;
  for (const auto& lane : lanes_) {
    int32_t& consumed = lane->self.table().length[slot];
    consumed = std::min(consumed, state_.length[slot] + length);
  }
}

bool CascadeDrafter::ended(int slot) const {
  return count(slot) > 0 && ends_sequence(context_.sampling, slot, tokens(slot)[count(slot) - 1]);
}

void CascadeDrafter::commit() {
  for (int slot = 0; slot < state_.slots; ++slot) {
    if (!state_.active[slot]) continue;
    adaptive_.learn(state_, slot);
    const int kept = state_.length[slot] - state_.emitted[slot] + state_.accepted[slot];
    for (const auto& lane : lanes_) {
      int32_t& consumed = lane->self.table().length[slot];
      consumed = std::min(consumed, kept);
    }
  }
}

DraftRows CascadeDrafter::rows() const {
  return {reference_.data(), reference_unscaled_.data(), proposal_.data(), Siblings::kGiven, true};
}

size_t CascadeDrafter::bytes() const {
  size_t bytes = 0;
  for (const auto& lane : lanes_) bytes += lane->bytes();
  for (const auto& rows : lenient_rows_) bytes += rows.bytes();
  return bytes;
}

}  // namespace speccascade
