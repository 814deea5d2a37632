// Where the tests named cuda_* run on a GPU (SPECCASCADE_DEVICE_TESTS) rather than its emulation:
// they hand kernels the host's vectors and variables, so these must be memory that a GPU reaches.
#pragma once

#include <functional>

namespace speccascade::test {

// Returns what body() returns. It runs on a thread whose stack, like everything from malloc, is
// page-locked memory that the GPU reads and writes at the host's addresses; a kernel has ended when
// its launch returns, but in programs that wait for streams. Returns kSkipped, with the reason
// printed, where there is no GPU, and 1 where memory cannot be had so.
int run_on_device(const std::function<int()>& body);

}  // namespace speccascade::test
