// Failures of the core: a code the caller can act on and a message that names
// the offending value. Translated to JavaScript errors in addon/ alone.
#pragma once

#include <cstdint>
#include <exception>
#include <sstream>
#include <string>
#include <utility>

namespace speccascade {

enum class ErrorCode {
  kCheckpoint,
  kConfig,
  kInput,
  kVocabMismatch,
  kOutOfMemory,
  kDevice,
  kAborted,
  kClosed,
  kNumeric,
  kIo,
};

// The public name of a code, such as "ERR_INPUT".
const char* error_name(ErrorCode code);

class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}
  ErrorCode code() const { return code_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
};

// Throws Error with the parts streamed together.
template <typename... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(code, text.str());
}

void check_range(ErrorCode code, const char* name, int64_t value, int64_t low, int64_t high);

// Of what a caller gives.
inline void check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  check_range(ErrorCode::kInput, name, value, low, high);
}

}  // namespace speccascade
