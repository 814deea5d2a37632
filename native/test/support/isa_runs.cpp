#include "test/support/isa_runs.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/cpu_features.h"

namespace speccascade::test {

namespace {

int run_here(int argc, char** argv, const std::vector<Case>& cases) {
  try {
    std::printf("%s: ", isa_name(active_isa()));
  } catch (const Error& error) {
    std::printf("skipped: %s\n", error.what());
    return kSkipped;
  }
  return run_cases(argc, argv, cases);
}

int run_again(char** argv, Isa isa) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    setenv("SPECCASCADE_ISA", isa_name(isa), 1);
    execv("/proc/self/exe", argv);
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

int run_for_every_isa(int argc, char** argv, const std::vector<Case>& cases) {
  const char* wish = std::getenv("SPECCASCADE_ISA");
  if (wish != nullptr && *wish != '\0') return run_here(argc, argv, cases);
  int failed = 0;
  for (const Isa isa : kAllIsas) {
    const int code = run_again(argv, isa);
    if (code != 0 && code != kSkipped) {
      ++failed;
      std::printf("%s: FAILED with exit code %d\n", isa_name(isa), code);
    }
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace speccascade::test
