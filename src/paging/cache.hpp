// Cache: the frames that hold pages for kernels, and the directory that says which page is where.
//
// The words lie in memory that the device addresses (gpuio/device/layout.hpp has their meaning); their number
// grows with the cache, never with the data. While a kernel runs the directory belongs to its lanes. Between
// kernels the host may look pages up, claim a way for a page, fill its frame and publish it; that is what the
// members below do. A page may be in eight ways only. Within them: a free way, else the first that was not
// referenced since the hand last passed (clock), so that a claim costs eight words whatever the cache's size.
// Threading: one thread at a time, and no kernel running, for everything but the addresses. Lifetime:
// outlives kernels launched with its addresses; the device outlives it.
#pragma once

#include <gpuio/device/layout.hpp>
#include <gpuio/device/native.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/status.hpp"
#include "gpu/device.hpp"

namespace gpuio::paging {

struct CacheOptions {
  std::uint64_t cache_bytes = 64 << 20;
  std::uint64_t page_bytes = 64 << 10;
  std::uint32_t mailboxes = 512;  // a power of two, at most 1024
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
};

}  // namespace gpuio::paging
