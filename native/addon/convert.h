// Between JavaScript values and the core's plain types. Conversion only: what a
// value may be is checked in lib, and again in the core.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "base/caught.h"
#include "engine/request.h"
#include "model/model.h"
#include "model/teacher_forced.h"

namespace speccascade::addon {

// Per-environment state: the error class of lib and the wrapped classes.
struct Instance {
  Napi::FunctionReference error_class;
  Napi::FunctionReference model_class;
  Napi::FunctionReference session_class;
};

Instance& instance(Napi::Env env);

// setErrorClass(class): what failures of the core are thrown as.
void set_error_class(const Napi::CallbackInfo& info);

// The JavaScript error for a failure of the core.
Napi::Value error_value(Napi::Env env, ErrorCode code, const std::string& message);

// Runs `body`; whatever it throws becomes a JavaScript exception.
template <typename Body>
auto translate(Napi::Env env, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception&) {
    const Error error = caught_error();
    throw Napi::Error(env, error_value(env, error.code(), error.what()));
  }
}

double to_number(const Napi::Object& object, const char* key);
std::vector<int32_t> to_ints(const Napi::Object& object, const char* key);
T5Config to_config(const Napi::Object& object);
ModelSource to_model_source(const Napi::Object& object);
ModelOptions to_model_options(const Napi::Object& object);
SessionLimits to_limits(const Napi::Object& object);
Rule to_rule(const Napi::Object& object);
Request to_request(const Napi::Object& object);
// Splits packed ids by lengths; throws ERR_INPUT if these do not add up.
Sequences to_sequences(const Napi::Value& ids, const Napi::Value& lengths);

Napi::Float32Array from_floats(Napi::Env env, const std::vector<float>& values);
// Without a copy, for what may be large: where V8 finds no memory for one, the process ends.
Napi::Float32Array give_floats(Napi::Env env, std::vector<float>&& values);
Napi::Array from_strings(Napi::Env env, const std::vector<std::string>& values);
Napi::Object from_stats(Napi::Env env, const DecodeStats& stats);
Napi::Object from_session_stats(Napi::Env env, const SessionStats& stats);
Napi::Object from_event(Napi::Env env, const Event& event);

}  // namespace speccascade::addon
