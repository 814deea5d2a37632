// The wrappers of intrinsics (base/cuda_intrinsics.h) against what they promise, on a GPU and under
// the emulation alike: all values are small enough that every sum is exact.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/cuda_intrinsics_sm90.h"
#include "base/cuda_launch.h"
#include "base/dtype.h"
#include "ops/ops_cuda.h"
#include "test/check.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;

struct MmaCase {
  uint32_t a[32][4], b[32][2];
  float sums[32][4];
};

template <int kElement>
SC_KERNEL(32)
mma_kernel(MmaCase* at) {
  const int lane = lane_index();
  if (kElement == 0) mma_bf16(at->sums[lane], at->a[lane], at->b[lane]);
  if (kElement == 1) mma_f16(at->sums[lane], at->a[lane], at->b[lane]);
}

// The fragments as the PTX ISA draws them, element by element: a_i of thread l lies in row l / 4,
// or 8 rows on for a2, a3, a6, a7, and so forth.
template <int kElement>
void try_mma(uint64_t seed) {
  constexpr int kDepth = 16, kPerWord = 2, kBits = 16;
  TestRandom random(seed);
  MmaCase data = {};
  double a[16][kDepth] = {}, b[kDepth][8] = {};
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 6 * kPerWord; ++i) {  // 4 words of A, then 2 of B
      const int small = random.below(201) - 100;
      uint32_t bits = 0;
      if (kElement == 0) bits = float_to_bf16(static_cast<float>(small) / 8);
      // 1 .. 1 + 63 / 64: exponent 15, six bits of mantissa, so that all sums are exact.
      if (kElement == 1) bits = 0x3c00u | static_cast<uint32_t>(random.below(64)) << 4;
      const double value =
          kElement == 0 ? static_cast<double>(small) / 8 : 1.0 + (bits & 0x3ffu) / 1024.0;
      const int word = i / kPerWord, part = i % kPerWord;
      const int k = lane % 4 * kPerWord + part;
      if (word < 4) {
        data.a[lane][word] |= bits << (kBits * part);
        const bool low = word == 1 || word == 3, far = word >= 2;
        a[lane / 4 + (low ? 8 : 0)][k + (far ? kDepth / 2 : 0)] = value;
      } else {
        data.b[lane][word - 4] |= bits << (kBits * part);
        b[k + (word == 5 ? kDepth / 2 : 0)][lane / 4] = value;
      }
    }
    for (int i = 0; i < 4; ++i) data.sums[lane][i] = static_cast<float>(i);
  }
  launch({1, 32}, nullptr, mma_kernel<kElement>, &data);
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + (i >= 2 ? 8 : 0), column = lane % 4 * 2 + (i & 1);
      double expected = i;
      for (int k = 0; k < kDepth; ++k) expected += a[row][k] * b[k][column];
      const auto got = static_cast<double>(data.sums[lane][i]);
      CHECK(got == expected, "element type ", kElement, " lane ", lane, " c", i, ": got ", got,
            ", expected ", expected);
    }
  }
}

void matrix_fragments_follow_the_ptx_isa() {
  for (uint64_t seed = 1; seed < 4; ++seed) {
    try_mma<0>(seed);
    try_mma<1>(seed);
  }
}

struct WordCase {
  uint32_t x[32], y[32], difference[32], picked[32], masked[32];
};
SC_KERNEL(32) words_kernel(WordCase* at) {
  const int lane = lane_index();
  at->difference[lane] = subtract_bf16(at->x[lane], at->y[lane]);
  at->masked[lane] = masked_onto(at->x[lane], 0x00ff00ffu, 0x43004300u);
  at->picked[lane] = pick_bytes(at->x[lane], at->y[lane], 0x7250);
}

