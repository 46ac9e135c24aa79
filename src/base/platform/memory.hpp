// Memory from the operating system: address ranges that fill on demand, memory that can be shared with
// drivers and other processes, and locking.
//
// Threading: an object belongs to one thread at a time; the memory itself is anybody's. Lifetime: move-only,
// given back on destruction; spans and pointers into it die with it. Errors name sizes and remedies; running
// out is Code::nomem, at once, never a process killed later.
//
//   auto pool = SharedMemory::create("frames", 64 << 20, HugePages::try_them);
//   std::memset(pool->data(), 0, pool->size());
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "base/status.hpp"

namespace gpuio {

// The smallest unit the system maps.
size_t page_bytes();

// Of the machine.
uint64_t total_memory_bytes();

// What could be allocated now without swapping, within this process's control group; no promise.
Result<uint64_t> available_memory_bytes();

// A reserved range of addresses. Nothing is behind it until it is committed; touching what is not is a fault.
class VirtualMemory {
 public:
  VirtualMemory() = default;
  VirtualMemory(VirtualMemory&& other) noexcept;
  VirtualMemory& operator=(VirtualMemory&& other) noexcept;
  ~VirtualMemory();

  // `size` is rounded up to pages; `align` is a power of two, 0 for a page.
  static Result<VirtualMemory> reserve(size_t size, size_t align = 0);

  // Readable, writable and zero from then on. `offset` and `size` in whole pages, within the range.
  Status commit(size_t offset, size_t size);
  // Gives the memory back and keeps the addresses.
  Status decommit(size_t offset, size_t size);

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  VirtualMemory(std::byte* data, size_t size) : data_(data), size_(size) {}
  Status check_range(size_t offset, size_t size, const char* verb) const;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

enum class HugePages { never, try_them, require };

// Zeroed memory with a handle that other processes and drivers can map.
class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  // `name` shows in the system's lists. `size` is rounded up to whole (huge) pages. try_them falls back to
  // ordinary pages; require fails with the remedy.
  static Result<SharedMemory> create(const std::string& name, size_t size, HugePages huge = HugePages::never);

  // Touches every page now, so that no later access waits or fails: nomem when there is not enough.
  Status populate();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  size_t mapped_page_bytes() const { return page_; }
  int native() const { return native_; }  // still owned by the object

 private:
  static Result<SharedMemory> create_with(const std::string& name, size_t size, bool huge);
  void release();
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t page_ = 0;
  int native_ = -1;
};

// Keeps a range from being paged out while it lives. The range must outlive the lock.
class MemoryLock {
 public:
  MemoryLock() = default;
  MemoryLock(MemoryLock&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MemoryLock& operator=(MemoryLock&& other) noexcept;
  ~MemoryLock();

  // permission or nomem when the limit on locked memory is too low; says the limit.
  static Result<MemoryLock> lock(const void* data, size_t size);
  size_t size() const { return size_; }

 private:
  MemoryLock(const void* data, size_t size) : data_(data), size_(size) {}
  const void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace gpuio
