#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "base/buffer.h"
#include "base/caught.h"
#include "engine/clock.h"
#include "engine/outcome.h"
#include "engine/request_check.h"

namespace speccascade {

namespace {

std::vector<const Model*> pointers(const std::vector<std::shared_ptr<const Model>>& models) {
  std::vector<const Model*> all;
  all.reserve(models.size());
  for (const auto& model : models) all.push_back(model.get());
  return all;
}

// Whether the step's tokens were all the drafter's, trusted, and the output's last (slot_rows.h).
bool spared_target(const SequenceState& state, int slot, const Request& request) {
  const int emitted = state.emitted[slot];
  return is_trusted(state, slot) && !request.logprobs && emitted > 0 &&
         emitted == state.accepted[slot];
}

}  // namespace

Engine::Engine(std::shared_ptr<const Model> target,
               std::vector<std::shared_ptr<const Model>> drafters, const SessionLimits& limits,
               EventSink sink)
    : target_(std::move(target)),
      drafters_(std::move(drafters)),
      limits_(checked_limits(limits, *target_, drafters_)),
      sink_(std::move(sink)),
      stepper_(*target_, pointers(drafters_), limits_),
      slots_(static_cast<size_t>(limits_.max_batch)),
      source_used_(static_cast<size_t>(limits_.max_batch), false) {
  stats_.cache_bytes = stepper_.bytes();
  check_memory();
  stats_.totals = no_stats();
  thread_ = std::thread([this] { run(); });
}

// What the host's buffers are refused for one by one (base/buffer.h) is refused in sum, too.
void Engine::check_memory() const {
  if (target_->device != nullptr || stats_.cache_bytes <= total_memory_bytes()) return;
  fail(ErrorCode::kOutOfMemory, "out of memory: needed ", stats_.cache_bytes,
       " bytes for the session, free ", free_memory_bytes());
}

Engine::~Engine() { close(); }

uint64_t Engine::submit(Request request) {
  check_request(request, limits_, target_->config.vocab_size);
  auto job = std::make_shared<Job>();
  job->unfinished = static_cast<int>(request.seeds.size());
  job->submitted_ms = now_ms() - request.waited_ms;
  job->request = std::move(request);
  std::lock_guard<std::mutex> lock(mutex_);
  if (closing_) fail(ErrorCode::kClosed, "the session is closed");
  job->id = next_id_++;
  submitted_.push_back(job);
  wake_.notify_one();
  return job->id;
}

void Engine::cancel(uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (id == 0 || id >= next_id_) return;
  cancelled_.insert(id);
  wake_.notify_one();
}

SessionStats Engine::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  SessionStats stats = stats_;
  stats.queued += static_cast<int64_t>(submitted_.size());
  return stats;
}

void Engine::begin_close() {
  std::lock_guard<std::mutex> lock(mutex_);
  closing_ = true;
  wake_.notify_one();
}

void Engine::close() {
  std::lock_guard<std::mutex> only_one(close_mutex_);
  begin_close();
  if (thread_.joinable()) thread_.join();
}

DecodeStats Engine::no_stats() const {
  DecodeStats stats;
  stats.draft_calls.resize(static_cast<size_t>(stepper_.drafters()));
  return stats;
}

void Engine::run() {
  std::vector<Event> events;
  while (wait_for_work()) {
    try {
      take_orders(events);
      admit();
      step(events);
    } catch (const std::exception&) {
      fail_all(caught_error(), events);
    }
    deliver(events);
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    take_submitted();
  }
  abort_if([](const Job&) { return true; }, events);
  deliver(events);
}

// Sleeps until there is something to do. False when the session is closing.
bool Engine::wait_for_work() {
  const bool busy = decodes();
  std::unique_lock<std::mutex> lock(mutex_);
  if (!busy && schedule_.waiting().empty()) {
    wake_.wait(lock, [&] { return closing_ || !submitted_.empty() || !cancelled_.empty(); });
  }
  return !closing_;
}

// With the lock held. Where memory is refused, what was not taken stays.
void Engine::take_submitted() {
  for (; !submitted_.empty(); submitted_.pop_front()) schedule_.add(submitted_.front());
  stats_.queued = static_cast<int64_t>(schedule_.waiting().size());
}

bool Engine::decodes() const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [](const Slot& slot) { return slot.job != nullptr; });
}

// What callers have submitted and cancelled since the last step.
void Engine::take_orders(std::vector<Event>& events) {
  std::unordered_set<uint64_t> ids;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    take_submitted();
    ids.swap(cancelled_);
  }
  if (!ids.empty()) abort_if([&](const Job& job) { return ids.count(job.id) != 0; }, events);
}

