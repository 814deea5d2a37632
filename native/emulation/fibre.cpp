#include "emulation/fibre.h"

#include <sys/mman.h>

#include "base/error.h"
#include "base/red_zones.h"
#ifdef SPECCASCADE_RED_ZONES
#include <sanitizer/common_interface_defs.h>
#endif

namespace speccascade::emulation {

namespace {

constexpr size_t kGuard = 4096;
// Kernels keep their arrays in registers; what is left for the sanitizer's frames is plenty.
constexpr size_t kStack = size_t{128} << 10;

thread_local Fibre* running = nullptr;

#if defined(__x86_64__)
// Below the address at which a stack is first entered: what switch_stack pops.
constexpr size_t kKeptRegisters = 6;
#endif

void announce([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* stack,
              [[maybe_unused]] size_t bytes) {
#ifdef SPECCASCADE_RED_ZONES
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#endif
}

void arrive([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** from,
            [[maybe_unused]] size_t* bytes) {
#ifdef SPECCASCADE_RED_ZONES
  __sanitizer_finish_switch_fiber(fake_stack, from, bytes);
#endif
}

}  // namespace

#if defined(__x86_64__)
// System V ABI: registers that a callee keeps go to the stack that is left, whose pointer goes to
// *from. Control words of floating point are the same everywhere.
extern "C" void speccascade_switch_stack(void** from, void* to);
asm(R"(
  .text
  .globl speccascade_switch_stack
  .hidden speccascade_switch_stack
  .type speccascade_switch_stack, @function
speccascade_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size speccascade_switch_stack, . - speccascade_switch_stack
)");
#endif

FibreStack::FibreStack()
    : mapping_(mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
  if (mapping_ == MAP_FAILED) {
    fail(ErrorCode::kOutOfMemory, "no memory for the stack of an emulated thread");
  }
  mprotect(mapping_, kGuard, PROT_NONE);
}

FibreStack::~FibreStack() {
  forget_frames();
  munmap(mapping_, kGuard + kStack);
}

void FibreStack::forget_frames() {
#ifdef SPECCASCADE_RED_ZONES
  __asan_unpoison_memory_region(base(), kStack);
#endif
}

char* FibreStack::base() const { return static_cast<char*>(mapping_) + kGuard; }

size_t FibreStack::bytes() const { return kStack; }

void Fibre::start(Body body) {
  body_ = body;
  if (idle_) return;
  if (!stack_) stack_ = std::make_unique<FibreStack>();
  stack_->forget_frames();
#if defined(__x86_64__)
  // As after a call: 8 below a multiple of 16, where there is nowhere to return to.
  void** top = reinterpret_cast<void**>(stack_->base() + stack_->bytes()) - 1;
  *top = nullptr;
  *--top = reinterpret_cast<void*>(&Fibre::enter);
  own_ = top - kKeptRegisters;
#else
  getcontext(&own_);
  own_.uc_stack.ss_sp = stack_->base();
  own_.uc_stack.ss_size = stack_->bytes();
  own_.uc_link = nullptr;
  makecontext(&own_, &Fibre::enter, 0);
#endif
}

void Fibre::enter() {
  Fibre* self = running;
  arrive(nullptr, &self->outside_stack_, &self->outside_bytes_);
  for (;;) {
    self->body_();
    self->idle_ = true;
    self->suspend();
    self->idle_ = false;
  }
}

void Fibre::swap(Context& from, Context& to) {
#if defined(__x86_64__)
  speccascade_switch_stack(&from, to);
#else
  swapcontext(&from, &to);
#endif
}

void Fibre::resume() {
  void* fake_stack = nullptr;
  running = this;
  announce(&fake_stack, stack_->base(), stack_->bytes());
  swap(outside_, own_);
  arrive(fake_stack, nullptr, nullptr);
  running = nullptr;
}

void Fibre::suspend() {
  void* fake_stack = nullptr;
  announce(&fake_stack, outside_stack_, outside_bytes_);
  swap(own_, outside_);
  arrive(fake_stack, &outside_stack_, &outside_bytes_);
}

}  // namespace speccascade::emulation
