// The host's own accesses to on-demand arrays, while no kernel runs: prefetch, reads, and copies of all of
// one.

#include <algorithm>
#include <cstring>

#include "base/clock.hpp"
#include "paging/arrays.hpp"

namespace gpuio::paging {
namespace {

constexpr std::uint64_t kBatchPages = 256;
constexpr std::uint64_t kCopyNs = 60'000'000'000;  // for copies of a batch of pages; then the device is stuck

// What is left of a time that began at start_ns.
std::uint64_t left_ns(const Patience& patience, std::uint64_t start_ns) {
  const std::uint64_t spent = SteadyClock().now_ns() - start_ns;
  return patience.timeout_ns - std::min(patience.timeout_ns, spent);
}

Status check_range(const Array& array, std::uint64_t offset, std::uint64_t bytes) {
  if (offset <= array.range.bytes && bytes <= array.range.bytes - offset) return {};
  return error(Code::invalid_address, "{} bytes at {} of an array of {} bytes", bytes, offset,
               array.range.bytes);
}

}  // namespace

Status Arrays::bring(const Range& range, std::uint64_t first, std::uint64_t last, const Patience& patience,
                     bool look, const std::function<void(std::uint64_t, const std::byte*, bool)>& use) {
  const std::uint64_t start_ns = SteadyClock().now_ns();
  const std::uint32_t batch = cache_->batch_max();
  std::vector<PageRead> reads(batch);
  std::vector<PageRead*> submitted;
  std::vector<std::uint32_t> frames;
  for (std::uint64_t page = first; page < last;) {
    submitted.clear();
    frames.clear();
    Status refused;
    for (; page < last && submitted.size() < batch; ++page) {
      if (const auto frame = cache_->find(page)) {
        cache_->touch(*frame);
        Result<const std::byte*> bytes = nullptr;
        if (look) bytes = cache_->look(*stream_, *frame);
        if (!bytes) return bytes.error();
        use(page, *bytes, true);
        continue;
      }
      const auto frame = cache_->claim(page);
      if (!frame) {
        refused = frame.error();
        break;
      }
      PageRead& read = reads[submitted.size()];
      read = {.page = page,
              .to = cache_->landing(*frame, std::uint32_t(submitted.size())),
              .user = nullptr,
              .code = Code::timeout};
      submitted.push_back(&read);
      frames.push_back(*frame);
    }
    if (submitted.empty() && !refused.ok()) return refused;
    const Status status = pager_->read(submitted, left_ns(patience, start_ns), patience.cancel);
    Status copied;
    for (std::size_t i = 0; i < submitted.size(); ++i) {
      if (submitted[i]->code == Code::ok && copied)
        copied = cache_->fill(*stream_, frames[i], std::uint32_t(i));
      if (submitted[i]->code != Code::ok || !copied) {
        cache_->give_up(frames[i]);
        continue;
      }
      cache_->publish(frames[i]);
      range.counters->brought.add();
      use(submitted[i]->page, submitted[i]->to, false);
    }
    if (copied && cache_->local()) copied = stream_->wait(stream_->last(), kCopyNs);
    if (!copied) return copied;
    if (!status) return status;
  }
  return {};
}

Status Arrays::prefetch(const Array& array, std::uint64_t offset, std::uint64_t bytes,
                        const Patience& patience) {
  if (Status s = check_range(array, offset, bytes); !s) return s;
  if (bytes == 0) return {};
  const Range& range = array.range;
  const std::uint64_t first = offset / page_bytes(), last = (offset + bytes - 1) / page_bytes() + 1;
  const std::uint64_t pages = std::min<std::uint64_t>(last - first, cache_->frames());
  return bring(range, range.first + first, range.first + first + pages, patience, false,
               [&](std::uint64_t, const std::byte*, bool hit) {
                 if (!hit) range.counters->prefetched.add();
               });
}

Status Arrays::read(const Array& array, std::uint64_t offset, std::span<std::byte> to,
                    const Patience& patience) {
  if (Status s = check_range(array, offset, to.size()); !s) return s;
  if (to.empty()) return {};
  const Range& range = array.range;
  const std::uint64_t end = offset + to.size(), size = page_bytes();
  return bring(range, range.first + offset / size, range.first + (end - 1) / size + 1, patience, true,
               [&](std::uint64_t page, const std::byte* bytes, bool hit) {
                 (hit ? range.counters->hits : range.counters->misses).add();
                 const std::uint64_t begins = (page - range.first) * size;
                 const std::uint64_t from = std::max(begins, offset), until = std::min(begins + size, end);
                 std::memcpy(to.data() + (from - offset), bytes + (from - begins), until - from);
               });
}

Status Arrays::read_all(const Array& array, std::span<std::byte> to, const Patience& patience) {
  const std::uint64_t start_ns = SteadyClock().now_ns(), size = page_bytes();
  const Range& range = array.range;
  if (to.size() < range.pages * size)
    return error(Code::invalid_arg, "{} bytes of memory for {} pages of {}", to.size(), range.pages, size);
  std::vector<PageRead> reads(kBatchPages);
  std::vector<PageRead*> submitted;
  for (std::uint64_t done = 0; done < range.pages; done += submitted.size()) {
    submitted.clear();
    for (std::uint64_t i = 0; i < std::min(kBatchPages, range.pages - done); ++i) {
      reads[i] = {.page = range.first + done + i, .to = to.data() + (done + i) * size};
      submitted.push_back(&reads[i]);
    }
    if (Status s = pager_->read(submitted, left_ns(patience, start_ns), patience.cancel); !s) return s;
  }
  return {};
}

}  // namespace gpuio::paging
