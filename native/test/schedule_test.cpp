// The queue: order, priorities, samples that alternate, and that nobody starves.
#include "engine/schedule.h"

#include <map>

#include "test/check.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

std::shared_ptr<Job> job(uint64_t id, int samples = 1, int priority = 0, int rows = 1) {
  auto made = std::make_shared<Job>();
  made->id = id;
  made->request.seeds.resize(static_cast<size_t>(samples));
  made->request.input_ids.resize(static_cast<size_t>(rows));
  made->request.priority = priority;
  return made;
}

// The ids of the next samples; each request's input counts as encoded from its first on.
std::vector<uint64_t> next(Schedule& schedule, int slots, int sources = 100, int rows = 1000) {
  std::vector<uint64_t> ids;
  for (const Start& start : schedule.choose(slots, sources, rows)) {
    start.job->source = 0;
    ids.push_back(start.job->id);
  }
  return ids;
}

void in_order_of_arrival() {
  Schedule schedule;
  for (uint64_t id = 1; id <= 5; ++id) schedule.add(job(id));
  CHECK(next(schedule, 2) == (std::vector<uint64_t>{1, 2}), "the first two first");
  CHECK(next(schedule, 9) == (std::vector<uint64_t>{3, 4, 5}), "then the others");
  CHECK(schedule.waiting().empty(), "all were started");
}

void samples_alternate_with_other_requests() {
  Schedule schedule;
  schedule.add(job(1, 100));
  CHECK(next(schedule, 4) == (std::vector<uint64_t>{1, 1, 1, 1}), "alone it gets all slots");
  for (uint64_t id = 2; id <= 4; ++id) schedule.add(job(id));
  int starts_until_all = 0;
  std::map<uint64_t, int> seen;
  while (seen.size() < 4) {
    for (const uint64_t id : next(schedule, 1)) ++seen[id];
    ++starts_until_all;
  }
  CHECK(starts_until_all <= 7, "three requests behind 96 samples started after ", starts_until_all);
  Schedule two;
  two.add(job(1, 50));
  (void)next(two, 10);
  two.add(job(2, 50));
  seen.clear();
  for (int i = 0; i < 40; ++i) ++seen[next(two, 1).at(0)];
  CHECK(seen[1] >= 19 && seen[2] >= 19, "shares ", seen[1], " and ", seen[2]);
}

void priority_goes_first_and_is_bounded() {
  Schedule schedule;
  schedule.add(job(1, 1, -10));
  schedule.add(job(2, 1, 0));
  schedule.add(job(3, 1, 10));
  CHECK(next(schedule, 3) == (std::vector<uint64_t>{3, 2, 1}), "the higher the earlier");
  // A stream of the highest priority that never ends overtakes the lowest so many times.
  schedule.add(job(4, 1, -kMaxPriority));
  const int bound = 2 * kMaxPriority * kPlacesPerPriority;
  int overtakers = 0;
  for (uint64_t id = 5;; ++id) {
    schedule.add(job(id, 1, kMaxPriority));
    if (next(schedule, 1).at(0) == 4) break;
    ++overtakers;
    CHECK(overtakers <= bound, "overtaken ", overtakers, " times");
    if (overtakers > bound) return;
  }
  CHECK(overtakers > bound / 2, "overtaken only ", overtakers, " times");
}

// Random arrivals of random priorities and numbers of samples: every sample is started once, and
// before too many later ones.
void nobody_starves() {
  TestRandom random(7);
  Schedule schedule;
  std::map<uint64_t, int64_t> arrived, missing;
  int64_t starts = 0, longest = 0;
  const auto serve = [&](int slots) {
    for (const uint64_t id : next(schedule, slots)) {
      longest = std::max(longest, ++starts - arrived[id]);
      if (--missing[id] == 0) missing.erase(id);
    }
  };
  for (uint64_t id = 1; id <= 20000; ++id) {
    const int samples = random.below(50) == 0 ? 30 : 1;
    arrived[id] = starts;
    missing[id] = samples;
    schedule.add(job(id, samples, random.below(21) - 10));
    serve(1 + random.below(3));
  }
  while (!schedule.waiting().empty()) serve(4);
  CHECK(missing.empty(), missing.size(), " requests were not served");
  CHECK(longest < 4000, "a sample waited for ", longest, " others");
}

