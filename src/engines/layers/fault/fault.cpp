#include "engines/layers/fault/fault.hpp"

#include <algorithm>
#include <cerrno>
#include <random>
#include <vector>

#include "base/uri.hpp"

namespace gpuio::io {

struct FaultEngine::State {
  FaultOptions options;
  std::atomic<std::uint64_t> calls{0};   // relaxed: a count
  std::atomic<std::uint64_t> queues{0};  // relaxed: makes each queue's sequence its own

  bool fails_now() { return calls.fetch_add(1, std::memory_order_relaxed) + 1 == options.fail_call; }
};

namespace {

class FaultTarget final : public Target {
 public:
  explicit FaultTarget(std::unique_ptr<Target> inner) : inner_(std::move(inner)) {}
  Result<TargetInfo> info() const override {
    auto info = inner_->info();
    if (!info) return info;
    info->caps &= ~std::uint32_t(Cap::mapped);  // the bytes themselves would bypass the faults
    info->route += ", with injected faults";
    return info;
  }
  Target& inner() const { return *inner_; }

 private:
  std::unique_ptr<Target> inner_;
};

class FaultQueue final : public Queue {
 public:
  FaultQueue(std::shared_ptr<FaultEngine::State> state, std::unique_ptr<Queue> inner)
      : state_(std::move(state)),
        options_(state_->options),
        random_(options_.seed * 1000003 + state_->queues.fetch_add(1, std::memory_order_relaxed)),
        slots_(inner->depth()),
        inner_(std::move(inner)) {
    finished_.reserve(slots_.size());
    for (auto i = static_cast<std::uint32_t>(slots_.size()); i-- > 0;) free_.push_back(i);
  }

  std::uint32_t depth() const override { return static_cast<std::uint32_t>(slots_.size()); }

  std::uint32_t submit(std::span<Op* const> ops) override {
    std::uint32_t taken = 0;
    while (taken < ops.size() && !free_.empty() && !happens(options_.refuse_rate) && accept(*ops[taken]))
      ++taken;
    return taken;
  }

  std::uint32_t poll(std::span<Op*> done) override {
    ++polls_;
    Op* ended[64];
    while (const std::uint32_t n = inner_->poll(ended))
      for (Op* op : std::span(ended, n))
        finish(*static_cast<Slot*>(op->user), op->code, op->system_error, op->bytes);
    std::uint32_t n = 0;
    const std::uint64_t now = options_.clock ? options_.clock->now_ns() : 0;
    const auto due = [&](const Slot* s) { return s->due_poll <= polls_ && s->due_ns <= now; };
    if (options_.reorder) std::shuffle(finished_.begin(), finished_.end(), random_);
    for (std::size_t i = 0; i < finished_.size() && n < done.size();) {
      if (!due(finished_[i])) {
        ++i;
        continue;
      }
      Slot& slot = *finished_[i];
      finished_.erase(finished_.begin() + static_cast<std::ptrdiff_t>(i));
      done[n++] = slot.outer;
      slot.outer = nullptr;
      free_.push_back(static_cast<std::uint32_t>(&slot - slots_.data()));
    }
    return n;
  }

  // What is held back comes with polls, or with a clock that others move: nothing to sleep for.
  Status wait(std::uint64_t timeout_ns) override {
    return finished_.empty() ? inner_->wait(timeout_ns) : Status();
  }

  void cancel(Op& op) override {
    const auto slot = op.scratch.word[0];
    if (slot < slots_.size() && slots_[slot].outer == &op && slots_[slot].inside)
      inner_->cancel(slots_[slot].inner);
  }

  Result<std::uint32_t> enroll(std::span<std::byte> memory) override {
    if (state_->fails_now())
      return fail(Code::nomem, "registering {} bytes: injected failure", memory.size());
    return inner_->enroll(memory);
  }

  Status withdraw(std::uint32_t region) override {
    // The operation below may have ended while its completion is still held back here: it is in flight to the
    // caller.
    for (const Slot* slot : finished_)
      for (const Segment& s : slot->outer->segments)
        if (s.region == region)
          return error(Code::busy, "withdrawing region {}: in use; poll its completions first", region);
    return inner_->withdraw(region);
  }

