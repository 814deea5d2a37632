// What this process can compute on.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace speccascade {

struct DeviceInfo {
  std::string name;
  std::string kind;  // "cpu" or "cuda"
  size_t memory_bytes = 0;
  std::string compute_capability;  // "9.0"; empty on the CPU
  std::vector<std::string> features;
  std::string note;    // why something is missing; empty if nothing is
  bool usable = true;  // whether there are kernels for it
};

// The CPU first, then every CUDA device. Where there is none the CPU's note
// says why: not compiled in, no driver, a driver too old, no device.
std::vector<DeviceInfo> list_devices();

}  // namespace speccascade
