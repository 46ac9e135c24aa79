#include "base/platform/file.hpp"

#include <windows.h>
#include <winioctl.h>

#include <limits>
#include <random>

#include "base/platform/windows/error.hpp"

namespace gpuio {
namespace {

constexpr uint32_t kUsualDirectAlign = 4096;
constexpr uint64_t kOffsetMax = std::numeric_limits<int64_t>::max();
constexpr size_t kMoveMax = size_t{1} << 30;  // of one call

HANDLE handle_of(int native) { return reinterpret_cast<HANDLE>(static_cast<intptr_t>(native)); }

Status check_range(const char* verb, const std::string& path, uint64_t offset, uint64_t size) {
  if (offset <= kOffsetMax && size <= kOffsetMax - offset) return {};
  return error(Code::invalid_arg, "{} {}: offset {} with length {} is past the largest file offset {}", verb,
               path, offset, size, kOffsetMax);
}

Result<HANDLE> open_native(const std::string& path, OpenFlags flags, DWORD more) {
  const bool read = has(flags, OpenFlags::read), write = has(flags, OpenFlags::write);
  if (!read && !write)
    return fail(Code::invalid_arg, "opening {}: neither read nor write was asked for; pass one", path);
  for (auto [flag, name] :
       {std::pair{OpenFlags::create, "create"}, std::pair{OpenFlags::truncate, "truncate"},
        std::pair{OpenFlags::exclusive, "exclusive"}})
    if (has(flags, flag) && !write) return fail(Code::invalid_arg, "opening {}: {} needs write", path, name);
  const bool create = has(flags, OpenFlags::create), exclusive = has(flags, OpenFlags::exclusive);
  if (exclusive && !create) return fail(Code::invalid_arg, "opening {}: exclusive needs create", path);
  const bool truncate = has(flags, OpenFlags::truncate);
  const DWORD how = exclusive            ? CREATE_NEW
                    : create && truncate ? CREATE_ALWAYS
                    : create             ? OPEN_ALWAYS
                    : truncate           ? TRUNCATE_EXISTING
                                         : OPEN_EXISTING;
  const HANDLE handle =
      ::CreateFileA(path.c_str(), (read ? GENERIC_READ : 0u) | (write ? GENERIC_WRITE : 0u) | more,
                    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr, how,
                    FILE_ATTRIBUTE_NORMAL | (has(flags, OpenFlags::direct) ? FILE_FLAG_NO_BUFFERING : 0u) |
                        (more & DELETE ? FILE_FLAG_DELETE_ON_CLOSE : 0u),
                    nullptr);
  if (handle == INVALID_HANDLE_VALUE) {
    const DWORD number = ::GetLastError();
    const DWORD attributes = ::GetFileAttributesA(path.c_str());
    if (number == ERROR_ACCESS_DENIED && attributes != INVALID_FILE_ATTRIBUTES &&
        (attributes & FILE_ATTRIBUTE_DIRECTORY))
      return fail(Code::invalid_arg, "opening {}: it is a directory; name a file", path);
    return fail(windows_error(number, "opening " + path));
  }
  return handle;
}

// Where a read or write of one handle by many threads begins: the system takes it with the call.
OVERLAPPED at(uint64_t offset) {
  OVERLAPPED where{};
  where.Offset = DWORD(offset);
  where.OffsetHigh = DWORD(offset >> 32);
  return where;
}

}  // namespace

File::File(File&& other) noexcept
    : native_(std::exchange(other.native_, -1)), path_(std::move(other.path_)) {}
File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    (void)close();
    native_ = std::exchange(other.native_, -1);
    path_ = std::move(other.path_);
  }
  return *this;
}
File::~File() { (void)close(); }

Result<File> File::open(std::string path, OpenFlags flags) {
  if (path.find('\0') != std::string::npos)
    return fail(Code::invalid_arg, "opening {}: the path holds a zero byte, which no file name can",
                path.c_str());
  auto handle = open_native(path, flags, 0);
  if (!handle) return fail(std::move(handle).error());
  return File(static_cast<int>(reinterpret_cast<intptr_t>(*handle)), std::move(path));
}

