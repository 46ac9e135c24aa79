// A first-in first-out list of operations, linked through Op::scratch.next: engines keep operations in order
// without allocating. One thread, or under the owner's lock. An operation is in at most one list.
#pragma once

#include "io/engine.hpp"

namespace gpuio::io {

class OpList {
 public:
  bool empty() const { return !head_; }

  void push(Op& op) {
    op.scratch.next = nullptr;
    (tail_ ? tail_->scratch.next : head_) = &op;
    tail_ = &op;
  }

  Op* pop() {
    Op* op = head_;
    if (!op) return nullptr;
    head_ = op->scratch.next;
    if (!head_) tail_ = nullptr;
    return op;
  }

  // Takes `op` out; false when it is not here. Linear: for cancelling, which is rare.
  bool remove(const Op& op) {
    Op* before = nullptr;
    for (Op* o = head_; o; before = o, o = o->scratch.next) {
      if (o != &op) continue;
      (before ? before->scratch.next : head_) = o->scratch.next;
      if (tail_ == o) tail_ = before;
      return true;
    }
    return false;
  }

  // Moves up to done.size() operations out, oldest first.
  std::uint32_t take(std::span<Op*> done) {
    std::uint32_t n = 0;
    while (n < done.size() && head_) done[n++] = pop();
    return n;
  }

 private:
  Op* head_ = nullptr;
  Op* tail_ = nullptr;
};

}  // namespace gpuio::io
