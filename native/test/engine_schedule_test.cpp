// Admission as the engine does it: encoder work between two steps is bounded, cancelled requests
// give their slot to the next step, and samples of one request leave slots to others.
#include <future>
#include <map>

#include "test/check.h"
#include "test/support/engine_rig.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kVocabulary = 40;
constexpr int kInput = 40;

std::shared_ptr<const Model> target() {
  static const auto model = random_model(tiny_config(kVocabulary), 1);
  return model;
}

Request request_of(int input, int tokens, int samples = 1) {
  Request request = plain_request(std::vector<int32_t>(static_cast<size_t>(input), 3), tokens);
  request.seeds.assign(static_cast<size_t>(samples), 1);
  return request;
}

// Every step's events, in order; runs `at_step` on the engine's thread after each.
struct StepLog {
  using Step = std::vector<Event>;

  EventSink sink() {
    return [this](std::vector<Event>&& events) {
      for (const Event& event : events) {
        if (event.end != Event::End::kNone && --open == 0) done.set_value();
      }
      steps.push_back(std::move(events));
      at_step(static_cast<int>(steps.size()));
    };
  }

  // The step at which each request's first token came; -1: none did.
  std::vector<int> first_steps(size_t requests) const {
    std::vector<int> first(requests + 1, -1);
    for (size_t step = 0; step < steps.size(); ++step) {
      for (const Event& event : steps[step]) {
        if (!event.tokens.empty() && first[event.request] < 0) {
          first[event.request] = static_cast<int>(step);
        }
      }
    }
    return first;
  }

  int open = 0;  // samples
  std::vector<Step> steps;
  std::function<void(int)> at_step = [](int) {};
  std::promise<void> done;
};

// Many long inputs arrive while one request decodes: each step takes in as many as the session's
// encoder rows allow, and the running request gets its token in every one.
void encoder_work_between_steps_is_bounded() {
  for (const int inputs_per_step : {1, 2}) {
    StepLog log;
    SessionLimits limits = limits_of(16, 0, 64);
    limits.encoder_rows_per_step = inputs_per_step * kInput;
    Engine engine(target(), {}, limits, log.sink());
    constexpr int kArrivals = 12;
    log.open = 1 + kArrivals;
    log.at_step = [&](int step) {
      if (step != 1) return;
      for (int i = 0; i < kArrivals; ++i) engine.submit(request_of(kInput, 30));
    };
    engine.submit(request_of(3, 60));
    log.done.get_future().wait();
    engine.close();
    std::map<int, int> arrivals;  // by step
    for (const int step : log.first_steps(1 + kArrivals)) ++arrivals[step];
    for (const auto& [step, count] : arrivals) {
      CHECK(step <= 0 || count <= inputs_per_step, count, " inputs of ", kInput,
            " tokens before step ", step);
    }
    const int last = arrivals.rbegin()->first;
    CHECK(last == kArrivals / inputs_per_step, "the last started in step ", last);
    int tokens = 0;
    for (int step = 0; step <= last; ++step) {
      for (const Event& event : log.steps[static_cast<size_t>(step)]) {
        if (event.request == 1) tokens += static_cast<int>(event.tokens.size());
      }
    }
    CHECK(tokens == last + 1, "the running request got ", tokens, " tokens in ", last + 1,
          " steps");
  }
}

// A longer input than a step's rows waits until they have added up, and is not forgotten.
void long_inputs_wait_for_their_rows() {
  StepLog log;
  SessionLimits limits = limits_of(4, 0, 64);
  limits.encoder_rows_per_step = 10;
  Engine engine(target(), {}, limits, log.sink());
  log.open = 3;
  log.at_step = [&](int step) {
    if (step != 1) return;
    engine.submit(request_of(kInput, 5));
    engine.submit(request_of(10, 5));
  };
  engine.submit(request_of(3, 40));
  log.done.get_future().wait();
  engine.close();
  const std::vector<int> first = log.first_steps(3);
  CHECK(first[2] >= 1 && first[2] <= 4, "the long input started in step ", first[2]);
  CHECK(first[3] > first[2] && first[3] <= first[2] + 1, "the next in step ", first[3]);
}

