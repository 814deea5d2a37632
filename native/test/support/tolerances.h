// Every tolerance of the C++ tests, with its reason. Where an operation's rounding error can be
// bounded, twins return the bound with the value (reference_ops.h) and no tolerance is needed:
// such checks are as sharp as float arithmetic allows and never depend on luck.
#pragma once

namespace speccascade::test {

// Half the distance from 1 to the next float: what one rounding may cost, relatively.
constexpr double kUnit = 0x1p-24;

// exp of the kernels claims about 1 ulp; 3 units leave room for the last multiplication.
constexpr double kExp = 3 * kUnit;

// Activations are a handful of roundings after exp, tanh or erf. Where 1 + tanh or 1 + erf
// cancels (large negative inputs) the error is absolute, in units of |x|.
constexpr double kActivation = 6 * kUnit;

// The sums over a vocabulary row: at most 1,024 entries lane-wise in float, chunks in double
// (rows_simd.h promises 1e-6; a chunk's 256 additions a lane at width 4 stay far below it).
constexpr double kRowSum = 1e-6;

// A probability of a softmax in float: exponents are off by some units relative to their size,
// but x e^-x <= 0.37, so the probability itself is off by less than 1e-6.
constexpr double kProbability = 1e-6;

// log sum e^x: kRowSum relative inside the logarithm, one rounding of the result (of size <= 64).
constexpr double kLogSum = 1e-5;

// The rule vectors' own tolerances (test/vectors/README.md): double and float arithmetic.
constexpr double kVectorDouble = 1e-9;
constexpr double kVectorFloat = 2e-5;

// The exact law of accept_chain by enumeration in double: sums of some 10^4 products.
constexpr double kLawDouble = 1e-9;

// The same in float: each factor is off by some units; residuals (a - b) / mass lose what the
// rows' own rounding (2^-24) is relative to the mass, but weigh only that mass in the law.
constexpr double kLawFloat = 2e-6;

// A bucket edge of the relative bias is a logarithm in float32; nearer than this to an edge the
// formula in double does not say which side float32 falls on.
constexpr double kBucketEdge = 1e-5;

// Log-probabilities of whole tiny models against a softmax in double over the model's own
// logits: the logits are the same bits, so only log sum and one subtraction round.
constexpr double kLogProb = 1e-5;

// A whole forward pass of a tiny model in float: states and logits of size 1 to 10, some hundred
// roundings deep. Measured: below 5e-6. (The golden checkpoints allow 2e-4.)
constexpr double kForward = 2e-5;

// The same, as relative L2 error of a row, where inputs of products are rounded: inputs that float
// and double place on two sides of a rounding edge differ by a whole step there, 2^-8 of a value
// in bf16 (measured: up to 2.4e-3), and 2^-8 of the largest of 32 in int8.
constexpr double kForwardBf16 = 4e-3;
constexpr double kForwardInt8 = 4e-3;
// In the decoder keys and values are rounded as well, and a step there is in all later rows
// (measured: up to 5.4e-3).
constexpr double kForwardCached = 8e-3;
// On CUDA inputs are rounded to bf16 for weights in int8 too, and the encoder's attention rounds to
// it itself, which the twin does not: softmax and values, as much again as a product's inputs
// (measured: up to 9.8e-3).
constexpr double kForwardCuda = 1.5e-2;

// Encoder attention on matrix instructions, relative to the magnitudes of what is summed. A value
// in two parts of bf16 is off by 2^-18 of it and the product of the rests, 2^-18 too, is left out:
// three such of a score's terms, and one for sums inside instructions.
constexpr double kMatrixScore = 4 * 0x1p-18;
// In one part a value, its weight and the sum of weights are off by 2^-9 each. In two by 2^-18,
// with the rests' product; exponentials by 2^-22, again for each tile of keys.
constexpr double kMatrixTerm[] = {0, 3 * 0x1p-9, 6 * 0x1p-18};

// Significance of the chi-square test with a fixed seed: it fails by chance for one seed in a
// million, so a failure means the law, not luck. Given as the normal quantile.
constexpr double kChiSquareQuantile = 4.75;

}  // namespace speccascade::test
