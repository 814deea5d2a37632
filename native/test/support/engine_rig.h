// An engine together with a log of everything it says, for tests of results and of lifecycles.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/engine.h"

namespace speccascade::test {

// What the events of one sample amount to.
struct SampleLog {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::vector<int> accepted;  // per step
  int ends = 0;               // events with `end` set; exactly one is right
  int after_end = 0;          // events after the first of these; none is right
  Event::End end = Event::End::kNone;
  ErrorCode error = ErrorCode::kNumeric;
  std::string message;
  DecodeStats stats;
};

// Whether two samples agree to the last bit.
bool same_result(const SampleLog& a, const SampleLog& b);

class EventLog {
 public:
  EventSink sink();

  // The samples of a request once all have ended; throws after two minutes.
  std::vector<SampleLog> wait(uint64_t request, int samples);

  std::map<std::pair<uint64_t, int>, SampleLog> all() const;
  int64_t events() const;

 private:
  void add(const Event& event, int of);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<uint64_t, int>, SampleLog> samples_;
  int64_t events_ = 0;
};

// The log outlives the engine.
struct EngineRig {
  using Drafters = std::vector<std::shared_ptr<const Model>>;

  EngineRig(std::shared_ptr<const Model> target, Drafters drafters, const SessionLimits& limits);
  // One drafter, or null.
  EngineRig(std::shared_ptr<const Model> target, std::shared_ptr<const Model> drafter,
            const SessionLimits& limits);

  // Submits and waits.
  std::vector<SampleLog> run(const Request& request);
  std::vector<SampleLog> wait(uint64_t id, const Request& request);

  EventLog log;
  Engine engine;
};

// Candidates per node, level by level; empty: no drafter.
using Widths = std::vector<int32_t>;

// Small sessions: chains of `draft_length` tokens, or trees.
SessionLimits limits_of(int max_batch, int draft_length, int max_new_tokens = 40);
SessionLimits limits_of(int max_batch, const Widths& widths, int max_new_tokens = 40);

// One greedy sample, no end token.
Request plain_request(std::vector<int32_t> input, int max_new_tokens);

}  // namespace speccascade::test
