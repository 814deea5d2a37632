// Work that a stream records and launches again: what is kept, what is read anew, and what happens
// beside a recording.
#include <cstring>
#include <thread>
#include <vector>

#include "base/cuda_device.h"
#include "base/error.h"
#include "base/graph_cache.h"
#include "base/host_array.h"
#include "ops/ops_cuda.h"
#include "test/check.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

constexpr int kWidth = 8;

// A norm between a copy down and a copy up.
class Norm {
 public:
  Norm()
      : stream(device->open_stream()),
        input(device, kWidth),
        output(device, kWidth),
        memory_(device, kBytes) {
    stream->activate();
    const std::vector<float> weight(kWidth, 1.0f);
    const int32_t rows = 1;
    stream->copy_to_device(at(2), weight.data(), kWidth * sizeof(float));
    stream->copy_to_device(at(3), &rows, sizeof(rows));
    stream->synchronize();
  }

  void queue() { queue_scaled(1.0f); }
  void queue_scaled(float scale) {
    const RmsNormArgs args = {
        at(0), at(2), at(1), kWidth, 1e-6f, scale, reinterpret_cast<int32_t*>(at(3)), 1, nullptr};
    stream->copy_to_device(at(0), input.data(), kWidth * sizeof(float));
    rms_norm_cuda(args, stream->handle());
    stream->copy_to_host(output.data(), at(1), kWidth * sizeof(float));
  }
  // What comes out of inputs begin, begin + 1, ... when `work` is done.
  template <typename Work>
  std::vector<float> outputs(float begin, const Work& work) {
    for (int i = 0; i < kWidth; ++i) input[static_cast<size_t>(i)] = begin + static_cast<float>(i);
    stream->activate();
    work();
    stream->synchronize();
    return {output.data(), output.data() + kWidth};
  }

  std::shared_ptr<Device> device = open_cuda_device(0);
  std::unique_ptr<DeviceStream> stream;
  HostArray<float> input, output;

 private:
  static constexpr size_t kBytes = 4 * 256;
  float* at(int part) const { return static_cast<float*>(memory_.data()) + part * 64; }

  DeviceBuffer memory_;
};

// Memory is read when the graph runs; arguments are those of the recording.
void graphs_do_what_was_recorded() {
  Norm norm;
  const auto direct = [&](float begin, float scale) {
    return norm.outputs(begin, [&] { norm.queue_scaled(scale); });
  };
  const std::vector<float> one = direct(1.0f, 2.0f), five = direct(5.0f, 2.0f);
  CHECK(one != five);
  float scale = 2.0f;
  const auto graph = norm.stream->record([&] { norm.queue_scaled(scale); });
  scale = 7.0f;
  const auto launch = [&] { norm.stream->launch(*graph); };
  CHECK(norm.outputs(1.0f, launch) == one);
  CHECK(norm.outputs(5.0f, launch) == five);
  CHECK(norm.outputs(1.0f, launch) == one, "a graph works once only");
  CHECK(direct(5.0f, 2.0f) == five, "the stream still records");
}

void a_recording_runs_nothing() {
  Norm norm;
  norm.outputs(1.0f, [&] { norm.queue(); });
  norm.output[0] = -3.0f;
  const auto graph = norm.stream->record([&] { norm.queue(); });
  norm.stream->synchronize();
  CHECK(norm.output[0] == -3.0f, "a recording wrote ", norm.output[0]);
}

void a_recording_that_fails_leaves_the_stream_usable() {
  Norm norm;
  const std::vector<float> expected = norm.outputs(1.0f, [&] { norm.queue(); });
  const auto half = [&] {
    norm.queue();
    fail(ErrorCode::kInput, "on the way");
  };
  CHECK_ERROR(ErrorCode::kInput, "on the way", norm.stream->record(half));
  CHECK(norm.outputs(1.0f, [&] { norm.queue(); }) == expected);
  const auto graph = norm.stream->record([&] { norm.queue(); });
  CHECK(norm.outputs(1.0f, [&] { norm.stream->launch(*graph); }) == expected);
}

// As when a model is loaded, or a session made and closed, beside one that decodes.
void other_threads_allocate_meanwhile() {
  Norm norm;
  const std::vector<float> expected = norm.outputs(1.0f, [&] { norm.queue(); });
  const auto graph = norm.stream->record([&] {
    norm.queue();
    std::thread([] {
      Norm other;
      other.outputs(2.0f, [&] { other.queue(); });
    }).join();
  });
  CHECK(norm.outputs(1.0f, [&] { norm.stream->launch(*graph); }) == expected);
}

void caches_keep_a_graph_for_each_shape() {
  Norm norm;
  GraphCache cache;
  int queued = 0;
  const auto run = [&](int shape) {
    const auto queue = [&] {
      ++queued;
      norm.queue_scaled(static_cast<float>(1 + shape));
    };
    return norm.outputs(3.0f, [&] { cache.run(*norm.stream, shape, queue); });
  };
  const int64_t first_runs = GraphCache::first_runs();
  const std::vector<float> two = run(2), none = run(0);
  CHECK(two != none);
  for (int round = 0; round < 3; ++round) {
    CHECK(run(2) == two, "round ", round);
    CHECK(run(0) == none, "round ", round);
  }
  CHECK(queued == 4, "queued ", queued, " times: once as it is and once to record, of each shape");
  CHECK(GraphCache::first_runs() - first_runs == 4);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(graphs_do_what_was_recorded), CASE(a_recording_runs_nothing),
       CASE(a_recording_that_fails_leaves_the_stream_usable),
       CASE(other_threads_allocate_meanwhile), CASE(caches_keep_a_graph_for_each_shape)});
}
