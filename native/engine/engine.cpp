#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/request_check.h"

namespace speccascade {

namespace {

double now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

Event::End end_of(Finish finish) {
  switch (finish) {
    case Finish::kNone:
      return Event::End::kNone;
    case Finish::kEos:
      return Event::End::kEos;
    case Finish::kStop:
      return Event::End::kStop;
    case Finish::kLength:
      return Event::End::kLength;
  }
  return Event::End::kNone;
}

// Whether the request itself takes tokens away; if not, a row without any is the model's own.
bool suppresses(const Request& request) {
  return !request.suppress_tokens.empty() || request.min_new_tokens > 0;
}

std::string failure_message(Failure failure, bool asked_for, uint64_t request) {
  const std::string which = " (request " + std::to_string(request) + ")";
  if (asked_for) return "every token is suppressed" + which;
  switch (failure) {
    case Failure::kTargetNotFinite:
      return "the target gave logits that are not finite" + which;
    case Failure::kDrafterNotFinite:
      return "the drafter gave logits that are not finite" + which;
    default:
      return "a model gave no token a finite logit" + which;
  }
}

Event end_event(uint64_t request, int sample, Event::End end, const DecodeStats& stats) {
  Event event;
  event.request = request;
  event.sample = sample;
  event.end = end;
  event.stats = stats;
  return event;
}

std::vector<const Model*> pointers(const std::vector<std::shared_ptr<const Model>>& models) {
  std::vector<const Model*> all;
  all.reserve(models.size());
  for (const auto& model : models) all.push_back(model.get());
  return all;
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
  stats_.totals = no_stats();
  thread_ = std::thread([this] { run(); });
}

Engine::~Engine() { close(); }

uint64_t Engine::submit(Request request) {
  check_request(request, limits_, target_->config.vocab_size);
  auto job = std::make_shared<Job>();
  job->unfinished = static_cast<int>(request.seeds.size());
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
  return stats_;
}

void Engine::close() {
  std::lock_guard<std::mutex> only_one(close_mutex_);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    wake_.notify_one();
  }
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
      abort_cancelled(events);
      admit();
      step(events);
    } catch (const Error& error) {
      fail_all(error, events);
    } catch (const std::exception& error) {
      fail_all(Error(ErrorCode::kOutOfMemory, error.what()), events);
    }
    deliver(events);
  }
  abort_all(events);
  deliver(events);
}

// Sleeps until there is something to do; takes over what was submitted. False
// when the session is closing.
bool Engine::wait_for_work() {
  const bool busy = std::any_of(slots_.begin(), slots_.end(),
                                [](const Slot& slot) { return slot.job != nullptr; });
  std::unique_lock<std::mutex> lock(mutex_);
  if (!busy && waiting_.empty()) {
    wake_.wait(lock, [&] { return closing_ || !submitted_.empty() || !cancelled_.empty(); });
  }
  take_submitted();
  return !closing_;
}

// With the lock held.
void Engine::take_submitted() {
  waiting_.insert(waiting_.end(), submitted_.begin(), submitted_.end());
  submitted_.clear();
}

void Engine::abort_cancelled(std::vector<Event>& events) {
  std::unordered_set<uint64_t> ids;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    // A request may have come and been cancelled since we last looked.
    take_submitted();
    ids.swap(cancelled_);
  }
  if (ids.empty()) return;
  for (size_t s = 0; s < slots_.size(); ++s) {
    Slot& slot = slots_[s];
    if (slot.job == nullptr || ids.count(slot.job->id) == 0) continue;
    events.push_back(end_event(slot.job->id, slot.sample, Event::End::kAborted, slot.stats));
    finish(static_cast<int>(s), events.back());
  }
  for (auto& job : waiting_) {
    if (ids.count(job->id) != 0) abort_job_queue(*job, events);
  }
  std::erase_if(waiting_, [&](const auto& job) { return ids.count(job->id) != 0; });
}

// Ends the samples of a waiting job that were never started.
void Engine::abort_job_queue(Job& job, std::vector<Event>& events) {
  const int samples = static_cast<int>(job.request.seeds.size());
  for (; job.next_sample < samples; ++job.next_sample) {
    events.push_back(end_event(job.id, job.next_sample, Event::End::kAborted, no_stats()));
    end_job_sample(job);
  }
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

// Fills free slots from the queue, in order: encodes as many inputs together as
// fit one pass, then starts their samples, until slots or requests run out.
void Engine::admit() {
  for (;;) {
    start_samples();
    const std::vector<std::shared_ptr<Job>> jobs = choose_jobs_to_encode();
    if (jobs.empty()) return;
    encode(jobs);
  }
}

std::vector<std::shared_ptr<Engine::Job>> Engine::choose_jobs_to_encode() {
  int free_slots = static_cast<int>(std::count_if(
      slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.job == nullptr; }));
  int free_rows = stepper_.max_encoder_rows();
  std::vector<std::shared_ptr<Job>> jobs;
  for (const auto& job : waiting_) {
    free_rows -= static_cast<int>(job->request.input_ids.size());
    if (free_slots <= 0 || free_rows < 0) break;
    jobs.push_back(job);
    free_slots -= static_cast<int>(job->request.seeds.size());
  }
  return jobs;
}

