// NativeLowlevel of lib/native.ts: single operations, exact laws and formulas.
#pragma once

#include <napi.h>

namespace speccascade::addon {

// The object of all functions.
Napi::Object define_lowlevel(Napi::Env env);

// scale(rows, vocabulary, scaling), target(position), verify(step)
void define_lowlevel_steps(Napi::Object& functions);
// positionLaw, candidateLaw, kseqLaw, stepLaw, blockScan
void define_lowlevel_laws(Napi::Object& functions);
// cascadeLaw, cascadeGreedy
void define_lowlevel_cascades(Napi::Object& functions);
// maxGram, expectation
void define_lowlevel_formulas(Napi::Object& functions);
// devicePosition, deviceVerify: one position, one step on a GPU
void define_lowlevel_device(Napi::Object& functions);
// bench: times of single operations
void define_lowlevel_bench(Napi::Object& functions);

}  // namespace speccascade::addon
