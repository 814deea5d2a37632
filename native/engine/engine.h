// A session's engine: a queue, a set of slots, and one control thread that admits
// requests, steps all slots together, and hands out what they produced. Slots
// that end are refilled at once; schedule.h decides which sample is next. Encoder
// passes are cut to a number of rows per step, so that new inputs never hold up the
// slots that decode for long.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "engine/held_output.h"
#include "engine/request.h"
#include "engine/schedule.h"
#include "engine/stepper.h"

namespace speccascade {

// Receives the events of one step; called on the engine's thread, must not throw.
using EventSink = std::function<void(std::vector<Event>&&)>;

class Engine {
 public:
  // Takes the session's memory and starts the thread. Throws ERR_INPUT,
  // ERR_VOCAB_MISMATCH or ERR_OUT_OF_MEMORY.
  Engine(std::shared_ptr<const Model> target, std::vector<std::shared_ptr<const Model>> drafters,
         const SessionLimits& limits, EventSink sink);
  // Aborts what is under way and joins the thread.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Queues a request and returns its id; its events follow through the sink. Every
  // sample ends in exactly one event with `end` set. Throws ERR_INPUT or ERR_CLOSED.
  uint64_t submit(Request request);
  // Ends a request's samples within one step, as aborted. Unknown ids are ignored.
  void cancel(uint64_t id);
  SessionStats stats() const;
  // Aborts all requests and ends the thread; waits for it. Idempotent.
  void close();
  // The first part of it, without waiting.
  void begin_close();

 private:
  struct Slot {
    std::shared_ptr<Job> job;
    int sample = 0;
    DecodeStats stats;
    double last_token_ms = 0.0;  // 0: none yet
    bool begun = false;          // an event has told so
    HeldOutput held;
  };

  DecodeStats no_stats() const;
  void check_memory() const;
  void run();
  bool wait_for_work();
  void take_submitted();
  void take_orders(std::vector<Event>& events);
  void abort_if(const std::function<bool(const Job&)>& leaves, std::vector<Event>& events);
  bool decodes() const;
  void admit();
  std::vector<std::shared_ptr<Job>> take_sources();
  void encode(const std::vector<std::shared_ptr<Job>>& jobs);
  void start(int slot);
  void step(std::vector<Event>& events);
  Event outcome_of(int slot);
  void record_tokens(Slot& slot, int tokens);
  void tell(int slot, Event event, std::vector<Event>& events);
  void finish(int slot, Event& event);
  void end_job_sample(Job& job);
  void end_unstarted(Job& job, Event event, std::vector<Event>& events);
  void fail_all(const Error& error, std::vector<Event>& events);
  void deliver(std::vector<Event>& events);

  std::shared_ptr<const Model> target_;
  std::vector<std::shared_ptr<const Model>> drafters_;
  SessionLimits limits_;
  EventSink sink_;

  // Owned by the engine's thread.
  Stepper stepper_;
  std::vector<Slot> slots_;
  std::vector<bool> source_used_;
  Schedule schedule_;
  std::vector<Start> starts_;  // chosen, without a slot so far
  int encoder_rows_ = 0;       // that may be encoded before the next step

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> submitted_;
  std::unordered_set<uint64_t> cancelled_;
  SessionStats stats_;
  uint64_t next_id_ = 1;
  bool closing_ = false;
  std::mutex close_mutex_;
  std::thread thread_;
};

}  // namespace speccascade
