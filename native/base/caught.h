// What code outside the core throws, as a failure of the core.
#pragma once

#include "base/error.h"

namespace speccascade {

// Called while an exception is handled. Memory and threads that the system refuses are
// ERR_OUT_OF_MEMORY; what nobody expects is ERR_DEVICE, with its message.
Error caught_error();

}  // namespace speccascade
