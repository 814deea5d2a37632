#include "ops/cpu_kernels.h"

namespace speccascade {

namespace simd_scalar {
extern const CpuKernels kernels;
}
#ifdef SPECCASCADE_HAVE_AVX2
namespace simd_avx2 {
extern const CpuKernels kernels;
}
#endif
#ifdef SPECCASCADE_HAVE_AVX512
namespace simd_avx512 {
extern const CpuKernels kernels;
}
#endif

#ifdef SPECCASCADE_HAVE_AVX512VNNI
namespace simd_avx512vnni {
extern const CpuKernels kernels;
}
#endif
#ifdef SPECCASCADE_HAVE_AVX512BF16
namespace simd_avx512bf16 {
extern const CpuKernels kernels;
}
#endif

const CpuKernels& cpu_kernels() {
  switch (active_isa()) {
#ifdef SPECCASCADE_HAVE_AVX512BF16
    case Isa::kAvx512Bf16:
      return simd_avx512bf16::kernels;
#endif
#ifdef SPECCASCADE_HAVE_AVX512VNNI
    case Isa::kAvx512Vnni:
      return simd_avx512vnni::kernels;
#endif
#ifdef SPECCASCADE_HAVE_AVX512
    case Isa::kAvx512:
      return simd_avx512::kernels;
#endif
#ifdef SPECCASCADE_HAVE_AVX2
    case Isa::kAvx2:
      return simd_avx2::kernels;
#endif
    default:
      return simd_scalar::kernels;
  }
}

}  // namespace speccascade
