#include "test/support/engine_rig.h"

#include <chrono>
#include <stdexcept>

#include "test/support/test_random.h"

namespace speccascade::test {

bool same_result(const SampleLog& a, const SampleLog& b) {
  return a.tokens == b.tokens && same_bits(a.logprobs, b.logprobs) && a.accepted == b.accepted &&
         a.end == b.end && a.message == b.message && a.stats.target_calls == b.stats.target_calls &&
         a.stats.draft_calls == b.stats.draft_calls && a.stats.proposed == b.stats.proposed &&
         a.stats.tested == b.stats.tested && a.stats.accepted == b.stats.accepted;
}

EventSink EventLog::sink() {
  return [this](std::vector<Event>&& events) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const Event& event : events) {
        ++events_;
        for (int i = 0; i < event.samples; ++i) add(event, event.sample + i);
      }
    }
    changed_.notify_all();
  };
}

void EventLog::add(const Event& event, int of) {
  SampleLog& sample = samples_[{event.request, of}];
  if (sample.ends > 0) ++sample.after_end;
  sample.tokens.insert(sample.tokens.end(), event.tokens.begin(), event.tokens.end());
  sample.logprobs.insert(sample.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
  if (!event.tokens.empty()) sample.accepted.push_back(event.accepted);
  if (event.end == Event::End::kNone) return;
  ++sample.ends;
  sample.end = event.end;
  sample.stats = event.stats;
  sample.error = event.error;
  sample.message = event.message;
}

std::vector<SampleLog> EventLog::wait(uint64_t request, int samples) {
  std::unique_lock<std::mutex> lock(mutex_);
  std::vector<SampleLog> result;
  for (int sample = 0; sample < samples; ++sample) {
    const auto ended = [&] {
      const auto found = samples_.find({request, sample});
      return found != samples_.end() && found->second.ends > 0;
    };
    if (!changed_.wait_for(lock, std::chrono::minutes(2), ended)) {
      throw std::runtime_error("request " + std::to_string(request) + " does not end");
    }
    result.push_back(samples_[{request, sample}]);
  }
  return result;
}

std::map<std::pair<uint64_t, int>, SampleLog> EventLog::all() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return samples_;
}

int64_t EventLog::events() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return events_;
}

EngineRig::EngineRig(std::shared_ptr<const Model> target, std::shared_ptr<const Model> drafter,
                     const SessionLimits& limits)
    : EngineRig(std::move(target), drafter == nullptr ? Drafters{} : Drafters{std::move(drafter)},
                limits) {}

EngineRig::EngineRig(std::shared_ptr<const Model> target, Drafters drafters,
                     const SessionLimits& limits)
    : engine(std::move(target), std::move(drafters), limits, log.sink()) {}

std::vector<SampleLog> EngineRig::run(const Request& request) {
  return wait(engine.submit(request), request);
}

std::vector<SampleLog> EngineRig::wait(uint64_t id, const Request& request) {
  return log.wait(id, static_cast<int>(request.seeds.size()));
}

SessionLimits limits_of(int max_batch, int draft_length, int max_new_tokens) {
  return limits_of(max_batch, Widths(static_cast<size_t>(draft_length), 1), max_new_tokens);
}

SessionLimits limits_of(int max_batch, const Widths& widths, int max_new_tokens) {
  SessionLimits limits;
  limits.max_batch = max_batch;
  limits.draft.kind = widths.empty() ? DraftKind::kNone : DraftKind::kLevels;
  limits.draft.widths = widths;
  limits.max_input_tokens = 40;
  limits.max_new_tokens = max_new_tokens;
  limits.max_prefix_tokens = 4;
  return limits;
}

Request plain_request(std::vector<int32_t> input, int max_new_tokens) {
  Request request;
  request.input_ids = std::move(input);
  request.prefix = {0};
  request.max_new_tokens = max_new_tokens;
  request.seeds = {1};
  return request;
}

}  // namespace speccascade::test
