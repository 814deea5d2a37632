// Which instruction sets this processor and operating system offer.
#pragma once

#include <string>
#include <vector>

namespace speccascade {

// The kernel variants, in rising order of preference. Each has what those before
// it have; kAvx512Vnni adds int8 dot products, kAvx512Bf16 those of bfloat16.
enum class Isa { kScalar, kAvx2, kAvx512, kAvx512Vnni, kAvx512Bf16 };

constexpr Isa kAllIsas[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vnni,
                            Isa::kAvx512Bf16};

const char* isa_name(Isa isa);

// The best variant that was compiled in and that this processor runs. The
// environment variable SPECCASCADE_ISA (scalar, avx2, avx512, avx512vnni,
// avx512bf16) asks for a lesser one; a name it does not know, or one the processor
// lacks, is ERR_DEVICE.
Isa active_isa();

// True where the active kernels multiply bfloat16 natively.
bool has_native_bf16();

// Names of the features that kernels make use of, for devices().
std::vector<std::string> cpu_feature_names();

// The processor's own name, such as "AMD EPYC"; "cpu" where the system tells none.
std::string cpu_name();

}  // namespace speccascade
