// The io_uring queue. One io_uring_enter a submit call, or a few operations that go to a drive; poll makes
// none while completions are there.

#include <liburing.h>
#include <sys/uio.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <vector>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/platform/memory.hpp"
#include "base/platform/system_error.hpp"
#include "engines/file/transfer.hpp"
#include "io/op_list.hpp"
#include "io/regions.hpp"

namespace gpuio::io {
namespace {

constexpr std::uint64_t kCancelTag =
    ~std::uint64_t{0};  // user_data of completions that belong to no operation
constexpr std::uint64_t kSlotBits = 16, kSlotMask = (1u << kSlotBits) - 1;
constexpr std::uint32_t kFileSlots = 64;       // registered descriptors: two a file, direct-mapped by id
constexpr std::uint64_t kPinMax = 1ull << 30;  // the kernel registers no larger piece of memory

// So many operations at once go to the ring, which copies what is resident too: one system call for all of
// them costs less than one for each.
constexpr std::size_t kBatch = 8;

// Writes of whole pages into the page cache are copies too, as long as the system does not hold writers back.
// One that took longer than kSlowWriteNs sends the next ones to the ring, where waiting costs nobody
// anything.
constexpr std::uint64_t kCopyWriteMax = 64 << 10, kSlowWriteNs = 500'000;
constexpr std::uint32_t kWritesToRing = 4096;
// So many operations ring a drive's bell: it begins while those behind them are made ready. At 32 of 4 KiB on
// a virtual drive that gains a sixth of the reads; one at a time gains no more and costs twice the calls.
constexpr std::uint32_t kToDrive = 4;

class UringQueue final : public Queue {
 public:
  UringQueue(std::shared_ptr<FileShared> shared, std::uint32_t depth)
      : shared_(std::move(shared)), options_(shared_->options), depth_(depth), slots_(depth), uses_(depth) {
    free_.reserve(depth);
    for (std::uint32_t i = depth; i-- > 0;) free_.push_back(i);
  }

  Status start();
  ~UringQueue() override;

  std::uint32_t depth() const override { return depth_; }
  std::uint32_t submit(std::span<Op* const> ops) override;
  std::uint32_t poll(std::span<Op*> done) override;
  Status wait(std::uint64_t timeout_ns) override;
  void cancel(Op& op) override;
  Result<std::uint32_t> enroll(std::span<std::byte> memory) override;
  Status withdraw(std::uint32_t region) override;

 private:
  struct FileSlot {
    std::uint64_t id = 0;  // of the OpenFile; 0: free
    std::weak_ptr<OpenFile> file;
    bool fixed[2] = {};  // whether the cached and the direct descriptor are registered
  };

  std::uint64_t tag(std::uint32_t slot) const { return uses_[slot] << kSlotBits | slot; }
  void accept(Op& op, bool in_batch);
  bool copy_resident(Transfer& t);
  bool copy_write(Transfer& t);
  void push(std::uint32_t slot);
  void finish(Op& op, Code code, int system_error);
  void retire(std::uint32_t slot);
  void on_completion(const io_uring_cqe& cqe);
  void flush_ring();
  int fixed_file(const std::shared_ptr<OpenFile>& file, bool direct);
  void forget_closed_files();

