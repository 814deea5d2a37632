// Submitting, cancelling and closing from any thread at any time: every sample of every accepted
// request ends exactly once, nothing is said afterwards, and nothing waits for ever.
#include <atomic>
#include <chrono>
#include <thread>

#include "test/check.h"
#include "test/support/engine_rig.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kVocabulary = 40;

std::shared_ptr<const Model> target() {
  static const auto model = random_model(tiny_config(kVocabulary), 1);
  return model;
}

std::shared_ptr<const Model> drafter() {
  static const auto model = random_model(tiny_config(kVocabulary), 2);
  return model;
}

Request random_request(TestRandom& random, int max_new_tokens) {
  Request request = plain_request({random.below(kVocabulary), 3, 4}, 1);
  request.max_new_tokens = 1 + random.below(max_new_tokens);
  request.temperature = random.below(2) ? 1.0f : 0.0f;
  request.by_step = random.below(2) == 0;
  request.seeds.clear();
  for (int n = 1 + random.below(4); n > 0; --n) request.seeds.push_back(random.bits());
  return request;
}

struct Submitted {
  uint64_t id;
  int samples;
};

// Submits until the session is closed or `count` requests are in.
void submit_many(EngineRig& rig, uint64_t seed, int count, std::vector<Submitted>& submitted) {
  TestRandom random(seed);
  for (int i = 0; i < count; ++i) {
    const Request request = random_request(random, 40);
    try {
      const uint64_t id = rig.engine.submit(request);
      submitted.push_back({id, static_cast<int>(request.seeds.size())});
      if (random.below(3) == 0) rig.engine.cancel(id);
      if (random.below(5) == 0) rig.engine.cancel(1 + random.bits() % (id + 3));
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kClosed, error.what());
      return;
    }
    if (random.below(10) == 0) std::this_thread::yield();
  }
}

void check_all_ended_once(const EngineRig& rig, const std::vector<Submitted>& submitted) {
  const auto log = rig.log.all();
  size_t samples = 0;
  for (const Submitted& request : submitted) {
    for (int s = 0; s < request.samples; ++s, ++samples) {
      const auto found = log.find({request.id, s});
      CHECK(found != log.end() && found->second.ends == 1, "request ", request.id, " sample ", s,
            " ended ", found == log.end() ? 0 : found->second.ends, " times");
      if (found == log.end()) continue;
      CHECK(found->second.after_end == 0, "events after the end of request ", request.id);
      CHECK(found->second.end != Event::End::kFailed, found->second.message);
    }
  }
  CHECK(log.size() == samples, log.size(), " samples in the log, ", samples, " submitted");
}

// Four threads submit and cancel, one asks for statistics, one closes at some moment.
void race(uint64_t seed, int close_after_us) {
  EngineRig rig(target(), seed % 2 ? drafter() : nullptr, limits_of(4, seed % 2 ? 3 : 0));
  std::vector<std::vector<Submitted>> submitted(4);
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < submitted.size(); ++t) {
    threads.emplace_back([&, t] { submit_many(rig, seed * 4 + t, 60, submitted[t]); });
  }
  std::thread watcher([&] {
    while (!done) {
      const SessionStats stats = rig.engine.stats();
      CHECK(stats.active >= 0 && stats.active <= 4 && stats.queued >= 0);
      std::this_thread::yield();
    }
  });
  std::this_thread::sleep_for(std::chrono::microseconds(close_after_us));
  std::thread second_closer([&] { rig.engine.close(); });
  rig.engine.close();
  const int64_t events = rig.log.events();
  for (std::thread& thread : threads) thread.join();
  second_closer.join();
  done = true;
  watcher.join();
  std::vector<Submitted> all;
  for (const auto& part : submitted) all.insert(all.end(), part.begin(), part.end());
  check_all_ended_once(rig, all);
  CHECK(rig.log.events() == events, "events after close");
  const SessionStats stats = rig.engine.stats();
  CHECK(stats.active == 0 && stats.queued == 0, stats.active, " active, ", stats.queued, " queued");
}

