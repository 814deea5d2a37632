// The whole test framework, so that the C++ tests need nothing but a compiler: named cases, checks
// that report and go on, one line of counts at the end. A program lists its cases in main().
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#if defined(SPECCASCADE_DEVICE_TESTS)
#include "test/support/on_device.h"
#endif

namespace speccascade::test {

// Sanitizers make programs some ten times slower, and watch over memory: there tests that repeat
// the same accesses with other values repeat them less.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// What CTest is told to take for "skipped" (SKIP_RETURN_CODE).
constexpr int kSkipped = 77;

struct Case {
  const char* name;
  void (*run)();
};

// Failed checks of the case that runs; checks may be made on any thread.
struct Tally {
  std::mutex printing;
  std::atomic<int64_t> failures{0};
};

inline Tally& tally() {
  static Tally instance;
  return instance;
}

template <typename... Parts>
void report(const char* file, int line, const char* what, const Parts&... parts) {
  constexpr int64_t kShown = 12;  // of one case; the rest is counted
  if (tally().failures.fetch_add(1) >= kShown) return;
  std::ostringstream text;
  text.precision(9);
  if constexpr (sizeof...(parts) > 0) (text << ... << parts);
  const std::lock_guard<std::mutex> lock(tally().printing);
  const char* name = std::strrchr(file, '/');
  std::printf("  %s:%d: %s   %s\n", name ? name + 1 : file, line, what, text.str().c_str());
}

inline bool is_near(double actual, double expected, double tolerance) {
  return actual == expected || std::fabs(actual - expected) <= tolerance;  // false for NaN
}

template <typename Body>
void expect_error(const char* file, int line, ErrorCode code, const std::string& part,
                  const Body& body) {
  try {
    body();
    report(file, line, "expected an error", error_name(code), ", got none");
  } catch (const Error& error) {
    const bool fits = error.code() == code && std::string(error.what()).find(part) != part.npos;
    if (!fits) {
      report(file, line, "another error", "expected ", error_name(code), " with '", part, "', got ",
             error_name(error.code()), ": ", error.what());
    }
  }
}

inline bool run_case(const Case& test) {
  tally().failures = 0;
  try {
    test.run();
  } catch (const Error& error) {
    report(test.name, 0, "unexpected error", error_name(error.code()), ": ", error.what());
  } catch (const std::exception& error) {
    report(test.name, 0, "unexpected exception", error.what());
  }
  const int64_t failures = tally().failures;
  if (failures > 0) {
    std::printf("FAILED %s: %lld checks\n", test.name, static_cast<long long>(failures));
  }
  return failures == 0;
}

// Runs the cases, or those whose name contains argv[1]; the value to return from main().
inline int run_cases_here(int argc, char** argv, const std::vector<Case>& cases) {
  int passed = 0, failed = 0;
  for (const Case& test : cases) {
    if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) continue;
    std::fflush(stdout);
    ++(run_case(test) ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  std::fflush(stdout);
  return failed == 0 ? 0 : 1;
}

// What main() returns of a test program.
inline int run_cases(int argc, char** argv, const std::vector<Case>& cases) {
#if defined(SPECCASCADE_DEVICE_TESTS)
  return run_on_device([&] { return run_cases_here(argc, argv, cases); });
#else
  return run_cases_here(argc, argv, cases);
#endif
}

}  // namespace speccascade::test

// A case is a function without arguments, named like what it shows.
#define CASE(function) \
  { #function, function }

// CHECK(condition, parts of a message...): reports and goes on; the message is made on failure.
#define CHECK(condition, ...) \
  ((condition)                \
       ? void()               \
       : ::speccascade::test::report(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__))

#define CHECK_NEAR(actual, expected, tolerance, ...)                                             \
  do {                                                                                           \
    const double sc_actual = (actual), sc_expected = (expected), sc_tolerance = (tolerance);     \
    if (!::speccascade::test::is_near(sc_actual, sc_expected, sc_tolerance)) {                   \
      ::speccascade::test::report(__FILE__, __LINE__, #actual, "got ", sc_actual, ", expected ", \
                                  sc_expected, " +- ", sc_tolerance,                             \
                                  " " __VA_OPT__(, ) __VA_ARGS__);                               \
    }                                                                                            \
  } while (false)

// CHECK_ERROR(code, part of the message, statement)
#define CHECK_ERROR(code, part, ...) \
  ::speccascade::test::expect_error(__FILE__, __LINE__, code, part, [&] { __VA_ARGS__; })
