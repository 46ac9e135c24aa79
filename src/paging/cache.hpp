// Cache: the frames that hold pages for kernels, and the directory that says which page is where.
//
// The words lie in memory that the device addresses (gpuio/device/layout.hpp has their meaning); their number
// grows with the cache, never with the data. While a kernel runs the directory belongs to its lanes. Between
// kernels the host may look pages up, claim a way for a page, fill its frame and publish it; that is what the
// members below do. A page may be in eight ways only. Within them: a free way, else the first that was not
// referenced since the hand last passed (clock), so that a claim costs eight words whatever the cache's size.
//
// A *local* cache has the directory and the frames in the device's own memory, so that a hit does not cross
// the bus. The host then works on a copy of the directory, which to_device and from_device keep the same, and
// bytes reach a frame through pinned staging pages and fill().
//
// Threading: one thread at a time, and no kernel running, for everything but the addresses, the staging pages
// and fill(). Lifetime: outlives kernels launched with its addresses; the device outlives it.
#pragma once

#include <gpuio/device/layout.hpp>
#include <gpuio/device/native.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/status.hpp"
#include "gpu/device.hpp"

namespace gpuio::paging {

// automatic: in the device's memory where that is its own (CUDA) and copies get on beside kernels.
enum class Place : std::uint8_t { automatic, host, device };

struct CacheOptions {
  std::uint64_t cache_bytes = 64 << 20;
  std::uint64_t page_bytes = 64 << 10;
  std::uint32_t mailboxes = 512;  // a power of two, at most 1024; a local cache of large pages takes fewer
  Place place = Place::automatic;
};

class Cache {
 public:
  static Result<std::unique_ptr<Cache>> create(gpu::Device& device, const CacheOptions& options);

  std::uint64_t page_bytes() const { return page_bytes_; }
  std::uint32_t frames() const { return frames_; }
  std::uint32_t buckets() const { return device::buckets_for(frames_); }
  std::uint32_t mailboxes() const { return mailboxes_; }

  // What kernels address.
  gpu::Buffer& directory() { return *directory_; }  // DirectoryHeader, Bucket[buckets], BucketSide[buckets]
  gpu::Buffer& requests() { return *requests_; }    // Requests
  gpu::Buffer& answers() { return *answers_; }      // Answers
  gpu::Buffer& frame_memory() { return *frame_memory_; }
  std::uint64_t sides_offset() const;  // of the BucketSides in the directory

  bool local() const { return mirror_ != nullptr; }
  // Enqueued; a local cache's to_device before every kernel, from_device after one that changes the
  // directory, and waited for before the host looks. Nothing to do for others.
  Status to_device(gpu::Stream& stream);
  Status from_device(gpu::Stream& stream);
  // Of a local cache: pinned pages for bytes on their way.
  std::uint32_t staging_pages() const { return std::uint32_t(staging_->size() / page_bytes_); }
  std::byte* staging(std::uint32_t index) const {
    return staging_->host() + std::uint64_t(index) * page_bytes_;
  }
  // Enqueues the rest of their way. Nothing to do for other caches.
  Status fill(gpu::Stream& stream, std::uint32_t frame, std::uint32_t staging_index);

  // For whoever brings pages between kernels, at most so many at once: where the bytes of the i-th are to be
  // put (then fill), and those of a page that is there (good until the next look; waits for the device).
  std::uint32_t batch_max() const;
  std::byte* landing(std::uint32_t frame, std::uint32_t i) const {
    return local() ? staging(i) : this->frame(frame);
  }
  Result<const std::byte*> look(gpu::Stream& stream, std::uint32_t frame);

  // Host side, while no kernel runs.
  std::optional<std::uint32_t> find(std::uint64_t page) const;
  // A frame for a page that is in none: its old page is dropped. BUSY when all its ways are pinned or dirty.
  Result<std::uint32_t> claim(std::uint64_t page);
  void publish(std::uint32_t frame);  // its bytes are there
  void give_up(std::uint32_t frame);  // they will not come
  void touch(std::uint32_t frame);
  // How many of the pages first .. first + pages - 1 are in frames.
  std::uint64_t resident(std::uint64_t first, std::uint64_t pages) const;
  // Forgets the pages first .. first + pages - 1.
  void drop(std::uint64_t first, std::uint64_t pages);
  // Not of a local cache.
  std::byte* frame(std::uint32_t index) const {
    return frame_memory_->host() + std::uint64_t(index) * page_bytes_;
  }

  // The words as the host sees them.
  const device::Words& words() const { return words_; }

 private:
  Cache() = default;
  std::uint64_t& tag(std::uint32_t frame) const {
    return words_.bucket[frame / device::kWays].tag[frame % device::kWays];
  }
  std::uint32_t& reference(std::uint32_t frame) const {
    return words_.side[frame / device::kWays].reference[frame % device::kWays];
  }

  std::uint64_t page_bytes_ = 0;
  std::uint32_t frames_ = 0, mailboxes_ = 0;
  device::Words words_;
  std::uint32_t hand_ = 0;
  std::unique_ptr<gpu::Buffer> directory_, requests_, answers_, frame_memory_;
  std::unique_ptr<gpu::Buffer> mirror_, staging_;  // of a local cache
  std::vector<std::byte> looked_at_;
};

}  // namespace gpuio::paging