// Ends the samples of jobs that `leaves` is true of: in slots, and never started.
void Engine::abort_if(const std::function<bool(const Job&)>& leaves, std::vector<Event>& events) {
  for (size_t s = 0; s < slots_.size(); ++s) {
    const Slot& slot = slots_[s];
    if (slot.job == nullptr || !leaves(*slot.job)) continue;
    events.push_back(end_event(slot.job->id, slot.sample, Event::End::kAborted, slot.stats));
    finish(static_cast<int>(s), events.back());
  }
  schedule_.remove_if([&](Job& job) {
    if (!leaves(job)) return false;
    end_unstarted(job, end_event(job.id, job.next_sample, Event::End::kAborted, no_stats()),
                  events);
    return true;
  });
}

// All samples of a job that were never started end by one event.
void Engine::end_unstarted(Job& job, Event event, std::vector<Event>& events) {
  event.samples = job.samples() - job.next_sample;
  for (; job.next_sample < job.samples(); ++job.next_sample) end_job_sample(job);
  events.push_back(std::move(event));
}

void Engine::end_job_sample(Job& job) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ++stats_.requests;
  }
  if (--job.unfinished == 0 && job.source >= 0) {
    source_used_[static_cast<size_t>(job.source)] = false;
  }
}

// Fills free slots from the queue: encodes what has to be, as far as this step's encoder
// rows go, then starts the samples. While nobody decodes, a full pass holds up no one.
void Engine::admit() {
  const int budget = limits_.encoder_rows_per_step;
  encoder_rows_ = decodes() ? std::min(encoder_rows_ + budget, stepper_.max_encoder_rows())
                            : stepper_.max_encoder_rows();
  const auto free_slots = std::count_if(slots_.begin(), slots_.end(),
                                        [](const Slot& slot) { return slot.job == nullptr; });
  const auto free_sources = std::count(source_used_.begin(), source_used_.end(), false);
  starts_ =
      schedule_.choose(static_cast<int>(free_slots), static_cast<int>(free_sources), encoder_rows_);
  const std::vector<std::shared_ptr<Job>> jobs = take_sources();
  for (const auto& job : jobs) encoder_rows_ -= job->rows();
  // What is not used adds up, but only to what the longest input needs.
  encoder_rows_ = std::min(encoder_rows_, std::max(limits_.max_input_tokens, budget) - budget);
  if (!jobs.empty()) encode(jobs);
  size_t slot = 0;
  while (!starts_.empty()) {
    while (slots_[slot].job != nullptr) ++slot;
    start(static_cast<int>(slot));
  }
}

// The chosen jobs that are to be encoded; each has a source from then on.
std::vector<std::shared_ptr<Job>> Engine::take_sources() {
  std::vector<std::shared_ptr<Job>> jobs;
  for (const auto& [job, sample] : starts_) {
    if (job->encoded || std::find(jobs.begin(), jobs.end(), job) != jobs.end()) continue;
    jobs.push_back(job);
    if (job->source >= 0) continue;  // taken over
    const auto free = std::find(source_used_.begin(), source_used_.end(), false);
    job->source = static_cast<int>(free - source_used_.begin());
    *free = true;
  }
  return jobs;
}

