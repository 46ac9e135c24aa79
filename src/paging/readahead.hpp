// Readahead: how many pages after a missed one are worth bringing with it. Doubles while an array is read in
// order, to a limit, and falls to nothing at the first jump, so that random access brings nothing extra.
// Plain value; one a range; one thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gpuio::paging {

class Readahead {
 public:
  // `first` to `last`: the pages that were missed together. Returns how many after `last` to bring.
  std::uint64_t after(std::uint64_t first, std::uint64_t last, std::uint64_t limit) {
    const bool in_order = first == next_ && window_ > 0;
    window_ = in_order ? std::min(window_ * 2, limit) : std::min<std::uint64_t>(1, limit);
    // Two misses in a row make an order: until then nothing extra is brought.
    const std::uint64_t extra = in_order ? window_ : 0;
    next_ = last + extra + 1;
    return extra;
  }

 private:
  std::uint64_t next_ = ~std::uint64_t{0};
  std::uint64_t window_ = 0;
};

}  // namespace gpuio::paging
