#include "decode/step_cpu.h"

#include <algorithm>
#include <type_traits>

#include "decode/accept_block.h"
#include "decode/accept_chain.h"
#include "decode/accept_traversal.h"
#include "decode/philox_choices.h"
#include "ops/row_math.h"

namespace speccascade {

namespace {

// Uniforms that were handed in, or the engine's counters for double arithmetic.
template <typename Real>
class StepChoices {
 public:
  StepChoices(const StepArgs<Real>& args, const std::vector<int32_t>& depths)
      : args_(args), depths_(depths) {}

  bool accept(Real probability, int node) const {
    const double uniform = args_.uniforms != nullptr
                               ? args_.uniforms[node]
                               : static_cast<double>(philox_uniform(
                                     address(depths_[static_cast<size_t>(node)]),
                                     DrawPurpose::kAccept, static_cast<uint32_t>(node)));
    return uniform < static_cast<double>(probability);
  }

  int32_t draw(const Real* weights, int count, Real total, int depth) const {
    const double uniform =
        args_.uniforms != nullptr
            ? args_.uniforms[args_.nodes]
            : static_cast<double>(philox_uniform(address(depth), DrawPurpose::kFinal, 0));
    return RowMath<Real>::draw(weights, count, total, static_cast<Real>(uniform));
  }

 private:
  DrawAddress address(int depth) const {
    DrawAddress at = args_.at;
    at.position += static_cast<uint32_t>(depth);
    return at;
  }

  const StepArgs<Real>& args_;
  const std::vector<int32_t>& depths_;
};

// The rows of the nodes that acceptance comes to, made when it does.
template <typename Real>
class StepRows {
 public:
  explicit StepRows(const StepArgs<Real>& args)
      : args_(args),
        position_(args.vocabulary),
        made_(static_cast<size_t>(args.nodes) + 1),
        deferral_(made_.size()),
        one_hot_(static_cast<size_t>(args.vocabulary)) {}

  const Real* pi(int node) { return row(node).pi.data(); }
  float deferral(int node) {
    row(node);
    return deferral_[place(node)];
  }
  const Real* drafter(int node) { return row(node).drafter.data(); }
  const Real* given(int node) const {
    return args_.proposals + static_cast<int64_t>(node) * args_.vocabulary;
  }

  // What a chain's node was drawn from. The one-hot row is valid until the next call.
  const Real* proposal(int node) {
    if (args_.proposals != nullptr) return given(node);
    if (args_.siblings != Siblings::kFixed) return drafter(node - 1);
    one_hot_[static_cast<size_t>(hot_)] = 0;
    hot_ = args_.tokens[node];
    one_hot_[static_cast<size_t>(hot_)] = 1;
    return one_hot_.data();
  }

 private:
  struct Made {
    std::vector<Real> pi;
    std::vector<Real> drafter;
  };

  static size_t place(int node) { return static_cast<size_t>(int64_t{node} + 1); }

  const Made& row(int node) {
    const size_t at = place(node);
    Made& made = made_[at];
    if (!made.pi.empty()) return made;
    const int64_t first = static_cast<int64_t>(at) * args_.vocabulary;
    const bool here =
        args_.drafter != nullptr && (args_.drafter_rows == nullptr || args_.drafter_rows[at] != 0);
    const Rule rule = here ? args_.rule : Rule{};
    position_.set(here ? args_.drafter + first : nullptr, args_.target + first, args_.scaling,
                  reads_confidence(rule.kind));
    made.pi.resize(static_cast<size_t>(args_.vocabulary));
    deferral_[at] = static_cast<float>(position_.pi(rule, made.pi.data()));
    // A rule that defers does so where there is no drafter.
    if (!here && reads_confidence(args_.rule.kind)) deferral_[at] = 1.0f;
    const Real* drafter = position_.view().drafter;
    if (here) made.drafter.assign(drafter, drafter + args_.vocabulary);
    return made;
  }

