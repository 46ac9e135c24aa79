#include "engines/memory/memory.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "base/platform/memory.hpp"
#include "base/uri.hpp"
#include "io/op_list.hpp"
#include "io/regions.hpp"

namespace gpuio::io {
namespace {

constexpr std::uint32_t kDepthMax = 65536;
constexpr std::uint64_t kLimitLeast = 64 << 20;
constexpr std::uint64_t kNoSize = ~std::uint64_t{0};

struct Block {
  std::string name;
  SharedMemory memory;  // as large as the limit; pages come when they are touched
  std::uint64_t limit = 0;
  std::atomic<std::uint64_t> size = 0;  // grows only; acquire and release, so that who sees it sees the bytes

  // Bytes of [offset, offset + length) that are or become part of it.
  std::uint64_t grow(std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t end = offset >= limit ? 0 : std::min(limit, offset + length);
    if (end <= offset) return 0;
    std::uint64_t now = size.load(std::memory_order_acquire);
    while (now < end && !size.compare_exchange_weak(now, end, std::memory_order_acq_rel)) {
    }
    return end - offset;
  }
};

class MemoryTarget final : public Target {
 public:
  MemoryTarget(std::shared_ptr<Block> block, std::uint32_t flags) : block_(std::move(block)) {
    caps_ = std::uint32_t(Cap::mapped) | std::uint32_t(Cap::zero_copy);
    if (flags & kRead) caps_ |= std::uint32_t(Cap::read);
    if (flags & kWrite) caps_ |= std::uint32_t(Cap::write) | std::uint32_t(Cap::resize);
  }
  Result<TargetInfo> info() const override {
    TargetInfo info;
    info.engine = "memory";
    info.path = "mem://" + block_->name;
    info.size = block_->size.load(std::memory_order_acquire);
    info.caps = caps_;
    info.route = "copies within this process";
    return info;
  }
  std::byte* address() const override { return block_->memory.data(); }
  std::uint64_t read_at_hand(std::uint64_t offset, std::span<std::byte> to) const override {
    const std::uint64_t size = block_->size.load(std::memory_order_acquire);
    if (!has(caps_, Cap::read) || offset >= size || to.empty()) return 0;
    const std::uint64_t bytes = std::min(size - offset, to.size());
    std::memcpy(to.data(), block_->memory.data() + offset, bytes);
    return bytes;
  }

  const std::shared_ptr<Block>& block() const { return block_; }
  Caps caps() const { return caps_; }

 private:
  std::shared_ptr<Block> block_;
  Caps caps_ = 0;
};

class MemoryQueue final : public Queue {
 public:
  explicit MemoryQueue(std::uint32_t depth) : depth_(depth), blocks_(depth) {
    free_.reserve(depth);
    for (std::uint32_t i = depth; i-- > 0;) free_.push_back(i);
  }

  std::uint32_t depth() const override { return depth_; }

  std::uint32_t submit(std::span<Op* const> ops) override {
    std::uint32_t taken = 0;
    for (; taken < ops.size() && !free_.empty(); ++taken) accept(*ops[taken]);
    return taken;
  }

  std::uint32_t poll(std::span<Op*> done) override {
    const std::uint32_t n = pending_.take(done);
    for (Op* op : done.first(n)) {
      const auto slot = static_cast<std::uint32_t>(op->scratch.word[0]);
      if (op->code == Code::ok) copy(*op, *blocks_[slot]);
      if (blocks_[slot]) regions_.release(*op);
      blocks_[slot].reset();
      free_.push_back(slot);
    }
    return n;
  }

  Status wait(std::uint64_t) override { return {}; }  // what was taken is always ready

  void cancel(Op& op) override {
    const auto slot = op.scratch.word[0];
    if (slot >= depth_ || !blocks_[slot] || op.code != Code::ok || !pending_.remove(op)) return;
    op.code = Code::canceled;
    op.system_error = ECANCELED;
    pending_.push(op);
  }

  Result<std::uint32_t> enroll(std::span<std::byte> memory) override { return regions_.add(memory); }
  Status withdraw(std::uint32_t region) override { return regions_.remove(region); }

 private:
  void accept(Op& op) {
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    op.scratch = {};
    op.scratch.word[0] = slot;
    op.system_error = 0;
    op.bytes = 0;
    const auto* target = dynamic_cast<MemoryTarget*>(op.target);
    op.code = target ? check(op, target->caps(), regions_) : Code::invalid_arg;
    if (op.code == Code::ok) {
      blocks_[slot] = target->block();
      regions_.hold(op);
    }
    pending_.push(op);
  }

