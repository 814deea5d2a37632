#include "base/device.h"

#include "base/buffer.h"
#include "base/cpu_features.h"
#include "base/cuda_device.h"

namespace speccascade {

std::vector<DeviceInfo> list_devices() {
  DeviceInfo cpu;
  cpu.name = cpu_name();
  cpu.kind = "cpu";
  cpu.memory_bytes = total_memory_bytes();
  cpu.features = cpu_feature_names();
  std::vector<DeviceInfo> devices = {cpu};
  std::string note;
  for (DeviceInfo& device : cuda_devices(&note)) devices.push_back(std::move(device));
  devices[0].note = note;
  return devices;
}

}  // namespace speccascade
