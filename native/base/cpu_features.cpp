#include "base/cpu_features.h"

#include <cstdlib>
#include <fstream>

#include "base/error.h"

namespace speccascade {

namespace {

bool runs(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
#ifdef SPECCASCADE_HAVE_AVX2
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
      return false;
#endif
    case Isa::kAvx512:
#ifdef SPECCASCADE_HAVE_AVX512
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
      return false;
#endif
  }
  return false;
}

Isa choose_isa() {
  constexpr Isa all[] = {Isa::kAvx512, Isa::kAvx2, Isa::kScalar};
  const char* wish = std::getenv("SPECCASCADE_ISA");
  for (const Isa isa : all) {
    if (wish == nullptr || *wish == '\0') {
      if (runs(isa)) return isa;
    } else if (std::string(wish) == isa_name(isa)) {
      if (runs(isa)) return isa;
      fail(ErrorCode::kDevice, "SPECCASCADE_ISA=", wish, ": this processor or build lacks it");
    }
  }
  fail(ErrorCode::kDevice, "SPECCASCADE_ISA=", wish, ": expected scalar, avx2 or avx512");
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
  }
  return "scalar";
}

Isa active_isa() {
  static const Isa isa = choose_isa();
  return isa;
}

bool has_native_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

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
