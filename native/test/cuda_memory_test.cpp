// The device's memory under the emulation: out of the host's reach, copies that land when the
// stream is waited for, and what happens when it is full.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/cuda_device.h"
#include "base/host_array.h"
#include "emulation/cuda_emulation.h"
#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/emulated_models.h"
#include "test/support/engine_rig.h"
#include "test/support/plain_decoding.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// Whether a child process that does this ends by a signal or with an error.
template <typename Work>
bool dies(const Work& work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

void the_host_cannot_touch_it() {
  const std::shared_ptr<Device> device = open_cuda_device(0);
  const DeviceBuffer buffer(device, 64);
  const auto* byte = static_cast<const volatile char*>(buffer.data());
  CHECK(!dies([] {}));
  CHECK(dies([&] { static_cast<void>(*byte); }), "the host read device memory");
  const auto stream = device->open_stream();
  const char host[64] = {};
  stream->copy_to_device(buffer.data(), host, sizeof(host));
  stream->synchronize();
  CHECK(dies([&] { static_cast<void>(*byte); }), "a copy left device memory open");
}

void copies_land_when_the_stream_is_waited_for() {
  const std::shared_ptr<Device> device = open_cuda_device(0);
  const DeviceBuffer buffer(device, 16);
  const auto stream = device->open_stream();
  char got[16] = {1};
  stream->copy_to_host(got, buffer.data(), sizeof(got));
  CHECK(got[0] == static_cast<char>(0xff), "a copy landed before it was waited for");
  stream->synchronize();
  CHECK(std::count(got, got + 16, 0) == 16, "device memory is not zero at first");
  const char sent[16] = "fifteen letters";
  stream->copy_to_device(buffer.data(), sent, sizeof(sent));
  stream->copy_to_host(got, buffer.data(), sizeof(got));
  stream->synchronize();
  CHECK(std::memcmp(got, sent, sizeof(sent)) == 0);
  CHECK_ERROR(ErrorCode::kDevice, "not device memory", stream->copy_to_device(got, sent, 16));
  CHECK_ERROR(ErrorCode::kDevice, "not device memory", stream->copy_to_host(got, sent, 16));
  CHECK_ERROR(ErrorCode::kDevice, "not device memory",
              stream->copy_to_host(got, static_cast<char*>(buffer.data()) + 8, 1 << 20));
}

// On a GPU the copy may still be under way.
void page_locked_memory_stays_as_it_is_while_it_is_copied() {
  const std::shared_ptr<Device> device = open_cuda_device(0);
  const DeviceBuffer buffer(device, 16);
  const auto stream = device->open_stream();
  const HostArray<char> host(device, 16);
  stream->copy_to_device(buffer.data(), host.data(), 16);
  host[3] = 1;
  CHECK_ERROR(ErrorCode::kDevice, "changed while they were copied", stream->synchronize());
  stream->copy_to_device(buffer.data(), host.data(), 16);
  stream->synchronize();
}

void recordings_hold_nothing_that_a_graph_cannot() {
  const std::shared_ptr<Device> device = open_cuda_device(0);
  const DeviceBuffer buffer(device, 16);
  const auto stream = device->open_stream(), other = device->open_stream();
  char pageable[16] = {};
  const auto record = [&](const auto& queue) { return stream->record(queue); };
  const int64_t graphs = emulation::device_counts().graphs;
  CHECK_ERROR(ErrorCode::kDevice, "not page-locked",
              record([&] { stream->copy_to_device(buffer.data(), pageable, 16); }));
  CHECK_ERROR(ErrorCode::kDevice, "not page-locked",
              record([&] { stream->copy_to_host(pageable, buffer.data(), 16); }));
  CHECK_ERROR(ErrorCode::kDevice, "a wait", record([&] { stream->synchronize(); }));
  CHECK_ERROR(ErrorCode::kDevice, "an allocation", record([&] { DeviceBuffer(device, 16); }));
  CHECK_ERROR(ErrorCode::kDevice, "an allocation", record([&] { HostArray<char>(device, 16); }));
  CHECK_ERROR(ErrorCode::kDevice, "a recording", record([&] { other->record([] {}); }));
  emulation::fail_recordings(1);
  CHECK_ERROR(ErrorCode::kDevice, "recording a graph", record([] {}));
  CHECK(emulation::device_counts().graphs == graphs, "a recording that failed was counted");
  const auto graph = record([] {});
  CHECK_ERROR(ErrorCode::kDevice, "another's graph", other->launch(*graph));
}

// A table that was not copied is found by its address.
void kernels_must_not_be_given_host_memory() {
  if (!emulation::kChecksArguments) {
    std::printf("skipped: the compiler has no __builtin_clear_padding\n");
    return;
  }
  const std::shared_ptr<Device> device = open_cuda_device(0);
  const DeviceBuffer buffer(device, 4096);
  const auto stream = device->open_stream();
  auto* floats = static_cast<float*>(buffer.data());
  auto* ints = static_cast<int32_t*>(buffer.data());
  std::vector<int32_t> host(4);
  const RmsNormArgs good = {floats, floats, floats + 64, 8, 1e-6f, 1.0f, ints + 512, 1, nullptr};
  RmsNormArgs bad = good;
  bad.num_rows = host.data();
  rms_norm_cuda(good, stream->handle());
  CHECK_ERROR(ErrorCode::kDevice, "host memory", rms_norm_cuda(bad, stream->handle()));
}

// Exactly what the arena takes, and all of it back.
void models_count_their_memory() {
  const size_t before = emulation::used_device_memory();
  {
    const auto model = emulated_model(tiny_configs()[0].config, 3, "bf16");
    CHECK(model->device_name() == "cuda:0");
    CHECK(emulation::used_device_memory() - before == model->memory_bytes());
    CHECK(model->weights.arena.bytes() == 0, "weights are in host memory too");
  }
  CHECK(emulation::used_device_memory() == before, "memory was not given back");
}

void a_model_that_does_not_fit_is_refused() {
  const size_t before = emulation::used_device_memory();
  emulation::set_device_memory(before + 4096);
  const T5Config config = tiny_configs()[0].config;
  CHECK_ERROR(ErrorCode::kOutOfMemory, "free 4096", emulated_model(config, 3, "bf16"));
  CHECK(emulation::used_device_memory() == before);
  emulation::set_device_memory(size_t{1} << 30);
  emulated_model(config, 3, "bf16");
}

// A session that finds no room leaves the one that works as it is.
void a_session_that_does_not_fit_leaves_others_alone() {
  const auto model = emulated_model(tiny_configs()[0].config, 3, "bf16");
  Request request = plain_request({5, 4, 3}, 4);
  request.logprobs = true;
  EngineRig rig(model, nullptr, limits_of(1, {}, 4));
  const size_t used = emulation::used_device_memory();
  emulation::set_device_memory(used + 1000);
  CHECK_ERROR(ErrorCode::kOutOfMemory, "free 1000", EngineRig(model, nullptr, limits_of(1, {}, 4)));
  CHECK(emulation::used_device_memory() == used, "a session that failed kept memory");
  const SampleLog sample = rig.run(request)[0];
  emulation::set_device_memory(size_t{1} << 30);
  check_sample(sample, decode_plainly(model, request), "the session beside it");
}

void page_locked_memory_that_is_full_is_an_error() {
  const auto model = emulated_model(tiny_configs()[0].config, 3, "bf16");
  Request request = plain_request({5, 4, 3}, 4);
  request.logprobs = true;
  EngineRig rig(model, nullptr, limits_of(1, {}, 4));
  const size_t on_device = emulation::used_device_memory(), locked = emulation::used_host_memory();
  for (const size_t room : {size_t{0}, size_t{500}}) {
    emulation::set_host_memory(locked + room);
    CHECK_ERROR(ErrorCode::kOutOfMemory, "page-locked memory for cuda:0: needed",
                EngineRig(model, nullptr, limits_of(1, {}, 4)));
    CHECK(emulation::used_host_memory() == locked, "page-locked memory was not given back");
    CHECK(emulation::used_device_memory() == on_device, "device memory was not given back");
  }
  const SampleLog sample = rig.run(request)[0];
  emulation::set_host_memory(size_t{1} << 30);
  check_sample(sample, decode_plainly(model, request), "the session beside it");
}

void devices_are_named() {
  ModelOptions options;
  options.backend = &cuda_backend();
  const T5Config config = tiny_configs()[0].config;
  options.device = "cuda:1";
  CHECK_ERROR(ErrorCode::kDevice, "cuda:1", load_model(config, {}, options, {}));
  options.device = "cuda:";
  CHECK_ERROR(ErrorCode::kInput, "cuda:N", load_model(config, {}, options, {}));
  options.device = "cuda:0";
  CHECK(load_model(config, {}, options, {})->dtype == DType::kBF16, "the type of 'auto'");
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv,
                   {CASE(the_host_cannot_touch_it), CASE(copies_land_when_the_stream_is_waited_for),
                    CASE(page_locked_memory_stays_as_it_is_while_it_is_copied),
                    CASE(recordings_hold_nothing_that_a_graph_cannot),
                    CASE(kernels_must_not_be_given_host_memory), CASE(models_count_their_memory),
                    CASE(a_model_that_does_not_fit_is_refused),
                    CASE(a_session_that_does_not_fit_leaves_others_alone),
                    CASE(page_locked_memory_that_is_full_is_an_error), CASE(devices_are_named)});
}
