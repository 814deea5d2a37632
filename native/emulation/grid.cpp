// Blocks, their threads, and who waits for whom.
#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "emulation/cuda_emulation.h"
#include "emulation/fibre.h"

namespace speccascade::emulation {

namespace {

enum class Wait { kNone, kWarp, kBlock, kGrid, kPrevious, kEnded };

struct Copy {
  char* to;
  const char* from;
  int bytes, used, group;
};

struct Thread {
  Fibre fibre;
  Wait wait = Wait::kNone;
  bool waited = false;  // for the kernel before
  Place place = {};
  // Of a collective.
  uint32_t mask = 0;
  Combine combine = nullptr;
  void* offer = nullptr;
  std::vector<Copy> copies;
  int groups = 0;  // committed
};

struct SharedPart {
  const void* tag;
  size_t bytes, alignment;
  void* data;
};

struct Block {
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<SharedPart> shared;
  int at_barrier = 0;

  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { forget_shared(); }

  void forget_shared() {
    for (const SharedPart& part : shared) {
      ::operator delete (part.data, std::align_val_t{part.alignment});
    }
    shared.clear();
  }
};

thread_local Schedule schedule;
thread_local Machine* running = nullptr;  // whose thread runs

}  // namespace

// A kernel under way.
struct Machine {
  Kernel kernel;
  Schedule schedule;
  std::vector<int> order;  // of the blocks
  size_t next = 0;         // of them to begin
  std::vector<std::unique_ptr<Block>> blocks;
  size_t alive = 0;  // blocks at the same time
  bool previous_ended = false;
  int at_grid_barrier = 0;
  Block* block = nullptr;
  Thread* thread = nullptr;
  uint64_t random = 0;
  std::string failure;
};

namespace {

// Machines without a kernel: stacks are the costly part.
struct Idle {
  std::mutex mutex;
  std::vector<std::unique_ptr<Machine>> machines;
};

Idle& idle() {
  static Idle instance;
  return instance;
}

Machine& machine() {
  if (running == nullptr) fail(ErrorCode::kDevice, "device code runs outside of a kernel");
  return *running;
}

Thread& self() { return *machine().thread; }

// xorshift64* (Marsaglia 2003, Vigna 2016)
uint64_t next_random(Machine& m) {
  m.random ^= m.random >> 12;
  m.random ^= m.random << 25;
  m.random ^= m.random >> 27;
  return m.random * 0x2545F4914F6CDD1Du;
}

// 0 .. count-1 in the order of the schedule.
std::vector<int> ordered(Machine& m, int count) {
  std::vector<int> list(static_cast<size_t>(count));
  std::iota(list.begin(), list.end(), 0);
  if (m.schedule.order == Order::kReverse) std::reverse(list.begin(), list.end());
  if (m.schedule.order == Order::kRandom) {
    for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[next_random(m) % i]);
  }
  return list;
}

std::string name_of(const Place& at) {
  return "block " + std::to_string(at.block) + ", thread " + std::to_string(at.thread);
}

// Never returns to the caller, whose frames own nothing.
[[noreturn]] void stop_thread(std::string text) {
  Machine& m = machine();
  m.failure = name_of(m.thread->place) + ": " + text;
  std::string().swap(text);
  for (;;) m.thread->fibre.suspend();
}

void suspend(Thread& thread, Wait wait) {
  thread.wait = wait;
  thread.fibre.suspend();
}

void thread_main() {
  Machine& m = machine();
  m.kernel.body();
  m.thread->wait = Wait::kEnded;
}

void begin_block(Machine& m, Block& block, int index) {
  const int threads = m.kernel.threads, blocks = m.kernel.blocks;
  while (block.threads.size() < static_cast<size_t>(threads)) {
    block.threads.push_back(std::make_unique<Thread>());
  }
  block.forget_shared();
  block.at_barrier = 0;
  for (int t = 0; t < threads; ++t) {
    Thread& thread = *block.threads[static_cast<size_t>(t)];
    thread.wait = Wait::kNone;
    thread.waited = false;
    thread.place = {t, index, threads, blocks};
    thread.copies.clear();
    thread.groups = 0;
    thread.fibre.start(thread_main);
  }
  m.failure.clear();
}

std::string describe_stuck(const Thread& thread, const Block& block) {
  const std::string who = name_of(thread.place);
  if (thread.wait == Wait::kBlock) {
    for (int t = 0; t < thread.place.threads; ++t) {
      if (block.threads[static_cast<size_t>(t)]->wait == Wait::kBlock) continue;
      return who + ": waits at a block barrier that thread " + std::to_string(t) +
             " does not come to";
    }
  }
  if (thread.wait == Wait::kWarp) {
    const int first = thread.place.thread / kWarp * kWarp;
    for (int lane = 0; lane < kWarp; ++lane) {
      const Thread& other = *block.threads[static_cast<size_t>(first) + static_cast<size_t>(lane)];
      if ((thread.mask >> lane & 1u) != 0 && other.wait != Wait::kWarp) {
        return who + ": lane " + std::to_string(lane) + " is named by a mask but absent";
      }
    }
  }
  return who + ": waits for ever";
}

// Runs the live blocks until no thread can go on.
void run_live(Machine& m) {
  const int threads = m.kernel.threads, live = static_cast<int>(m.alive);
  for (;;) {
    bool moved = false;
    Thread* stuck = nullptr;
    Block* stuck_block = nullptr;
    for (const int i : ordered(m, live * threads)) {
      Block& block = *m.blocks[static_cast<size_t>(i / threads)];
      Thread& thread = *block.threads[static_cast<size_t>(i % threads)];
      if (thread.wait == Wait::kEnded || thread.wait == Wait::kPrevious) continue;
      if (thread.wait != Wait::kNone) {
        stuck = &thread;
        stuck_block = &block;
        continue;
      }
      moved = true;
      m.block = &block;
      m.thread = &thread;
      running = &m;
      thread.fibre.resume();
      running = nullptr;
      if (!m.failure.empty()) fail(ErrorCode::kDevice, "emulated kernel: ", m.failure);
    }
    if (moved) continue;
    if (stuck == nullptr) return;
    fail(ErrorCode::kDevice, "emulated kernel: ", describe_stuck(*stuck, *stuck_block));
  }
}

template <typename Body>
void for_live_threads(Machine& m, const Body& body) {
  for (size_t b = 0; b < m.alive; ++b) {
    for (int t = 0; t < m.kernel.threads; ++t) body(*m.blocks[b]->threads[static_cast<size_t>(t)]);
  }
}

void check_waited(Machine& m) {
  if (!m.kernel.waits) return;
  for_live_threads(m, [](const Thread& thread) {
    if (thread.waited) return;
    fail(ErrorCode::kDevice, "emulated kernel: ", name_of(thread.place),
         ": does not wait for the kernel before");
  });
}

void begin_live(Machine& m) {
  for (size_t i = 0; i < m.alive; ++i) begin_block(m, *m.blocks[i], m.order[m.next + i]);
  m.next += m.alive;
  run_live(m);
}

}  // namespace

