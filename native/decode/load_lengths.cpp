#include "decode/load_lengths.h"

#include <algorithm>
#include <cmath>

#include "decode/adaptive_length.h"

namespace speccascade {

namespace {

// Weight of a new value in a running mean.
constexpr double kNew = 0.1;

// Before anything is tested.
constexpr double kPriorChance = 0.7;
constexpr double kPriorTested = 4.0;
constexpr double kMemory = 0.98;

// Deeper drafts are not considered.
constexpr int kMostLevels = 32;

constexpr double kPriorTokens = 32.0;
constexpr double kPriorOutputs = 4.0;

// Drafts have to gain this much over none before they begin, and end when they lose so much: in
// between, to change one's mind costs more than either.
constexpr double kBegin = 1.03;
constexpr double kEnd = 0.98;
// Below it the next trial is far.
constexpr double kHopeless = 0.8;
// A trial: steps that bring drafters up to date, often the first, are not timed.
constexpr int kTrialSteps = 4;
constexpr int64_t kShortestInterval = 128;
constexpr int64_t kLongestInterval = 4096;
// Of the followers, once all have tried; the others decode plainly meanwhile.
constexpr int kTrialShare = 8;
// Plain steps while drafts are made, so many of so many: often while drafts gain little, where
// plain times of a slower moment would keep them on. More than one in turn, since the first finds
// the drafter's weights in the caches, as plain decoding would not.
constexpr int64_t kPlainRun = 4;
constexpr int64_t kPlainEvery = 256;
constexpr int64_t kPlainOften = 32;
constexpr double kLittleGain = 1.2;
// Steps with drafts before their measured tokens count at all; and the weight, in steps, of the
// tokens that were expected beside the measured ones.
constexpr int64_t kEnoughSteps = 16;
constexpr double kExpectedSteps = 16.0;
// Steps for which drafts have to pay before a later doubt is fresh.
constexpr int64_t kLongPaying = 1024;

// Weight that a step keeps when the next comes.
constexpr double kPaceMemory = 0.98;

// Of the last `count` values of a ring, at most all; of two in the middle the smaller.
template <size_t N>
double median_of(std::array<double, N> ring, int64_t count) {
  const auto size = static_cast<ptrdiff_t>(std::min<int64_t>(count, N));
  const auto middle = ring.begin() + (size - 1) / 2;
  std::nth_element(ring.begin(), middle, ring.begin() + size);
  return *middle;
}

}  // namespace

size_t TimesByRows::class_of(int rows) {
  const auto at = static_cast<size_t>(std::lround(2.0 * std::log2(std::max(rows, 1))));
  return std::min(at, kClasses - 1);
}

bool TimesByRows::any() const {
  return std::any_of(classes_.begin(), classes_.end(), [](const Class& c) { return c.count > 0; });
}

void TimesByRows::add(int rows, double ms) {
  Class& own = classes_[class_of(rows)];
  own.recent[static_cast<size_t>(own.count % kRecent)] = ms;
  ++own.count;
  own.ms = median_of(own.recent, own.count);
  own.rows += std::max(kNew, 1.0 / static_cast<double>(own.count)) * (rows - own.rows);
}

double TimesByRows::at(int rows, double balance) const {
  std::array<const Class*, kClasses> known{};
  size_t count = 0;
  // A class that was measured once may have met an interruption, would not be chosen again, and so
  // never be corrected: it waits for a median while others are sure.
  const bool sure = std::any_of(classes_.begin(), classes_.end(), is_sure);
  for (const Class& one : classes_) {
    if (sure ? is_sure(one) : one.count > 0) known[count++] = &one;
  }
  const double r = rows;
  if (count == 1) return known[0]->ms * (balance + r) / (balance + known[0]->rows);
  size_t right = 1;
  while (right + 1 < count && known[right]->rows < r) ++right;
  const Class& a = *known[right - 1];
  const Class& b = *known[right];
  const double low = a.ms, high = b.ms;
  const double line = low + (high - low) * (r - a.rows) / (b.rows - a.rows);
  // Beyond what is known: between constant and proportional.
  if (r > b.rows) return std::clamp(line, high, high * r / b.rows);
  if (r < a.rows) return std::clamp(line, low * r / a.rows, low);
  return line;
}

void Pace::add(double tokens, double ms, double encode_ms) {
  recent_[static_cast<size_t>(steps_) % kRecent] = ms;
  ++steps_;
  weight_ = kPaceMemory * weight_ + 1.0;
  tokens_ = kPaceMemory * tokens_ + tokens;
  encode_ms_ = kPaceMemory * encode_ms_ + encode_ms;
}

double Pace::rate() const {
  const double step = median_of(recent_, steps_);
  return tokens_ / (weight_ * step + encode_ms_);
}

LoadLengths::LoadLengths(const DraftPlan& plan, double draft_cost)
    : draft_cost_(draft_cost), tokens_(kPriorTokens * kPriorOutputs), outputs_(kPriorOutputs) {
  for (int levels = 0; levels <= plan.max_path(); ++levels) {
    nodes_.push_back(plan.nodes_to(levels));
  }
}

int LoadLengths::rows_of(int levels) const { return 1 + nodes_[static_cast<size_t>(levels)]; }

double LoadLengths::chance(int level) const {
  const auto at = static_cast<size_t>(std::min(level, kLevels - 1));
  double tested = kPriorTested, accepted = kPriorTested * kPriorChance;
  for (size_t i = 0; i < kLevels; ++i) {
    tested += tested_[i];
    accepted += accepted_[i];
  }
  const double pooled = accepted / tested;
  return (accepted_[at] + kPriorTested * pooled) / (tested_[at] + kPriorTested);
}

double LoadLengths::draft_ms(int slots) const {
  if (draft_.any()) return draft_.at(slots, kRowsPerRead);
  return draft_cost_ * target_.at(slots, kRowsPerRead);
}

// Tokens per millisecond of the followers, each of which gets `tokens` a step.
double LoadLengths::rate(int levels, double tokens, int followers, int others) const {
  const double all = tokens * followers;
  double ms = target_.at(others + followers * rows_of(levels), kRowsPerRead);
  if (levels > 0) ms += levels * draft_ms(followers) + all * encode_ms_ * outputs_ / tokens_;
  return all / ms;
}

int LoadLengths::best_levels(int followers, int others, double* gain) const {
  const double plain = rate(0, 1.0, followers, others);
  const double output = tokens_ / outputs_;
  const int most = std::min(static_cast<int>(nodes_.size()) - 1, kMostLevels);
  int best = 1;
  double best_rate = 0.0, tokens = 1.0, reach = 1.0;
  for (int levels = 1; levels <= most; ++levels) {
    tokens += reach *= chance(levels - 1);
    // The last step of an output promises more than is left of it.
    const double given = tokens / (1.0 + (tokens - 1.0) / (2.0 * output));
    const double own = rate(levels, given, followers, others);
    if (own <= best_rate) continue;
    best_rate = own;
    best = levels;
  }
  *gain = best_rate / plain;
  return best;
}

LoadChoice LoadLengths::choose(int followers, int others) {
  pace_ = nullptr;
  trial_ = nullptr;
  if (followers == 0) return {};
  Decision& own = decisions_[TimesByRows::class_of(followers)];
  ++own.steps;
  LoadChoice choice;
  // Everything is measured against plain steps.
  const bool known = target_.known(others + followers);
  if (known && (own.on || own.trial > 0 || own.steps >= own.next_trial)) {
    double gain = 0.0;
    const int best = best_levels(followers, others, &gain);
    const bool trying = !own.on || own.trial > 0;
    choice = trying ? try_out(own, followers, best, gain) : go_on(own, followers, best, gain);
    if (trying && own.trial > 0) trial_ = &own;
  }
  // Rows of others would be paid by whichever kind of step they came in.
  if (others == 0 && choice.slots == 0) pace_ = &own.plain;
  if (others == 0 && choice.slots == followers && own.on) pace_ = &own.drafted;
  return choice;
}

LoadChoice LoadLengths::go_on(Decision& own, int followers, int best, double gain) {
  if (own.drafted.steps() >= kEnoughSteps && own.plain.steps() > 2) {
    const double given = own.drafted.rate() / own.plain.rate(), weight = own.drafted.weight();
    gain = (kExpectedSteps * gain + weight * given) / (kExpectedSteps + weight);
  }
  if (gain < kEnd) {
    own.on = false;
    if (own.steps - own.began > kLongPaying) own.interval = kShortestInterval;
    own.next_trial = own.steps + own.interval;
    return {};
  }
  const bool plain = own.steps % (gain < kLittleGain ? kPlainOften : kPlainEvery) < kPlainRun;
  return plain ? LoadChoice{} : LoadChoice{best, followers};
}

LoadChoice LoadLengths::try_out(Decision& own, int followers, int best, double gain) {
  if (own.trial == 0) own.trial = kTrialSteps + 1;
  if (--own.trial > 0) return {best, own.tried ? std::max(1, followers / kTrialShare) : followers};
  own.tried = true;
  own.on = gain > kBegin;
  const int64_t growth = gain < kHopeless ? 4 : 2;
  own.interval = std::min(std::max(growth * own.interval, kShortestInterval), kLongestInterval);
  own.next_trial = own.steps + own.interval;
  if (!own.on) return {};
  own.began = own.steps;
  own.drafted = {};
  return {best, followers};
}

void LoadLengths::learn(const LoadSample& sample) {
  if (sample.encoded > 0 && sample.typical) {
    const double per_input = sample.encode_ms / sample.encoded;
    const double weight = std::max(kNew, 1.0 / static_cast<double>(++encoded_));
    encode_ms_ += weight * (per_input - encode_ms_);
  }
  const bool drafted = sample.draft_levels > 0, after_draft = drafted_last_;
  drafted_last_ = drafted;
  if (!sample.typical && trial_ != nullptr) ++trial_->trial;
  if (!sample.typical) return;
  if (!drafted && after_draft) return;
  if (pace_ != nullptr) {
    pace_->add(sample.tokens, sample.target_ms + sample.draft_ms, sample.encode_ms);
  }
  target_.add(sample.target_rows, sample.target_ms);
  // A step that also caught up tells nothing of a level.
  if (sample.draft_levels == 0 || sample.caught_up) return;
  draft_.add(sample.draft_slots, sample.draft_ms / sample.draft_levels);
}

void LoadLengths::learn_levels(int tested, int accepted) {
  for (int level = 0; level < tested; ++level) {
    const auto at = static_cast<size_t>(std::min(level, kLevels - 1));
    tested_[at] = kMemory * tested_[at] + 1.0;
    accepted_[at] = kMemory * accepted_[at] + (level < accepted ? 1.0 : 0.0);
  }
}

void LoadLengths::learn_end(int tokens) {
  tokens_ = kMemory * tokens_ + tokens;
  outputs_ = kMemory * outputs_ + 1.0;
}

}  // namespace speccascade
