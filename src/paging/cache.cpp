#include "paging/cache.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "paging/space.hpp"

namespace gpuio::paging {

namespace {

constexpr std::uint64_t kStagingBytes = 64 << 20;
constexpr std::uint64_t kCopyNs = 60'000'000'000;  // for a page; then the device is stuck

// Pinned memory is host memory that the device addresses: the host works on it between kernels and engines
// read straight into it.
Result<std::unique_ptr<gpu::Buffer>> allocate(gpu::Device& device, bool local, std::uint64_t size,
                                              const char* what) {
  auto buffer = device.allocate(local ? gpu::MemoryKind::device : gpu::MemoryKind::pinned, size);
  if (!buffer)
    return fail(std::move(buffer).error().wrap(fmt::format("allocating {} of the page cache", what)));
  if (!local) std::memset((*buffer)->host(), 0, size);
  return buffer;
}

}  // namespace

Result<std::unique_ptr<Cache>> Cache::create(gpu::Device& device, const CacheOptions& options) {
  const std::uint64_t page = options.page_bytes;
  if (Status s = check_page_bytes(page); !s) return fail(std::move(s));
  const std::uint64_t frames = options.cache_bytes / page;
  if (frames == 0)
    return fail(Code::invalid_arg,
                "a cache of {} bytes does not hold one page of {}; make it at least one page",
                options.cache_bytes, page);
  if (frames > device::kFrameMask)
    return fail(Code::invalid_arg, "a cache of {} frames is more than {}; use larger pages", frames,
                device::kFrameMask);
  if (!std::has_single_bit(options.mailboxes) || options.mailboxes > device::kMailboxesMax)
    return fail(Code::invalid_arg, "{} mailboxes; a power of two up to {} is needed", options.mailboxes,
                device::kMailboxesMax);

  auto cache = std::unique_ptr<Cache>(new Cache);
  cache->page_bytes_ = page;
  cache->frames_ = std::uint32_t(frames);
  cache->mailboxes_ = options.mailboxes;
  const gpu::DeviceInfo& info = device.info();
  const bool local =
      options.place == Place::device ||
      (options.place == Place::automatic && info.backend == gpu::Backend::cuda && info.overlap.available);
  if (local) {
    // The staging pages, one a mailbox, are to stay within kStagingBytes.
    const std::uint64_t most = std::bit_floor(std::max<std::uint64_t>(kStagingBytes / page, 1));
    cache->mailboxes_ = std::uint32_t(std::min<std::uint64_t>(options.mailboxes, most));
  }
  const std::uint64_t words =
      sizeof(device::DirectoryHeader) +
      std::uint64_t(cache->buckets()) * (sizeof(device::Bucket) + sizeof(device::BucketSide));
  struct Part {
    std::unique_ptr<gpu::Buffer>& buffer;
    std::uint64_t size;
    const char* what;
    bool local = false;
  };
  std::vector<Part> parts = {{cache->directory_, words, "the directory", local},
                             {cache->requests_, sizeof(device::Requests), "the requests"},
                             {cache->answers_, sizeof(device::Answers), "the answers"},
                             {cache->frame_memory_, frames * page, "the frames", local}};
  if (local) {
    parts.push_back({cache->mirror_, words, "the host's copy of the directory"});
    parts.push_back({cache->staging_, cache->mailboxes_ * page, "the staging pages"});
  }
  for (const Part& part : parts) {
    auto buffer = allocate(device, part.local, part.size, part.what);
    if (!buffer) return fail(std::move(buffer).error());
    part.buffer = std::move(*buffer);
  }
  device::Words& w = cache->words_;
  w.header = reinterpret_cast<device::DirectoryHeader*>((local ? cache->mirror_ : cache->directory_)->host());
  w.bucket = reinterpret_cast<device::Bucket*>(w.header + 1);
  w.side = reinterpret_cast<device::BucketSide*>(w.bucket + cache->buckets());
  w.requests = reinterpret_cast<device::Requests*>(cache->requests_->host());
  w.answers = reinterpret_cast<device::Answers*>(cache->answers_->host());
  w.buckets = cache->buckets();
  w.mailboxes = cache->mailboxes_;
  w.frames = local ? nullptr : cache->frame_memory_->host();
  w.page_bytes = page;
  device::initialize(w, cache->frames_);
  return cache;
}

namespace {

std::array<std::uint32_t, 2 * device::kWays> ways_of(std::uint64_t page, std::uint32_t buckets) {
  std::array<std::uint32_t, 2 * device::kWays> ways;
  const std::uint32_t a = device::primary_bucket(page, buckets), b = device::secondary_bucket(page, buckets);
  for (std::uint32_t w = 0; w < device::kWays; ++w) {
    ways[w] = a * device::kWays + w;
    ways[device::kWays + w] = b * device::kWays + w;
  }
  return ways;
}

}  // namespace

std::uint64_t Cache::sides_offset() const {
  return std::uint64_t(reinterpret_cast<std::byte*>(words_.side) -
                       reinterpret_cast<std::byte*>(words_.header));
}

Status Cache::to_device(gpu::Stream& stream) {
  return local() ? stream.copy(*directory_, 0, *mirror_, 0, mirror_->size()) : Status();
}
Status Cache::from_device(gpu::Stream& stream) {
  return local() ? stream.copy(*mirror_, 0, *directory_, 0, mirror_->size()) : Status();
}
Status Cache::fill(gpu::Stream& stream, std::uint32_t frame, std::uint32_t staging_index) {
  if (!local()) return {};
  return stream.copy(*frame_memory_, frame * page_bytes_, *staging_, staging_index * page_bytes_,
                     page_bytes_);
}

// Enough for deep queues, few enough that their frames are not all of the cache.
std::uint32_t Cache::batch_max() const {
  return std::clamp<std::uint32_t>(frames_ / 2, 1, local() ? std::min(256u, staging_pages()) : 256u);
}

Result<const std::byte*> Cache::look(gpu::Stream& stream, std::uint32_t frame) {
  if (!local()) return this->frame(frame);
  looked_at_.resize(page_bytes_);
  if (Status s = stream.download(looked_at_, *frame_memory_, frame * page_bytes_); !s)
    return fail(std::move(s));
  if (Status s = stream.wait(stream.last(), kCopyNs); !s) return fail(std::move(s));
  return looked_at_.data();
}

std::optional<std::uint32_t> Cache::find(std::uint64_t page) const {
  for (std::uint32_t f : ways_of(page, buckets())) {
    const std::uint64_t t = tag(f);
    if (device::state_of(t) == device::kValid && device::page_of(t) == page) return f;
  }
  return std::nullopt;
}

Result<std::uint32_t> Cache::claim(std::uint64_t page) {
  const auto ways = ways_of(page, buckets());
  std::optional<std::uint32_t> chosen;
  for (std::uint32_t f : ways)
    if (device::state_of(tag(f)) == device::kFree) chosen = f;
  // Two turns of the hand: the first takes references away, the second finds a way without one.
  for (std::uint32_t turn = 0; turn < 2 * ways.size() && !chosen; ++turn) {
    const std::uint32_t f = ways[hand_++ % ways.size()];
    const std::uint64_t t = tag(f);
    if (device::state_of(t) != device::kValid || device::dirty_of(t) || device::pins_of(t)) continue;
    if (std::exchange(reference(f), 0) == 0 || turn >= ways.size()) chosen = f;
  }
  if (!chosen)
    return fail(Code::busy, "page {}: all eight ways of the cache that may hold it are in use", page);
  tag(*chosen) = device::make_tag(page, device::kFill);
  return *chosen;
}

void Cache::publish(std::uint32_t frame) {
  tag(frame) = device::make_tag(device::page_of(tag(frame)), device::kValid);
}
void Cache::give_up(std::uint32_t frame) { tag(frame) = 0; }
void Cache::touch(std::uint32_t frame) { reference(frame) = 1; }

std::uint64_t Cache::resident(std::uint64_t first, std::uint64_t pages) const {
  std::uint64_t n = 0;
  for (std::uint32_t f = 0; f < frames_; ++f)
    n += device::state_of(tag(f)) == device::kValid && device::page_of(tag(f)) - first < pages;
  return n;
}

void Cache::drop(std::uint64_t first, std::uint64_t pages) {
  for (std::uint32_t f = 0; f < frames_; ++f)
    if (device::state_of(tag(f)) != device::kFree && device::page_of(tag(f)) - first < pages) tag(f) = 0;
}

}  // namespace gpuio::paging
