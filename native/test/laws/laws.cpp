// Laws of single positions and of steps, for JavaScript.
#include "addon/lowlevel_convert.h"
#include "test/laws/block_law.h"
#include "test/laws/candidates_law.h"
#include "test/laws/laws_module.h"
#include "test/laws/position_law.h"
#include "test/laws/step_law.h"
#include "test/laws/tree_law.h"

namespace speccascade::laws {

using namespace addon;

namespace {

// Numbers of all rows after prefixes that an enumeration may hold.
constexpr int64_t kMaxNumbers = int64_t{1} << 26;

template <typename Real>
std::vector<Real> row_at(const Napi::Object& args, const char* key, int vocabulary) {
  const Real* row = need_rows<Real>(args, key, vocabulary);
  return {row, row + vocabulary};
}

template <typename Real>
Napi::Value position_law_of(Napi::Env env, const Napi::Object& args) {
  const int vocabulary = vocabulary_of(args);
  PositionRows<Real> position(vocabulary);
  position.set(need_rows<Real>(args, "drafter", vocabulary),
               need_rows<Real>(args, "target", vocabulary), to_scaling(args));
  const Real* drafter_unscaled = to_rows<Real>(args, "drafterUnscaled", vocabulary);
  if (drafter_unscaled != nullptr) {
    position.set_unscaled(drafter_unscaled, need_rows<Real>(args, "targetUnscaled", vocabulary));
  }
  const PositionLaw law = position_law(rule_of(args), position);
  Napi::Object object = Napi::Object::New(env);
  object.Set("pi", from_doubles(env, law.pi));
  object.Set("accept", from_doubles(env, law.accept));
  object.Set("residual", nullable(env, law.residual));
  object.Set("deferral", law.deferral);
  object.Set("rate", law.rate);
  object.Set("variation", law.variation);
  object.Set("largestDrafter", law.largest_drafter);
  object.Set("largestTarget", law.largest_target);
  std::vector<int32_t> kept;
  for (size_t v = 0; v < law.kept.size(); ++v) {
    if (law.kept[v]) kept.push_back(static_cast<int32_t>(v));
  }
  object.Set("kept", law.kept.empty() ? env.Null() : Napi::Value(from_ints(env, kept)));
  return object;
}

void set_candidate_law(Napi::Env env, Napi::Object& object, const CandidateLaw& law) {
  object.Set("rate", law.rate);
  object.Set("steps", from_doubles(env, law.steps));
  object.Set("accepted", from_doubles(env, law.accepted));
  object.Set("rejected", from_doubles(env, law.rejected));
}

// Tokens that index rows of the core.
std::vector<int32_t> tokens_at(const Napi::Object& args, const char* key, int vocabulary) {
  std::vector<int32_t> tokens = to_ints(args, key);
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocabulary) fail(ErrorCode::kInput, key, ": no token ", token);
  }
  return tokens;
}

template <typename Real>
Napi::Value candidate_law_of(Napi::Env env, const Napi::Object& args) {
  const int vocabulary = vocabulary_of(args);
  const std::vector<Real> wanted = row_at<Real>(args, "wanted", vocabulary);
  const std::vector<Real> drafter = row_at<Real>(args, "drafter", vocabulary);
  const std::vector<int32_t> tokens = tokens_at(args, "candidates", vocabulary);
  const CandidateRows<Real> rows = {wanted, drafter, to_siblings(args)};
  const int k = to_int(args, "k", static_cast<int>(tokens.size()), 1 << 16);
  const CandidateScan scan = scan_candidates(rows, tokens);
  Napi::Object object = Napi::Object::New(env);
  object.Set("accept", from_doubles(env, scan.accept));
  object.Set("residual", from_doubles(env, scan.residual));
  set_candidate_law(env, object, candidate_law(rows, k, tokens));
  object.Set("bound", candidate_bound({{wanted.begin(), wanted.end()},
                                       {drafter.begin(), drafter.end()},
                                       rows.siblings,
                                       k,
                                       tokens}));
  return object;
}

template <typename Real>
Napi::Value kseq_law_of(Napi::Env env, const Napi::Object& args) {
  const int vocabulary = vocabulary_of(args);
  const KseqLaw law =
      kseq_law(row_at<Real>(args, "wanted", vocabulary), row_at<Real>(args, "drafter", vocabulary),
               to_int(args, "k", 1, 1 << 16));
  Napi::Object object = Napi::Object::New(env);
  object.Set("rho", law.rho);
  object.Set("beta", law.beta);
  object.Set("residual", nullable(env, law.residual));
  set_candidate_law(env, object, law.law);
  return object;
}