  const StepArgs<Real>& args_;
  PositionRows<Real> position_;
  std::vector<Made> made_;
  std::vector<float> deferral_;
  std::vector<Real> one_hot_;
  int32_t hot_ = 0;
};

template <typename Real, typename Choices>
TreeOutcome run_step(const StepArgs<Real>& args, StepRows<Real>& rows, Choices& choices, int levels,
                     std::vector<int32_t>& path) {
  const bool traversal = args.verifier == StepVerifier::kTraversal;
  std::vector<Real> scratch(static_cast<size_t>(verify_scratch_rows(traversal, levels)) *
                            static_cast<size_t>(args.vocabulary));
  const auto ends = [&](int32_t token) {
    return std::find(args.stops, args.stops + args.num_stops, token) != args.stops + args.num_stops;
  };
  if (traversal || args.verifier == StepVerifier::kTree) {
    // At temperature 0 children are the most probable tokens, as in the engine.
    const bool greedy = !(args.scaling.temperature > 0.0);
    const Siblings siblings =
        greedy && args.proposals == nullptr ? Siblings::kFixed : args.siblings;
    const TreeShape tree = {args.nodes, args.parents, args.tokens, siblings};
    const auto pi = [&](int node) { return rows.pi(node); };
    const auto drafter = [&](int node) { return rows.drafter(node); };
    const auto given = [&](int node) { return rows.given(node); };
    if (!traversal) {
      return accept_tree<RowMath<Real>>(tree, args.vocabulary, pi, drafter, given, scratch.data(),
                                        scratch.data() + args.vocabulary, ends, choices,
                                        path.data());
    }
    std::vector<Real> weights(static_cast<size_t>(levels));
    return accept_traversal<RowMath<Real>>(tree, args.vocabulary, pi, drafter, given,
                                           scratch.data(), weights.data(), ends, choices,
                                           path.data());
  }
  const auto pi = [&](int place) { return rows.pi(place - 1); };
  const auto drawn = [&](int place) { return rows.proposal(place); };
  const ChainOutcome chain =
      args.verifier == StepVerifier::kBlock
          ? accept_block<RowMath<Real>>(args.nodes, args.tokens, args.vocabulary, pi, drawn,
                                        scratch.data(), ends, choices)
          : accept_chain<RowMath<Real>>(args.nodes, args.tokens, args.vocabulary, pi, drawn,
                                        scratch.data(), ends, choices);
  for (int i = 0; i < chain.accepted; ++i) path[static_cast<size_t>(i)] = i;
  return {chain.accepted, chain.tested, chain.next};
}

template <typename Real>
TreeOutcome choose_and_run(const StepArgs<Real>& args, StepRows<Real>& rows,
                           std::vector<int32_t>& path) {
  const std::vector<int32_t> depths = node_depths(args.parents, args.nodes);
  const int levels = levels_of(depths);
  if constexpr (std::is_same_v<Real, float>) {
    if (args.uniforms == nullptr) {
      PhiloxChoices<RowMath<float>> choices(args.at, depths.data());
      return run_step(args, rows, choices, levels, path);
    }
  }
  StepChoices<Real> choices(args, depths);
  return run_step(args, rows, choices, levels, path);
}

}  // namespace

std::vector<int32_t> node_depths(const int32_t* parents, int nodes) {
  std::vector<int32_t> depths(static_cast<size_t>(nodes));
  for (int node = 0; node < nodes; ++node) {
    const int32_t parent = parents[node];
    depths[static_cast<size_t>(node)] = parent < 0 ? 0 : depths[static_cast<size_t>(parent)] + 1;
  }
  return depths;
}

int levels_of(const std::vector<int32_t>& depths) {
  return depths.empty() ? 0 : 1 + *std::max_element(depths.begin(), depths.end());
}

template <typename Real>
StepResult verify_step(const StepArgs<Real>& args) {
  std::vector<int32_t> path(static_cast<size_t>(args.nodes));
  StepRows<Real> rows(args);
  const TreeOutcome outcome = choose_and_run(args, rows, path);
  StepResult result;
  result.next = outcome.next;
  for (int i = 0; i < outcome.tested; ++i) {
    result.deferral.push_back(rows.deferral(i == 0 ? -1 : path[static_cast<size_t>(i) - 1]));
  }
  path.resize(static_cast<size_t>(outcome.accepted));
  result.accepted = path;
  return result;
}

template StepResult verify_step<float>(const StepArgs<float>&);
template StepResult verify_step<double>(const StepArgs<double>&);

}  // namespace speccascade
