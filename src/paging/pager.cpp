#include "paging/pager.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/clock.hpp"

namespace gpuio::paging {

Pager::Pager(const Space& space, std::uint32_t depth) : space_(space), depth_(depth) {}

Pager::~Pager() { queues_.clear(); }  // before the operations that they may hold

Result<io::Queue*> Pager::queue_of(io::Engine& engine) {
  for (auto& [known, queue] : queues_)
    if (known == &engine) return queue.get();
  auto queue = engine.queue(depth_);
  if (!queue) return fail(std::move(queue).error());
  queues_.emplace_back(&engine, std::move(*queue));
  return queues_.back().second.get();
}

Pager::Operation& Pager::take_operation() {
  if (idle_.empty()) {
    operations_.push_back(std::make_unique<Operation>());
    idle_.push_back(operations_.back().get());
  }
  Operation& operation = *idle_.back();
  idle_.pop_back();
  operation.op = {};
  operation.segments.clear();
  operation.reads.clear();
  return operation;
}

void Pager::deliver(PageRead& read, Code code) {
  read.code = code;
  delivered_.push_back(&read);
}

void Pager::submit(std::span<PageRead* const> reads) {
  pending_ += std::uint32_t(reads.size());
  sorted_.assign(reads.begin(), reads.end());
  std::sort(sorted_.begin(), sorted_.end(), [](auto* a, auto* b) { return a->page < b->page; });
  const std::uint64_t longest =
      std::clamp<std::uint64_t>(kOperationBytes / space_.page_bytes(), 1, kOperationPages);
  for (std::size_t i = 0; i < sorted_.size();) {
    const Range* const range = finder_.find(sorted_[i]->page);
    if (!range) {
      last_error_ = fmt::format("page {} belongs to no array", sorted_[i]->page);
      deliver(*sorted_[i++], Code::invalid_address);
      continue;
    }
    std::size_t n = 1;
    while (n < longest && i + n < sorted_.size() && sorted_[i + n]->page == sorted_[i]->page + n &&
           sorted_[i]->page + n < range->first + range->pages)
      ++n;
    start(std::span(sorted_).subspan(i, n), *range);
    i += n;
  }
  push_waiting();
}

void Pager::start(std::span<PageRead* const> run, const Range& range) {
  if (range.mapped) return copy(run, range);
  auto queue = queue_of(*range.engine);
  if (!queue) {
    last_error_ = queue.error().message();
    for (PageRead* read : run) deliver(*read, queue.error().code());
    return;
  }
  Operation& operation = take_operation();
  const std::uint64_t page_bytes = space_.page_bytes();
  for (PageRead* read : run) {
    const std::uint64_t at = (read->page - range.first) * page_bytes;
    operation.segments.push_back({read->to, std::min(page_bytes, range.bytes - at)});
    operation.reads.push_back(read);
  }
  operation.op.kind = io::OpKind::read;
  operation.op.target = range.target;
  operation.op.offset = range.offset + (run[0]->page - range.first) * page_bytes;
  operation.op.segments = operation.segments;
  operation.op.user = &operation;
  waiting_.emplace_back(*queue, &operation);
}

// What is memory already takes no operation.
void Pager::copy(std::span<PageRead* const> run, const Range& range) {
  for (PageRead* read : run)
    deliver(*read, read_at_hand(range, read->page, {read->to, space_.page_bytes()}) ? Code::ok
                                                                                    : Code::invalid_backing);
}

// Hands over what the queues take now; one queue that is full does not hold up another engine's.
void Pager::push_waiting() {
  std::array<io::Op*, 64> batch;
  for (auto& [engine, queue] : queues_) {
    for (;;) {
      std::uint32_t n = 0;
      for (auto& [to, operation] : waiting_)
        if (to == queue.get() && n < batch.size()) batch[n++] = &operation->op;
      const std::uint32_t taken = n ? queue->submit(std::span(batch).first(n)) : 0;
      std::uint32_t left = taken;
      std::erase_if(waiting_, [&](auto& w) { return w.first == queue.get() && left && left--; });
      if (taken < batch.size()) break;
    }
  }
}

void Pager::finish(Operation& operation) {
  const io::Op& op = operation.op;
  if (op.code != Code::ok) last_error_ = io::describe(op);
  std::uint64_t have = op.bytes;
  for (std::size_t i = 0; i < operation.reads.size(); ++i) {
    PageRead& read = *operation.reads[i];
    const std::uint64_t want = operation.segments[i].length;
    const bool whole = have >= want;
    have -= std::min(have, want);
    if (whole) {
      std::memset(read.to + want, 0, space_.page_bytes() - want);
      deliver(read, Code::ok);
    } else if (op.code != Code::ok) {
      deliver(read, op.code);
    } else {
      last_error_ = fmt::format("reading {} bytes at {}: the target ended after {}; was it truncated?",
                                op.length(), op.offset, op.bytes);
      deliver(read, Code::invalid_backing);
    }
  }
  idle_.push_back(&operation);
}

std::uint32_t Pager::poll(std::span<PageRead*> done) {
  std::array<io::Op*, 64> ops;
  bool finished = false;
  for (auto& [engine, queue] : queues_) {
    const std::uint32_t n = queue->poll(ops);
    for (std::uint32_t i = 0; i < n; ++i) finish(*static_cast<Operation*>(ops[i]->user));
    finished |= n > 0;
  }
  if (finished || !waiting_.empty()) push_waiting();
  std::uint32_t n = 0;
  while (n < done.size() && !delivered_.empty()) {
    done[n++] = delivered_.front();
    delivered_.pop_front();
  }
  pending_ -= n;
  return n;
}

void Pager::wait(std::uint64_t timeout_ns) {
  if (!delivered_.empty() || queues_.empty()) return;
  // With several engines the first is waited for in slices, so that none is starved.
  const std::uint64_t slice = timeout_ns / queues_.size() + 1;
  for (auto& [engine, queue] : queues_)
    if (queue->wait(slice).ok()) return;
}

// The queues' destructors cancel and drain, so every operation is idle afterwards.
void Pager::abandon() {
  queues_.clear();
  waiting_.clear();
  delivered_.clear();
  idle_.clear();
  for (auto& operation : operations_) idle_.push_back(operation.get());
  pending_ = 0;
}

Status Pager::read(std::span<PageRead* const> reads, std::uint64_t timeout_ns,
                   const std::atomic<bool>* cancel) {
  submit(reads);
  SteadyClock clock;
  const std::uint64_t start = clock.now_ns();
  std::size_t left = reads.size();
  Status first;
  std::array<PageRead*, 64> done;
  while (left) {
    const std::uint32_t n = poll(done);
    for (std::uint32_t i = 0; i < n; ++i)
      if (done[i]->code != Code::ok && first.ok()) first = Status(done[i]->code, last_error_);
    left -= n;
    if (n || !left) continue;
    if (cancel && cancel->load(std::memory_order_relaxed)) {
      abandon();
      return error(Code::canceled, "cancelled with {} of {} pages to come", left, reads.size());
    }
    const std::uint64_t spent = clock.now_ns() - start;
    if (spent >= timeout_ns) {
      abandon();
      return error(Code::timeout, "{} of {} pages did not arrive within {} ms", left, reads.size(),
                   timeout_ns / 1000000);
    }
    wait(std::min<std::uint64_t>(timeout_ns - spent, 20'000'000));
  }
  return first;
}

}  // namespace gpuio::paging
