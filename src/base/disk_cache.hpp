// DiskCache: what took time to make and can be made again (pipelines, texts of kernels), kept in a folder
// from one process to the next.
//
// A key says everything that the value depends on; it is kept whole and compared, so that two keys never
// share a value. Several processes may use one folder: a file appears whole or not at all, and carries a
// checksum. One that is torn, damaged or of another version counts as not there, and goes. When the files
// have more bytes than the limit, those that were not used for longest go; each process looks again when it
// has kept a sixteenth of the limit, which is by how much it may be exceeded.
//
// Nothing here fails: a folder that cannot be made, written or trusted is told in the log, once, and then
// nothing is kept, or only what is there is read. The folder is this user's alone, since drivers trust what
// they are given. Threading: any. Blocks on the disk, for a small file's time.
//
//   DiskCache cache({.folder = default_cache_folder(process_environment()), .bytes_max = 256 << 20});
//   auto value = cache.get(key);
//   if (!value) cache.put(key, value = make());
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.hpp"
#include "base/status.hpp"

namespace gpuio {

class DiskCache {
 public:
  struct Options {
    std::string folder;           // made when it is first used; empty: nothing is kept
    std::uint64_t bytes_max = 0;  // of all files; 0: nothing is kept
  };
  explicit DiskCache(Options options) : options_(std::move(options)) {}
  DiskCache(const DiskCache&) = delete;
  DiskCache& operator=(const DiskCache&) = delete;

  // The bytes that were kept under this key.
  std::optional<std::vector<std::byte>> get(std::string_view key);
  // Keeps them, in place of what was there. Not what alone is larger than the limit.
  void put(std::string_view key, std::span<const std::byte> value);

  struct Counters {
    std::uint64_t hits = 0, misses = 0;
    std::uint64_t damaged = 0;  // of the misses: files that were there, and went
    std::uint64_t kept = 0, evicted = 0;
  };
  Counters counters() const;
  const Options& options() const { return options_; }

 private:
  bool trusted();
  std::string path_of(std::string_view key) const;
  Status write(const std::string& path, std::span<const std::byte> file);
  Status evict();
  void stop_keeping(const Status& why);

  const Options options_;
  std::once_flag looked_;
  bool trusted_ = false;              // after looked_
  std::atomic<bool> stopped_{false};  // nothing is kept any more; relaxed: guards no data
  std::mutex keeping_;                // of this process; others are kept apart by names and renames
  // Under keeping_: bytes in the folder when it was last listed, and kept by us since.
  std::uint64_t listed_ = 0, since_ = 0;
  bool list_ = true;
  std::atomic<std::uint64_t> hits_{0}, misses_{0}, damaged_{0}, kept_{0}, evicted_{0};
};

// gpuio in XDG_CACHE_HOME, else in HOME/.cache; "" where neither is an absolute path.
std::string default_cache_folder(const std::vector<ConfigSetting>& environment);

}  // namespace gpuio
