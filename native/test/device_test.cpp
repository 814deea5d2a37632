// What the process says about its processor, and how SPECCASCADE_ISA chooses among its kernels.
#include "base/device.h"

#include <algorithm>
#include <cstdlib>

#include "base/buffer.h"
#include "base/cpu_features.h"
#include "ops/cpu_kernels.h"
#include "test/check.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

// First of all cases: the choice is made once, and a refused wish is not a choice.
void unknown_instruction_sets_are_refused() {
  for (const char* wish : {"sse9", "AVX2", "avx2 ", "0"}) {
    setenv("SPECCASCADE_ISA", wish, 1);
    CHECK_ERROR(ErrorCode::kDevice, wish, active_isa());
    CHECK_ERROR(ErrorCode::kDevice, "expected one of scalar, avx2, avx512", cpu_kernels());
  }
}

void a_lesser_instruction_set_can_be_asked_for() {
  setenv("SPECCASCADE_ISA", "scalar", 1);
  CHECK(active_isa() == Isa::kScalar);
  setenv("SPECCASCADE_ISA", "avx2", 1);
  CHECK(active_isa() == Isa::kScalar, "the choice was made twice");
  const std::vector<std::string> names = cpu_feature_names();
  CHECK(std::count(names.begin(), names.end(), "kernels:scalar") == 1);
}

void the_processor_comes_first() {
  const std::vector<DeviceInfo> devices = list_devices();
  CHECK(!devices.empty() && devices[0].kind == "cpu");
  CHECK(!devices[0].name.empty() && devices[0].memory_bytes == total_memory_bytes());
  for (size_t i = 1; i < devices.size(); ++i) CHECK(devices[i].kind == "cuda");
  // Without a GPU the processor's note says why.
  if (devices.size() == 1) CHECK(!devices[0].note.empty());
}

void memory_figures_are_plausible() {
  CHECK(total_memory_bytes() > (size_t{64} << 20));
  CHECK(free_memory_bytes() <= total_memory_bytes());
}

void buffers_are_zero_and_aligned() {
  for (const size_t bytes : {1, 63, 4096, 100000, 9 << 20}) {
    const Buffer buffer(bytes);
    CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % 64 == 0 && buffer.bytes() == bytes);
    const auto* data = static_cast<const unsigned char*>(buffer.data());
    CHECK(std::count(data, data + bytes, 0) == static_cast<ptrdiff_t>(bytes));
  }
  Buffer empty(0), full(10);
  CHECK(empty.data() == nullptr);
  const void* memory = full.data();
  empty = std::move(full);
  CHECK(empty.data() == memory && empty.bytes() == 10);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(unknown_instruction_sets_are_refused), CASE(a_lesser_instruction_set_can_be_asked_for),
       CASE(the_processor_comes_first), CASE(memory_figures_are_plausible),
       CASE(buffers_are_zero_and_aligned)});
}
