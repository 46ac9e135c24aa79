#include "base/platform/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <limits>
#include <tuple>
#include <utility>

#include "base/platform/system_error.hpp"
#include "base/platform/transfer.hpp"

namespace gpuio {
namespace {

// What nearly every disk takes, where the kernel does not say.
constexpr uint32_t kUsualDirectAlign = 4096;
constexpr uint64_t kOffsetMax = std::numeric_limits<off_t>::max();

Status check_range(const char* verb, const std::string& path, uint64_t offset, uint64_t size) {
  if (offset <= kOffsetMax && size <= kOffsetMax - offset) return {};
  return error(Code::invalid_arg, "{} {}: offset {} with length {} is past the largest file offset {}", verb,
               path, offset, size, kOffsetMax);
}

// Opening may be interrupted while a slow file system answers.
int open_retrying(const char* path, int flags) {
  for (int tries = 0;; ++tries) {
    const int fd = ::open(path, flags, 0666);
    if (fd >= 0 || errno != EINTR || tries == kInterruptionsMax) return fd;
  }
}

Result<int> native_flags(const std::string& path, OpenFlags flags) {
  const bool read = has(flags, OpenFlags::read), write = has(flags, OpenFlags::write);
  if (!read && !write)
    return fail(Code::invalid_arg, "opening {}: neither read nor write was asked for; pass one", path);
  int native = O_CLOEXEC | (write ? (read ? O_RDWR : O_WRONLY) : O_RDONLY);
  for (auto [flag, bit, name] : {std::tuple{OpenFlags::create, O_CREAT, "create"},
                                 std::tuple{OpenFlags::truncate, O_TRUNC, "truncate"},
                                 std::tuple{OpenFlags::exclusive, O_EXCL, "exclusive"}}) {
    if (!has(flags, flag)) continue;
    if (!write) return fail(Code::invalid_arg, "opening {}: {} needs write", path, name);
    native |= bit;
  }
  if (has(flags, OpenFlags::exclusive) && !has(flags, OpenFlags::create))
    return fail(Code::invalid_arg, "opening {}: exclusive needs create", path);
  return has(flags, OpenFlags::direct) ? native | O_DIRECT : native;
}

}  // namespace

File::File(File&& other) noexcept
    : native_(std::exchange(other.native_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    if (native_ >= 0) ::close(native_);
    native_ = std::exchange(other.native_, -1);
    path_ = std::move(other.path_);
  }
  return *this;
}

File::~File() {
  if (native_ >= 0) ::close(native_);
}

Result<File> File::open(std::string path, OpenFlags flags) {
  if (path.find('\0') != std::string::npos)
    return fail(Code::invalid_arg, "opening {}: the path holds a zero byte, which no file name can",
                path.c_str());
  auto native = native_flags(path, flags);
  if (!native) return fail(std::move(native).error());
  const int fd = open_retrying(path.c_str(), *native);
  if (fd >= 0) return File(fd, std::move(path));
  const int number = errno;
  if (number == EINVAL && has(flags, OpenFlags::direct))
    return fail(Code::unsupported, "opening {}: this file system refuses direct IO (EINVAL); open it without",
                path);
  return fail(system_error(number, "opening " + path));
}

Result<File> File::unnamed(const std::string& directory) {
  const int fd = open_retrying(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC);
  if (fd >= 0) return File(fd, directory + "/(unnamed)");
  return fail(system_error(errno, "creating an unnamed file in " + directory));
}

Result<size_t> File::read_at(std::span<std::byte> into, uint64_t offset) const {
  if (auto status = check_range("reading", path_, offset, into.size()); !status)
    return fail(std::move(status));
  const auto moved = transfer_fully(into.size(), [&](size_t done, size_t left) {
    return ::pread(native_, into.data() + done, left, static_cast<off_t>(offset + done));
  });
  if (moved.error)
    return fail(
        system_error(moved.error, fmt::format("reading {} bytes at {} of {}", into.size(), offset, path_)));
  return moved.bytes;
}

Status File::write_at(std::span<const std::byte> from, uint64_t offset) const {
  if (auto status = check_range("writing", path_, offset, from.size()); !status) return status;
  const auto moved = transfer_fully(from.size(), [&](size_t done, size_t left) {
    return ::pwrite(native_, from.data() + done, left, static_cast<off_t>(offset + done));
  });
  if (moved.error == 0 && moved.bytes == from.size()) return {};
  return system_error(moved.error ? moved.error : ENOSPC,
                      fmt::format("writing {} bytes at {} of {}", from.size(), offset, path_));
}

Result<FileInfo> File::info() const {
  struct statx st = {};
  unsigned wanted = STATX_TYPE | STATX_SIZE;
#ifdef STATX_DIOALIGN
  wanted |= STATX_DIOALIGN;
#endif
  if (::statx(native_, "", AT_EMPTY_PATH, wanted, &st) != 0)
    return fail(system_error(errno, "examining " + path_));
  FileInfo info;
  info.size_bytes = st.stx_size;
  info.block_bytes = st.stx_blksize;
  info.block_device = S_ISBLK(st.stx_mode);
  if (info.block_device) {
    const off_t end = ::lseek(native_, 0, SEEK_END);
    if (end < 0) return fail(system_error(errno, "finding the capacity of " + path_));
    info.size_bytes = static_cast<uint64_t>(end);
  }
  info.direct_memory_align = info.direct_offset_align = kUsualDirectAlign;
#ifdef STATX_DIOALIGN
  if (st.stx_mask & STATX_DIOALIGN) {
    info.direct_known = true;
    info.direct_memory_align = st.stx_dio_mem_align;
    info.direct_offset_align = st.stx_dio_offset_align;
  }
#endif
  return info;
}

Status File::resize(uint64_t size_bytes) const {
  if (auto status = check_range("resizing", path_, size_bytes, 0); !status) return status;
  int failed, tries = 0;
  do failed = ::ftruncate(native_, static_cast<off_t>(size_bytes));
  while (failed && errno == EINTR && ++tries < kInterruptionsMax);
  return failed ? system_error(errno, fmt::format("resizing {} to {} bytes", path_, size_bytes)) : Status();
}

Status File::allocate(uint64_t offset, uint64_t size_bytes) const {
  if (size_bytes == 0) return {};
  if (auto status = check_range("allocating in", path_, offset, size_bytes); !status) return status;
  int failed, tries = 0;
  do failed = ::fallocate(native_, 0, static_cast<off_t>(offset), static_cast<off_t>(size_bytes));
  while (failed && errno == EINTR && ++tries < kInterruptionsMax);
  if (!failed) return {};
  return system_error(errno, fmt::format("allocating {} bytes at {} of {}", size_bytes, offset, path_));
}

Status File::sync() const {
  return ::fdatasync(native_) ? system_error(errno, "making " + path_ + " durable") : Status();
}

Status File::close() {
  const int fd = std::exchange(native_, -1);
  // Linux has let go of the descriptor even when close was interrupted: a second close could hit another
  // file.
  if (fd < 0 || ::close(fd) == 0 || errno == EINTR) return {};
  return system_error(errno, "closing " + path_);
}

Status remove_file(const std::string& path) {
  return ::unlink(path.c_str()) ? system_error(errno, "removing " + path) : Status();
}

Result<TemporaryDirectory> TemporaryDirectory::create(const std::string& parent) {
  std::string path = parent;
  if (path.empty()) {
    const char* chosen = std::getenv("TMPDIR");
    path = chosen && *chosen ? chosen : "/tmp";
  }
  path += "/gpuio-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr)
    return fail(system_error(errno, "creating a temporary directory as " + path));
  return TemporaryDirectory(std::move(path));
}

}  // namespace gpuio
