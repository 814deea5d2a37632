// Which class of latencies a time is counted in: its upper end belongs to it.
#include "engine/latency.h"

#include <algorithm>
#include <limits>

#include "test/check.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

size_t class_of(double ms) {
  LatencyCounts counts;
  counts.add(ms);
  CHECK(counts.count == 1 && counts.sum_ms == ms, ms, " ms");
  return static_cast<size_t>(std::find(counts.counts.begin(), counts.counts.end(), 1) -
                             counts.counts.begin());
}

void bounds_are_inclusive() {
  for (size_t i = 0; i < LatencyCounts::kBoundsMs.size(); ++i) {
    const double bound = LatencyCounts::kBoundsMs[i];
    CHECK(class_of(bound) == i, bound, " ms in class ", class_of(bound));
    const double more = std::nextafter(bound, std::numeric_limits<double>::infinity());
    CHECK(class_of(more) == i + 1, "above ", bound, " ms in class ", class_of(more));
  }
  CHECK(class_of(0.0) == 0, "no time at all");
}

}  // namespace

int main(int argc, char** argv) { return run_cases(argc, argv, {CASE(bounds_are_inclusive)}); }
