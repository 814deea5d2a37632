// What speculation rests on: a decoder row has the same bits whether it is computed alone, in a
// chain, in a tree, behind an accepted path, among other sequences, or by more threads.
#include "test/check.h"
#include "test/support/decoder_rig.h"
#include "test/support/isa_runs.h"
#include "test/support/pretend_cores.h"
#include "test/support/test_random.h"
#include "test/support/tiny_models.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

using Tokens = std::vector<int32_t>;

Tokens random_tokens(TestRandom& random, const Model& model, int count) {
  Tokens tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(random.below(model.config.vocab_size));
  return tokens;
}

std::vector<Node> random_tree(TestRandom& random, const Model& model, int count) {
  std::vector<Node> nodes;
  for (int i = 0; i < count; ++i) {
    // Mostly near the last node, so that paths get long.
    const int parent = random.below(3) ? i - 1 : random.below(i + 1) - 1;
    nodes.push_back({random.below(model.config.vocab_size), parent});
  }
  return nodes;
}

// Their paths have every node.
std::vector<int> leaves_of(const std::vector<Node>& nodes) {
  std::vector<bool> has_child(nodes.size());
  for (const Node& node : nodes) {
    if (node.parent >= 0) has_child[static_cast<size_t>(node.parent)] = true;
  }
  std::vector<int> leaves;
  for (size_t n = 0; n < nodes.size(); ++n) {
    if (!has_child[n]) leaves.push_back(static_cast<int>(n));
  }
  return leaves;
}

template <typename Body>
void for_each_model(const Body& body) {
  uint64_t seed = 1;
  for (const NamedConfig& named : tiny_configs()) {
    for (const char* dtype : {"f32", "bf16", "int8"}) {
      ++seed;
      body(named.name + " " + dtype, random_model(named.config, seed, dtype), seed);
    }
  }
}

// Random weights can hide a mistake if all logits are alike.
void the_models_tell_tokens_apart() {
  for_each_model([](const std::string& name, const std::shared_ptr<const Model>& model, uint64_t) {
    const std::vector<Logits> a = one_by_one(model, {1, 2, 3}, {0, 4, 5});
    const std::vector<Logits> b = one_by_one(model, {1, 2, 3}, {0, 5, 5});
    const std::vector<Logits> c = one_by_one(model, {1, 2, 4}, {0, 4, 5});
    CHECK(same_bits(a[0], b[0]) && !same_bits(a[1], b[1]) && !same_bits(a[2], b[2]), name);
    CHECK(!same_bits(a[0], c[0]), name);
  });
}

void chains_equal_single_steps() {
  for_each_model([](const std::string& name, const std::shared_ptr<const Model>& model,
                    uint64_t seed) {
    TestRandom random(seed);
    const Tokens source = random_tokens(random, *model, 11);
    const Tokens tokens = random_tokens(random, *model, 26);
    const std::vector<Logits> expected = one_by_one(model, source, tokens);
    for (const size_t chunk : {2, 3, 5, 8, 13, 26}) {
      DecoderRig rig(model, 1, 26, 26, {source});
      for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
        const size_t end = std::min(begin + chunk, tokens.size());
        const std::vector<Node> nodes = chain_of({tokens.begin() + static_cast<ptrdiff_t>(begin),
                                                  tokens.begin() + static_cast<ptrdiff_t>(end)});
        const std::vector<Logits> got = rig.run({{0, nodes}})[0];
        std::vector<int> path;
        for (size_t i = begin; i < end; ++i) {
          path.push_back(static_cast<int>(i - begin));
          CHECK(same_bits(got[i - begin], expected[i]), name, " chunks of ", chunk, " position ",
                i);
        }
        rig.keep(0, path);
      }
    }
  });
}

// A rejected draft is forgotten: the next pass overwrites it.
void rejected_rows_leave_no_trace() {
  for_each_model(
      [](const std::string& name, const std::shared_ptr<const Model>& model, uint64_t seed) {
        TestRandom random(seed);
        const Tokens source = random_tokens(random, *model, 5);
        const Tokens tokens = random_tokens(random, *model, 20);
        const std::vector<Logits> expected = one_by_one(model, source, tokens);
        DecoderRig rig(model, 1, 40, 12, {source});
        for (size_t done = 0; done < tokens.size();) {
          // One true token, then guesses that are true for a while.
          Tokens chain = {tokens[done]};
          const size_t right =
              std::min<size_t>(1 + static_cast<size_t>(random.below(4)), tokens.size() - done);
          while (chain.size() < right) chain.push_back(tokens[done + chain.size()]);
          for (int i = random.below(6); i > 0; --i) {
            chain.push_back(random.below(model->config.vocab_size));
          }
          const std::vector<Logits> got = rig.run({{0, chain_of(chain)}})[0];
          std::vector<int> path;
          for (size_t i = 0; i < right; ++i) {
            path.push_back(static_cast<int>(i));
            CHECK(same_bits(got[i], expected[done + i]), name, " position ", done + i);
          }
          rig.keep(0, path);
          done += right;
        }
      });
}

