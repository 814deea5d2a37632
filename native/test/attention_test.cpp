// Attention on the CPU, with every instruction set (support/attention_cases.h).
#include "ops/attention.h"

#include "test/support/attention_cases.h"
#include "test/support/isa_runs.h"

int main(int argc, char** argv) {
  using namespace speccascade;
  return test::run_for_every_isa(
      argc, argv,
      test::attention_cases({encoder_attention_cpu, self_attention_cpu, cross_attention_cpu,
                             resolve_cache_rows_cpu}));
}