  std::shared_ptr<FileShared> shared_;
  const FileOptions options_;
  const std::uint32_t depth_;
  io_uring ring_ = {};
  bool ring_open_ = false, files_registered_ = false, memory_registered_ = false;
  std::vector<Transfer> slots_;  // `op` is null where free
  std::vector<std::uint64_t>
      uses_;  // of each slot: a late cancellation must not hit the slot's next operation
  std::vector<std::uint32_t> free_;
  std::vector<bool> pinned_ =
      std::vector<bool>(Regions::kMax);  // regions that the ring knows, under the same number
  Regions regions_;
  OpList ready_;
  std::uint32_t held_ = 0;      // taken, not yet delivered
  std::uint32_t in_ring_ = 0;   // slots whose request the ring has or will get
  std::uint32_t unpushed_ = 0;  // requests written to the ring but not yet shown to the kernel
  std::uint64_t closed_seen_ = 0;
  bool forget_ = false;  // an operation was the last to hold its file
  std::array<FileSlot, kFileSlots / 2> files_;
};

Status UringQueue::start() {
  // Twice the depth: an operation has at most one request and one cancellation in the ring.
  const auto entries = std::bit_ceil(2 * depth_);
  io_uring_params params = {};
  // No interruption when something completes: poll sees a flag and asks. Kernels before 5.19 do not know
  // these.
  params.flags = IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  int r = io_uring_queue_init_params(entries, &ring_, &params);
  if (r == -EINVAL) {
    params = {};
    params.flags = IORING_SETUP_CLAMP;
    r = io_uring_queue_init_params(entries, &ring_, &params);
  }
  if (r < 0) return system_error(-r, fmt::format("setting up io_uring with {} entries", entries));
  ring_open_ = true;
  if (!options_.registered) return {};
  files_registered_ = io_uring_register_files_sparse(&ring_, kFileSlots) == 0;
  memory_registered_ = io_uring_register_buffers_sparse(&ring_, Regions::kMax) == 0;
  return {};
}

UringQueue::~UringQueue() {
  if (!ring_open_) return;
  for (Transfer& t : slots_)
    if (t.op) cancel(*t.op);
  // Leaving earlier would let the device write into memory that is no longer ours, so this waits as long as
  // the kernel takes; it tells every ten seconds.
  for (int waited = 0; in_ring_;) {
    flush_ring();
    io_uring_cqe* cqe = nullptr;
    __kernel_timespec second = {1, 0};
    const int r = io_uring_wait_cqe_timeout(&ring_, &cqe, &second);
    if (r == 0) {
      on_completion(*cqe);
      io_uring_cqe_seen(&ring_, cqe);
    } else if (r == -ETIME && ++waited % 10 == 0) {
      log(LogLevel::warn, "closing a file queue: {} requests have not ended after {} s", in_ring_, waited);
    }
  }
  io_uring_queue_exit(&ring_);
}

std::uint32_t UringQueue::submit(std::span<Op* const> ops) {
  forget_closed_files();
  std::uint32_t taken = 0;
  for (; taken < ops.size() && held_ < depth_; ++taken, ++held_) accept(*ops[taken], ops.size() >= kBatch);
  flush_ring();
  return taken;
}

void UringQueue::accept(Op& op, bool in_batch) {
  op.scratch = {};
  op.code = Code::ok;
  op.system_error = 0;
  op.bytes = 0;
  const FileTarget* target = file_target(op.target);
  const Code refused = target ? check(op, target->file()->caps, regions_) : Code::invalid_arg;
  if (refused != Code::ok) return finish(op, refused, 0);
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  Transfer& t = slots_[slot];
  t.begin(op, target->file());
  op.scratch.word[0] = slot;
  regions_.hold(op);
  if (op.kind != OpKind::flush) {
    // Reads of a file too large for memory are tried here always: what is missing goes past the cache.
    const bool together = in_batch && !t.file->read_direct_when_cold;
    if (op.kind == OpKind::read && !t.bypass_cache && !together && copy_resident(t)) return retire(slot);
    if (op.kind == OpKind::write && !t.bypass_cache && copy_write(t)) return retire(slot);
    if (!t.plan()) return retire(slot);
  }
  push(slot);
}

// Copies what the page cache holds, without sleeping; true when that ended the operation.
bool UringQueue::copy_resident(Transfer& t) {
  OpenFile& file = *t.file;
  if (options_.page_cache && file.worth_looking()) {
    while (t.plan()) {
      const auto moved = file.read_resident(t.vectors.data(), static_cast<int>(t.vector_count), t.position());
      if (moved < 0) break;
      file.found();
      if (t.settle(moved)) return true;
    }
    if (t.done == t.total) return true;
  }
  file.missed();
  // Nothing here or no way to know: a file too large to be kept in memory is read past the cache.
  t.bypass_cache = file.read_direct_when_cold;
  return false;
}

// Copies whole pages into the page cache; true when that ended the operation. The ring would hand each to a
// kernel thread, for file systems that know no RWF_NOWAIT for writes (ext4): a third of the speed.
bool UringQueue::copy_write(Transfer& t) {
  OpenFile& file = *t.file;
  if (!options_.page_cache || t.total > kCopyWriteMax || (t.op->offset | t.total) % page_bytes())
    return false;
  if (const auto left = file.writes_to_ring.load(std::memory_order_relaxed)) {
    file.writes_to_ring.store(left - 1, std::memory_order_relaxed);
    return false;
  }
  const std::uint64_t start = SteadyClock().now_ns();
  bool ended = false;
  while (!ended && t.plan()) {
    const auto moved = ::pwritev(t.fd(), t.vectors.data(), static_cast<int>(t.vector_count),
                                 static_cast<off_t>(t.position()));
    ended = t.settle(moved < 0 ? -errno : moved);
  }
  if (SteadyClock().now_ns() - start > kSlowWriteNs)
    file.writes_to_ring.store(kWritesToRing, std::memory_order_relaxed);
  return true;
}

// Writes the planned piece, or the flush, into the ring. There is always room: see start().
void UringQueue::push(std::uint32_t slot) {
  Transfer& t = slots_[slot];
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (!sqe) {
    flush_ring();
    sqe = io_uring_get_sqe(&ring_);
  }
  if (!sqe) {  // the kernel takes nothing: it has no memory for more requests now
    finish(*t.op, Code::busy, EAGAIN);
    return retire(slot);
  }
  const bool direct = t.op->kind != OpKind::flush && t.direct;
  const int fixed = fixed_file(t.file, direct);
  const int fd = fixed >= 0 ? fixed : (direct ? t.file->direct : t.file->cached).native();
  if (t.op->kind == OpKind::flush) {
    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
  } else {
    const bool read = t.op->kind == OpKind::read;
    const std::uint32_t region = t.region();
    if (t.vector_count > 1) {
      if (read) io_uring_prep_readv(sqe, fd, t.vectors.data(), t.vector_count, t.position());
      else io_uring_prep_writev(sqe, fd, t.vectors.data(), t.vector_count, t.position());
    } else if (region != kUnregistered && pinned_[region]) {
      auto [memory, length] = t.vectors[0];
      if (read)
        io_uring_prep_read_fixed(sqe, fd, memory, static_cast<unsigned>(length), t.position(),
                                 static_cast<int>(region));
      else
        io_uring_prep_write_fixed(sqe, fd, memory, static_cast<unsigned>(length), t.position(),
                                  static_cast<int>(region));
    } else {
      auto [memory, length] = t.vectors[0];
      if (read) io_uring_prep_read(sqe, fd, memory, static_cast<unsigned>(length), t.position());
      else io_uring_prep_write(sqe, fd, memory, static_cast<unsigned>(length), t.position());
    }
  }
  if (fixed >= 0) io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
  io_uring_sqe_set_data64(sqe, tag(slot));
  ++in_ring_;
  if (++unpushed_ >= kToDrive && direct) flush_ring();
}

void UringQueue::finish(Op& op, Code code, int system_error) {
  op.code = code;
  op.system_error = system_error;
  ready_.push(op);
}

// The transfer has set the operation's outcome: it only waits for poll now.
void UringQueue::retire(std::uint32_t slot) {
  Transfer& t = slots_[slot];
  regions_.release(*t.op);
  ready_.push(*t.op);
  ++uses_[slot];
  if (t.file.use_count() == 1) forget_ = true;
  t.op = nullptr;
  t.file.reset();
  free_.push_back(slot);
}

void UringQueue::flush_ring() {
  if (unpushed_ == 0) return;
  int r;
  do r = io_uring_submit(&ring_);
  while (r == -EINTR);
  // On EAGAIN and EBUSY what is left stays in the ring, and the next poll shows it again.
  if (r >= 0) unpushed_ = io_uring_sq_ready(&ring_);
}

void UringQueue::on_completion(const io_uring_cqe& cqe) {
  if (cqe.user_data == kCancelTag) return;
  const auto slot = static_cast<std::uint32_t>(cqe.user_data & kSlotMask);
  Transfer& t = slots_[slot];
  --in_ring_;
  if (t.op->kind == OpKind::flush) {
    if (cqe.res == -EINTR && !t.canceled) return push(slot);
    t.op->system_error = cqe.res < 0 ? -cqe.res : 0;
    t.op->code = cqe.res < 0 ? system_error_code(-cqe.res) : Code::ok;
    return retire(slot);
  }
  if (t.settle(cqe.res) || !t.plan()) return retire(slot);
  push(slot);
}

std::uint32_t UringQueue::poll(std::span<Op*> done) {
  if (in_ring_ && !done.empty()) {
    flush_ring();
    io_uring_cqe* cqes[64];
    for (;;) {
      const unsigned n = io_uring_peek_batch_cqe(&ring_, cqes, std::size(cqes));
      for (unsigned i = 0; i < n; ++i) on_completion(*cqes[i]);
      io_uring_cq_advance(&ring_, n);
      if (n < std::size(cqes)) break;
    }
    flush_ring();  // further pieces
  }
  const std::uint32_t n = ready_.take(done);
  held_ -= n;
  return n;
}

Status UringQueue::wait(std::uint64_t timeout_ns) {
  if (held_ == 0 || !ready_.empty()) return {};
  flush_ring();
  constexpr std::uint64_t kSecond = 1'000'000'000;
  // Capped far beyond any life of a process, so that the kernel's arithmetic cannot overflow.
  __kernel_timespec limit = {
      static_cast<std::int64_t>(std::min<std::uint64_t>(timeout_ns / kSecond, 1u << 30)),
      static_cast<long long>(timeout_ns % kSecond)};
  io_uring_cqe* cqe = nullptr;
  const int r = io_uring_wait_cqe_timeout(&ring_, &cqe, &limit);
  if (r == -ETIME) return Status(Code::timeout, "");
  if (r < 0 && r != -EINTR && r != -EAGAIN) return system_error(-r, "waiting for io_uring");
  return {};
}

void UringQueue::cancel(Op& op) {
  const auto slot = op.scratch.word[0];
  if (slot >= depth_ || slots_[slot].op != &op) return;
  Transfer& t = slots_[slot];
  if (t.canceled) return;
  t.canceled = true;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (!sqe) return;  // it still stops at the end of its piece
  io_uring_prep_cancel64(sqe, tag(static_cast<std::uint32_t>(slot)), 0);
  io_uring_sqe_set_data64(sqe, kCancelTag);
  ++unpushed_;
  flush_ring();
}

Result<std::uint32_t> UringQueue::enroll(std::span<std::byte> memory) {
  auto region = regions_.add(memory);
  if (!region) return region;
  if (memory_registered_ && memory.size() <= kPinMax) {
    const iovec vector = {memory.data(), memory.size()};
    // Refused mostly for the limit on locked memory: the region then works, only not as fast.
    const int r = io_uring_register_buffers_update_tag(&ring_, *region, &vector, nullptr, 1);
    pinned_[*region] = r == 1;
    if (r < 0)
      log(LogLevel::info, "pinning {} bytes for io_uring: {}; raise the limit on locked memory (ulimit -l)",
          memory.size(), system_error(-r, "refused").message());
  }
  return region;
}

Status UringQueue::withdraw(std::uint32_t region) {
  if (auto status = regions_.remove(region); !status) return status;
  if (pinned_[region]) {
    const iovec none = {};
    io_uring_register_buffers_update_tag(&ring_, region, &none, nullptr, 1);
    pinned_[region] = false;
  }
  return {};
}

// The registered index of a file's descriptor, registering it at first use; -1: use the plain descriptor.
int UringQueue::fixed_file(const std::shared_ptr<OpenFile>& file, bool direct) {
  if (!files_registered_) return -1;
  const auto place = static_cast<std::uint32_t>(file->id % files_.size());
  FileSlot& entry = files_[place];
  if (entry.id != file->id) {
    entry = {file->id, file, {}};
    int fds[2] = {file->cached.native(), file->direct.native()};
    if (io_uring_register_files_update(&ring_, place * 2, fds, 2) == 2) {
      entry.fixed[0] = true;
      entry.fixed[1] = file->direct.is_open();
    }
  }
  return entry.fixed[direct] ? static_cast<int>(place * 2 + direct) : -1;
}

// A registered descriptor keeps its file open: let go of those whose target was closed.
void UringQueue::forget_closed_files() {
  const std::uint64_t closed = shared_->closed.load(std::memory_order_acquire);  // pairs with ~FileTarget
  if (!files_registered_ || (closed == closed_seen_ && !forget_)) return;
  closed_seen_ = closed;
  forget_ = false;
  for (std::uint32_t i = 0; i < files_.size(); ++i) {
    if (files_[i].id == 0 || !files_[i].file.expired()) continue;
    int none[2] = {-1, -1};
    io_uring_register_files_update(&ring_, i * 2, none, 2);
    files_[i] = {};
  }
}

}  // namespace

Result<std::unique_ptr<Queue>> make_uring_queue(std::shared_ptr<FileShared> shared, std::uint32_t depth) {
  auto queue = std::make_unique<UringQueue>(std::move(shared), depth);
  if (auto status = queue->start(); !status) return fail(std::move(status));
  return queue;
}

}  // namespace gpuio::io
