// Single operations of the engine that nothing outside tests asks for alone.
#include "decode/position_rows.h"
#include "test/laws/copy_proposal.h"
#include "test/laws/laws_module.h"

namespace speccascade::laws {

using namespace addon;

namespace {

template <typename Real>
Napi::Value scale_rows(Napi::Env env, const Napi::Object& args) {
  const int vocabulary = vocabulary_of(args);
  const RowScaling scaling = to_scaling(args);
  const int64_t rows = row_count(args, "rows", vocabulary);
  const Real* in = need_rows<Real>(args, "rows", rows * vocabulary);
  auto out = new_rows<Real>(env, rows * vocabulary);
  for (int64_t row = 0; row < rows; ++row) {
    scale_row(in + row * vocabulary, vocabulary, scaling, out.Data() + row * vocabulary);
  }
  return out.template As<Napi::Value>();
}

Napi::Value max_gram_of(Napi::Env env, const Napi::Object& args) {
  const std::vector<int32_t> input = to_ints(args, "input");
  const std::vector<int32_t> output = to_ints(args, "output");
  const std::vector<int32_t> bigrams = to_ints(args, "bigrams");
  const MaxGramText text = {input.data(), static_cast<int>(input.size()), output.data(),
                            static_cast<int>(output.size())};
  const CopyProposal proposal =
      copy_proposal(text, {bigrams.data(), static_cast<int>(bigrams.size())}, to_ints(args, "ends"),
                    to_int(args, "length", 0, 1 << 20));
  Napi::Object object = Napi::Object::New(env);
  object.Set("match", proposal.match.length);
  object.Set("start", proposal.match.start);
  object.Set("tokens", from_ints(env, proposal.tokens));
  return object;
}

}  // namespace

void define_operations(Napi::Object& functions) {
  define_function(functions, "scale", [](Napi::Env env, const Napi::Object& args) {
    return with_real(args, "rows",
                     [&](auto real) { return scale_rows<decltype(real)>(env, args); });
  });
  define_function(functions, "maxGram", max_gram_of);
}

}  // namespace speccascade::laws
