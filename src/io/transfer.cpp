#include "io/transfer.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include "base/log.hpp"

namespace gpuio::io {
namespace {

// With several queues in flight wait() looks at one after the other, so long at each.
constexpr std::uint64_t kTurnNs = 100'000;
// A queue that takes nothing though it has nothing is asked again after this.
constexpr std::uint64_t kRefusedNs = 100'000;

std::uint64_t plus(std::uint64_t now, std::uint64_t ns) {
  return ns >= Deadline::kNever - now ? Deadline::kNever : now + ns;
}

std::int64_t order_of(const Transfer& t, std::uint64_t submitted_ns) {
  switch (t.schedule) {
    case Schedule::fifo: return 0;
    case Schedule::priority: return t.priority;
    case Schedule::deadline:
      return t.deadline_ns ? static_cast<std::int64_t>(plus(submitted_ns, t.deadline_ns) >> 1)
                           : std::numeric_limits<std::int64_t>::max();
    // Everybody ages alike, so who is first never changes: the time of submit with the priority as a
    // handicap.
    case Schedule::adaptive:
      return static_cast<std::int64_t>(submitted_ns >> 1) +
             t.priority * static_cast<std::int64_t>(Transfers::kAgeingNs >> 1);
  }
  return 0;
}

}  // namespace

Status Transfers::check(const Transfer& t) {
  for (const Place* place : {&t.from, &t.to})
    if (t.length && (place->memory != nullptr) == (place->target != nullptr))
      return error(Code::invalid_arg, "a transfer of {} bytes: each side is memory or a target", t.length);
  const auto overlap = [&](auto a, auto b) { return a < b + t.length && b < a + t.length; };
  if (t.length == 0) return {};
  if (t.from.memory && t.to.memory && overlap(t.from.memory, t.to.memory))
    return error(Code::invalid_arg, "the two ranges of {} bytes overlap; copy through other memory",
                 t.length);
  if (t.from.target && t.from.target == t.to.target && overlap(t.from.offset, t.to.offset))
    return error(Code::invalid_arg, "the {} bytes at {} and at {} of one target overlap; copy through memory",
                 t.length, t.from.offset, t.to.offset);
  return {};
}

Transfers::~Transfers() {
  cancel_all();
  for (std::uint64_t waited_s = 0; !idle();) {
    const std::uint64_t before = clock_.now_ns();
    if (!poll()) wait(1'000'000'000);
    if (clock_.now_ns() - before >= 900'000'000 && ++waited_s % 10 == 0)
      log(LogLevel::warn, "{} transfers have not ended {} s after they were cancelled", active_.size(),
          waited_s);
  }
}

Status Transfers::submit(std::shared_ptr<Transfer> transfer) {
  Transfer& t = *transfer;
  if (t.active_) return error(Code::busy, "the transfer is in flight already; wait for it");
  if (active_.size() >= options_.capacity)
    return error(Code::busy, "{} transfers are in flight, as many as can be; wait for one", active_.size());
  if (Status s = check(t); !s) return s;
  const std::uint64_t now = clock_.now_ns();
  t.done_.store(0, std::memory_order_relaxed);
  t.moved_.store(0, std::memory_order_relaxed);
  t.outcome_ = {};
  t.active_ = true;
  t.started_ = t.stopping_ = false;
  t.first_ = t.next_ = t.given_ = 0;
  t.end_ = t.length;
  t.gives_up_ns_ = t.timeout_ns ? plus(now, t.timeout_ns) : Deadline::kNever;
  t.progress_ns_ = plus(now, kProgressNs);
  t.next_piece_ns_ = now;
  t.order_ = order_of(t, now);
  t.number_ = ++numbers_;
  enlist(std::move(transfer));
  size_.store(static_cast<std::uint32_t>(active_.size()), std::memory_order_release);
  due_at(now);
  return {};
}

void Transfers::enlist(std::shared_ptr<Transfer> transfer) {
  const auto first = [](const auto& a, const auto& b) {
    return a->order_ != b->order_ ? a->order_ < b->order_ : a->number_ < b->number_;
  };
  active_.insert(std::upper_bound(active_.begin(), active_.end(), transfer, first), std::move(transfer));
}

void Transfers::cancel(Transfer& t) {
  if (t.active_ && !t.stopping_)
    stop(t, error(Code::canceled, "canceled after {} of {} bytes", t.bytes_done(), t.length));
  due_at(clock_.now_ns());
}

void Transfers::cancel_all() {
  for (const auto& t : active_) cancel(*t);
}

void Transfers::modify(Transfer& t, std::int32_t priority, std::uint64_t rate_bytes_per_second) {
  if (!t.active_) return;
  t.rate_bytes_per_second = rate_bytes_per_second;
  const std::int32_t before = std::exchange(t.priority, priority);
  t.next_piece_ns_ = clock_.now_ns();
  if (t.schedule == Schedule::priority) t.order_ = priority;
  if (t.schedule == Schedule::adaptive)
    t.order_ += (std::int64_t{priority} - before) * static_cast<std::int64_t>(kAgeingNs >> 1);
  const auto at = std::ranges::find(active_, &t, &std::shared_ptr<Transfer>::get);
  auto kept = std::move(*at);
  active_.erase(at);
  enlist(std::move(kept));
  due_at(clock_.now_ns());
}

bool Transfers::poll() {
  moved_ = false;
  due_ns_ = Deadline::kNever;
  const std::uint64_t now = clock_.now_ns();
  for (const auto& t : active_) advance(*t, now);
  push_batches(now);
  collect(now);
  sweep();
  return moved_;
}

// Whatever this transfer can do now.
void Transfers::advance(Transfer& t, std::uint64_t now) {
  if (t.stopping_) return;
  if (now >= t.gives_up_ns_)
    return stop(t, error(Code::timeout, "not done after {} us, {} of {} bytes moved; allow more time",
                         t.timeout_ns / 1000, t.bytes_done(), t.length));
  if (now >= t.progress_ns_) {
    t.on_progress();
    t.progress_ns_ = plus(now, kProgressNs);
  }
  due_at(std::min(t.gives_up_ns_, t.progress_ns_));
  for (std::uint64_t i = t.first_; i < t.next_ && !t.stopping_; ++i) {
    Piece& piece = t.pieces_[i % Transfer::kWindow];
    if (piece.state == Piece::State::pausing) {
      if (now >= piece.resume_ns) piece.state = Piece::State::ready;
      else due_at(piece.resume_ns);
    }
    if (piece.state == Piece::State::ready) start(t, piece, now);
  }
  const bool in_memory = t.from.memory && t.to.memory;  // one piece at a time, so that others come to theirs
  while (!t.stopping_ && make_piece(t, now)) {
    start(t, t.pieces_[(t.next_ - 1) % Transfer::kWindow], now);
    if (in_memory) break;
  }
}

bool Transfers::make_piece(Transfer& t, std::uint64_t now) {
  if (t.given_ >= t.end_ || t.next_ - t.first_ == Transfer::kWindow) return false;
  if (now < t.next_piece_ns_) {
    due_at(t.next_piece_ns_);
    return false;
  }
  std::uint64_t length = std::min(kPieceBytes, t.end_ - t.given_);
  if (const std::uint64_t rate = t.rate_bytes_per_second) {
    // Ten pieces a second or so, each followed by the time that it stands for.
    length = std::min(length, std::max<std::uint64_t>(rate / 10, 4096));
    t.next_piece_ns_ =
        plus(std::max(now, t.next_piece_ns_),
             static_cast<std::uint64_t>(static_cast<double>(length) / static_cast<double>(rate) * 1e9));
  }
  Piece& piece = t.pieces_[t.next_++ % Transfer::kWindow];
  piece.state = Piece::State::ready;
  piece.writing = t.from.target == nullptr;
  piece.retries = 0;
  piece.at = t.given_;
  piece.length = length;
  piece.done = 0;
  piece.owner = &t;
  t.given_ += length;
  return true;
}

void Transfers::start(Transfer& t, Piece& piece, std::uint64_t now) {
  if (t.from.memory && t.to.memory) return copy_memory(t, piece);
  const bool staged = t.from.target && t.to.target;
  if (staged && !piece.staging && !take_staging(piece)) {
    if (staging_made_ == 0) failed(t, piece, error(Code::nomem, "no memory to copy through"), now);
    return;  // until another piece gives some back
  }
  const Place& place = piece.writing ? t.to : t.from;
  const auto lane = lane_of(*place.engine);
  if (!lane) return failed(t, piece, lane.error(), now);
  std::byte* const memory = staged ? piece.staging.get() : (piece.writing ? t.from : t.to).memory + piece.at;
  piece.segment = {.memory = memory + piece.done, .length = piece.length - piece.done};
  piece.op.kind = piece.writing ? OpKind::write : OpKind::read;
  piece.op.target = place.target;
  piece.op.offset = place.offset + piece.at + piece.done;
  piece.op.segments = {&piece.segment, 1};
  piece.op.user = &piece;
  piece.state = Piece::State::flying;
  ++t.flying_;
  (*lane)->batch.push_back(&piece.op);
}

void Transfers::copy_memory(Transfer& t, Piece& piece) {
  if (!std::exchange(t.started_, true)) t.on_start();
  std::memcpy(t.to.memory + piece.at, t.from.memory + piece.at, piece.length);
  piece.done = piece.length;
  t.moved_.fetch_add(piece.length, std::memory_order_relaxed);
  piece_done(t, piece, false);
}

Result<Transfers::Lane*> Transfers::lane_of(Engine& engine) {
  for (const auto& lane : lanes_)
    if (lane->engine == &engine) return lane.get();
  auto queue = engine.queue(options_.queue_depth);
  if (!queue) return fail(std::move(queue).error());
  lanes_.push_back(std::make_unique<Lane>());
  lanes_.back()->engine = &engine;
  lanes_.back()->queue = std::move(*queue);
  return lanes_.back().get();
}

bool Transfers::take_staging(Piece& piece) {
  if (!staging_.empty()) {
    piece.staging = std::move(staging_.back());
    staging_.pop_back();
    return true;
  }
  if (staging_made_ && (staging_made_ + 1) * kPieceBytes > options_.staging_bytes) return false;
  piece.staging.reset(new (std::nothrow) std::byte[kPieceBytes]);
  if (!piece.staging) return false;
  ++staging_made_;
  return true;
}

void Transfers::push_batches(std::uint64_t now) {
  for (const auto& lane : lanes_) {
    if (lane->batch.empty()) continue;
    const std::uint32_t taken = lane->queue->submit(lane->batch);
    for (std::size_t i = 0; i < lane->batch.size(); ++i) {
      Piece& piece = *static_cast<Piece*>(lane->batch[i]->user);
      Transfer& t = *piece.owner;
      if (i >= taken) {
        piece.state = Piece::State::ready;
        --t.flying_;
      } else if (!std::exchange(t.started_, true)) {
        t.on_start();
      }
    }
    if (taken < lane->batch.size() && lane->flying + taken == 0) due_at(plus(now, kRefusedNs));
    lane->batch.clear();
    lane->flying += taken;
    flying_ += taken;
    moved_ |= taken > 0;
  }
}

void Transfers::collect(std::uint64_t now) {
  Op* done[64];
  for (const auto& lane : lanes_)
    while (lane->flying) {
      const std::uint32_t n = lane->queue->poll(done);
      if (n == 0) break;
      lane->flying -= n;
      flying_ -= n;
      moved_ = true;
      for (Op* op : std::span(done, n)) completed(*static_cast<Piece*>(op->user), now);
    }
}

// Its operation came back.
void Transfers::completed(Piece& piece, std::uint64_t now) {
  Transfer& t = *piece.owner;
  --t.flying_;
  piece.done += piece.op.bytes;
  t.moved_.fetch_add(piece.op.bytes, std::memory_order_relaxed);
  if (piece.op.code != Code::ok) {
    if (t.stopping_) piece.state = Piece::State::pausing;  // never to go on
    else failed(t, piece, Status(piece.op.code, describe(piece.op)), now);
    return;
  }
  if (piece.writing || !t.to.target) return piece_done(t, piece, piece.done < piece.length);
  // The first half of a copy: what came goes out now.
  if (piece.done < piece.length) t.end_ = std::min(t.end_, piece.at + piece.done);
  piece.length = piece.done;
  piece.done = 0;
  piece.retries = 0;
  piece.writing = true;
  piece.state = Piece::State::ready;
  if (piece.length == 0) piece_done(t, piece, true);
}

void Transfers::piece_done(Transfer& t, Piece& piece, bool ended) {
  if (ended) t.end_ = std::min(t.end_, piece.at + piece.done);
  piece.state = Piece::State::done;
  if (piece.staging) staging_.push_back(std::move(piece.staging));
  std::uint64_t done = t.bytes_done();
  for (; t.first_ < t.next_; ++t.first_) {
    Piece& first = t.pieces_[t.first_ % Transfer::kWindow];
    if (first.state != Piece::State::done) break;
    done = std::min(first.at + first.done, t.end_);
    first.state = Piece::State::free;
  }
  t.done_.store(done, std::memory_order_relaxed);
  moved_ = true;
}

void Transfers::failed(Transfer& t, Piece& piece, Status why, std::uint64_t now) {
  if (is_retryable(why.code()) && piece.retries < t.retry.max_retries) {
    piece.resume_ns = plus(now, t.retry.pause_ns(++piece.retries));
    piece.state = Piece::State::pausing;
    due_at(piece.resume_ns);
    return;
  }
  piece.state = Piece::State::pausing;
  if (piece.retries)
    why = Status(why.code(), fmt::format("{} (attempt {} of {})", why.message(), piece.retries + 1,
                                         t.retry.max_retries + 1));
  stop(t, std::move(why));
}

// It will finish with this, once what is in flight has come back.
void Transfers::stop(Transfer& t, Status why) {
  t.stopping_ = true;
  t.outcome_ = std::move(why);
  moved_ = true;
  for (std::uint64_t i = t.first_; i < t.next_; ++i) {
    Piece& piece = t.pieces_[i % Transfer::kWindow];
    if (piece.state != Piece::State::flying) continue;
    for (const auto& lane : lanes_)
      if (lane->engine == (piece.writing ? t.to : t.from).engine) lane->queue->cancel(piece.op);
  }
}

// Takes out what has ended and tells it so.
void Transfers::sweep() {
  const auto ended = [](const std::shared_ptr<Transfer>& kept) {
    const Transfer& t = *kept;
    return t.flying_ == 0 && (t.stopping_ || t.bytes_done() >= t.end_);
  };
  for (auto& kept : active_)
    if (ended(kept)) finished_.push_back(kept);
  if (finished_.empty()) return;
  std::erase_if(active_, ended);
  size_.store(static_cast<std::uint32_t>(active_.size()), std::memory_order_release);
  moved_ = true;
  for (const auto& kept : finished_) {
    Transfer& t = *kept;
    if (t.bytes_done() >= t.end_) {
      t.outcome_ = {};  // all is there, whatever came after
    } else if (t.first_ < t.next_) {
      // Bytes of the piece that failed: certain where it is the last half that moved them.
      const Piece& piece = t.pieces_[t.first_ % Transfer::kWindow];
      if (piece.writing || !t.to.target) t.done_.store(piece.at + piece.done, std::memory_order_relaxed);
    }
    for (Piece& piece : t.pieces_) {
      piece.state = Piece::State::free;
      if (piece.staging) staging_.push_back(std::move(piece.staging));
    }
    t.active_ = false;
  }
  // Last, because it may submit again.
  for (auto& kept : std::exchange(finished_, {})) kept->on_finish();
}

void Transfers::wait(std::uint64_t timeout_ns) {
  const auto busy = std::ranges::count_if(lanes_, [](const auto& lane) { return lane->flying > 0; });
  if (busy == 0) return;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = *lanes_[++turn_ % lanes_.size()];
    if (lane.flying == 0) continue;
    const Status ready = lane.queue->wait(busy == 1 ? timeout_ns : std::min(timeout_ns, kTurnNs));
    if (ready.ok()) return;
  }
}

}  // namespace gpuio::io