void races_of_submit_cancel_and_close() {
  TestRandom random(3);
  for (uint64_t round = 0; round < 60; ++round) {
    race(round, random.below(round % 4 == 0 ? 300 : 15000));
  }
}

void the_destructor_closes() {
  EventLog log;
  for (int round = 0; round < 30; ++round) {
    Engine engine(target(), {drafter()}, limits_of(2, 2, 1000), log.sink());
    for (int i = 0; i < round % 6; ++i) engine.submit(plain_request({1, 2, 3}, 1000));
  }
  for (const auto& [key, sample] : log.all()) CHECK(sample.ends >= 1, "sample without an end");
}

void nothing_is_taken_after_close() {
  EngineRig rig(target(), nullptr, limits_of(2, 0));
  rig.run(plain_request({1, 2}, 3));
  rig.engine.close();
  CHECK_ERROR(ErrorCode::kClosed, "closed", rig.engine.submit(plain_request({1, 2}, 3)));
  rig.engine.cancel(1);
  rig.engine.close();
  CHECK(rig.log.events() == 3);
}

// Aborted samples keep what they had produced, and their statistics.
void close_aborts_what_is_under_way() {
  EngineRig rig(target(), nullptr, limits_of(2, 0, 1 << 14));
  std::vector<uint64_t> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(rig.engine.submit(plain_request({1, 2}, 1 << 14)));
  while (rig.log.events() < 20) std::this_thread::yield();
  rig.engine.close();
  for (const uint64_t id : ids) {
    const SampleLog sample = rig.log.wait(id, 1)[0];
    CHECK(sample.end == Event::End::kAborted && sample.ends == 1);
    CHECK(sample.tokens.size() == static_cast<size_t>(sample.stats.target_calls));
  }
}

// Nobody reads them step by step: the same outputs, told in two events a sample.
void outputs_held_back_until_their_end() {
  EngineRig rig(target(), drafter(), limits_of(3, 4));
  TestRandom random(5);
  for (int i = 0; i < 12; ++i) {
    Request request = random_request(random, 40);
    request.logprobs = i % 2 == 0;
    request.by_step = true;
    const std::vector<SampleLog> told = rig.run(request);
    request.by_step = false;
    const int64_t before = rig.log.events();
    const std::vector<SampleLog> held = rig.run(request);
    for (size_t s = 0; s < told.size(); ++s) {
      CHECK(held[s].tokens == told[s].tokens && same_bits(held[s].logprobs, told[s].logprobs));
      CHECK(held[s].end == told[s].end && held[s].stats.tested == told[s].stats.tested);
      CHECK(held[s].ends == 1 && held[s].after_end == 0);
    }
    CHECK(rig.log.events() - before <= 2 * static_cast<int64_t>(held.size()));
  }
}

void aborted_samples_tell_what_was_held_back() {
  EngineRig rig(target(), nullptr, limits_of(2, 0, 1 << 14));
  Request request = plain_request({1, 2}, 1 << 14);
  request.by_step = false;
  const uint64_t cancelled = rig.engine.submit(request);
  const uint64_t closed = rig.engine.submit(request);
  while (rig.engine.stats().tokens < 20) std::this_thread::yield();
  rig.engine.cancel(cancelled);
  CHECK(rig.log.wait(cancelled, 1)[0].end == Event::End::kAborted);
  rig.engine.close();
  for (const uint64_t id : {cancelled, closed}) {
    const SampleLog sample = rig.log.wait(id, 1)[0];
    CHECK(sample.tokens.size() > 2, sample.tokens.size(), " tokens");
    CHECK(sample.tokens.size() == static_cast<size_t>(sample.stats.target_calls));
    CHECK(sample.ends == 1 && sample.after_end == 0);
  }
}

