// Asks: which mailboxes ask for something new. Whoever answers looks here again and again, and a whole look
// lies between a request and its answer: it compares many requests at once, and looks now and then at those
// beside whoever asked last, since a lane that waits for one page after another asks there again.
//
// Threading: one thread's; lanes write the words meanwhile. Lifetime: the requests outlive it.
#pragma once

#include <gpuio/device/layout.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace gpuio::paging {

class Asks {
 public:
  Asks(const device::Requests& requests, std::uint32_t mailboxes)
      : requests_(requests.request), mailboxes_(mailboxes) {}

  // Calls look(mailbox) where the ask differs from the last one seen there. It comes without any order:
  // serve() reads it again, with the one that it needs.
  template <class Look>
  void each_new(Look look) {
    for (std::uint32_t from = 0; from < mailboxes_; from += kStretch) {
      if (differ<kLine>(last_)) each_of(last_, kLine, look);
      if (differ<kStretch>(from)) each_of(from, kStretch, look);
    }
  }
  void saw(std::uint32_t mailbox, std::uint64_t ask) {
    seen_[mailbox / 2][mailbox % 2] = ask;
    last_ = mailbox / kLine * kLine;
  }

 private:
  using Two [[gnu::vector_size(16), gnu::may_alias]] = std::uint64_t;
  static constexpr std::uint32_t kLine = 64 / sizeof(device::Request), kStretch = 8 * kLine;
  static_assert(device::kMailboxesMax % kStretch == 0, "beyond the pool nobody asks");
  static_assert(sizeof(device::Request) == sizeof(Two) && offsetof(device::Request, ask) == 8);

  // What ThreadSanitizer would take for a race is only a hint.
  template <std::uint32_t count>
  __attribute__((no_sanitize("thread"))) bool differ(std::uint32_t from) const {
    const auto* request = reinterpret_cast<const volatile Two*>(requests_ + from);
    const Two* seen = seen_ + from / 2;
    Two differ{};
    for (std::uint32_t i = 0; i < count; i += 2)
      differ |= __builtin_shufflevector(Two(request[i]), Two(request[i + 1]), 1, 3) ^ seen[i / 2];
    return (differ[0] | differ[1]) != 0;
  }
  template <class Look>
  void each_of(std::uint32_t from, std::uint32_t count, Look look) {
    for (std::uint32_t m = from; m < std::min(from + count, mailboxes_); ++m)
      if (__atomic_load_n(&requests_[m].ask, __ATOMIC_RELAXED) != seen_[m / 2][m % 2]) look(m);
  }

  const device::Request* requests_;
  const std::uint32_t mailboxes_;
  std::uint32_t last_ = 0;  // the first mailbox in the line of who asked last
  alignas(64) Two seen_[device::kMailboxesMax / 2] = {};
};

}  // namespace gpuio::paging
