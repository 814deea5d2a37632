#include "base/error.h"

namespace speccascade {

const char* error_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kCheckpoint:
      return "ERR_CHECKPOINT";
    case ErrorCode::kConfig:
      return "ERR_CONFIG";
    case ErrorCode::kInput:
      return "ERR_INPUT";
    case ErrorCode::kVocabMismatch:
      return "ERR_VOCAB_MISMATCH";
    case ErrorCode::kOutOfMemory:
      return "ERR_OUT_OF_MEMORY";
    case ErrorCode::kDevice:
      return "ERR_DEVICE";
    case ErrorCode::kAborted:
      return "ERR_ABORTED";
    case ErrorCode::kClosed:
      return "ERR_CLOSED";
    case ErrorCode::kNumeric:
      return "ERR_NUMERIC";
    case ErrorCode::kIo:
      return "ERR_IO";
  }
  return "ERR_INPUT";
}

void check_range(ErrorCode code, const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  fail(code, name, ": expected an integer from ", low, " to ", high, ", got ", value);
}

}  // namespace speccascade
