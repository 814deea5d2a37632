// Lets a test use more pool threads than a small machine has cores, so that scheduling is as
// unkind there as on a large one. Included by one source of a test program: it takes the place
// of the C library's sched_getaffinity, which the pool asks for its size.
#pragma once

#include <sched.h>

namespace speccascade::test {
constexpr int kPretendedCores = 4;
}

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

extern "C" int sched_getaffinity(pid_t process, size_t size, cpu_set_t* set) noexcept {
  CPU_ZERO_S(size, set);
  syscall(SYS_sched_getaffinity, process, size, set);
  for (int core = 0; core < speccascade::test::kPretendedCores; ++core) CPU_SET_S(core, size, set);
  return 0;
}
#endif
