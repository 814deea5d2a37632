// In place of cuda_device.cu in builds without nvcc.
#include "base/cuda_device.h"
#include "base/error.h"

namespace speccascade {

namespace {

constexpr const char* kAbsent = "no CUDA: this build was made without nvcc";

}  // namespace

std::vector<DeviceInfo> cuda_devices(std::string* note) {
  *note = kAbsent;
  return {};
}

bool runs_on_cuda(int) { return false; }

std::shared_ptr<Device> open_cuda_device(int index) {
  fail(ErrorCode::kDevice, "device cuda:", index, ": ", kAbsent);
}

void overlap_launches(bool) {}

}  // namespace speccascade
