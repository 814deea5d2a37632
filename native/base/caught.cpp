#include "base/caught.h"

#include <new>
#include <stdexcept>
#include <system_error>

namespace speccascade {

Error caught_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kOutOfMemory, "out of memory"};
  } catch (const std::length_error& error) {
    return {ErrorCode::kOutOfMemory, std::string("out of memory: ") + error.what()};
  } catch (const std::system_error& error) {
    return {ErrorCode::kOutOfMemory, std::string("the system refused: ") + error.what()};
  } catch (const std::exception& error) {
    return {ErrorCode::kDevice, std::string("unexpected: ") + error.what()};
  }
}

}  // namespace speccascade
