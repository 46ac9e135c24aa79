#include "engines/file/transfer.hpp"

#include <algorithm>
#include <cerrno>

#include "base/platform/system_error.hpp"
#include "io/regions.hpp"

namespace gpuio::io {

void Transfer::begin(Op& operation, std::shared_ptr<OpenFile> open) {
  op = &operation;
  file = std::move(open);
  total = operation.length();
  if (op->offset > kOffsetMax) total = 0;  // past any end; writes there were refused before
  total = std::min(total, kOffsetMax - std::min(op->offset, kOffsetMax));
  done = piece = in_segment_ = 0;
  segment_ = first_segment_ = vector_count = retries_ = 0;
  direct = canceled = false;
  bypass_cache = file->asked_direct;
}

bool Transfer::finish(Code code, int system_error) {
  op->code = code;
  op->system_error = system_error;
  op->bytes = done;
  return true;
}

bool Transfer::direct_here(std::uint64_t at, const std::byte* memory, std::uint64_t length) const {
  return at % file->offset_align == 0 && reinterpret_cast<std::uintptr_t>(memory) % file->memory_align == 0 &&
         length >= file->offset_align;
}

void Transfer::add(const Segment& segment, std::uint64_t from, std::uint64_t length) {
  vectors[vector_count++] = {segment.memory + from, length};
  piece += length;
}

bool Transfer::plan() {
  if (done == total) {
    finish(Code::ok, 0);
    return false;
  }
  while (in_segment_ == op->segments[segment_].length) {  // empty ones, and where the last piece ended
    ++segment_;
    in_segment_ = 0;
  }
  first_segment_ = segment_;
  vector_count = 0;
  piece = 0;
  const Segment& s = op->segments[segment_];
  direct = bypass_cache && file->use_direct() &&
           direct_here(position(), s.memory + in_segment_, std::min(s.length - in_segment_, total - done));
  if (direct) gather_direct();
  else gather_cached();
  return true;
}

// Whole aligned units, over as many segments as keep the alignment.
void Transfer::gather_direct() {
  std::uint64_t from = in_segment_, room = std::min(kPieceMax, total - done);
  for (std::uint32_t i = segment_; i < op->segments.size() && vector_count < kVectors; ++i, from = 0) {
    const Segment& s = op->segments[i];
    const std::uint64_t left = std::min(s.length - from, room);
    if (left == 0 && s.length == from) continue;
    if (!direct_here(position() + piece, s.memory + from, left)) return;
    const std::uint64_t whole = left - left % file->offset_align;
    add(s, from, whole);
    room -= whole;
    if (whole != s.length - from) return;
  }
}

// Up to where direct IO becomes possible, when it is wanted; else as much as fits.
void Transfer::gather_cached() {
  const bool want_direct = bypass_cache && file->use_direct();
  std::uint64_t from = in_segment_, room = std::min(kPieceMax, total - done);
  for (std::uint32_t i = segment_; i < op->segments.size() && vector_count < kVectors && room;
       ++i, from = 0) {
    const Segment& s = op->segments[i];
    std::uint64_t take = std::min(s.length - from, room);
    if (take == 0) continue;
    if (want_direct) {
      const std::uint64_t at = position() + piece;
      if (piece && direct_here(at, s.memory + from, take)) return;
      const std::uint64_t head = (file->offset_align - at % file->offset_align) % file->offset_align;
      if (head && head < take && direct_here(at + head, s.memory + from + head, take - head)) take = head;
    }
    add(s, from, take);
    room -= take;
    if (take != s.length - from) return;
  }
}

void Transfer::advance(std::uint64_t bytes) {
  done += bytes;
  while (bytes) {
    const std::uint64_t step = std::min(bytes, op->segments[segment_].length - in_segment_);
    in_segment_ += step;
    bytes -= step;
    if (bytes && in_segment_ == op->segments[segment_].length) {
      ++segment_;
      in_segment_ = 0;
    }
  }
}

bool Transfer::settle(std::int64_t result) {
  if (result > 0) {
    advance(std::min(static_cast<std::uint64_t>(result), piece));
    retries_ = 0;
    if (done == total) return finish(Code::ok, 0);
    return canceled ? finish(Code::canceled, ECANCELED) : false;
  }
  if (result == 0) return op->kind == OpKind::read ? finish(Code::ok, 0) : finish(Code::io, ENOSPC);
  const int number = static_cast<int>(-result);
  if (number == ECANCELED || canceled) return finish(Code::canceled, ECANCELED);
  if ((number == EINTR || number == EAGAIN) && ++retries_ < kRetries) return false;
  if (direct && (number == EINVAL || number == EOPNOTSUPP)) {
    file->direct_refused.store(true, std::memory_order_relaxed);  // once for all; ordinary IO takes the piece
    return false;
  }
  return finish(system_error_code(number), number);
}

}  // namespace gpuio::io
