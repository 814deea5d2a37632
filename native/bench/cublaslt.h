// cuBLASLt as a yardstick: opened at run time, so that nothing but this bench knows of it. Names,
// values and layouts are those of its public header (cublasLt.h, CUDA 11 to 13).
#pragma once

#include <dlfcn.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace speccascade::bench {

class CublasLt {
 public:
  // Y [rows, n] = X [rows, k] W [n, k]^T: bfloat16 in and out, sums in float32.
  struct Product {
    int rows, n, k;
    const void *x, *w;
    void* y;
    void* workspace;
  };
  static constexpr size_t kWorkspaceBytes = size_t{64} << 20;

  // `path` first, if it is not empty; then the names that linkers know. Throws ERR_DEVICE.
  explicit CublasLt(const std::string& path) {
    std::vector<std::string> names = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};
    if (!path.empty()) names.insert(names.begin(), path);
    std::string reasons;
    for (const std::string& name : names) {
      library_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (library_ != nullptr) break;
      reasons += std::string(reasons.empty() ? "" : "; ") + dlerror();
    }
    if (library_ == nullptr) fail(ErrorCode::kDevice, "cuBLASLt: ", reasons);
    find(create_, "cublasLtCreate");
    find(version_, "cublasLtGetVersion");
    find(create_operation_, "cublasLtMatmulDescCreate");
    find(set_operation_, "cublasLtMatmulDescSetAttribute");
    find(create_layout_, "cublasLtMatrixLayoutCreate");
    find(create_preference_, "cublasLtMatmulPreferenceCreate");
    find(set_preference_, "cublasLtMatmulPreferenceSetAttribute");
    find(choose_, "cublasLtMatmulAlgoGetHeuristic");
    find(multiply_, "cublasLtMatmul");
    check(create_(&handle_), "cublasLtCreate");
  }
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  size_t version() const { return version_(); }

  // The ways to make a product that the library's heuristic puts first; not empty.
  struct Algorithm {
    std::array<uint64_t, 8> data;
    size_t workspace;
    int status;
    float waves;
    std::array<int, 4> reserved;
  };
  static_assert(sizeof(Algorithm) == 96, "cublasLtMatmulHeuristicResult_t");

  std::vector<Algorithm> algorithms(const Product& product) {
    describe(product);
    void* preference = nullptr;
    check(create_preference_(&preference), "cublasLtMatmulPreferenceCreate");
    const uint64_t most = kWorkspaceBytes;
    check(set_preference_(preference, kMaxWorkspaceBytes, &most, sizeof(most)),
          "cublasLtMatmulPreferenceSetAttribute");
    std::vector<Algorithm> found(8);
    int count = 0;
    check(choose_(handle_, operation_, w_, x_, y_, y_, preference, static_cast<int>(found.size()),
                  found.data(), &count),
          "cublasLtMatmulAlgoGetHeuristic");
    found.resize(static_cast<size_t>(count));
    std::erase_if(found, [](const Algorithm& one) { return one.status != 0; });
    if (found.empty()) fail(ErrorCode::kDevice, "cuBLASLt: no algorithm for a product");
    return found;
  }

  // Queues the product that algorithms() was last asked for.
  void multiply(const Product& product, const Algorithm& algorithm, void* stream) const {
    const float one = 1.0f, zero = 0.0f;
    check(
        multiply_(handle_, operation_, &one, product.w, w_, product.x, x_, &zero, product.y, y_,
                  product.y, y_, algorithm.data.data(), product.workspace, kWorkspaceBytes, stream),
        "cublasLtMatmul");
  }

 private:
  static constexpr int kFloat32 = 0, kBfloat16 = 14;  // cudaDataType_t
  static constexpr int kComputeFloat32 = 68;          // cublasComputeType_t
  static constexpr int kTransposeA = 3;               // cublasLtMatmulDescAttributes_t
  static constexpr int kMaxWorkspaceBytes = 1;        // cublasLtMatmulPreferenceAttributes_t

  template <typename Function>
  void find(Function*& function, const char* name) {
    function = reinterpret_cast<Function*>(dlsym(library_, name));
    if (function == nullptr) fail(ErrorCode::kDevice, "cuBLASLt: it lacks ", name);
  }

  static void check(int status, const char* what) {
    if (status != 0) fail(ErrorCode::kDevice, "cuBLASLt: ", what, " gave status ", status);
  }

  // Column-major, as the library sees it: Y^T = W^T^T X^T, where W lies as [k, n] and X as
  // [k, rows]. What the descriptors take stays until the process ends.
  void describe(const Product& product) {
    const auto n = static_cast<uint64_t>(product.n), k = static_cast<uint64_t>(product.k);
    const auto rows = static_cast<uint64_t>(product.rows);
    check(create_operation_(&operation_, kComputeFloat32, kFloat32), "cublasLtMatmulDescCreate");
    const int transposed = 1;  // CUBLAS_OP_T
    check(set_operation_(operation_, kTransposeA, &transposed, sizeof(transposed)),
          "cublasLtMatmulDescSetAttribute");
    check(create_layout_(&w_, kBfloat16, k, n, product.k), "cublasLtMatrixLayoutCreate");
    check(create_layout_(&x_, kBfloat16, k, rows, product.k), "cublasLtMatrixLayoutCreate");
    check(create_layout_(&y_, kBfloat16, n, rows, product.n), "cublasLtMatrixLayoutCreate");
  }

  void* library_ = nullptr;
  void* handle_ = nullptr;
  void *operation_ = nullptr, *w_ = nullptr, *x_ = nullptr, *y_ = nullptr;
  int (*create_)(void**) = nullptr;
  size_t (*version_)() = nullptr;
  int (*create_operation_)(void**, int, int) = nullptr;
  int (*set_operation_)(void*, int, const void*, size_t) = nullptr;
  int (*create_layout_)(void**, int, uint64_t, uint64_t, int64_t) = nullptr;
  int (*create_preference_)(void**) = nullptr;
  int (*set_preference_)(void*, int, const void*, size_t) = nullptr;
  int (*choose_)(void*, void*, void*, void*, void*, void*, void*, int, Algorithm*, int*) = nullptr;
  int (*multiply_)(void*, void*, const void*, const void*, void*, const void*, void*, const void*,
                   const void*, void*, void*, void*, const void*, void*, size_t, void*) = nullptr;
};

}  // namespace speccascade::bench
