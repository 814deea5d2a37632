// Queues of the emulated device, what they record, and kernels that begin before the one before
// ends.
#pragma once

#include <memory>

#include "base/device_memory.h"

namespace speccascade::emulation {

std::unique_ptr<DeviceStream> open_emulated_stream();

// ERR_DEVICE while a stream of this thread records.
void check_not_recording(const char* what);

// Whether kernels that wait for the one before begin while it goes on.
void let_kernels_overlap(bool overlap);

}  // namespace speccascade::emulation