void words_of_pairs_and_bytes() {
  WordCase data = {};
  TestRandom random(9);
  const auto number = [&] { return static_cast<float>(random.below(257) - 128); };
  const auto pair = [](float first, float second) {
    return float_to_bf16(first) | static_cast<uint32_t>(float_to_bf16(second)) << 16;
  };
  float values[32][4];
  for (int lane = 0; lane < 32; ++lane) {
    for (float& value : values[lane]) value = number();
    data.x[lane] = pair(values[lane][0], values[lane][1]);
    data.y[lane] = pair(values[lane][2], values[lane][3]);
  }
  launch({1, 32}, nullptr, words_kernel, &data);
  for (int lane = 0; lane < 32; ++lane) {
    const float* v = values[lane];
    const uint32_t x = data.x[lane], y = data.y[lane];
    CHECK(data.difference[lane] == pair(v[0] - v[2], v[1] - v[3]), "lane ", lane);
    const uint32_t picked = (x & 0xffu) | (y & 0xff00u) | (x & 0xff0000u) | (y >> 24 & 0xffu) << 24;
    CHECK(data.picked[lane] == picked, "lane ", lane);
    CHECK(data.masked[lane] == ((x & 0x00ff00ffu) | 0x43004300u), "lane ", lane);
  }
}

// 64 k of 64 outputs, by step, and of rows.
template <int kRows>
struct alignas(16) WarpgroupCase {
  uint32_t a[4][kWarpgroupThreads][4];
  uint16_t rows[kRows][64];
  float sums[kWarpgroupThreads][kRows / 2];
};
template <int kRows>
struct alignas(1024) WarpgroupRows {
  char bytes[kRows * 128];
};

template <int kRows>
SC_KERNEL(SC_WARPGROUP_THREADS(kWarpgroupThreads))
warpgroup_kernel(WarpgroupCase<kRows>* at) {
  if constexpr (!kHasWarpgroups) return;
  WarpgroupRows<kRows>& memory = dynamic_shared<WarpgroupRows<kRows>>();
  const int t = thread_index();
  for (int i = t; i < kRows * 8; i += kWarpgroupThreads) {
    copy_async(memory.bytes + swizzled(i / 8, i % 8), &at->rows[i / 8][i % 8 * 8], 16);
  }
  commit_copies();
  uint32_t a[4][4];
  SC_UNROLL
  for (int s = 0; s < 4; ++s) load_words(at->a[s][t], a[s]);
  wait_copies<0>();
  fence_shared();
  sync_block();
  float sums[kRows / 2] = {};
  warpgroup_fence();
  SC_UNROLL
  for (int s = 0; s < 4; ++s) {
    warpgroup_multiply(sums, a[s], tile_step(shared_tile(memory.bytes), s), s > 0);
  }
  warpgroup_commit();
  warpgroup_wait<0>();
  hold(sums);
  SC_UNROLL
  for (int i = 0; i < kRows / 2; ++i) at->sums[t][i] = sums[i];
}

// The fragments of A and D as the PTX ISA draws them for wgmma.mma_async.
template <int kRows>
void try_warpgroup(uint64_t seed) {
  TestRandom random(seed);
  std::vector<WarpgroupCase<kRows>> cases(1);
  WarpgroupCase<kRows>& data = cases[0];
  std::vector<std::vector<double>> outputs(64, std::vector<double>(64));
  std::vector<std::vector<double>> rows(kRows, std::vector<double>(64));
  const auto value = [&] { return static_cast<float>(random.below(33) - 16) / 4; };
  for (int s = 0; s < 4; ++s) {
    for (int t = 0; t < kWarpgroupThreads; ++t) {
      for (int i = 0; i < 8; ++i) {
        const float own = value();
        const int output =
            t / 32 * 16 + t % 32 / 4 + (i == 2 || i == 3 || i == 6 || i == 7 ? 8 : 0);
        const int k = t % 4 * 2 + (i & 1) + (i >= 4 ? 8 : 0);
        outputs[static_cast<size_t>(output)][static_cast<size_t>(16 * s + k)] = own;
        data.a[s][t][i / 2] |= static_cast<uint32_t>(float_to_bf16(own)) << 16 * (i % 2);
      }
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t k = 0; k < 64; ++k) {
      const float own = value();
      rows[r][k] = own;
      data.rows[r][k] = float_to_bf16(own);
    }
  }
  launch({1, kWarpgroupThreads, false, false, sizeof(WarpgroupRows<kRows>)}, nullptr,
         warpgroup_kernel<kRows>, cases.data());
  for (int t = 0; t < kWarpgroupThreads; ++t) {
    for (int i = 0; i < kRows / 2; ++i) {
      const int output = t / 32 * 16 + t % 32 / 4 + (i % 4 >= 2 ? 8 : 0);
      const int row = i / 4 * 8 + t % 4 * 2 + (i & 1);
      double expected = 0;
      for (size_t k = 0; k < 64; ++k) {
        expected += outputs[static_cast<size_t>(output)][k] * rows[static_cast<size_t>(row)][k];
      }
      const double got = static_cast<double>(data.sums[t][i]);
      CHECK(got == expected, kRows, " rows, thread ", t, " d", i, ": got ", got, ", expected ",
            expected);
    }
  }
}

