// NativeLowlevel of lib/native.ts: single operations and formulas.
#pragma once

#include <napi.h>

namespace speccascade::addon {

// The object of all functions.
Napi::Object define_lowlevel(Napi::Env env);

// target, verify: positions, one step
void define_lowlevel_steps(Napi::Object& functions);
// expectation
void define_lowlevel_formulas(Napi::Object& functions);
// devicePosition, deviceVerify: one position, one step on a GPU
void define_lowlevel_device(Napi::Object& functions);
// bench: times of single operations
void define_lowlevel_bench(Napi::Object& functions);

}  // namespace speccascade::addon
