// The CUDA part of base: discovery, device memory, streams. Defined in cuda_device.cu where
// nvcc was there, in cuda_device_absent.cpp where it was not, and in native/emulation for tests. No
// CUDA header is needed to include this one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/device.h"
#include "base/device_memory.h"

namespace speccascade {

// Every CUDA device; where there is none, `note` is set to the reason.
std::vector<DeviceInfo> cuda_devices(std::string* note);

// Whether the build has code for the GPU of that index, and a process may use it; cuda_devices()
// does not look, as this takes memory of it.
bool runs_on_cuda(int index);

// The GPU of that index. Throws ERR_DEVICE with what is missing: a driver, a device, a GPU of that
// index, compute capability 8.0.
std::shared_ptr<Device> open_cuda_device(int index);

// Whether kernels that wait for the one before may start while it ends (cuda_launch.h), as at first
// they may; for benches that compare. Of the process, for launches and recordings from now on.
void overlap_launches(bool overlap);

}  // namespace speccascade