void Engine::encode(const std::vector<std::shared_ptr<Job>>& jobs) {
  const double begin = now_ms();
  std::vector<const std::vector<int32_t>*> inputs;
  std::vector<int> sources;
  for (const auto& job : jobs) {
    const auto free = std::find(source_used_.begin(), source_used_.end(), false);
    job->source = static_cast<int>(free - source_used_.begin());
    *free = true;
    inputs.push_back(&job->request.input_ids);
    sources.push_back(job->source);
  }
  stepper_.encode(inputs, sources);
  const double elapsed = now_ms() - begin;
  for (const auto& job : jobs) job->encode_ms = elapsed;
}

// Starts samples of encoded jobs, which stand at the front of the queue.
void Engine::start_samples() {
  for (size_t s = 0; s < slots_.size() && !waiting_.empty(); ++s) {
    if (slots_[s].job != nullptr) continue;
    const std::shared_ptr<Job> job = waiting_.front();
    if (job->source < 0) return;
    const int sample = job->next_sample++;
    slots_[s] = {job, sample, no_stats()};
    // The one encoder pass counts once.
    if (sample == 0) slots_[s].stats.encode_ms = job->encode_ms;
    stepper_.start(static_cast<int>(s), job->source, job->request,
                   job->request.seeds[static_cast<size_t>(sample)]);
    if (job->next_sample == static_cast<int>(job->request.seeds.size())) waiting_.pop_front();
  }
}

void Engine::step(std::vector<Event>& events) {
  const bool busy = std::any_of(slots_.begin(), slots_.end(),
                                [](const Slot& slot) { return slot.job != nullptr; });
  if (!busy) return;
  const double begin = now_ms();
  stepper_.step();
  const double elapsed = now_ms() - begin;
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (slots_[s].job == nullptr) continue;
    events.push_back(outcome_of(static_cast<int>(s), elapsed));
    if (events.back().end != Event::End::kNone) finish(static_cast<int>(s), events.back());
  }
  std::lock_guard<std::mutex> lock(mutex_);
  ++stats_.steps;
}

Event Engine::outcome_of(int s, double step_ms) {
  const SequenceState& state = stepper_.sequences();
  Slot& slot = slots_[static_cast<size_t>(s)];
  slot.stats.decode_ms += step_ms;
  for (int drafter = 0; drafter < stepper_.drafters(); ++drafter) {
    slot.stats.draft_calls[static_cast<size_t>(drafter)] += stepper_.draft_calls(s)[drafter];
  }
  ++slot.stats.target_calls;
  Event event;
  event.request = slot.job->id;
  event.sample = slot.sample;
  const auto failure = static_cast<Failure>(state.failure[s]);
  if (failure != Failure::kNone) {
    event.end = Event::End::kFailed;
    const bool asked_for = failure == Failure::kNoTokenLeft && suppresses(slot.job->request);
    event.error = asked_for ? ErrorCode::kInput : ErrorCode::kNumeric;
    event.message = failure_message(failure, asked_for, event.request);
    event.stats = slot.stats;
    return event;
  }
  const int emitted = state.emitted[s];
  const int32_t* end = state.tokens + static_cast<int64_t>(s) * state.capacity + state.length[s];
  event.tokens.assign(end - emitted, end);
  event.accepted = state.accepted[s];
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

void Engine::finish(int s, const Event& event) {
  Slot& slot = slots_[static_cast<size_t>(s)];
  stepper_.stop(s);
  end_job_sample(*slot.job);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.totals.add(event.stats);
  }
  slot = {};
}

void Engine::abort_all(std::vector<Event>& events) {
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (slots_[s].job == nullptr) continue;
    events.push_back(
        end_event(slots_[s].job->id, slots_[s].sample, Event::End::kAborted, slots_[s].stats));
    finish(static_cast<int>(s), events.back());
  }
  for (auto& job : waiting_) abort_job_queue(*job, events);
  waiting_.clear();
}

// A step that could not be made ends the requests that were part of it; the
// queue goes on.
void Engine::fail_all(const Error& error, std::vector<Event>& events) {
  const auto fail_sample = [&](const Job& job, int sample, const DecodeStats& stats) {
    Event event = end_event(job.id, sample, Event::End::kFailed, stats);
    event.error = error.code();
    event.message = error.what();
    events.push_back(std::move(event));
  };
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (slots_[s].job == nullptr) continue;
    fail_sample(*slots_[s].job, slots_[s].sample, slots_[s].stats);
    finish(static_cast<int>(s), events.back());
  }
  // Jobs whose encoder pass may not have run.
  for (auto& job : waiting_) {
    if (job->source < 0) continue;
    for (; job->next_sample < static_cast<int>(job->request.seeds.size()); ++job->next_sample) {
      fail_sample(*job, job->next_sample, no_stats());
      end_job_sample(*job);
    }
  }
  std::erase_if(waiting_, [](const auto& job) { return job->unfinished == 0; });
}

void Engine::deliver(std::vector<Event>& events) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stats_.queued = static_cast<int64_t>(waiting_.size() + submitted_.size());
    stats_.active = std::count_if(slots_.begin(), slots_.end(),
                                  [](const Slot& slot) { return slot.job != nullptr; });
    for (const Event& event : events) stats_.tokens += static_cast<int64_t>(event.tokens.size());
  }
  if (!events.empty()) sink_(std::move(events));
  events.clear();
}

}  // namespace speccascade
