#include "engine/schedule.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace speccascade {

namespace {

int64_t key_of(const Job& job) {
  return job.tag - static_cast<int64_t>(kPlacesPerPriority) * job.request.priority;
}

}  // namespace

bool Schedule::Earlier::operator()(const std::shared_ptr<Job>& a,
                                   const std::shared_ptr<Job>& b) const {
  const int64_t left = key_of(*a), right = key_of(*b);
  return left != right ? left < right : a->id < b->id;
}

void Schedule::add(std::shared_ptr<Job> job) {
  job->tag = ++last_tag_;
  waiting_.insert(std::move(job));
}

std::vector<Start> Schedule::choose(int slots, int sources, int rows) {
  std::vector<Start> starts;
  std::unordered_set<uint64_t> encoding;  // they have a source as soon as they are chosen
  const auto has_source = [&](const Job& job) {
    return job.source >= 0 || encoding.count(job.id) != 0;
  };
  bool may_encode = true;
  while (static_cast<int>(starts.size()) < slots) {
    // Where nothing more can be encoded, encoded requests go on.
    const auto next = std::find_if(waiting_.begin(), waiting_.end(),
                                   [&](const auto& job) { return may_encode || has_source(*job); });
    if (next == waiting_.end()) break;
    if (!has_source(**next)) {
      if ((*next)->rows() > rows || (sources == 0 && !take_source_over(**next))) {
        may_encode = false;
        continue;
      }
      if ((*next)->source < 0) --sources;
      rows -= (*next)->rows();
      encoding.insert((*next)->id);
    }
    std::shared_ptr<Job> job = std::move(waiting_.extract(next).value());
    starts.push_back({job, job->next_sample++});
    // Those who arrive from now on stand behind what has been served.
    last_tag_ = std::max(last_tag_, job->tag);
    if (job->next_sample < job->samples()) {
      ++job->tag;
      waiting_.insert(std::move(job));
    }
  }
  return starts;
}

// From the last in the queue of those that no running sample reads.
bool Schedule::take_source_over(Job& job) {
  for (auto last = waiting_.rbegin(); last != waiting_.rend(); ++last) {
    Job& other = **last;
    if (key_of(other) < key_of(job) + kPlacesPerTurn) return false;
    const bool runs = other.unfinished > other.samples() - other.next_sample;
    if (other.source < 0 || !other.encoded || runs) continue;
    job.source = std::exchange(other.source, -1);
    other.encoded = false;
    return true;
  }
  return false;
}

void Schedule::remove_if(const std::function<bool(Job&)>& leaves) {
  std::erase_if(waiting_, [&](const auto& job) { return leaves(*job); });
}

}  // namespace speccascade
