#include "base/platform/memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

#include "base/platform/system_error.hpp"

namespace gpuio {
namespace {

// The "Key:   123 kB" line of a /proc file, in bytes.
std::optional<uint64_t> proc_field(const char* file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ':') continue;
    uint64_t kib = 0;
    if (std::istringstream(line.substr(key.size() + 1)) >> kib) return kib * 1024;
  }
  return std::nullopt;
}

std::optional<uint64_t> number_in(const std::string& file) {
  std::ifstream in(file);
  uint64_t value = 0;
  if (in >> value) return value;  // "max" is no number: no limit
  return std::nullopt;
}

// What the control groups above this process still allow; the largest number where there are none.
uint64_t group_allowance() {
  uint64_t allowed = std::numeric_limits<uint64_t>::max();
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("0::/")) continue;  // version 2, the only one Debian 12 mounts
    for (std::string path = line.substr(3);; path.resize(path.rfind('/'))) {
      const std::string group = "/sys/fs/cgroup" + path;
      const auto limit = number_in(group + "/memory.max"), used = number_in(group + "/memory.current");
      if (limit && used) allowed = std::min(allowed, *limit > *used ? *limit - *used : 0);
      if (path.rfind('/') == std::string::npos) break;
    }
  }
  return allowed;
}

std::optional<size_t> round_up(size_t size, size_t unit) {
  if (size > std::numeric_limits<size_t>::max() - (unit - 1)) return std::nullopt;
  return (size + unit - 1) / unit * unit;
}

size_t huge_page_bytes() { return proc_field("/proc/meminfo", "Hugepagesize").value_or(size_t{2} << 20); }

}  // namespace

size_t page_bytes() {
  static const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return page;
}

uint64_t total_memory_bytes() {
  return static_cast<uint64_t>(std::max(0l, ::sysconf(_SC_PHYS_PAGES))) * page_bytes();
}

Result<uint64_t> available_memory_bytes() {
  const auto available = proc_field("/proc/meminfo", "MemAvailable");
  if (!available)
    return fail(Code::unsupported, "/proc/meminfo has no MemAvailable; mount /proc to measure free memory");
  return std::min(*available, group_allowance());
}