void set_schedule(const Schedule& chosen) { schedule = chosen; }

void check_bound(int threads, int bound) {
  if (threads <= bound) return;
  fail(ErrorCode::kDevice, "a block of ", threads, " threads of a kernel for at most ", bound);
}

Launch::Launch(Kernel kernel, bool after_previous) {
  const int blocks = kernel.blocks, threads = kernel.threads;
  if (blocks < 1 || threads < kWarp || threads > 1024 || threads % kWarp != 0) {
    fail(ErrorCode::kDevice, "a grid of ", blocks, " blocks of ", threads, " threads");
  }
  if (kernel.barriers && blocks > kMaxLiveBlocks) {
    fail(ErrorCode::kDevice, "grid barriers over ", blocks, " blocks: at most ", kMaxLiveBlocks,
         " can be alive");
  }
  {
    const std::lock_guard<std::mutex> lock(idle().mutex);
    if (!idle().machines.empty()) {
      machine_ = std::move(idle().machines.back());
      idle().machines.pop_back();
    }
  }
  if (!machine_) machine_ = std::make_unique<Machine>();
  Machine& m = *machine_;
  m.kernel = std::move(kernel);
  m.schedule = schedule;
  m.random = m.schedule.seed * 2 + 1;
  m.alive = m.kernel.barriers ? static_cast<size_t>(blocks) : 1;
  while (m.blocks.size() < m.alive) m.blocks.push_back(std::make_unique<Block>());
  m.at_grid_barrier = 0;
  m.previous_ended = after_previous;
  m.order = ordered(m, blocks);
  m.next = 0;
}

Launch::~Launch() {
  if (!machine_) return;
  machine_->kernel.body = nullptr;
  const std::lock_guard<std::mutex> lock(idle().mutex);
  idle().machines.push_back(std::move(machine_));
}

void Launch::begin() { begin_live(*machine_); }

void Launch::finish() {
  Machine& m = *machine_;
  m.previous_ended = true;
  if (m.next > 0) {
    for_live_threads(m, [](Thread& thread) {
      if (thread.wait == Wait::kPrevious) thread.wait = Wait::kNone;
    });
    run_live(m);
    check_waited(m);
  }
  while (m.next < m.order.size()) {
    begin_live(m);
    check_waited(m);
  }
}

