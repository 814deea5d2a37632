// The module speccascade_laws: what test/support/laws.ts declares. It converts as the addon does,
// by the addon's own functions.
#pragma once

#include <napi.h>

#include <vector>

#include "addon/lowlevel_convert.h"

namespace speccascade::laws {

// scale, maxGram: single rows and proposals
void define_operations(Napi::Object& functions);
// positionLaw, candidateLaw, kseqLaw, stepLaw, blockScan
void define_laws(Napi::Object& functions);
// cascadeLaw, cascadeGreedy
void define_cascades(Napi::Object& functions);

// Null for an empty vector.
inline Napi::Value nullable(Napi::Env env, const std::vector<double>& values) {
  return values.empty() ? env.Null() : Napi::Value(addon::from_doubles(env, values));
}

}  // namespace speccascade::laws