// One slot, a request in it and one behind it: cancelled after a step, the first is not part of
// the next, which is the other's.
void a_cancelled_request_frees_its_slot_within_a_step() {
  StepLog log;
  Engine engine(target(), {}, limits_of(1, 0, 64), log.sink());
  log.open = 2;
  log.at_step = [&](int step) {
    if (step == 1) engine.submit(request_of(3, 5));
    if (step == 3) engine.cancel(1);
  };
  engine.submit(request_of(3, 60));
  log.done.get_future().wait();
  engine.close();
  CHECK(log.first_steps(2)[2] == 3, "the next started in step ", log.first_steps(2)[2]);
  const SessionStats stats = engine.stats();
  CHECK(stats.steps == 3 + 5 && stats.slot_steps == stats.steps, "steps ", stats.steps);
  CHECK(stats.tokens == 8 && stats.first_token.count == 2, "tokens ", stats.tokens);
  CHECK(stats.between_tokens.count == 6, "times between tokens ", stats.between_tokens.count);
  CHECK(stats.in_queue.count == 2 && stats.queued == 0 && stats.active == 0, "queue");
}

// 40 samples of one request in four slots, and others that come later: each of them starts with
// one of the next slots that become free.
void samples_leave_slots_to_others() {
  StepLog log;
  Engine engine(target(), {}, limits_of(4, 0, 8), log.sink());
  constexpr int kOthers = 6;
  log.open = 40 + kOthers;
  log.at_step = [&](int step) {
    if (step != 1) return;
    for (int i = 0; i < kOthers; ++i) engine.submit(request_of(3, 4));
  };
  engine.submit(request_of(3, 4, 40));
  log.done.get_future().wait();
  engine.close();
  // Rounds of four steps, two of four slots for the others.
  const std::vector<int> first = log.first_steps(1 + kOthers);
  for (size_t id = 2; id < first.size(); ++id) {
    CHECK(first[id] >= 4 && first[id] <= 16, "request ", id, " started in step ", first[id]);
  }
}

// As many requests of many samples as there are slots hold all sources, which they give up in their
// turn: to a higher priority at once. What is encoded again gives the same tokens. All of them are
// submitted on the engine's thread, between two steps, so that their ids and turns are certain.
void sources_are_taken_over() {
  constexpr int kSlots = 2, kSamples = 60, kTokens = 3;
  constexpr size_t kSame = 4, kUrgent = 5;
  // The step after which these two come: the first of many begins with both slots, the other joins
  // it as soon as they are free.
  constexpr int kLate = 2 + kTokens;
  StepLog log;
  Engine engine(target(), {}, limits_of(kSlots, 0, kTokens), log.sink());
  log.open = 1 + kSlots * kSamples + 2;
  log.at_step = [&](int step) {
    if (step == 1) {
      for (int i = 0; i < kSlots; ++i) engine.submit(request_of(3 + i, kTokens, kSamples));
    }
    if (step != kLate) return;
    engine.submit(request_of(5, kTokens));
    Request urgent = request_of(4, kTokens);
    urgent.priority = kMaxPriority;
    engine.submit(urgent);
  };
  engine.submit(request_of(3, 1));
  log.done.get_future().wait();
  engine.close();
  const std::vector<int> first = log.first_steps(kUrgent);
  const int places = (kSlots + 1) * kPlacesPerTurn * kTokens / kSlots;
  CHECK(first[2] < kLate && first[3] < kLate, "requests of many samples started in steps ",
        first[2], " and ", first[3]);
  CHECK(first[kUrgent] < kLate + kTokens, "a higher priority started in step ", first[kUrgent]);
  CHECK(first[kSame] <= kLate + places + kTokens, "the same priority in step ", first[kSame]);
  std::map<std::pair<uint64_t, int>, std::vector<int32_t>> outputs;
  for (const StepLog::Step& step : log.steps) {
    for (const Event& event : step) {
      auto& tokens = outputs[{event.request, event.sample}];
      tokens.insert(tokens.end(), event.tokens.begin(), event.tokens.end());
    }
  }
  int different = 0;
  for (const auto& [place, tokens] : outputs) {
    different += tokens == outputs[{place.first, 0}] ? 0 : 1;
  }
  CHECK(different == 0, different, " of ", outputs.size(), " outputs differ");
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(encoder_work_between_steps_is_bounded), CASE(long_inputs_wait_for_their_rows),
       CASE(a_cancelled_request_frees_its_slot_within_a_step), CASE(samples_leave_slots_to_others),
       CASE(sources_are_taken_over)});
}