Result<File> File::unnamed(const std::string& directory) {
  std::random_device random;
  const std::string path = fmt::format("{}/gpuio-{:08x}{:08x}", directory, random(), random());
  auto handle = open_native(
      path, OpenFlags::read | OpenFlags::write | OpenFlags::create | OpenFlags::exclusive, DELETE);
  if (!handle) return fail(std::move(handle).error().wrap("creating an unnamed file in " + directory));
  return File(static_cast<int>(reinterpret_cast<intptr_t>(*handle)), directory + "/(unnamed)");
}

Result<size_t> File::read_at(std::span<std::byte> into, uint64_t offset) const {
  if (auto status = check_range("reading", path_, offset, into.size()); !status)
    return fail(std::move(status));
  size_t done = 0;
  while (done < into.size()) {
    OVERLAPPED where = at(offset + done);
    DWORD moved = 0;
    if (!::ReadFile(handle_of(native_), into.data() + done, DWORD(std::min(into.size() - done, kMoveMax)),
                    &moved, &where)) {
      const DWORD number = ::GetLastError();
      if (number == ERROR_HANDLE_EOF) break;
      return fail(
          windows_error(number, fmt::format("reading {} bytes at {} of {}", into.size(), offset, path_)));
    }
    if (moved == 0) break;
    done += moved;
  }
  return done;
}

Status File::write_at(std::span<const std::byte> from, uint64_t offset) const {
  if (auto status = check_range("writing", path_, offset, from.size()); !status) return status;
  for (size_t done = 0; done < from.size();) {
    OVERLAPPED where = at(offset + done);
    DWORD moved = 0;
    if (!::WriteFile(handle_of(native_), from.data() + done, DWORD(std::min(from.size() - done, kMoveMax)),
                     &moved, &where))
      return windows_error(::GetLastError(),
                           fmt::format("writing {} bytes at {} of {}", from.size(), offset, path_));
    done += moved;
  }
  return {};
}

Result<FileInfo> File::info() const {
  LARGE_INTEGER size{};
  if (!::GetFileSizeEx(handle_of(native_), &size))
    return fail(windows_error(::GetLastError(), "examining " + path_));
  FileInfo info;
  info.size_bytes = static_cast<uint64_t>(size.QuadPart);
  info.block_bytes = kUsualDirectAlign;
  info.direct_memory_align = info.direct_offset_align = kUsualDirectAlign;
  return info;
}

Status File::resize(uint64_t size_bytes) const {
  if (auto status = check_range("resizing", path_, size_bytes, 0); !status) return status;
  FILE_END_OF_FILE_INFO end{};
  end.EndOfFile.QuadPart = static_cast<LONGLONG>(size_bytes);
  if (::SetFileInformationByHandle(handle_of(native_), FileEndOfFileInfo, &end, sizeof end)) return {};
  return windows_error(::GetLastError(), fmt::format("resizing {} to {} bytes", path_, size_bytes));
}

Status File::allocate(uint64_t offset, uint64_t size_bytes) const {
  if (size_bytes == 0) return {};
  if (auto status = check_range("allocating in", path_, offset, size_bytes); !status) return status;
  auto known = info();
  if (!known) return std::move(known).error();
  // NTFS takes the space when the file grows.
  return known->size_bytes >= offset + size_bytes ? Status() : resize(offset + size_bytes);
}

Status File::sync() const {
  return ::FlushFileBuffers(handle_of(native_))
             ? Status()
             : windows_error(::GetLastError(), "making " + path_ + " durable");
}

Status File::close() {
  const int native = std::exchange(native_, -1);
  if (native < 0 || ::CloseHandle(handle_of(native))) return {};
  return windows_error(::GetLastError(), "closing " + path_);
}

Status remove_file(const std::string& path) {
  return ::DeleteFileA(path.c_str()) ? Status() : windows_error(::GetLastError(), "removing " + path);
}

Result<TemporaryDirectory> TemporaryDirectory::create(const std::string& parent) {
  std::string folder = parent;
  if (folder.empty()) {
    char path[MAX_PATH + 1] = "";
    folder = std::string(path, ::GetTempPathA(sizeof path, path));
  }
  std::random_device random;
  std::string path = fmt::format("{}/gpuio-{:08x}{:08x}", folder, random(), random());
  if (!::CreateDirectoryA(path.c_str(), nullptr))
    return fail(windows_error(::GetLastError(), "creating a temporary directory as " + path));
  return TemporaryDirectory(std::move(path));
}
}  // namespace gpuio
