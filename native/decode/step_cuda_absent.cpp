// In place of step_cuda.cu in builds without nvcc.
#include "base/cuda_device.h"
#include "decode/step_cuda.h"

namespace speccascade {

StepResult step_on_cuda(int device, const DeviceStepArgs&) {
  open_cuda_device(device);
  fail(ErrorCode::kDevice, "device cuda:", device, ": no kernels");
}

}  // namespace speccascade
