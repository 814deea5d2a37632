// Who is next: the queue of samples that wait for a slot.
//
// Every arriving request gets a tag, one higher than the last. The sample with the
// lowest  tag - kPlacesPerPriority * priority  starts first, and a request that has more
// samples comes back with its tag raised by one, as if they had been submitted one
// after the other: many samples of one request alternate with the requests behind it.
//
// Nobody starves. A waiting key never changes, tags of arrivals only rise, and every
// start raises the key of the request it came from: at most kPlacesPerPriority requests
// per level of priority that arrive later are served earlier. There are as many sources, of encoded
// inputs, as slots, and a request keeps its own until its last sample ends; but none of whose
// samples run gives it up to one that is kPlacesPerTurn before it, and is encoded again in its
// turn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "engine/job.h"

namespace speccascade {

constexpr int kMaxPriority = 10;  // and -10 the lowest
constexpr int kPlacesPerPriority = 64;
// So many samples are worth an encoder pass: among equals, requests that have no more are encoded
// once.
constexpr int kPlacesPerTurn = 16;

// A sample that gets a slot; its job's input is encoded first where it is not yet.
struct Start {
  std::shared_ptr<Job> job;
  int sample = 0;
};

class Schedule {
 public:
  struct Earlier {
    bool operator()(const std::shared_ptr<Job>& a, const std::shared_ptr<Job>& b) const;
  };
  using Queue = std::set<std::shared_ptr<Job>, Earlier>;

  void add(std::shared_ptr<Job> job);

  // Takes out the next samples, as many as there are free slots. Inputs that are not
  // encoded yet are taken while sources (of encoded inputs) and encoder rows last; one that
  // does not fit is not overtaken by others that would have to be encoded. A job that takes over
  // another's source has it, and is not encoded.
  std::vector<Start> choose(int slots, int sources, int rows);

  // Jobs with samples that were never started.
  const Queue& waiting() const { return waiting_; }
  // Takes out those that `leaves` is true of.
  void remove_if(const std::function<bool(Job&)>& leaves);

 private:
  bool take_source_over(Job& job);

  Queue waiting_;
  int64_t last_tag_ = 0;
};

}  // namespace speccascade
