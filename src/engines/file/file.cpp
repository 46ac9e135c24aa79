#include "engines/file/file.hpp"

#include <liburing.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/platform/memory.hpp"
#include "base/platform/system_error.hpp"
#include "base/uri.hpp"
#include "engines/file/open_file.hpp"
#include "io/regions.hpp"

namespace gpuio::io {
namespace {

constexpr std::uint32_t kDepthMax = 4096;

// Why this process gets no ring; empty when it does.
std::string ring_refusal() {
  io_uring ring;
  const int r = io_uring_queue_init(2, &ring, 0);
  if (r == 0) {
    io_uring_queue_exit(&ring);
    return {};
  }
  const char* remedy =
      r == -EPERM    ? "; allow it in the container's seccomp profile or set kernel.io_uring_disabled to 0"
      : r == -ENOSYS ? "; Linux 5.1 or later has it"
                     : "";
  return system_error(-r, "io_uring").message() + remedy;
}

gpuio::OpenFlags native_flags(std::uint32_t flags) {
  auto native = gpuio::OpenFlags::none;
  if (flags & kRead) native = native | gpuio::OpenFlags::read;
  if (flags & kWrite) native = native | gpuio::OpenFlags::write;
  if (flags & kCreate) native = native | gpuio::OpenFlags::create;
  if (flags & kTruncate) native = native | gpuio::OpenFlags::truncate;
  return native;
}

// Reading and writing at an offset needs a file or a block device; opening a pipe would even wait for its
// other end.
Status check_type(const std::string& path) {
  std::error_code failed;
  const auto type = std::filesystem::status(path, failed).type();
  using std::filesystem::file_type;
  if (type == file_type::directory)
    return error(Code::invalid_arg, "opening {}: it is a directory; name a file in it", path);
  if (type == file_type::fifo || type == file_type::socket || type == file_type::character)
    return error(Code::invalid_arg,
                 "opening {}: a pipe, socket or character device has no offsets; copy it into a file", path);
  return {};
}

std::uint64_t direct_threshold(const FileOptions& options) {
  if (options.direct_above_bytes) return options.direct_above_bytes;
  const auto available = available_memory_bytes();
  return available ? *available / 2 : ~std::uint64_t{0};
}

// Adds the descriptor that goes past the page cache, or says why there is none.
void open_direct(OpenFile& file, const FileInfo& info, std::uint32_t flags, const FileOptions& options) {
  const bool asked = flags & kDirect;
  if (!asked && !(flags & kRead && info.size_bytes > direct_threshold(options))) return;
  if (!options.direct || info.direct_offset_align == 0) {
    if (asked) file.reason = "this file system has no direct IO";
    return;
  }
  auto opened =
      File::open(file.cached.path(), native_flags(flags & (kRead | kWrite)) | gpuio::OpenFlags::direct);
  if (!opened) {
    if (asked) file.reason = opened.error().message();
    return;
  }
  file.direct = std::move(*opened);
  file.memory_align = std::max(1u, info.direct_memory_align);
  file.offset_align = std::max(static_cast<std::uint32_t>(page_bytes()), info.direct_offset_align);
  file.asked_direct = asked;
  file.read_direct_when_cold = !asked;
}

class FileEngine final : public Engine {
 public:
  explicit FileEngine(const FileOptions& options) : shared_(std::make_shared<FileShared>()) {
    shared_->options = options;
    shared_->no_ring = options.uring ? ring_refusal() : "io_uring was turned off";
  }

  std::string_view name() const override { return "file"; }

  Result<std::unique_ptr<Target>> open(const Uri& uri, std::uint32_t flags) override {
    // Where memory and devices are near is for those who place buffers: those names mean nothing here.
    if (auto status = uri.check_parameters({"direct", "numa", "device", "gds"}); !status)
      return fail(std::move(status));
    const auto direct = uri.bool_parameter("direct", flags & kDirect);
    if (!direct) return fail(direct.error());
    if (!uri.host.empty())
      return fail(Code::unsupported,
                  "opening {}: drives are not found by identity; give a path (local:///dev/nvme0n1)",
                  uri.to_string());
    auto file = open_file(*shared_, uri.path, *direct ? flags | kDirect : flags & ~std::uint32_t(kDirect));
    if (!file) return fail(std::move(file).error());
    return std::make_unique<FileTarget>(shared_, std::move(*file));
  }

