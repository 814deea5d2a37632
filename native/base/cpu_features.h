// Which instruction sets this processor and operating system offer.
#pragma once

#include <string>
#include <vector>

namespace speccascade {

// The kernel variants, in rising order of preference.
enum class Isa { kScalar, kAvx2, kAvx512 };

const char* isa_name(Isa isa);

// The best variant that was compiled in and that this processor runs. The
// environment variable SPECCASCADE_ISA (scalar, avx2, avx512) asks for a lesser
// one; a name it does not know, or one the processor lacks, is ERR_DEVICE.
Isa active_isa();

// True where the processor multiplies bfloat16 natively (AVX-512 BF16).
bool has_native_bf16();

// Names of the features that kernels make use of, for devices().
std::vector<std::string> cpu_feature_names();

// The processor's own name, such as "AMD EPYC"; "cpu" where the system tells none.
std::string cpu_name();

}  // namespace speccascade