  static void copy(Op& op, Block& block) {
    if (op.kind == OpKind::flush) return;
    const bool write = op.kind == OpKind::write;
    const std::uint64_t length = op.length();
    std::uint64_t room;
    if (write) {
      room = block.grow(op.offset, length);
    } else {
      const std::uint64_t size = block.size.load(std::memory_order_acquire);
      room = op.offset < size ? std::min(length, size - op.offset) : 0;
    }
    std::byte* bytes = block.memory.data() + (room ? op.offset : 0);
    for (const Segment& s : op.segments) {
      const std::uint64_t n = std::min(s.length, room - op.bytes);
      if (n == 0) continue;
      // The two may overlap: a segment can lie in the mapped memory of a target.
      if (write) std::memmove(bytes + op.bytes, s.memory, n);
      else std::memmove(s.memory, bytes + op.bytes, n);
      op.bytes += n;
    }
    if (write && op.bytes < length) {
      op.code = Code::io;
      op.system_error = ENOSPC;
    }
  }

  const std::uint32_t depth_;
  std::vector<std::shared_ptr<Block>> blocks_;  // of the operation in each slot; null where it was refused
  std::vector<std::uint32_t> free_;
  OpList pending_;
  Regions regions_;
};

class MemoryEngine final : public Engine {
 public:
  std::string_view name() const override { return "memory"; }

  Result<std::unique_ptr<Target>> open(const Uri& uri, std::uint32_t flags) override {
    const std::string name = uri.host + uri.path;
    if (!(flags & (kRead | kWrite)))
      return fail(Code::invalid_arg, "opening mem://{}: neither read nor write was asked for; pass one",
                  name);
    auto block = find_or_make(name, uri);
    if (!block) return fail(std::move(block).error().wrap("opening mem://" + name));
    return std::make_unique<MemoryTarget>(std::move(*block), flags);
  }

  Result<std::unique_ptr<Queue>> queue(std::uint32_t depth) override {
    if (depth == 0 || depth > kDepthMax)
      return fail(Code::invalid_arg, "a memory queue of depth {}: give 1 to {}", depth, kDepthMax);
    return std::make_unique<MemoryQueue>(depth);
  }

 private:
  Result<std::shared_ptr<Block>> find_or_make(const std::string& name, const Uri& uri) {
    std::lock_guard lock(mutex_);
    std::erase_if(named_, [](const auto& entry) { return entry.second.expired(); });
    if (!name.empty())
      if (const auto found = named_.find(name); found != named_.end())
        if (auto block = found->second.lock()) return block;
    auto block = make(name, uri);
    if (block && !name.empty()) named_[name] = *block;
    return block;
  }

  static Result<std::shared_ptr<Block>> make(const std::string& name, const Uri& uri);

  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<Block>> named_;  // under the lock
};

Result<std::shared_ptr<Block>> MemoryEngine::make(const std::string& name, const Uri& uri) {
  if (auto status = uri.check_parameters({"size", "limit", "numa", "device"}); !status)
    return fail(std::move(status));
  const auto size = uri.size_parameter("size", kNoSize);
  if (!size) return fail(size.error());
  if (*size == kNoSize)
    return fail(Code::not_found, "nobody has it open; give a size to make it (?size=64MiB)");
  const auto limit = uri.size_parameter("limit", std::max(*size, kLimitLeast));
  if (!limit) return fail(limit.error());
  auto block = std::make_shared<Block>();
  block->name = name;
  block->limit = *limit;
  if (block->limit < *size || block->limit > std::numeric_limits<std::int64_t>::max())
    return fail(Code::invalid_arg, "limit {} for {} bytes; give at least the size", block->limit, *size);
  // Promising more than there is would end with the process killed when the pages are touched.
  const auto available = available_memory_bytes();
  if (available && *size > *available)
    return fail(Code::nomem, "{} bytes of memory, {} are available; ask for less or free some", *size,
                *available);
  auto memory = SharedMemory::create("gpuio-" + name.substr(0, 64), std::max<std::uint64_t>(block->limit, 1));
  if (!memory) return fail(std::move(memory).error());
  block->memory = std::move(*memory);
  block->size.store(*size, std::memory_order_release);
  return block;
}

}  // namespace

std::unique_ptr<Engine> make_memory_engine() { return std::make_unique<MemoryEngine>(); }

}  // namespace gpuio::io
