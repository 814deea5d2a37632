#undef _FORTIFY_SOURCE  // its longjmp() refuses to change stacks
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

FibreStack::FibreStack()
    : mapping_(mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
  if (mapping_ == MAP_FAILED) {
    fail(ErrorCode::kOutOfMemory, "no memory for the stack of an emulated thread");
  }
  mprotect(mapping_, kGuard, PROT_NONE);
}

FibreStack::~FibreStack() { munmap(mapping_, kGuard + kStack); }

char* FibreStack::base() const { return static_cast<char*>(mapping_) + kGuard; }

size_t FibreStack::bytes() const { return kStack; }

void Fibre::start(Body body) {
  body_ = body;
  if (idle_) return;
  if (!stack_) stack_ = std::make_unique<FibreStack>();
#ifdef SPECCASCADE_RED_ZONES
  // An abandoned fibre leaves its frames' red zones behind.
  __asan_unpoison_memory_region(stack_->base(), stack_->bytes());
#endif
  getcontext(&own_.entry);
  own_.entry.uc_stack.ss_sp = stack_->base();
  own_.entry.uc_stack.ss_size = stack_->bytes();
  own_.entry.uc_link = nullptr;
  own_.entered = false;
  makecontext(&own_.entry, &Fibre::enter, 0);
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
#ifdef SPECCASCADE_RED_ZONES
  swapcontext(&from.entry, &to.entry);
#else
  from.entered = true;
  if (_setjmp(from.jump) != 0) return;
  if (to.entered) _longjmp(to.jump, 1);
  setcontext(&to.entry);
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
