#include "base/platform/memory.hpp"

#include <windows.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "base/platform/windows/error.hpp"

namespace gpuio {
namespace {

SYSTEM_INFO system_info() {
  SYSTEM_INFO info{};
  ::GetSystemInfo(&info);
  return info;
}

bool rounds_up(size_t size, size_t unit, size_t& out) {
  if (size == 0 || size > std::numeric_limits<size_t>::max() - (unit - 1)) return false;
  out = (size + unit - 1) / unit * unit;
  return true;
}

// Windows promises that handles fit in 32 bits.
HANDLE handle_of(int native) { return reinterpret_cast<HANDLE>(static_cast<intptr_t>(native)); }

}  // namespace

size_t page_bytes() {
  static const size_t page = system_info().dwPageSize;
  return page;
}

uint64_t total_memory_bytes() {
  MEMORYSTATUSEX status{};
  status.dwLength = sizeof status;
  return ::GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : 0;
}

Result<uint64_t> available_memory_bytes() {
  MEMORYSTATUSEX status{};
  status.dwLength = sizeof status;
  if (!::GlobalMemoryStatusEx(&status)) return fail(windows_error(::GetLastError(), "measuring free memory"));
  return std::min<uint64_t>(status.ullAvailPhys, status.ullAvailPageFile);
}

VirtualMemory& VirtualMemory::operator=(VirtualMemory&& other) noexcept {
  if (this != &other) {
    if (data_) ::VirtualFree(data_, 0, MEM_RELEASE);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}
VirtualMemory::~VirtualMemory() {
  if (data_) ::VirtualFree(data_, 0, MEM_RELEASE);
}

Result<VirtualMemory> VirtualMemory::reserve(size_t size, size_t align) {
  if (align != 0 && !std::has_single_bit(align))
    return fail(Code::invalid_arg, "reserving addresses: alignment {} is not a power of two", align);
  size_t rounded = 0;
  if (!rounds_up(size, page_bytes(), rounded) || rounded > std::numeric_limits<size_t>::max() - align)
    return fail(Code::invalid_arg, "reserving {} bytes of addresses: the size must be at least 1 and fit",
                size);
  const auto reserve_at = [](void* at, size_t bytes) {
    return static_cast<std::byte*>(::VirtualAlloc(at, bytes, MEM_RESERVE, PAGE_NOACCESS));
  };
  // A reservation is given back as a whole, so it cannot be trimmed: find room, give it back, and take the
  // aligned part.
  for (int tries = 0; tries < 16; ++tries) {
    if (align <= system_info().dwAllocationGranularity) {
      if (std::byte* const at = reserve_at(nullptr, rounded)) return VirtualMemory(at, rounded);
      break;
    }
    std::byte* const room = reserve_at(nullptr, rounded + align);
    if (!room) break;
    ::VirtualFree(room, 0, MEM_RELEASE);
    const uintptr_t aligned = (reinterpret_cast<uintptr_t>(room) + align - 1) / align * align;
    if (std::byte* const at = reserve_at(reinterpret_cast<void*>(aligned), rounded))
      return VirtualMemory(at, rounded);
  }
  return fail(windows_error(::GetLastError(), fmt::format("reserving {} bytes of addresses", size)));
}

Status VirtualMemory::commit(size_t offset, size_t size) {
  if (auto status = check_range(offset, size, "committing"); !status) return status;
  if (size == 0 || ::VirtualAlloc(data_ + offset, size, MEM_COMMIT, PAGE_READWRITE)) return {};
  return windows_error(::GetLastError(), fmt::format("committing {} bytes", size));
}

Status VirtualMemory::decommit(size_t offset, size_t size) {
  if (auto status = check_range(offset, size, "decommitting"); !status) return status;
  if (size == 0 || ::VirtualFree(data_ + offset, size, MEM_DECOMMIT)) return {};
  return windows_error(::GetLastError(), fmt::format("decommitting {} bytes", size));
}

void SharedMemory::release() {
  if (data_) ::UnmapViewOfFile(data_);
  if (native_ >= 0) ::CloseHandle(handle_of(native_));
}

Result<SharedMemory> SharedMemory::create(const std::string& name, size_t size, HugePages huge) {
  if (huge == HugePages::require)
    return fail(Code::unsupported,
                "shared memory {}: huge pages are not built for Windows; use ordinary ones", name);
  return create_with(name, size, false);
}

Result<SharedMemory> SharedMemory::create_with(const std::string& name, size_t size, bool) {
  SharedMemory made;
  made.page_ = page_bytes();
  if (!rounds_up(size, made.page_, made.size_))
    return fail(Code::invalid_arg, "shared memory {} of {} bytes: the size must be at least 1 and fit", name,
                size);
  const auto what = fmt::format("creating shared memory {} of {} bytes", name, made.size_);
  // Without a name in the system: who is to share it is given the handle.
  const HANDLE handle = ::CreateFileMappingA(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE,
                                             DWORD(uint64_t{made.size_} >> 32), DWORD(made.size_), nullptr);
  if (!handle) return fail(windows_error(::GetLastError(), what));
  made.native_ = static_cast<int>(reinterpret_cast<intptr_t>(handle));
  made.data_ = static_cast<std::byte*>(::MapViewOfFile(handle, FILE_MAP_ALL_ACCESS, 0, 0, made.size_));
  if (!made.data_) return fail(windows_error(::GetLastError(), what));
  return made;
}

// The system has set the memory aside when it was made; what is left is to have the pages.
Status SharedMemory::populate() {
  const auto available = available_memory_bytes();
  if (available && *available < size_)
    return error(Code::nomem,
                 "populating {} bytes of shared memory: {} are available; ask for less or free memory", size_,
                 *available);
  for (size_t at = 0; at < size_; at += page_) {
    auto* const byte = reinterpret_cast<volatile char*>(data_ + at);
    *byte = *byte;
  }
  return {};
}

Result<MemoryLock> MemoryLock::lock(const void* data, size_t size) {
  if (size == 0 || ::VirtualLock(const_cast<void*>(data), size)) return MemoryLock(data, size);
  return fail(windows_error(
      ::GetLastError(),
      fmt::format("locking {} bytes in memory (SetProcessWorkingSetSize raises the limit)", size)));
}
MemoryLock& MemoryLock::operator=(MemoryLock&& other) noexcept {
  if (this != &other) {
    if (size_) ::VirtualUnlock(const_cast<void*>(data_), size_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}
MemoryLock::~MemoryLock() {
  if (size_) ::VirtualUnlock(const_cast<void*>(data_), size_);
}

}  // namespace gpuio
