#include "base/disk_cache.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>

#include "base/log.hpp"
#include "base/platform/file.hpp"
#include "base/platform/folder.hpp"

namespace gpuio {
namespace {

constexpr std::uint64_t kMagic = 0x3145'4843'4143'5047;  // "GPCACHE1"
constexpr std::string_view kEnding = ".bin", kTemporary = ".tmp";
constexpr std::int64_t kAbandonedNs = std::int64_t{3600} * 1'000'000'000;  // a temporary file of who crashed
constexpr std::uint64_t kFileBytesMax = std::uint64_t{1} << 30;

// Native byte order: the folder is one machine's. The key follows, then the value.
struct Header {
  std::uint64_t magic = kMagic, key_bytes = 0, value_bytes = 0, checksum = 0;
};
static_assert(sizeof(Header) == 32);

// Finds damage and spreads names; no protection against who wants to be found equal.
std::uint64_t mix(std::uint64_t state, std::uint64_t word) {
  state = (state ^ word) * 0x9E3779B97F4A7C15u;
  return state ^ state >> 29;
}
std::uint64_t hash(std::span<const std::byte> bytes, std::uint64_t state) {
  state = mix(state, bytes.size());
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + at, 8);
    state = mix(state, word);
  }
  std::uint64_t last = 0;
  if (at < bytes.size()) std::memcpy(&last, bytes.data() + at, bytes.size() - at);
  return mix(mix(state, last), 0);
}
std::uint64_t checksum(std::span<const std::byte> key, std::span<const std::byte> value) {
  return hash(value, hash(key, kMagic));
}

enum class Reading { fine, other_key, damaged };
// Takes the value out of a whole file, in place.
Reading take(std::vector<std::byte>& file, std::span<const std::byte> key) {
  Header header;
  if (file.size() < sizeof header) return Reading::damaged;
  std::memcpy(&header, file.data(), sizeof header);
  const std::uint64_t left = file.size() - sizeof header;
  if (header.magic != kMagic || header.key_bytes > left || header.value_bytes != left - header.key_bytes)
    return Reading::damaged;
  const std::span rest = std::span(file).subspan(sizeof header);
  const std::span its_key = rest.first(header.key_bytes), value = rest.subspan(header.key_bytes);
  if (checksum(its_key, value) != header.checksum) return Reading::damaged;
  if (!std::ranges::equal(its_key, key)) return Reading::other_key;
  file.erase(file.begin(), file.end() - static_cast<std::ptrdiff_t>(value.size()));
  return Reading::fine;
}