void wait_for_previous() {
  Thread& thread = self();
  thread.waited = true;
  if (!machine().previous_ended) suspend(thread, Wait::kPrevious);
}

const Place& place() { return self().place; }

void sync_block() {
  Thread& thread = self();
  Block& block = *machine().block;
  if (++block.at_barrier < thread.place.threads) return suspend(thread, Wait::kBlock);
  block.at_barrier = 0;
  for (int t = 0; t < thread.place.threads; ++t) {
    block.threads[static_cast<size_t>(t)]->wait = Wait::kNone;
  }
}

void sync_grid() {
  Machine& m = machine();
  Thread& thread = self();
  if (m.alive != static_cast<size_t>(thread.place.blocks)) {
    stop_thread("a grid barrier in a launch without them");
  }
  if (++m.at_grid_barrier < thread.place.threads * thread.place.blocks) {
    return suspend(thread, Wait::kGrid);
  }
  m.at_grid_barrier = 0;
  for_live_threads(m, [](Thread& other) { other.wait = Wait::kNone; });
}

void meet(uint32_t mask, Combine combine, void* offer) {
  Thread& thread = self();
  const int own_lane = thread.place.thread % kWarp;
  if ((mask >> own_lane & 1u) == 0) stop_thread("a collective whose mask leaves out the caller");
  const auto* warp = &machine().block->threads[static_cast<size_t>(thread.place.thread - own_lane)];
  thread.mask = mask;
  thread.combine = combine;
  thread.offer = offer;
  void* offers[kWarp] = {};
  bool all = true;
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    const Thread& other = *warp[lane];
    offers[lane] = other.offer;
    if (lane == own_lane) continue;
    if (other.wait == Wait::kEnded) {
      stop_thread("lane " + std::to_string(lane) + " is named by a mask but absent");
    }
    if (other.wait != Wait::kWarp) {
      all = false;
    } else if (other.combine != combine || other.mask != mask) {
      stop_thread("lane " + std::to_string(lane) + " waits in another collective or mask");
    }
  }
  if (!all) return suspend(thread, Wait::kWarp);
  combine(offers, mask);
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1u) != 0) warp[lane]->wait = Wait::kNone;
  }
}

namespace {

constexpr size_t kDynamicAlignment = 1024;

void* new_part(Block& block, const void* tag, size_t bytes, size_t alignment) {
  void* data = ::operator new (bytes, std::align_val_t{alignment});
  std::memset(data, 0xff, bytes);
  block.shared.push_back({tag, bytes, alignment, data});
  return data;
}

}  // namespace

void* shared_memory(const void* tag, size_t bytes, size_t alignment) {
  self();
  Block& block = *machine().block;
  size_t used = bytes;
  for (const SharedPart& part : block.shared) {
    if (part.tag == tag) return part.data;
    if (part.alignment == kDynamicAlignment) continue;
    used += (part.bytes + alignment - 1) / alignment * alignment;
  }
  if (used > kMaxSharedBytes) stop("too much shared memory, bytes:", static_cast<long long>(used));
  return new_part(block, tag, bytes, alignment);
}

void* dynamic_memory(size_t bytes) {
  static const char tag = 0;
  const size_t asked = machine().kernel.shared;
  if (bytes > asked)
    stop("more dynamic shared memory than asked for:", static_cast<long long>(bytes));
  if (asked > kMaxDynamicBytes) stop("too much shared memory:", static_cast<long long>(asked));
  Block& block = *machine().block;
  for (const SharedPart& part : block.shared) {
    if (part.tag == &tag) return part.data;
  }
  return new_part(block, &tag, asked, kDynamicAlignment);
}

void copy_async(void* shared, const void* global, int bytes, int used) {
  Thread& thread = self();
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0) stop("unaligned copy to", bytes);
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0) stop("unaligned copy from", bytes);
  std::memset(shared, 0xff, static_cast<size_t>(bytes));
  thread.copies.push_back(
      {static_cast<char*>(shared), static_cast<const char*>(global), bytes, used, thread.groups});
}

void commit_copies() { ++self().groups; }

void wait_copies(int groups_left) {
  Thread& thread = self();
  const auto landed = [&](const Copy& copy) { return copy.group < thread.groups - groups_left; };
  for (const Copy& copy : thread.copies) {
    if (!landed(copy)) continue;
    std::memset(copy.to, 0, static_cast<size_t>(copy.bytes));
    if (copy.used > 0) std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.used));
  }
  std::erase_if(thread.copies, landed);
}

void stop(const char* reason, long long value) {
  stop_thread(std::string(reason) + " " + std::to_string(value));
}

}  // namespace speccascade::emulation
