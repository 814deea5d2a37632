// What other code throws, as a failure of the core.
#include "base/caught.h"

#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "test/check.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

template <typename Thrown>
void expect(const Thrown& thrown, ErrorCode code, const std::string& message) {
  try {
    throw thrown;
  } catch (const std::exception&) {
    const Error error = caught_error();
    CHECK(error.code() == code, error_name(error.code()), " for ", error_name(code));
    CHECK(std::string(error.what()).find(message) != std::string::npos, error.what());
  }
}

void codes_of_what_is_thrown() {
  expect(Error(ErrorCode::kConfig, "d_model: 0"), ErrorCode::kConfig, "d_model: 0");
  expect(std::bad_alloc(), ErrorCode::kOutOfMemory, "out of memory");
  expect(std::length_error("too long"), ErrorCode::kOutOfMemory, "too long");
  const auto again = std::make_error_code(std::errc::resource_unavailable_try_again);
  expect(std::system_error(again), ErrorCode::kOutOfMemory, again.message());
  expect(std::logic_error("a surprise"), ErrorCode::kDevice, "a surprise");
}

}  // namespace

int main(int argc, char** argv) { return run_cases(argc, argv, {CASE(codes_of_what_is_thrown)}); }
