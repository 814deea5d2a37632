#include "addon/lowlevel.h"
#include "addon/lowlevel_convert.h"
#include "ops/bench_op.h"

namespace speccascade::addon {

namespace {

DType to_bench_dtype(const std::string& name) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kInt8}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  fail(ErrorCode::kInput, "dtype: expected f32, bf16, f16 or int8, got ", name);
}

// A named size of `sizes`, inside [min, max].
int64_t size_of(const Napi::Object& sizes, const char* name, int64_t min, int64_t max) {
  const Napi::Value value = sizes.Get(name);
  if (!value.IsNumber()) fail(ErrorCode::kInput, name, ": expected a size");
  const double number = value.ToNumber().DoubleValue();
  const bool inside = number >= static_cast<double>(min) && number <= static_cast<double>(max);
  if (!inside || number != static_cast<double>(static_cast<int64_t>(number))) {
    fail(ErrorCode::kInput, name, ": expected an integer from ", min, " to ", max, ", got ",
         value.ToString().Utf8Value());
  }
  return static_cast<int64_t>(number);
}

}  // namespace

void define_lowlevel_bench(Napi::Object& functions) {
  define_function(functions, "bench", [](Napi::Env env, const Napi::Object& args) -> Napi::Value {
    const Napi::Object sizes = args.Get("shape").As<Napi::Object>();
    const BenchResult result = bench_op(
        args.Get("op").ToString().Utf8Value(),
        [&](const char* name, int64_t min, int64_t max) { return size_of(sizes, name, min, max); },
        to_bench_dtype(args.Get("dtype").ToString().Utf8Value()),
        to_int(args, "repeats", 1, 1 << 20), to_int(args, "gpu", -1, 999));
    Napi::Object object = Napi::Object::New(env);
    object.Set("msMedian", result.median_ms);
    object.Set("msMin", result.min_ms);
    object.Set("bytes", result.bytes);
    object.Set("flops", result.flops);
    return object;
  });
}

}  // namespace speccascade::addon