void Engine::encode(const std::vector<std::shared_ptr<Job>>& jobs) {
  const double begin = now_ms();
  std::vector<const std::vector<int32_t>*> inputs;
  std::vector<int> sources;
  for (const auto& job : jobs) {
    inputs.push_back(&job->request.input_ids);
    sources.push_back(job->source);
  }
  stepper_.encode(inputs, sources);
  const double elapsed = now_ms() - begin;
  for (const auto& job : jobs) {
    job->encode_ms += elapsed;
    job->encoded = true;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.encode_ms += elapsed;
}

// Begins the first of the chosen samples, which is the slot's from then on: should the stepper
// fail, it is to end once.
void Engine::start(int s) {
  Slot& slot = slots_[static_cast<size_t>(s)];
  slot = {};
  slot.stats = no_stats();
  slot.job = starts_.front().job;
  slot.sample = starts_.front().sample;
  starts_.erase(starts_.begin());
  Job& job = *slot.job;
  slot.stats.encode_ms = std::exchange(job.encode_ms, 0.0);
  stepper_.start(s, job.source, job.request, job.request.seeds[static_cast<size_t>(slot.sample)]);
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.in_queue.add(now_ms() - job.submitted_ms);
}

void Engine::step(std::vector<Event>& events) {
  if (!decodes()) return;
  const auto active = std::count_if(slots_.begin(), slots_.end(),
                                    [](const Slot& slot) { return slot.job != nullptr; });
  const double begin = now_ms();
  const double encoded = stepper_.step();
  const double elapsed = now_ms() - begin - encoded;
  for (size_t s = 0; s < slots_.size(); ++s) {
    Slot& slot = slots_[s];
    if (slot.job == nullptr) continue;
    slot.stats.decode_ms += elapsed;
    if (stepper_.encoded_now(static_cast<int>(s))) slot.stats.encode_ms += encoded;
    tell(static_cast<int>(s), outcome_of(static_cast<int>(s)), events);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  ++stats_.steps;
  stats_.slot_steps += active;
  stats_.decode_ms += elapsed;
  stats_.encode_ms += encoded;
}

// Passes on what a step brought, or holds it back.
void Engine::tell(int s, Event event, std::vector<Event>& events) {
  Slot& slot = slots_[static_cast<size_t>(s)];
  if (event.end != Event::End::kNone) {
    finish(s, event);
  } else {
    if (slot.begun && !slot.job->request.by_step) return slot.held.hold(event);
    slot.begun = true;
  }
  events.push_back(std::move(event));
}

// Once per step with tokens: they are there together.
void Engine::record_tokens(Slot& slot, int tokens) {
  const double now = now_ms();
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.tokens += tokens;
  if (slot.last_token_ms == 0.0) {
    stats_.first_token.add(now - slot.job->submitted_ms);
  } else {
    stats_.between_tokens.add(now - slot.last_token_ms);
  }
  slot.last_token_ms = now;
}

Event Engine::outcome_of(int s) {
  const SequenceState& state = stepper_.sequences();
  Slot& slot = slots_[static_cast<size_t>(s)];
  for (int drafter = 0; drafter < stepper_.drafters(); ++drafter) {
    slot.stats.draft_calls[static_cast<size_t>(drafter)] += stepper_.draft_calls(s)[drafter];
  }
  if (!spared_target(state, s, slot.job->request)) ++slot.stats.target_calls;
  Event event;
  event.request = slot.job->id;
  event.sample = slot.sample;
  const auto failure = static_cast<Failure>(state.failure[s]);
  if (failure != Failure::kNone) {
    set_failure(event, slot.job->request, failure);
    event.stats = slot.stats;
    return event;
  }
  const int emitted = state.emitted[s];
  const int32_t* end = state.tokens + static_cast<int64_t>(s) * state.capacity + state.length[s];
  event.tokens.assign(end - emitted, end);
  event.accepted = state.accepted[s];
  slot.stats.tokens += emitted;
  if (emitted > 0) record_tokens(slot, emitted);
  if (slot.job->request.logprobs) {
    const float* row = state.token_logprobs + static_cast<int64_t>(s) * (state.max_path + 1);
    event.logprobs.assign(row, row + emitted);
  }
  slot.stats.proposed += state.draft_count[s];
  slot.stats.tested += state.tested[s];
  slot.stats.accepted += state.accepted[s];
  slot.stats.decided += state.decided[s];
  slot.stats.deferred += static_cast<double>(state.deferred[s]);
  event.end = end_of(static_cast<Finish>(state.finish[s]));
  if (event.end != Event::End::kNone) event.stats = slot.stats;
  return event;
}

// Frees the slot of a sample that `event` ends.
void Engine::finish(int s, Event& event) {
  Slot& slot = slots_[static_cast<size_t>(s)];
  slot.held.release(event);
  stepper_.stop(s);
  end_job_sample(*slot.job);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.totals.add(event.stats);
  }
  slot = {};
}

// A step that could not be made ends the requests that were part of it; the
// queue goes on.
void Engine::fail_all(const Error& error, std::vector<Event>& events) {
  const auto failure = [&](const Job& job, int sample, const DecodeStats& stats) {
    Event event = end_event(job.id, sample, Event::End::kFailed, stats);
    event.error = error.code();
    event.message = error.what();
    return event;
  };
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (slots_[s].job == nullptr) continue;
    events.push_back(failure(*slots_[s].job, slots_[s].sample, slots_[s].stats));
    finish(static_cast<int>(s), events.back());
  }
  for (const Start& start : starts_) {
    events.push_back(failure(*start.job, start.sample, no_stats()));
    end_job_sample(*start.job);
  }
  starts_.clear();
  // Jobs whose encoder pass did not end.
  schedule_.remove_if([&](Job& job) {
    if (job.source < 0 || job.encoded) return false;
    end_unstarted(job, failure(job, job.next_sample, no_stats()), events);
    return true;
  });
}

void Engine::deliver(std::vector<Event>& events) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.queued = static_cast<int64_t>(schedule_.waiting().size());
    stats_.active = std::count_if(slots_.begin(), slots_.end(),
                                  [](const Slot& slot) { return slot.job != nullptr; });
  }
  if (!events.empty()) sink_(std::move(events));
  events.clear();
}

}  // namespace speccascade
