// Runs a test program once per instruction set. A process chooses its kernels once, so each run
// is a process of its own: the program starts itself again with SPECCASCADE_ISA set.
#pragma once

#include <vector>

#include "test/check.h"

namespace speccascade::test {

// The value to return from main(). With SPECCASCADE_ISA set: this process's cases with that
// instruction set, or kSkipped with the reason where the processor or build lacks it.
int run_for_every_isa(int argc, char** argv, const std::vector<Case>& cases);

}  // namespace speccascade::test
