#include <windows.h>

#include "base/platform/memory.hpp"
#include "gpu/cpu/memory.hpp"

namespace gpuio::gpu::cpu {
namespace {

// Left for stacks and the rest of the process.
constexpr std::uint64_t kHeadroom = 64 << 20;

}  // namespace

Result<MemoryRoom> memory_room(const std::string&) {
  const auto available = available_memory_bytes();
  if (!available) return fail(available.error());
  return MemoryRoom{.total_bytes = total_memory_bytes(), .available_bytes = *available};
}

// Windows sets committed memory aside when it is asked for: it is there, or NOMEM.
Result<Pages> Pages::make(std::uint64_t size) {
  auto room = memory_room("");
  if (!room) return fail(room.error());
  if (room->available_bytes < kHeadroom || size > room->available_bytes - kHeadroom)
    return fail(Code::nomem,
                "{} bytes asked, {} available ({} of them are left alone): free memory or ask less", size,
                room->available_bytes, kHeadroom);
  Pages pages;
  pages.data_ =
      static_cast<std::byte*>(VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
  if (pages.data_ == nullptr)
    return fail(Code::nomem, "VirtualAlloc of {} bytes: Windows error {}", size, GetLastError());
  pages.mapped_ = size;
  return pages;
}

Pages::~Pages() {
  if (data_ != nullptr) VirtualFree(data_, 0, MEM_RELEASE);
}

}  // namespace gpuio::gpu::cpu
