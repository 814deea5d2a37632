// A thread of an emulated block: a stack of its own, announced to the address sanitizer.
#pragma once

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <cstddef>
#include <memory>

namespace speccascade::emulation {

// Memory of one stack with a page below it that nothing may touch. Stacks are kept and used again.
class FibreStack {
 public:
  FibreStack();
  ~FibreStack();
  FibreStack(const FibreStack&) = delete;
  FibreStack& operator=(const FibreStack&) = delete;
  char* base() const;
  size_t bytes() const;
  // Fibres that are abandoned leave the red zones of their frames behind.
  void forget_frames();

 private:
  void* mapping_;
};

// Runs `body` on a stack of its own until it suspends or ends. A fibre that is never resumed again
// is abandoned: its frames are not unwound, so nothing on them may own anything.
class Fibre {
 public:
  using Body = void (*)();

  // Prepares to run body() on the next resume().
  void start(Body body);

  // Called outside of fibres: runs this one until it suspends or ends.
  void resume();

  // Called by the fibre itself: back to where it was resumed.
  void suspend();

 private:
  // Where to go on. swapcontext() is a system call, and under the address sanitizer it clears what
  // is known of a whole stack: kernels of many threads would spend their time in it.
#if defined(__x86_64__)
  using Context = void*;  // the stack pointer, above the registers that a callee keeps
#else
  using Context = ucontext_t;
#endif

  static void enter();
  static void swap(Context& from, Context& to);

  std::unique_ptr<FibreStack> stack_;
  Body body_ = nullptr;
  bool idle_ = false;  // has ended a body and can run another one
  Context own_ = {};
  Context outside_ = {};
  const void* outside_stack_ = nullptr;
  size_t outside_bytes_ = 0;
};

}  // namespace speccascade::emulation