void cancelling_frees_slots_for_others() {
  EngineRig rig(target(), nullptr, limits_of(1, 0, 1 << 14));
  const uint64_t endless = rig.engine.submit(plain_request({1, 2}, 1 << 14));
  const uint64_t queued = rig.engine.submit(plain_request({1, 2}, 1 << 14));
  const Request next = plain_request({5, 6}, 4);
  const uint64_t waiting = rig.engine.submit(next);
  rig.engine.cancel(queued);
  CHECK(rig.log.wait(queued, 1)[0].tokens.empty(), "a queued request had begun");
  rig.engine.cancel(endless);
  CHECK(rig.log.wait(endless, 1)[0].end == Event::End::kAborted);
  CHECK(rig.log.wait(waiting, 1)[0].end == Event::End::kLength);
  rig.engine.cancel(0);
  rig.engine.cancel(12345);
  rig.engine.cancel(waiting);
  CHECK(rig.run(next)[0].end == Event::End::kLength, "a late cancellation hit another request");
}

// A cancellation that follows its submission at once must not get lost, however busy the engine:
// a request that is not cancelled runs to its length and shows. Many callers, so that the engine
// is interrupted in unlikely places.
void immediate_cancellations_are_heard() {
  for (int round = 0; round < 3; ++round) {
    EngineRig rig(target(), nullptr, limits_of(4, 0, 1 << 16));
    const uint64_t background = rig.engine.submit(plain_request({7, 7}, 1 << 16));
    std::vector<std::thread> threads;
    std::vector<std::vector<uint64_t>> ids(8);
    for (std::vector<uint64_t>& own : ids) {
      threads.emplace_back([&rig, &own] {
        for (int i = 0; i < 3000; ++i) {
          own.push_back(rig.engine.submit(plain_request({1}, 300)));
          rig.engine.cancel(own.back());
          if (i % 4 == 3) rig.log.wait(own.back(), 1);  // no further ahead than a few
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    int lost = 0;
    for (const auto& own : ids) {
      for (const uint64_t id : own) {
        lost += rig.log.wait(id, 1)[0].end == Event::End::kAborted ? 0 : 1;
      }
    }
    CHECK(lost == 0, lost, " of 24000 cancellations were lost");
    rig.engine.cancel(background);
  }
}

// Samples that a closing session never started have ended too, and count.
void statistics_of_what_never_started() {
  EngineRig rig(target(), nullptr, limits_of(1, 0));
  Request request = plain_request({1, 2, 3}, 30);
  request.seeds = {1, 2, 3, 4, 5};
  for (int i = 0; i < 4; ++i) rig.engine.submit(request);
  rig.engine.close();
  CHECK(rig.engine.stats().requests == 20, rig.engine.stats().requests);
}

void statistics_add_up() {
  EngineRig rig(target(), drafter(), limits_of(3, 4));
  TestRandom random(9);
  DecodeStats expected;
  int64_t samples = 0, tokens = 0;
  for (int i = 0; i < 20; ++i) {
    const Request request = random_request(random, 30);
    for (const SampleLog& sample : rig.run(request)) {
      expected.add(sample.stats);
      ++samples;
      tokens += static_cast<int64_t>(sample.tokens.size());
    }
  }
  rig.engine.close();
  const SessionStats stats = rig.engine.stats();
  CHECK(stats.requests == samples, stats.requests, " instead of ", samples);
  CHECK(stats.tokens == tokens, stats.tokens, " instead of ", tokens);
  CHECK(stats.totals.target_calls == expected.target_calls);
  CHECK(stats.totals.draft_calls == expected.draft_calls);
  CHECK(stats.totals.proposed == expected.proposed);
  CHECK(stats.totals.tested == expected.tested && stats.totals.accepted == expected.accepted);
  CHECK(stats.cache_bytes > 0 && stats.steps > 0);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(races_of_submit_cancel_and_close), CASE(the_destructor_closes),
       CASE(nothing_is_taken_after_close), CASE(close_aborts_what_is_under_way),
       CASE(outputs_held_back_until_their_end), CASE(aborted_samples_tell_what_was_held_back),
       CASE(cancelling_frees_slots_for_others), CASE(immediate_cancellations_are_heard),
       CASE(statistics_add_up), CASE(statistics_of_what_never_started)});
}
