// Asks: which mailboxes ask for something new. Whoever answers looks here again and again, and a whole look
// lies between a request and its answer, so that it compares a cache line of ask words at once.
//
// Threading: one thread's; lanes write the words meanwhile. Lifetime: the requests outlive it.
#pragma once

#include <gpuio/device/layout.hpp>

#include <cstddef>
#include <cstdint>

namespace gpuio::paging {

class Asks {
 public:
  Asks(const device::Requests& requests, std::uint32_t mailboxes)
      : requests_(requests), mailboxes_(mailboxes) {}

  // Calls look(mailbox) where the word differs from the last one seen there. The word comes without any
  // order: serve() reads it again, with the one that it needs.
  template <class Look>
  void each_new(Look look) {
    __builtin_prefetch(requests_.request + last_);
    for (std::uint32_t line = 0; line < mailboxes_; line += kLine)
      if (changed(line))
        for (std::uint32_t m = line; m < line + kLine && m < mailboxes_; ++m)
          if (__atomic_load_n(requests_.ask + m, __ATOMIC_RELAXED) != seen_[m / kFour][m % kFour]) look(m);
  }
  void saw(std::uint32_t mailbox, std::uint32_t sequence) {
    seen_[mailbox / kFour][mailbox % kFour] = sequence;
    last_ = mailbox;
  }

 private:
  using Four [[gnu::vector_size(16), gnu::may_alias]] = std::uint32_t;
  static constexpr std::uint32_t kFour = 4, kLine = 64 / sizeof(std::uint32_t);
  static_assert(device::kMailboxesMax % kLine == 0);
  static_assert(offsetof(device::Requests, ask) % sizeof(Four) == 0, "of a buffer, which starts on a page");

  // What ThreadSanitizer would take for a race is only a hint.
  __attribute__((no_sanitize("thread"))) bool changed(std::uint32_t line) const {
    const auto* asked = reinterpret_cast<const volatile Four*>(requests_.ask + line);
    const Four* seen = seen_ + line / kFour;
    const Four differ =
        (asked[0] ^ seen[0]) | (asked[1] ^ seen[1]) | (asked[2] ^ seen[2]) | (asked[3] ^ seen[3]);
    return ((differ[0] | differ[1]) | (differ[2] | differ[3])) != 0;
  }

  const device::Requests& requests_;
  const std::uint32_t mailboxes_;
  std::uint32_t last_ = 0;  // who asked last, so whose request is likely to change next
  alignas(64) Four seen_[device::kMailboxesMax / kFour] = {};
};

}  // namespace gpuio::paging
