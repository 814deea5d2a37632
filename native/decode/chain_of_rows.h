// What the walk of a slot's chain reads, from the rows themselves. Place i follows node i - 1.
#pragma once

#include "decode/one_hot.h"
#include "decode/philox_choices.h"
#include "decode/verify.h"

namespace speccascade {

// Math, Pi, Verifier: of the SlotVerifier.
template <typename Math, typename Pi, typename Verifier>
class ChainOfRows {
 public:
  // `one_hot` [vocabulary] is all zero, and is so again at the end.
  SC_COLLECTIVE ChainOfRows(const VerifyArgs& args, const Verifier& verifier, float* one_hot)
      : args_(args), verifier_(verifier), one_hot_(one_hot), choices_(verifier.chain_choices()) {}

  SC_COLLECTIVE const int32_t* tokens() const { return verifier_.tokens(); }
  SC_COLLECTIVE auto pi(int place) const { return Pi::row(args_, verifier_, place - 1); }
  // Valid until the next call.
  SC_COLLECTIVE const float* drawn(int place) {
    const float* drawn = verifier_.drawn_from(place);
    return drawn != nullptr ? drawn : one_hot_.at(verifier_.token(place));
  }
  SC_COLLECTIVE bool ends(int32_t token) const { return verifier_.ends(token); }
  SC_COLLECTIVE PhiloxChoices<Math>& choices() { return choices_; }

 private:
  const VerifyArgs& args_;
  const Verifier& verifier_;
  OneHot<Math> one_hot_;
  PhiloxChoices<Math> choices_;
};

}  // namespace speccascade
