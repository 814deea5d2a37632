#include "base/cpu_features.h"

#include <cstdlib>
#include <fstream>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/error.h"

namespace speccascade {

namespace {

#if defined(__x86_64__)

// A bit of cpuid's first leaf; not every compiler's __builtin_cpu_supports has a name for it.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

// Everything that the compiler may use in a copy of the kernels (the flags in CMakeLists.txt).
bool runs_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi2") && has_f16c();
}

bool runs_avx512() {
  return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

bool runs_vnni() { return runs_avx512() && __builtin_cpu_supports("avx512vnni"); }

bool runs_bf16() { return runs_vnni() && __builtin_cpu_supports("avx512bf16"); }

#endif

bool runs(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return true;
#ifdef SPECCASCADE_HAVE_AVX2
    case Isa::kAvx2:
      return runs_avx2();
#endif
#ifdef SPECCASCADE_HAVE_AVX512
    case Isa::kAvx512:
      return runs_avx512();
#endif
#ifdef SPECCASCADE_HAVE_AVX512VNNI
    case Isa::kAvx512Vnni:
      return runs_vnni();
#endif
#ifdef SPECCASCADE_HAVE_AVX512BF16
    case Isa::kAvx512Bf16:
      return runs_bf16();
#endif
    default:
      return false;
  }
}

Isa choose_isa() {
  const char* wish = std::getenv("SPECCASCADE_ISA");
  if (wish == nullptr || *wish == '\0') {
    Isa best = Isa::kScalar;
    for (const Isa isa : kAllIsas) best = runs(isa) ? isa : best;
    return best;
  }
  std::string known;
  for (const Isa isa : kAllIsas) {
    if (std::string(wish) == isa_name(isa)) {
      if (runs(isa)) return isa;
      fail(ErrorCode::kDevice, "SPECCASCADE_ISA=", wish, ": this processor or build lacks it");
    }
    known += (known.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  fail(ErrorCode::kDevice, "SPECCASCADE_ISA=", wish, ": expected one of ", known);
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Vnni:
      return "avx512vnni";
    case Isa::kAvx512Bf16:
      return "avx512bf16";
  }
  return "scalar";
}

Isa active_isa() {
  static const Isa isa = choose_isa();
  return isa;
}

bool has_native_bf16() { return active_isa() == Isa::kAvx512Bf16; }

std::vector<std::string> cpu_feature_names() {
  std::vector<std::string> names;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) names.push_back("avx2");
  if (__builtin_cpu_supports("fma")) names.push_back("fma");
  if (__builtin_cpu_supports("avx512f")) names.push_back("avx512f");
  if (__builtin_cpu_supports("avx512bf16")) names.push_back("avx512_bf16");
  if (__builtin_cpu_supports("avx512vnni")) names.push_back("avx512_vnni");
#endif
  names.push_back(std::string("kernels:") + isa_name(active_isa()));
  return names;
}

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) {
      const size_t colon = line.find(':');
      if (colon != std::string::npos && colon + 2 < line.size()) return line.substr(colon + 2);
    }
  }
  return "cpu";
}

}  // namespace speccascade