void warpgroups_follow_the_ptx_isa() {
  if (!has_warpgroup_chains()) {
    std::puts("this device has no warpgroups");
    return;
  }
  try_warpgroup<32>(1);
  try_warpgroup<64>(2);
  try_warpgroup<128>(3);
  try_warpgroup<256>(4);
}

struct alignas(16) Matrices {
  uint16_t at[4][8][8];
};

SC_KERNEL(32) matrices_kernel(uint32_t* out, uint32_t* transposed) {
  Matrices& matrices = shared<Matrices>();
  const int lane = lane_index();
  for (int i = 0; i < 8; ++i) {
    matrices.at[lane / 8][lane % 8][i] = static_cast<uint16_t>(lane * 8 + i);
  }
  sync_block();
  uint32_t words[4];
  load_matrices(&matrices.at[lane / 8][lane % 8], words);
  for (int m = 0; m < 4; ++m) out[lane * 4 + m] = words[m];
  load_transposed(&matrices.at[lane / 8][lane % 8], words);
  for (int m = 0; m < 4; ++m) transposed[lane * 4 + m] = words[m];
}

// Thread l receives elements 2 (l % 4) and the next of row l / 4 of every matrix, or of column l
// / 4.
void loaded_matrices_are_spread_over_the_warp() {
  std::vector<uint32_t> out(128), transposed(128);
  launch({1, 32}, nullptr, matrices_kernel, out.data(), transposed.data());
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t m = 0; m < 4; ++m) {
      const uint32_t first = (m * 8 + lane / 4) * 8 + lane % 4 * 2;
      CHECK(out[lane * 4 + m] == (first | (first + 1) << 16), "lane ", lane, " matrix ", m);
      const uint32_t upper = (m * 8 + lane % 4 * 2) * 8 + lane / 4;
      CHECK(transposed[lane * 4 + m] == (upper | (upper + 8) << 16), "lane ", lane, " matrix ", m);
    }
  }
}

struct Lanes {
  int shuffled, crossed;
  uint32_t voters;
  float sum, largest;
  int lowest, highest;
  uint32_t pair;
  float power;
};

SC_KERNEL(64) lanes_kernel(Lanes* out) {
  const int t = thread_index(), lane = lane_index();
  Lanes& mine = out[t];
  mine.shuffled = shuffle(kAllLanes, t, (lane + 3) % 32);
  mine.crossed = shuffle_xor(kAllLanes, t, 5);
  mine.voters = ballot(kAllLanes, lane % 3 == 0);
  mine.sum = warp_sum(static_cast<float>(t));
  mine.largest = warp_max(static_cast<float>(t % 7));
  mine.lowest = lowest_bit(1u << lane);
  mine.highest = highest_bit(1u << lane);
  mine.pair = bf16_pair(1.0f + static_cast<float>(t) / 1024, static_cast<float>(-t));
  mine.power = exp2_flushed(static_cast<float>(1 - 3 * t) / 4);
}