// A name that no other process or thread takes: should it be there, it is not written over.
std::string temporary_name() {
  static std::atomic<std::uint64_t> count{0};
  thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("{:016x}-{}{}", random(), count.fetch_add(1), kTemporary);
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

std::string DiskCache::path_of(std::string_view key) const {
  const auto bytes = std::as_bytes(std::span(key));
  return fmt::format("{}/{:016x}{:016x}{}", options_.folder, hash(bytes, 1), hash(bytes, 2), kEnding);
}

// What others may have written is not handed to a driver.
bool DiskCache::trusted() {
  std::call_once(looked_, [&] {
    if (options_.folder.empty() || options_.bytes_max == 0) return;
    Status s = make_private_folder(options_.folder);
    trusted_ = s.ok();
    if (!s.ok()) stop_keeping(s);
  });
  return trusted_;
}

std::optional<std::vector<std::byte>> DiskCache::get(std::string_view key) {
  const auto missed = [&] {
    misses_.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  };
  if (!trusted()) return missed();
  const std::string path = path_of(key);
  auto file = File::open(path, OpenFlags::read);
  if (!file) return missed();
  auto info = file->info();
  std::vector<std::byte> bytes(info && info->size_bytes <= kFileBytesMax ? info->size_bytes : 0);
  auto got = file->read_at(bytes, 0);
  bytes.resize(got ? *got : 0);
  const Reading reading = take(bytes, std::as_bytes(std::span(key)));
  if (reading == Reading::damaged) {
    damaged_.fetch_add(1, std::memory_order_relaxed);
    log(LogLevel::info, "kernel cache: {} is damaged; it is removed and made again", path);
    (void)remove_file(path);
  }
  if (reading != Reading::fine) return missed();
  (void)touch_file(path);  // who may only read it evicts nothing either
  hits_.fetch_add(1, std::memory_order_relaxed);
  return bytes;
}

void DiskCache::put(std::string_view key, std::span<const std::byte> value) {
  const auto key_bytes = std::as_bytes(std::span(key));
  const std::uint64_t size = sizeof(Header) + key_bytes.size() + value.size();
  if (!trusted() || size > options_.bytes_max || size > kFileBytesMax ||
      stopped_.load(std::memory_order_relaxed))
    return;
  const Header header{
      .key_bytes = key_bytes.size(), .value_bytes = value.size(), .checksum = checksum(key_bytes, value)};
  std::vector<std::byte> file(size);
  std::memcpy(file.data(), &header, sizeof header);
  std::ranges::copy(key_bytes, file.begin() + sizeof header);
  std::ranges::copy(value, file.end() - static_cast<std::ptrdiff_t>(value.size()));
  std::scoped_lock hold(keeping_);
  if (stopped_.load(std::memory_order_relaxed)) return;
  Status s = write(path_of(key), file);
  since_ += size;
  list_ = list_ || since_ > options_.bytes_max / 16 || listed_ + since_ > options_.bytes_max;
  if (s.ok() && list_) s = evict();
  if (!s.ok()) return stop_keeping(s);
  kept_.fetch_add(1, std::memory_order_relaxed);
}

Status DiskCache::write(const std::string& path, std::span<const std::byte> file) {
  const std::string temporary = options_.folder + "/" + temporary_name();
  auto out = File::open(temporary, OpenFlags::write | OpenFlags::create | OpenFlags::exclusive);
  if (!out) return std::move(out).error();
  Status s = out->write_at(file, 0);
  if (Status closed = out->close(); s.ok()) s = std::move(closed);
  if (s.ok()) s = replace_file(temporary, path);
  if (!s.ok()) (void)remove_file(temporary);
  return s;
}

// What another process removes or adds meanwhile makes no difference that the next put does not mend.
Status DiskCache::evict() {
  auto files = list_folder(options_.folder);
  if (!files) return std::move(files).error();
  std::uint64_t bytes = 0;
  std::erase_if(*files, [&](const FolderFile& f) {
    if (f.name.ends_with(kTemporary) && now_ns() - f.modified_ns > kAbandonedNs)
      (void)remove_file(options_.folder + "/" + f.name);
    const bool ours = f.name.ends_with(kEnding);
    if (ours) bytes += f.size_bytes;
    return !ours;
  });
  std::ranges::sort(*files, {}, [](const FolderFile& f) { return std::pair(f.modified_ns, f.name); });
  for (const FolderFile& f : *files) {
    if (bytes <= options_.bytes_max) break;
    bytes -= f.size_bytes;
    if (remove_file(options_.folder + "/" + f.name).ok()) evicted_.fetch_add(1, std::memory_order_relaxed);
  }
  listed_ = bytes;
  since_ = 0;
  list_ = false;
  return {};
}

void DiskCache::stop_keeping(const Status& why) {
  if (stopped_.exchange(true, std::memory_order_relaxed)) return;
  log(LogLevel::warn, "kernel cache: {}; from now on nothing is kept (kernel_cache.folder names another)",
      why.message());
}

DiskCache::Counters DiskCache::counters() const {
  const auto of = [](const auto& c) { return c.load(std::memory_order_relaxed); };
  return {of(hits_), of(misses_), of(damaged_), of(kept_), of(evicted_)};
}

std::string default_cache_folder(const std::vector<ConfigSetting>& environment) {
  const auto value = [&](std::string_view name) -> std::string_view {
    const auto found = std::ranges::find(environment, name, &ConfigSetting::first);
    return found != environment.end() && found->second.starts_with('/') ? std::string_view(found->second)
                                                                        : "";
  };
  if (const auto xdg = value("XDG_CACHE_HOME"); !xdg.empty()) return std::string(xdg) + "/gpuio";
  if (const auto home = value("HOME"); !home.empty()) return std::string(home) + "/.cache/gpuio";
  return "";
}

}  // namespace gpuio
