#include "paging/space.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>

namespace gpuio::paging {

Status check_page_bytes(std::uint64_t bytes) {
  if (bytes >= 512 && bytes <= device::kPageBytesMax && std::has_single_bit(bytes)) return {};
  return error(Code::invalid_arg,
               "page size {} is not a power of two from 512 to 256 MiB; 65536 is a good one", bytes);
}

Result<std::unique_ptr<Space>> Space::create(std::uint64_t page_bytes) {
  if (Status s = check_page_bytes(page_bytes); !s) return fail(std::move(s));
  return std::unique_ptr<Space>(new Space(page_bytes));
}

Result<Range> Space::map(io::Engine& engine, io::Target& target, std::uint64_t offset, std::uint64_t bytes,
                         ArrayCounters* counters) {
  if (bytes == 0) return fail(Code::invalid_arg, "an on-demand array needs at least one byte");
  if (offset + bytes < offset) return fail(Code::invalid_arg, "offset {} + size {} overflows", offset, bytes);
  std::unique_lock lock(mutex_);
  const std::uint64_t pages = (bytes - 1) / page_bytes_ + 1;
  if (pages > device::kNoPage - next_)
    return fail(Code::invalid_arg, "{} bytes need {} pages of {} bytes and {} are left; use larger pages",
                bytes, pages, page_bytes_, device::kNoPage - next_);
  Range range{next_, pages, bytes, offset, &engine, &target, counters};
  // Such a target only grows, so that what is there now stays.
  if (const auto info = target.info(); info && has(info->caps, io::Cap::mapped))
    range.mapped = offset + bytes <= info->size;
  next_ += pages;
  ranges_.emplace(range.first, range);
  changes_.fetch_add(1, std::memory_order_release);
  return range;
}

bool read_at_hand(const Range& range, std::uint64_t page, std::span<std::byte> to) {
  const std::uint64_t at = (page - range.first) * to.size();
  const std::uint64_t have = std::min<std::uint64_t>(to.size(), range.bytes - at);
  if (range.target->read_at_hand(range.offset + at, to.first(have)) != have) return false;
  std::memset(to.data() + have, 0, to.size() - have);
  return true;
}

void Space::unmap(const Range& range) {
  std::unique_lock lock(mutex_);
  ranges_.erase(range.first);
  changes_.fetch_add(1, std::memory_order_release);
}

std::optional<Range> Space::find(std::uint64_t page) const {
  std::shared_lock lock(mutex_);
  auto after = ranges_.upper_bound(page);
  if (after == ranges_.begin()) return std::nullopt;
  const Range& range = std::prev(after)->second;
  if (page - range.first >= range.pages) return std::nullopt;
  return range;
}

}  // namespace gpuio::paging