void encoding_is_bounded() {
  Schedule schedule;
  schedule.add(job(1, 6, 0, 10));
  schedule.add(job(2, 1, 0, 100));
  schedule.add(job(3, 1, 0, 5));
  // 100 rows do not fit, and 5 do not overtake them; the encoded request goes on.
  CHECK(next(schedule, 3, 9, 50) == (std::vector<uint64_t>{1, 1, 1}), "the first request starts");
  CHECK(next(schedule, 1, 9, 90) == (std::vector<uint64_t>{1}), "and goes on alone");
  CHECK(next(schedule, 1, 0, 500) == (std::vector<uint64_t>{1}), "without a source, too");
  CHECK(next(schedule, 3, 1, 500) == (std::vector<uint64_t>{2, 1}), "one source, one input");
  CHECK(next(schedule, 3, 0, 500).empty(), "no source, nobody");
  CHECK(next(schedule, 3, 1, 500) == (std::vector<uint64_t>{3}), "then the other");
}

// One slot and one source, whose request has many samples: as the engine would, one at a time.
struct OneSource {
  uint64_t serve() {
    const std::vector<Start> starts = schedule.choose(1, taken ? 0 : 1, 1000);
    if (starts.size() != 1) return 0;
    Job& job = *starts[0].job;
    if (job.source < 0) job.source = 0;
    taken = job.encoded = true;
    --job.unfinished;  // it ends at once
    return job.id;
  }
  uint64_t add(uint64_t id, int samples, int priority) {
    auto made = job(id, samples, priority);
    made->unfinished = samples;
    schedule.add(made);
    return id;
  }

  Schedule schedule;
  bool taken = false;
};

void sources_are_taken_over() {
  OneSource one;
  one.add(1, 1000, 0);
  CHECK(one.serve() == 1, "the first has the source");
  one.add(2, 2, kMaxPriority);
  CHECK(one.serve() == 2 && one.serve() == 2, "a higher priority has it next");
  one.taken = false;  // the second has ended
  CHECK(one.serve() == 1, "and the first after that");
  one.add(3, 1000, 0);
  for (const uint64_t id : {3, 1, 3, 1}) {
    int samples = 0;
    while (samples <= 3 * kPlacesPerTurn && one.serve() != id) ++samples;
    CHECK(samples >= kPlacesPerTurn && samples <= 2 * kPlacesPerTurn + 1, samples,
          " samples before the turn of ", id);
  }
}

void sources_of_running_samples_stay() {
  Schedule schedule;
  const auto long_one = job(1, 1000);
  long_one->unfinished = 1000;
  schedule.add(long_one);
  CHECK(next(schedule, 1, 1) == std::vector<uint64_t>{1}, "the first has the source");
  long_one->encoded = true;
  schedule.add(job(2, 1, kMaxPriority));
  CHECK(next(schedule, 1, 0) == std::vector<uint64_t>{1}, "while a sample reads it");
  long_one->unfinished -= 2;
  const std::vector<Start> starts = schedule.choose(1, 0, 1000);
  CHECK(starts.size() == 1 && starts[0].job->id == 2, "and not longer");
  CHECK(starts[0].job->source == 0 && !starts[0].job->encoded, "to be encoded");
  CHECK(long_one->source == -1 && !long_one->encoded, "to be encoded again");
}

// A source that is taken over is not one of the free ones: nothing is left for the next.
void a_source_is_taken_over_once() {
  Schedule schedule;
  const auto idle = job(1, 1000);
  idle->unfinished = 1000;
  idle->source = 3;
  idle->encoded = true;
  schedule.add(idle);
  for (const uint64_t id : {2, 3}) schedule.add(job(id, 1, kMaxPriority));
  const std::vector<Start> starts = schedule.choose(2, 0, 1000);
  CHECK(starts.size() == 1 && starts[0].job->id == 2, starts.size(), " samples start");
  CHECK(starts.at(0).job->source == 3 && idle->source == -1, "with the source");
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(in_order_of_arrival), CASE(samples_alternate_with_other_requests),
                    CASE(priority_goes_first_and_is_bounded), CASE(nobody_starves),
                    CASE(encoding_is_bounded), CASE(sources_are_taken_over),
                    CASE(sources_of_running_samples_stay), CASE(a_source_is_taken_over_once)});
}