VirtualMemory& VirtualMemory::operator=(VirtualMemory&& other) noexcept {
  if (this != &other) {
    if (data_) ::munmap(data_, size_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

VirtualMemory::~VirtualMemory() {
  if (data_) ::munmap(data_, size_);
}

Result<VirtualMemory> VirtualMemory::reserve(size_t size, size_t align) {
  if (align != 0 && !std::has_single_bit(align))
    return fail(Code::invalid_arg, "reserving addresses: alignment {} is not a power of two", align);
  align = std::max(align, page_bytes());
  const auto rounded = round_up(size, page_bytes());
  if (size == 0 || !rounded || *rounded > std::numeric_limits<size_t>::max() - align)
    return fail(Code::invalid_arg, "reserving {} bytes of addresses: the size must be at least 1 and fit",
                size);
  // Over-reserve, then trim both ends to the alignment.
  const size_t span = *rounded + align - page_bytes();
  void* mapped = ::mmap(nullptr, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED)
    return fail(system_error(errno, fmt::format("reserving {} bytes of addresses", size)));
  auto* start = static_cast<std::byte*>(mapped);
  const size_t before = (align - reinterpret_cast<uintptr_t>(start) % align) % align;
  const size_t after = span - before - *rounded;
  if (before) ::munmap(start, before);
  if (after) ::munmap(start + before + *rounded, after);
  return VirtualMemory(start + before, *rounded);
}

Status VirtualMemory::commit(size_t offset, size_t size) {
  if (auto status = check_range(offset, size, "committing"); !status) return status;
  if (size == 0) return {};
  if (::mprotect(data_ + offset, size, PROT_READ | PROT_WRITE) == 0) return {};
  return system_error(errno, fmt::format("committing {} bytes", size));
}

Status VirtualMemory::decommit(size_t offset, size_t size) {
  if (auto status = check_range(offset, size, "decommitting"); !status) return status;
  if (size == 0) return {};
  // A fresh mapping in its place drops the pages and their charge at once, and can be committed to zeros
  // again.
  void* mapped =
      ::mmap(data_ + offset, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  return mapped == MAP_FAILED ? system_error(errno, fmt::format("decommitting {} bytes", size)) : Status();
}

void SharedMemory::release() {
  if (data_) ::munmap(data_, size_);
  if (native_ >= 0) ::close(native_);
}

Result<SharedMemory> SharedMemory::create(const std::string& name, size_t size, HugePages huge) {
  if (huge == HugePages::never) return create_with(name, size, false);
  auto with_huge = create_with(name, size, true);
  if (with_huge) return with_huge;
  if (huge == HugePages::try_them && with_huge.error().code() != Code::invalid_arg)
    return create_with(name, size, false);
  return with_huge;
}

Result<SharedMemory> SharedMemory::create_with(const std::string& name, size_t size, bool huge) {
  SharedMemory made;
  made.page_ = huge ? huge_page_bytes() : page_bytes();
  const auto rounded = round_up(size, made.page_);
  if (size == 0 || !rounded || *rounded > static_cast<size_t>(std::numeric_limits<off_t>::max()))
    return fail(Code::invalid_arg, "shared memory {} of {} bytes: the size must be at least 1 and fit", name,
                size);
  const auto what =
      fmt::format("creating shared memory {} of {} bytes{}", name, *rounded, huge ? " in huge pages" : "");
  const char* remedy = huge ? "; reserve huge pages (sysctl vm.nr_hugepages) or use ordinary ones" : "";
  made.native_ = ::memfd_create(name.c_str(), MFD_CLOEXEC | (huge ? MFD_HUGETLB : 0u));
  if (made.native_ < 0) return fail(system_error(errno, what));
  if (::ftruncate(made.native_, static_cast<off_t>(*rounded)) != 0) return fail(system_error(errno, what));
  // For huge pages mapping reserves them, so running out shows here and not as a signal at the first touch.
  void* mapped = ::mmap(nullptr, *rounded, PROT_READ | PROT_WRITE, MAP_SHARED, made.native_, 0);
  if (mapped == MAP_FAILED) {
    const Status refused = system_error(errno, what);
    return fail(Status(refused.code(), refused.message() + remedy));
  }
  made.data_ = static_cast<std::byte*>(mapped);
  made.size_ = *rounded;
  return made;
}

Status SharedMemory::populate() {
  // Asked first: the kernel would rather kill a process than refuse pages that it has promised.
  if (page_ == page_bytes()) {
    const auto available = available_memory_bytes();
    if (available && *available < size_)
      return error(Code::nomem,
                   "populating {} bytes of shared memory: {} are available; ask for less or free memory",
                   size_, *available);
  }
  // Takes the pages without touching them, so a refusal is an error and not a signal.
  if (::fallocate(native_, 0, 0, static_cast<off_t>(size_)) != 0)
    return system_error(errno == ENOSPC ? ENOMEM : errno,
                        fmt::format("populating {} bytes of shared memory", size_));
#ifdef MADV_POPULATE_WRITE
  ::madvise(data_, size_, MADV_POPULATE_WRITE);  // page tables too; where unknown, the first touch does it
#endif
  return {};
}

Result<MemoryLock> MemoryLock::lock(const void* data, size_t size) {
  if (size == 0 || ::mlock(data, size) == 0) return MemoryLock(data, size);
  const int number = errno;
  rlimit limit = {};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  if (number == EPERM || (number == ENOMEM && limit.rlim_cur != RLIM_INFINITY) || number == EAGAIN)
    return fail(number == EPERM ? Code::permission : Code::nomem,
                "locking {} bytes in memory: refused ({}), the limit of this process is {} bytes; raise it "
                "(ulimit -l) or grant CAP_IPC_LOCK",
                size, strerrorname_np(number), static_cast<uint64_t>(limit.rlim_cur));
  return fail(system_error(number, fmt::format("locking {} bytes in memory", size)));
}

MemoryLock& MemoryLock::operator=(MemoryLock&& other) noexcept {
  if (this != &other) {
    if (size_) ::munlock(data_, size_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

MemoryLock::~MemoryLock() {
  if (size_) ::munlock(data_, size_);
}

}  // namespace gpuio