void lanes_of_a_warp_meet() {
  std::vector<Lanes> out(64);
  launch({1, 64}, nullptr, lanes_kernel, out.data());
  uint32_t voters = 0;
  for (int lane = 0; lane < 32; lane += 3) voters |= 1u << lane;
  for (int t = 0; t < 64; ++t) {
    const Lanes& got = out[static_cast<size_t>(t)];
    const int first = t / 32 * 32;
    CHECK(got.shuffled == first + (t % 32 + 3) % 32, "thread ", t, " got ", got.shuffled);
    CHECK(got.crossed == (t ^ 5), "thread ", t, " got ", got.crossed);
    CHECK(got.voters == voters, "thread ", t, " got ", got.voters);
    CHECK(got.sum == static_cast<float>(32 * first + 496), "thread ", t, " got ", got.sum);
    CHECK(got.largest == 6.0f, "thread ", t, " got ", got.largest);
    CHECK(got.lowest == t % 32 && got.highest == t % 32, "thread ", t);
    CHECK((got.pair & 0xffffu) == float_to_bf16(1.0f + static_cast<float>(t) / 1024), "thread ", t);
    CHECK(got.pair >> 16 == float_to_bf16(static_cast<float>(-t)), "thread ", t);
    const double power = std::exp2((1 - 3 * t) / 4.0);
    CHECK(std::fabs(got.power - power) <= 0x1p-21 * power, "thread ", t, " got ", got.power);
  }
}

struct Copied {
  int32_t word[32][4];
};

// 16 bytes a thread, of which 4 (thread % 5) are copied and the rest is zero.
SC_KERNEL(32) copies_kernel(const int32_t* in, int32_t* out) {
  Copied& copied = shared<Copied>();
  const int t = thread_index();
  copy_async(copied.word[t], in + t * 4, t % 5 * 4);
  commit_copies();
  wait_copies<0>();
  sync_block();
  const int other = 31 - t;
  for (int i = 0; i < 4; ++i) out[other * 4 + i] = copied.word[other][i];
  const Words4 words = load_streaming(in + t * 4);
  for (int i = 0; i < 4; ++i) out[128 + t * 4 + i] = static_cast<int32_t>(words.word[i]);
}

void copies_are_whole_and_filled_with_zeros() {
  struct alignas(16) Input {
    int32_t word[128];
  } in;
  std::iota(in.word, in.word + 128, 1);
  std::vector<int32_t> out(256, -1);
  launch({1, 32}, nullptr, copies_kernel, static_cast<const int32_t*>(in.word), out.data());
  for (int i = 0; i < 128; ++i) {
    const int expected = i % 4 < i / 4 % 5 ? i + 1 : 0;
    CHECK(out[static_cast<size_t>(i)] == expected, i, " got ", out[static_cast<size_t>(i)]);
    CHECK(out[static_cast<size_t>(128 + i)] == i + 1, "streamed ", i);
  }
}

// Every round each block writes its place, and after the barrier reads its neighbour's.
SC_KERNEL(64) rounds_kernel(GridBarrier* barrier, int* place, int* bad, int rounds) {
  const int blocks = grid_blocks();
  for (int round = 1; round <= rounds; ++round) {
    volatile int* places = place;
    if (thread_index() == 0) places[block_index()] = round;
    sync_grid(barrier);
    if (places[(block_index() + 1) % blocks] != round && thread_index() == 0) atomic_add(bad, 1);
    sync_grid(barrier);
  }
}

void grid_barriers_hold_every_block_in_every_round() {
  for (const int blocks : {1, 2, 8}) {
    GridBarrier barrier = {};
    std::vector<int> place(static_cast<size_t>(blocks));
    int bad = 0;
    launch({blocks, 64, true}, nullptr, rounds_kernel, &barrier, place.data(), &bad, 20);
    CHECK(bad == 0, "blocks ", blocks, ": ", bad, " of ", 20 * blocks);
    CHECK(place[0] == 20, "blocks ", blocks, ": round ", place[0]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(matrix_fragments_follow_the_ptx_isa), CASE(words_of_pairs_and_bytes),
       CASE(warpgroups_follow_the_ptx_isa), CASE(loaded_matrices_are_spread_over_the_warp),
       CASE(lanes_of_a_warp_meet), CASE(copies_are_whole_and_filled_with_zeros),
       CASE(grid_barriers_hold_every_block_in_every_round)});
}