// Every node of a tree is as if its path had been decoded alone; then a random path is kept and
// the next tree grows from it.
void trees_equal_their_paths() {
  for_each_model(
      [](const std::string& name, const std::shared_ptr<const Model>& model, uint64_t seed) {
        TestRandom random(seed);
        const Tokens source = random_tokens(random, *model, 7);
        DecoderRig rig(model, 1, 120, 40, {source});
        Tokens committed;
        // Every path is decoded alone, token by token: the sanitizers would take long.
        const std::vector<int> all = {1, 17, 40, 9, 33, 2, 31}, few = {9, 17, 2};
        for (const int count : kSanitized ? few : all) {
          const std::vector<Node> nodes = random_tree(random, *model, count);
          const std::vector<Logits> got = rig.run({{0, nodes}})[0];
          for (const int leaf : leaves_of(nodes)) {
            Tokens tokens = committed;
            for (const int32_t token : path_tokens(nodes, leaf)) tokens.push_back(token);
            const std::vector<Logits> alone = one_by_one(model, source, tokens);
            size_t position = tokens.size();
            for (int n = leaf; n >= 0; n = nodes[static_cast<size_t>(n)].parent) {
              CHECK(same_bits(got[static_cast<size_t>(n)], alone[--position]), name, " tree of ",
                    count, " after ", committed.size(), " node ", n);
            }
            CHECK(position == committed.size(), name, " path of ", leaf);
          }
          std::vector<int> path;
          for (int n = random.below(count); n >= 0; n = nodes[static_cast<size_t>(n)].parent) {
            path.insert(path.begin(), n);
          }
          rig.keep(0, path);
          for (const int n : path) committed.push_back(nodes[static_cast<size_t>(n)].token);
        }
      });
}

// A tree grown over several passes, as drafters grow it, has the bits of the tree in one pass.
void trees_may_grow_over_passes() {
  for_each_model(
      [](const std::string& name, const std::shared_ptr<const Model>& model, uint64_t seed) {
        TestRandom random(seed);
        const Tokens source = random_tokens(random, *model, 7);
        DecoderRig whole(model, 1, 120, 40, {source}), grown(model, 1, 120, 40, {source});
        for (const int count : {40, 7, 23}) {
          const std::vector<Node> nodes = random_tree(random, *model, count);
          const std::vector<Logits> expected = whole.run({{0, nodes}})[0];
          for (int begin = 0; begin < count;) {
            const int end = std::min(count, begin + 1 + random.below(9));
            const std::vector<Logits> got =
                grown.run({{0, {nodes.begin() + begin, nodes.begin() + end}}})[0];
            for (; begin < end; ++begin) {
              CHECK(same_bits(got[got.size() - static_cast<size_t>(end - begin)],
                              expected[static_cast<size_t>(begin)]),
                    name, " tree of ", count, " node ", begin);
            }
          }
          std::vector<int> path;
          for (int n = count - 1; n >= 0; n = nodes[static_cast<size_t>(n)].parent) {
            path.insert(path.begin(), n);
          }
          whole.keep(0, path);
          grown.keep(0, path);
        }
      });
}

// Chains and trees of many slots in one pass against each slot alone.
void neighbours_do_not_matter() {
  for_each_model(
      [](const std::string& name, const std::shared_ptr<const Model>& model, uint64_t seed) {
        TestRandom random(seed);
        std::vector<Tokens> sources;
        for (int i = 0; i < 9; ++i) {
          sources.push_back(random_tokens(random, *model, 1 + random.below(30)));
        }
        const std::vector<int> counts = {1, 2, 3, 5, 8, 16, 17, 33, 64};
        for (const int slots : kSanitized ? std::vector<int>{3, 33} : counts) {
          DecoderRig together(model, slots, 24, 8, sources);
          std::vector<SlotNodes> pass;
          for (int s = 0; s < slots; ++s) {
            pass.push_back({s, random_tree(random, *model, 1 + random.below(8))});
          }
          for (int s = slots - 1; s > 0; --s) {  // rows of slots in any order
            std::swap(pass[static_cast<size_t>(s)], pass[static_cast<size_t>(random.below(s + 1))]);
          }
          const std::vector<std::vector<Logits>> got = together.run(pass);
          for (size_t i = 0; i < pass.size(); ++i) {
            const Tokens& source = sources[static_cast<size_t>(pass[i].slot) % sources.size()];
            DecoderRig alone(model, 1, 24, 8, {source});
            const std::vector<Logits> expected = alone.run({{0, pass[i].nodes}})[0];
            for (size_t n = 0; n < expected.size(); ++n) {
              CHECK(same_bits(got[i][n], expected[n]), name, " ", slots, " slots, slot ",
                    pass[i].slot, " node ", n);
            }
          }
        }
      });
}

void threads_do_not_matter() {
  T5Config config = tiny_configs()[0].config;
  config.d_model = 96;  // large enough for operations to be split
  config.d_ff = 300;
  config.num_heads = 5;
  for (const char* dtype : {"f32", "bf16", "int8"}) {
    const int slots = 40;
    std::vector<std::vector<Logits>> expected;
    for (int threads = 1; threads <= kPretendedCores; ++threads) {
      const auto model = random_model(config, 3, dtype, threads);
      CHECK(model->threads == threads);
      TestRandom random(8);
      std::vector<Tokens> sources;
      for (int i = 0; i < 4; ++i) sources.push_back(random_tokens(random, *model, 30));
      DecoderRig rig(model, slots, 16, 8, sources);
      std::vector<SlotNodes> pass;
      for (int s = 0; s < slots; ++s) pass.push_back({s, random_tree(random, *model, 8)});
      const std::vector<std::vector<Logits>> got = rig.run(pass);
      if (threads == 1) expected = got;
      for (size_t s = 0; s < got.size(); ++s) {
        for (size_t n = 0; n < got[s].size(); ++n) {
          CHECK(same_bits(got[s][n], expected[s][n]), dtype, " threads ", threads, " slot ", s);
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_for_every_isa(argc, argv,
                           {CASE(the_models_tell_tokens_apart), CASE(chains_equal_single_steps),
                            CASE(rejected_rows_leave_no_trace), CASE(trees_equal_their_paths),
                            CASE(trees_may_grow_over_passes), CASE(neighbours_do_not_matter),
                            CASE(threads_do_not_matter)});
}