  Result<std::unique_ptr<Queue>> queue(std::uint32_t depth) override {
    if (depth == 0 || depth > kDepthMax)
      return fail(Code::invalid_arg, "a file queue of depth {}: give 1 to {}", depth, kDepthMax);
    return shared_->no_ring.empty() ? make_uring_queue(shared_, depth) : make_thread_queue(shared_, depth);
  }

 private:
  std::shared_ptr<FileShared> shared_;
};

}  // namespace

Result<std::shared_ptr<OpenFile>> open_file(FileShared& shared, const std::string& path,
                                            std::uint32_t flags) {
  if (auto status = check_type(path); !status) return fail(std::move(status));
  auto cached = File::open(path, native_flags(flags));
  if (!cached) return fail(std::move(cached).error());
  auto file = std::make_shared<OpenFile>();
  file->id = shared.next_id.fetch_add(1, std::memory_order_relaxed);
  file->cached = std::move(*cached);
  const auto info = file->cached.info();
  if (!info) return fail(info.error());
  file->block = std::max(1u, info->block_bytes);
  file->caps = std::uint32_t(Cap::durable);
  if (flags & kRead) file->caps |= std::uint32_t(Cap::read);
  if (flags & kWrite)
    file->caps |= std::uint32_t(Cap::write) | (info->block_device ? 0 : std::uint32_t(Cap::resize));
  open_direct(*file, *info, flags, shared.options);
  if (file->asked_direct) file->caps |= std::uint32_t(Cap::direct);
  if (shared.no_ring.empty()) file->caps |= shared.options.registered ? std::uint32_t(Cap::zero_copy) : 0;
  else file->caps |= std::uint32_t(Cap::threads);
  return file;
}

FileTarget::~FileTarget() {
  file_.reset();
  shared_->closed.fetch_add(1, std::memory_order_release);  // pairs with UringQueue::forget_closed_files
}

Result<TargetInfo> FileTarget::info() const {
  const auto now = file_->cached.info();
  if (!now) return fail(now.error());
  TargetInfo info;
  info.engine = "file";
  info.path = file_->cached.path();
  info.size = now->size_bytes;
  info.block = file_->block;
  info.caps = file_->caps;
  info.alignment = file_->asked_direct ? file_->offset_align : 1;
  const bool ring = shared_->no_ring.empty();
  info.route =
      ring ? "io_uring" : fmt::format("{} threads with plain reads and writes", shared_->options.workers);
  info.reason = shared_->no_ring;
  if (file_->asked_direct && file_->use_direct()) {
    info.route += ", O_DIRECT for what is aligned";
  } else if (file_->read_direct_when_cold && file_->use_direct()) {
    info.route += ", plain reads of cached pages, O_DIRECT for the rest: too large to be cached";
  } else {
    info.route +=
        ring && shared_->options.page_cache ? ", plain reads of cached pages" : ", through the page cache";
    std::string why = file_->reason;
    if (file_->direct_refused.load(std::memory_order_relaxed))
      why = "the file system refused a direct request";
    if (!why.empty()) info.reason += (info.reason.empty() ? "" : "; ") + why;
  }
  return info;
}

// What the page cache has.
std::uint64_t FileTarget::read_at_hand(std::uint64_t offset, std::span<std::byte> to) const {
  if (!shared_->options.page_cache || file_->asked_direct || !has(file_->caps, Cap::read)) return 0;
  if (offset > kOffsetMax || to.size() > kOffsetMax - offset) return 0;
  std::uint64_t done = 0;
  if (file_->worth_looking())
    while (done < to.size()) {
      const iovec rest = {to.data() + done, to.size() - done};
      const auto moved = file_->read_resident(&rest, 1, offset + done);
      if (moved <= 0) break;
      done += static_cast<std::uint64_t>(moved);
    }
  if (done == to.size()) file_->found();
  else file_->missed();
  return done;
}

Result<std::unique_ptr<Engine>> make_file_engine(const FileOptions& options) {
  return std::make_unique<FileEngine>(options);
}

}  // namespace gpuio::io
