// What the emulation promises the tests of kernels: it runs what is right in any order, and it does
// not let pass what a GPU would.
#include <cmath>
#include <cstring>
#include <vector>

#include "base/cuda_device.h"
#include "base/cuda_launch.h"
#include "base/dtype.h"
#include "test/check.h"
#include "test/support/test_random.h"

namespace {

using namespace speccascade;
using namespace speccascade::test;
using emulation::Order;
using emulation::Schedule;

constexpr Schedule kSchedules[] = {
    {Order::kForward, 0}, {Order::kReverse, 0}, {Order::kRandom, 1}, {Order::kRandom, 2}};

struct Tile {
  float value[64];
};

// out[i] = the neighbour's in, through shared memory.
SC_KERNEL(64) neighbour_kernel(const float* in, float* out, bool with_barrier) {
  Tile& tile = shared<Tile>();
  const int t = thread_index();
  tile.value[t] = in[block_index() * 64 + t];
  if (with_barrier) sync_block();
  out[block_index() * 64 + t] = tile.value[(t + 1) % 64];
}

std::vector<float> neighbours(const Schedule& schedule, bool with_barrier) {
  const std::vector<float> in = TestRandom(3).values(3 * 64);
  std::vector<float> out(in.size());
  emulation::set_schedule(schedule);
  launch({3, 64}, nullptr, neighbour_kernel, in.data(), out.data(), with_barrier);
  emulation::set_schedule({});
  return out;
}

void schedules_agree_where_barriers_are() {
  const std::vector<float> in = TestRandom(3).values(3 * 64);
  for (const Schedule& schedule : kSchedules) {
    const std::vector<float> out = neighbours(schedule, true);
    for (size_t i = 0; i < out.size(); ++i) CHECK(out[i] == in[i / 64 * 64 + (i + 1) % 64]);
  }
}

void schedules_show_a_missing_barrier() {
  const std::vector<float> forward = neighbours(kSchedules[0], false);
  for (size_t s = 1; s < 4; ++s) CHECK(!same_bits(forward, neighbours(kSchedules[s], false)));
}

SC_KERNEL(32) unwritten_kernel(float* out, bool write) {
  Tile& tile = shared<Tile>();
  out[thread_index()] = tile.value[thread_index()];
  if (write) tile.value[thread_index()] = 1.0f;
}

// Every block starts anew, and nothing is left from earlier launches.
void shared_memory_starts_as_nan() {
  for (int again = 0; again < 2; ++again) {
    std::vector<float> out(32);
    launch({2, 32}, nullptr, unwritten_kernel, out.data(), true);
    for (const float x : out) CHECK(std::isnan(x));
  }
}

SC_KERNEL(64) absent_kernel(uint32_t* out, uint32_t mask, int leaves) {
  const int lane = lane_index();
  if (lane == leaves) return;
  out[thread_index()] = ballot(mask, lane % 2 == 0);
}

void an_absent_lane_is_an_error() {
  std::vector<uint32_t> out(64);
  for (const Schedule& schedule : kSchedules) {
    emulation::set_schedule(schedule);
    CHECK_ERROR(ErrorCode::kDevice, "lane 5 is named by a mask but absent",
                launch({1, 64}, nullptr, absent_kernel, out.data(), kAllLanes, 5));
    // Without the lane in the mask all is well.
    launch({1, 64}, nullptr, absent_kernel, out.data(), kAllLanes & ~(1u << 5), 5);
    for (size_t i = 0; i < out.size(); ++i) CHECK(i % 32 == 5 || out[i] == 0x55555555u);
  }
  emulation::set_schedule({});
  CHECK_ERROR(ErrorCode::kDevice, "leaves out the caller",
              launch({1, 32}, nullptr, absent_kernel, out.data(), 1u << 7, -1));
}

SC_KERNEL(32) disagreeing_kernel(int* out, uint32_t other_mask) {
  const int lane = lane_index();
  out[lane] =
      lane < 16 ? shuffle(kAllLanes, lane, 0) : static_cast<int>(ballot(other_mask, lane % 2 == 0));
}

void lanes_must_agree() {
  std::vector<int> out(32);
  for (const uint32_t other_mask : {kAllLanes, 0xfffff000u}) {
    CHECK_ERROR(ErrorCode::kDevice, "another collective or mask",
                launch({1, 32}, nullptr, disagreeing_kernel, out.data(), other_mask));
  }
}

SC_KERNEL(64) half_barrier_kernel(int leaves) {
  if (thread_index() != leaves) sync_block();
}

void a_barrier_needs_every_thread() {
  for (const Schedule& schedule : kSchedules) {
    emulation::set_schedule(schedule);
    CHECK_ERROR(ErrorCode::kDevice, "thread 40 does not come to",
                launch({1, 64}, nullptr, half_barrier_kernel, 40));
  }
  emulation::set_schedule({});
}

SC_KERNEL(32) shuffle_kernel(int* out) {
  const int lane = lane_index();
  out[lane] = shuffle(kAllLanes, lane * 3, (lane + 5) % 32);
  out[32 + lane] = shuffle_xor(kAllLanes, lane, 9);
  out[64 + lane] = static_cast<int>(warp_sum(static_cast<float>(lane)));
  out[96 + lane] = static_cast<int>(warp_max(static_cast<float>(100 - lane)));
}

void shuffles_and_sums() {
  for (const Schedule& schedule : kSchedules) {
    emulation::set_schedule(schedule);
    std::vector<int> out(128);
    launch({1, 32}, nullptr, shuffle_kernel, out.data());
    for (int lane = 0; lane < 32; ++lane) {
      const size_t l = static_cast<size_t>(lane);
      CHECK(out[l] == (lane + 5) % 32 * 3);
      CHECK(out[32 + l] == (lane ^ 9));
      CHECK(out[64 + l] == 31 * 16);
      CHECK(out[96 + l] == 100);
    }
  }
  emulation::set_schedule({});
}

struct Landing {
  uint32_t word[2][32 * 4];
};

// Two groups of copies, the second of 12 bytes; out[0]: before any wait, out[1]: group 0 waited
// for, out[2]: both.
SC_KERNEL(32) copy_kernel(const uint32_t* in, uint32_t* out) {
  Landing& landing = shared<Landing>();
  const int t = thread_index();
  copy_async(&landing.word[0][t * 4], in + t * 4, 16);
  commit_copies();
  copy_async(&landing.word[1][t * 4], in + t * 4, 12);
  commit_copies();
  const auto put = [&](int stage) {
    for (int i = 0; i < 4; ++i) {
      for (int group = 0; group < 2; ++group) {
        out[((stage * 2 + group) * 32 + t) * 4 + i] = landing.word[group][t * 4 + i];
      }
    }
  };
  put(0);
  wait_copies<1>();
  put(1);
  wait_copies<0>();
  put(2);
}

void copies_land_at_their_wait() {
  std::vector<uint32_t> in(128), out(3 * 2 * 128);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint32_t>(i) + 1;
  launch({1, 32}, nullptr, copy_kernel, in.data(), out.data());
  for (size_t i = 0; i < in.size(); ++i) {
    const uint32_t cut = i % 4 == 3 ? 0 : in[i];
    const uint32_t poison = 0xffffffffu;
    const uint32_t expected[] = {poison, poison, in[i], poison, in[i], cut};
    for (size_t s = 0; s < 6; ++s) CHECK(out[s * 128 + i] == expected[s], s, " at ", i);
  }
}

SC_KERNEL(64) grid_kernel(GridBarrier* barrier, int* part, int* out) {
  const int blocks = grid_blocks();
  if (thread_index() == 63) part[block_index()] = block_index() + 1;
  sync_grid(barrier);
  int sum = 0;
  for (int b = 0; b < blocks; ++b) sum += part[b];
  sync_grid(barrier);
  if (thread_index() == 0) part[block_index()] = 0;
  out[block_index() * 64 + thread_index()] = sum;
}

void grid_barriers_hold_every_block() {
  for (const Schedule& schedule : kSchedules) {
    emulation::set_schedule(schedule);
    for (const int blocks : {1, 2, 8}) {
      GridBarrier barrier = {};
      std::vector<int> part(static_cast<size_t>(blocks)), out(static_cast<size_t>(blocks) * 64);
      launch({blocks, 64, true}, nullptr, grid_kernel, &barrier, part.data(), out.data());
      for (const int sum : out) CHECK(sum == blocks * (blocks + 1) / 2, "blocks ", blocks);
    }
  }
  emulation::set_schedule({});
  GridBarrier barrier = {};
  std::vector<int> part(9), out(9 * 64);
  CHECK_ERROR(ErrorCode::kDevice, "9 blocks",
              launch({9, 64, true}, nullptr, grid_kernel, &barrier, part.data(), out.data()));
  CHECK_ERROR(ErrorCode::kDevice, "a grid barrier in a launch without them",
              launch({2, 64}, nullptr, grid_kernel, &barrier, part.data(), out.data()));
}

SC_KERNEL(64) bounded_64_kernel() {}
SC_KERNEL(128) bounded_128_kernel() {}
SC_KERNEL(256, 2) bounded_256_kernel() {}
template <bool kWide>
SC_KERNEL(kWide ? 512 : 128)
bounded_kernel() {}

// On a GPU such a launch fails.
void a_block_keeps_to_its_kernels_bound() {
  const auto holds = [](auto* kernel, int bound) {
    launch({2, bound}, nullptr, kernel);
    CHECK_ERROR(ErrorCode::kDevice, "for at most " + std::to_string(bound),
                launch({2, bound + 32}, nullptr, kernel));
  };
  holds(bounded_64_kernel, 64);
  holds(bounded_128_kernel, 128);
  holds(bounded_256_kernel, 256);
  holds(bounded_kernel<false>, 128);
  holds(bounded_kernel<true>, 512);
}

template <int kBytes>
struct SharedBytes {
  char at[kBytes];
};

template <int kBytes>
SC_KERNEL(32)
greedy_kernel(bool takes_more) {
  shared<SharedBytes<kBytes>>().at[thread_index()] = 1;
  if (takes_more) shared<float>() = 1.0f;
}

void shared_memory_has_a_limit() {
  launch({1, 32}, nullptr, greedy_kernel<(48 << 10) - 16>, true);
  launch({1, 32}, nullptr, greedy_kernel<48 << 10>, false);
  CHECK_ERROR(ErrorCode::kDevice, "too much shared memory, bytes: 49153",
              launch({1, 32}, nullptr, greedy_kernel<(48 << 10) + 1>, false));
  CHECK_ERROR(ErrorCode::kDevice, "too much shared memory, bytes: 49156",
              launch({1, 32}, nullptr, greedy_kernel<48 << 10>, true));
}

SC_KERNEL(32) write_kernel(int* value, int written) {
  wait_for_previous();
  if (thread_index() == 0) *value = written;
}

SC_KERNEL(32) early_read_kernel(const int* value, int* before, int* after) {
  if (thread_index() == 0) *before = *value;
  wait_for_previous();
  if (thread_index() == 0) *after = *value;
}

SC_KERNEL(32) half_waiting_kernel(int* value) {
  if (thread_index() > 3) wait_for_previous();
  *value = 0;
}

void kernels_that_wait_start_early() {
  const auto device = open_cuda_device(0);
  const auto stream = device->open_stream();
  stream->activate();
  const DeviceBuffer memory(device, 3 * sizeof(int));
  int* at = static_cast<int*>(memory.data());
  const auto values = [&] {
    std::vector<int> read(3);
    stream->copy_to_host(read.data(), at, 3 * sizeof(int));
    stream->synchronize();
    return read;
  };
  launch(waiting(1, 32), stream->handle(), write_kernel, at, 5);
  launch(waiting(2, 32), stream->handle(), write_kernel, at, 6);
  launch(waiting(1, 32), stream->handle(), early_read_kernel, at, at + 1, at + 2);
  // The second had begun: it waited for the first alone.
  CHECK((values() == std::vector<int>{6, 5, 6}));
  stream->activate();
  launch(waiting(1, 32), stream->handle(), half_waiting_kernel, at);
  CHECK_ERROR(ErrorCode::kDevice, "block 0, thread 0: does not wait for the kernel before",
              stream->synchronize());
}

void grids_that_no_gpu_takes() {
  std::vector<float> out(64);
  for (const int threads : {0, 31, 33, 1056}) {
    CHECK_ERROR(ErrorCode::kDevice, std::to_string(threads) + " threads",
                launch({1, threads}, nullptr, unwritten_kernel, out.data(), false));
  }
  launch({0, 32}, nullptr, unwritten_kernel, out.data(), false);
  CHECK(out[0] == 0.0f);
  CHECK_ERROR(ErrorCode::kDevice, "outside of a kernel", unwritten_kernel(out.data(), false));
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(
      argc, argv,
      {CASE(schedules_agree_where_barriers_are), CASE(schedules_show_a_missing_barrier),
       CASE(shared_memory_starts_as_nan), CASE(an_absent_lane_is_an_error), CASE(lanes_must_agree),
       CASE(a_barrier_needs_every_thread), CASE(shuffles_and_sums), CASE(copies_land_at_their_wait),
       CASE(grid_barriers_hold_every_block), CASE(a_block_keeps_to_its_kernels_bound),
       CASE(shared_memory_has_a_limit), CASE(kernels_that_wait_start_early),
       CASE(grids_that_no_gpu_takes)});
}
