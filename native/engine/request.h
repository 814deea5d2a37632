// What goes into the engine and what comes out of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "decode/draft_plan.h"
#include "decode/rules.h"
#include "decode/sequence_state.h"
#include "engine/latency.h"

namespace speccascade {

// Upper bounds and fixed properties of a session; its memory is planned from them.
struct SessionLimits {
  DraftPlan draft;
  int max_batch = 16;
  int max_input_tokens = 512;
  int max_new_tokens = 128;
  int max_prefix_tokens = 1;
  // Most encoder rows between two steps while others decode. A longer input waits until as
  // many steps have been made as its rows are worth.
  int encoder_rows_per_step = 256;
  // Whether requests may have their trees verified by traversal.
  bool traversal = false;
  // Whether sampled outputs may depend on the load.
  bool reproducible = true;
};

// One input to decode, once per seed; the samples share one encoder pass.
struct Request {
  std::vector<int32_t> input_ids;
  std::vector<int32_t> prefix;  // what the decoder starts from
  std::vector<int32_t> eos_tokens;
  std::vector<int32_t> stop_tokens;
  std::vector<int32_t> suppress_tokens;
  int max_new_tokens = 128;
  int min_new_tokens = 0;
  float temperature = 0.0f;  // 0: greedy
  int top_k = 0;             // 0: off
  float top_p = 1.0f;        // 1: off
  std::vector<uint64_t> seeds;
  bool logprobs = false;
  // Whether events tell every step; else a sample's first step, and the others with its end.
  bool by_step = true;
  Rule rule;
  Verifier verifier = Verifier::kToken;
  float confidence_stop = 0.0f;  // 0: off
  int priority = 0;              // -10 to 10; see schedule.h
  double waited_ms = 0.0;        // before it was submitted; counts as time in the queue
};

// Counters of one sample, or of a session. proposed = accepted + rejected + never
// reached; tested = accepted + rejected.
struct DecodeStats {
  int64_t tokens = 0;  // emitted
  int64_t target_calls = 0;
  std::vector<int64_t> draft_calls;  // [drafters]
  int64_t proposed = 0;
  int64_t tested = 0;
  int64_t accepted = 0;
  int64_t decided = 0;    // positions whose deferral was asked for, of rules that defer
  double deferred = 0.0;  // deferral summed over them
  double encode_ms = 0.0;
  double decode_ms = 0.0;

  void add(const DecodeStats& other) {
    tokens += other.tokens;
    target_calls += other.target_calls;
    if (draft_calls.size() < other.draft_calls.size()) draft_calls.resize(other.draft_calls.size());
    for (size_t i = 0; i < other.draft_calls.size(); ++i) draft_calls[i] += other.draft_calls[i];
    proposed += other.proposed;
    tested += other.tested;
    accepted += other.accepted;
    decided += other.decided;
    deferred += other.deferred;
    encode_ms += other.encode_ms;
    decode_ms += other.decode_ms;
  }
};

// What one step of one sample produced, or the last of several (Request::by_step).
struct Event {
  enum class End { kNone, kEos, kStop, kLength, kAborted, kFailed };

  uint64_t request = 0;
  int sample = 0;
  int samples = 1;  // that end alike without having begun: from `sample` on
  std::vector<int32_t> tokens;
  int accepted = 0;  // how many of `tokens`, from the front, are accepted drafts; of one step
  std::vector<float> logprobs;
  End end = End::kNone;
  DecodeStats stats;                      // with the end
  ErrorCode error = ErrorCode::kNumeric;  // with kFailed
  std::string message;
};

struct SessionStats {
  int64_t queued = 0;  // requests with samples that were never started
  int64_t active = 0;
  int64_t steps = 0;
  int64_t slot_steps = 0;        // active slots, summed over the steps
  int64_t requests = 0;          // samples finished
  int64_t tokens = 0;            // emitted, of running samples too
  DecodeStats totals;            // of finished samples
  double encode_ms = 0.0;        // wall-clock time of encoder passes
  double decode_ms = 0.0;        // of steps, without encoder passes in them
  LatencyCounts in_queue;        // samples: submission to slot
  LatencyCounts first_token;     // samples: submission to first token
  LatencyCounts between_tokens;  // steps of a sample after its first: since the one before
  size_t cache_bytes = 0;
};

}  // namespace speccascade
