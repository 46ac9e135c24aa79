#include "gpu/cpu/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>

namespace gpuio::gpu::cpu {
namespace {

constexpr std::uint64_t kHugePage = 2 << 20;
// Left for page tables, stacks and the rest of the process.
constexpr std::uint64_t kHeadroom = 64 << 20;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec != std::errc() || end.ptr == text.data()) return {};
  return value;
}

// The first line of a small file, as a number; nothing for "max" or where there is no such file.
std::optional<std::uint64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return {};
  return number(line);
}

// The number after `key` in a file of lines "key value".
std::optional<std::uint64_t> read_key(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with(key)) continue;
    const auto at = line.find_first_not_of(" \t", key.size());
    if (at != std::string::npos && at > key.size()) return number(std::string_view(line).substr(at));
  }
  return {};
}

void limit(MemoryRoom& room, std::optional<std::uint64_t> most, std::uint64_t used,
           std::uint64_t reclaimable) {
  if (!most) return;
  used -= std::min(used, reclaimable);
  room.total_bytes = std::min(room.total_bytes, *most);
  room.available_bytes = std::min(room.available_bytes, *most > used ? *most - used : 0);
}

// Applies the limits of the group at `path` below `mount`, and of every group above it.
void limit_group(MemoryRoom& room, const std::string& mount, std::string path, bool v2) {
  for (;;) {
    const std::string at = mount + path + "/";
    limit(room, read_number(at + (v2 ? "memory.max" : "memory.limit_in_bytes")),
          read_number(at + (v2 ? "memory.current" : "memory.usage_in_bytes")).value_or(0),
          read_key(at + "memory.stat", v2 ? "inactive_file" : "total_inactive_file").value_or(0));
    if (path.empty()) return;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

// /proc/self/cgroup: lines "N:controllers:/path"; v2 has N = 0 and no controllers.
void limit_groups(MemoryRoom& room, const std::string& root) {
  std::ifstream file(root + "proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (controllers == ",,") limit_group(room, root + "sys/fs/cgroup", path, true);
    else if (controllers.find(",memory,") != std::string::npos)
      limit_group(room, root + "sys/fs/cgroup/memory", path, false);
  }
}

Status make_present(std::byte* data, std::uint64_t size) {
#ifdef MADV_POPULATE_WRITE
  if (madvise(data, size, MADV_POPULATE_WRITE) == 0) return {};
  if (errno != EINVAL) return error(Code::nomem, "making {} bytes present: {}", size, std::strerror(errno));
#endif
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  for (std::uint64_t at = 0; at < size; at += page) static_cast<volatile std::byte*>(data)[at] = std::byte{};
  return {};
}

}  // namespace

Result<MemoryRoom> memory_room(const std::string& root) {
  MemoryRoom room;
  const auto total = read_key(root + "proc/meminfo", "MemTotal:");
  const auto available = read_key(root + "proc/meminfo", "MemAvailable:");
  if (!total || !available)
    return fail(Code::unsupported, "{}proc/meminfo names no MemTotal and MemAvailable: is /proc mounted?",
                root);
  room.total_bytes = *total * 1024;
  room.available_bytes = *available * 1024;
  limit_groups(room, root);
  return room;
}

Result<Pages> Pages::make(std::uint64_t size) {
  auto room = memory_room();
  if (!room) return fail(room.error());
  if (room->available_bytes < kHeadroom || size > room->available_bytes - kHeadroom)
    return fail(Code::nomem,
                "{} bytes asked, {} available ({} of them are left alone): free memory or ask less", size,
                room->available_bytes, kHeadroom);
  const std::uint64_t unit =
      size >= kHugePage ? kHugePage : static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t rounded = (size + unit - 1) / unit * unit;
  // One unit more, to cut an aligned piece out of it.
  void* p = mmap(nullptr, rounded + unit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
  if (p == MAP_FAILED) return fail(Code::nomem, "mmap of {} bytes: {}", size, std::strerror(errno));
  auto* const begin = static_cast<std::byte*>(p);
  const std::uint64_t skip = (unit - reinterpret_cast<std::uintptr_t>(p) % unit) % unit;
  if (skip > 0) munmap(begin, skip);
  munmap(begin + skip + rounded, unit - skip);
  Pages pages;
  pages.data_ = begin + skip;
  pages.mapped_ = rounded;
  if (unit == kHugePage) madvise(pages.data_, rounded, MADV_HUGEPAGE);  // a wish: it works without
  if (Status s = make_present(pages.data_, rounded); !s) return fail(std::move(s));
  return pages;
}

Pages::~Pages() {
  if (data_ != nullptr) munmap(data_, mapped_);
}

}  // namespace gpuio::gpu::cpu