 private:
  struct Slot {
    Op inner;
    Op* outer = nullptr;
    Segment part;         // of a transfer that ends early
    bool cut = false;     // it does
    bool inside = false;  // the wrapped queue has it
    std::uint64_t due_poll = 0, due_ns = 0;
  };

  bool happens(double rate) { return rate > 0 && std::uniform_real_distribution<>(0, 1)(random_) < rate; }
  std::uint64_t up_to(std::uint64_t most) {
    return std::uniform_int_distribution<std::uint64_t>(0, most)(random_);
  }

  // False when the wrapped queue takes no more.
  bool accept(Op& op) {
    Slot& slot = slots_[free_.back()];
    slot.inner = Op{};
    slot.inner.kind = op.kind;
    slot.inner.offset = op.offset;
    slot.inner.segments = op.segments;
    slot.inner.user = &slot;
    slot.cut = false;
    const auto* target = dynamic_cast<FaultTarget*>(op.target);
    const bool broken = target && (state_->fails_now() || happens(options_.error_rate));
    if (target && !broken) {
      slot.inner.target = &target->inner();
      if (happens(options_.short_rate)) cut(slot, op);
      Op* inner = &slot.inner;
      if (inner_->submit({&inner, 1}) == 0) return false;
    }
    op.scratch = {};
    op.scratch.word[0] = free_.back();
    free_.pop_back();
    slot.outer = &op;
    slot.inside = target && !broken;
    if (broken) finish(slot, Code::io, EIO, 0);
    else if (!target) finish(slot, Code::invalid_arg, 0, 0);
    return true;
  }

  void cut(Slot& slot, const Op& op) {
    const std::uint64_t length = op.length();
    if (op.kind == OpKind::flush || length < 2) return;
    const auto first = std::ranges::find_if(op.segments, [](const Segment& s) { return s.length > 0; });
    slot.part = *first;
    slot.part.length = up_to(std::min(first->length, length - 1));
    slot.inner.segments = {&slot.part, 1};
    slot.cut = true;
  }

  void finish(Slot& slot, Code code, int system_error, std::uint64_t bytes) {
    Op& op = *slot.outer;
    // A read that met the end of the target was not cut: it could not have gone on.
    const bool met_end = op.kind == OpKind::read && bytes < slot.part.length;
    const bool cut = slot.cut && code == Code::ok && !met_end;
    op.code = cut ? Code::io : code;
    op.system_error = cut ? EIO : system_error;
    op.bytes = bytes;
    slot.inside = false;
    slot.due_poll = polls_ + up_to(options_.delay_polls_max);
    slot.due_ns = options_.clock ? options_.clock->now_ns() + up_to(options_.delay_ns_max) : 0;
    finished_.push_back(&slot);
  }

  std::shared_ptr<FaultEngine::State> state_;
  const FaultOptions options_;
  std::mt19937_64 random_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<Slot*> finished_;  // ended, not yet delivered, oldest first; never grows beyond its reservation
  std::uint64_t polls_ = 0;
  std::unique_ptr<Queue> inner_;  // last: ends first, and touches slots until then
};

}  // namespace

FaultEngine::FaultEngine(std::unique_ptr<Engine> inner, const FaultOptions& options)
    : inner_(std::move(inner)), state_(std::make_shared<State>()) {
  state_->options = options;
}

FaultEngine::~FaultEngine() = default;

Result<std::unique_ptr<Target>> FaultEngine::open(const Uri& uri, std::uint32_t flags) {
  if (state_->fails_now()) return fail(Code::io, "opening {}: injected failure", uri.path);
  auto target = inner_->open(uri, flags);
  if (!target) return target;
  return std::make_unique<FaultTarget>(std::move(*target));
}

Result<std::unique_ptr<Queue>> FaultEngine::queue(std::uint32_t depth) {
  if (state_->fails_now()) return fail(Code::nomem, "a queue of depth {}: injected failure", depth);
  auto queue = inner_->queue(depth);
  if (!queue) return queue;
  return std::make_unique<FaultQueue>(state_, std::move(*queue));
}

std::uint64_t FaultEngine::calls() const { return state_->calls.load(std::memory_order_relaxed); }

}  // namespace gpuio::io
