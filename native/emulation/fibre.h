// A thread of an emulated block: a ucontext of its own, announced to the address sanitizer.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

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
  // Where to go on. swapcontext() is a system call, which kernels of many small blocks would spend
  // their time in, so it is left to the first switch and to the sanitizer's builds, whose longjmp()
  // forgets red zones.
  struct Context {
    ucontext_t entry = {};
    jmp_buf jump;
    bool entered = false;
  };

  static void enter();
  static void swap(Context& from, Context& to);

  std::unique_ptr<FibreStack> stack_;
  Body body_ = nullptr;
  bool idle_ = false;  // has ended a body and can run another one
  Context own_;
  Context outside_;
  const void* outside_stack_ = nullptr;
  size_t outside_bytes_ = 0;
};

}  // namespace speccascade::emulation
