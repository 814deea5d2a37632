// In place of position_cuda.cu in builds without nvcc.
#include "base/cuda_device.h"
#include "base/error.h"
#include "decode/position_cuda.h"

namespace speccascade {

DevicePositionRows position_on_cuda(int device, const DevicePosition&) {
  open_cuda_device(device);
  fail(ErrorCode::kDevice, "device cuda:", device, ": no kernels");
}

}  // namespace speccascade
