// The forward pass on the CPU, with every instruction set (support/forward_cases.h).
#include "test/support/forward_cases.h"
#include "test/support/isa_runs.h"

int main(int argc, char** argv) {
  using namespace speccascade::test;
  return run_for_every_isa(argc, argv, forward_cases(nullptr, false));
}
