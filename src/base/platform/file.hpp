// Files and block devices: open, whole reads and writes at an offset, size, alignment, space, removal.
//
// Threading: a File may be read and written from many threads at once (there is no file position); moving or
// closing it is for one. Lifetime: move-only, closed on destruction. Every call may block on the disk.
// Errors name the operation, the path and the system's error, with a remedy.
//
//   auto file = File::open("/data/a.bin", OpenFlags::read);
//   auto got = file->read_at(buffer, 4096);  // all of buffer, fewer bytes only at the end of the file
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.hpp"

namespace gpuio {

// The values of GPUIO_OPEN_*, then ours.
enum class OpenFlags : unsigned {
  none = 0,
  read = 1,
  write = 2,
  create = 4,     // make it if it is missing; needs write
  truncate = 8,   // empty it; needs write
  direct = 16,    // past the page cache; the caller keeps the alignment that info() states
  exclusive = 32  // with create: refuse one that exists
};
constexpr OpenFlags operator|(OpenFlags a, OpenFlags b) {
  return static_cast<OpenFlags>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(OpenFlags set, OpenFlags flag) {
  return (static_cast<unsigned>(set) & static_cast<unsigned>(flag)) != 0;
}

struct FileInfo {
  uint64_t size_bytes = 0;   // of a block device, its capacity
  uint32_t block_bytes = 0;  // what the file system prefers to move at once
  bool block_device = false;
  bool direct_known = false;  // the system told what follows; otherwise it is the usual answer, to be tried
  uint32_t direct_memory_align = 0;  // of a buffer for direct IO; 0: direct IO is not possible
  uint32_t direct_offset_align = 0;  // of its offset and length; 0: direct IO is not possible
};

class File {
 public:
  File() = default;
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  static Result<File> open(std::string path, OpenFlags flags);
  // A readable and writable file in `directory` that has no name and vanishes when it is closed.
  static Result<File> unnamed(const std::string& directory);

  bool is_open() const { return native_ >= 0; }
  // What the system calls it, for interfaces that take one (io_uring); still owned by the File.
  int native() const { return native_; }
  const std::string& path() const { return path_; }

  // Bytes read: all of `into`, or fewer where the file ends.
  Result<size_t> read_at(std::span<std::byte> into, uint64_t offset) const;
  // All of `from`, or an error; after an error any part of the range may have been written.
  Status write_at(std::span<const std::byte> from, uint64_t offset) const;

  Result<FileInfo> info() const;
  Status resize(uint64_t size_bytes) const;
  // Takes disk space for the range now, growing the file; `unsupported` where the file system cannot.
  Status allocate(uint64_t offset, uint64_t size_bytes) const;
  // Returns when what was written will outlive a power failure.
  Status sync() const;
  // Closes and reports what destruction would swallow: some file systems report failed writes only here.
  Status close();

 private:
  File(int native, std::string path) : native_(native), path_(std::move(path)) {}
  int native_ = -1;
  std::string path_;
};

Status remove_file(const std::string& path);

// A new directory with an unpredictable name, removed with all it holds on destruction.
class TemporaryDirectory {
 public:
  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory();

  // In `parent`, or where the system keeps temporary files (TMPDIR).
  static Result<TemporaryDirectory> create(const std::string& parent = {});

  const std::string& path() const { return path_; }
  // The path of `name` inside.
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace gpuio