template <typename Real>
Napi::Value step_law_of(Napi::Env env, const Napi::Object& args) {
  const int vocabulary = vocabulary_of(args);
  const std::vector<int32_t> widths = to_ints(args, "widths");
  const auto levels = static_cast<int>(widths.size());
  for (const int32_t width : widths) {
    if (width < 1) fail(ErrorCode::kInput, "widths: ", width);
  }
  if (levels > 24 || prefix_count(vocabulary, levels) > kMaxNumbers / vocabulary) {
    fail(ErrorCode::kInput, "too many prefixes of ", levels, " tokens to enumerate");
  }
  const int64_t numbers = prefix_count(vocabulary, levels) * vocabulary;
  const ModelRows<Real> rows(rule_of(args), to_scaling(args), vocabulary, levels,
                             need_rows<Real>(args, "drafter", numbers),
                             need_rows<Real>(args, "target", numbers));
  const StepVerifier verifier = to_verifier(args);
  const bool traversal = verifier == StepVerifier::kTraversal;
  const StepLaw law = traversal || verifier == StepVerifier::kTree
                          ? tree_law(rows, widths, to_siblings(args), traversal)
                          : chain_law(rows, verifier == StepVerifier::kBlock);
  Napi::Object object = Napi::Object::New(env);
  object.Set("length", from_doubles(env, law.length));
  object.Set("first", from_doubles(env, law.first));
  object.Set("emitted", from_doubles(env, law.emitted));
  return object;
}

template <typename Real>
Napi::Value block_scan_of(Napi::Env env, const Napi::Object& args) {
  const int vocabulary = vocabulary_of(args);
  const std::vector<int32_t> draft = tokens_at(args, "draft", vocabulary);
  const int64_t rows = static_cast<int64_t>(draft.size()) + 1;
  const Rule rule = rule_of(args);
  const RowScaling scaling = to_scaling(args);
  const Real* drafter = need_rows<Real>(args, "drafter", rows * vocabulary);
  const Real* target = need_rows<Real>(args, "target", rows * vocabulary);
  std::vector<Real> pi(static_cast<size_t>(rows * vocabulary)), scaled(pi);
  PositionRows<Real> position(vocabulary);
  for (int64_t at = 0; at < rows * vocabulary; at += vocabulary) {
    position.set(drafter + at, target + at, scaling);
    position.pi(rule, pi.data() + at);
    scale_row(drafter + at, vocabulary, scaling, scaled.data() + at);
  }
  const BlockScan scan = scan_block(draft, vocabulary, pi.data(), scaled.data());
  Napi::Object object = Napi::Object::New(env);
  object.Set("weights", from_doubles(env, scan.weights));
  object.Set("thresholds", from_doubles(env, scan.thresholds));
  Napi::Array sampled = Napi::Array::New(env, scan.rows.size());
  for (uint32_t i = 0; i < scan.rows.size(); ++i) sampled.Set(i, nullable(env, scan.rows[i]));
  object.Set("rows", sampled);
  object.Set("masses", from_doubles(env, scan.masses));
  return object;
}

}  // namespace

void define_laws(Napi::Object& functions) {
  define_function(functions, "positionLaw", [](Napi::Env env, const Napi::Object& args) {
    return with_real(args, "target",
                     [&](auto real) { return position_law_of<decltype(real)>(env, args); });
  });
  define_function(functions, "candidateLaw", [](Napi::Env env, const Napi::Object& args) {
    return with_real(args, "wanted",
                     [&](auto real) { return candidate_law_of<decltype(real)>(env, args); });
  });
  define_function(functions, "kseqLaw", [](Napi::Env env, const Napi::Object& args) {
    return with_real(args, "wanted",
                     [&](auto real) { return kseq_law_of<decltype(real)>(env, args); });
  });
  define_function(functions, "stepLaw", [](Napi::Env env, const Napi::Object& args) {
    return with_real(args, "target",
                     [&](auto real) { return step_law_of<decltype(real)>(env, args); });
  });
  define_function(functions, "blockScan", [](Napi::Env env, const Napi::Object& args) {
    return with_real(args, "target",
                     [&](auto real) { return block_scan_of<decltype(real)>(env, args); });
  });
}

}  // namespace speccascade::laws
