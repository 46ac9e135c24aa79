// One read or write on its way: which piece goes next, over which descriptor, and what a result means. Both
// queues drive it; it makes no system call itself. Pieces go one after another, so `done` is always a prefix
// that is certain.
//
//   transfer.begin(op, file);
//   while (transfer.plan()) { long r = …(transfer.fd(), transfer.vectors, transfer.position()); if
//   (transfer.settle(r)) break; }
//
// One thread at a time.
#pragma once

#include <sys/uio.h>

#include <array>

#include "engines/file/open_file.hpp"

namespace gpuio::io {

struct Transfer {
  static constexpr std::uint32_t kVectors = 8;            // segments that one piece spans at most
  static constexpr std::uint64_t kPieceMax = 1ull << 30;  // the kernel cuts at 2 GiB less a page
  static constexpr std::uint32_t kRetries = 64;           // EINTR and EAGAIN in a row

  Op* op = nullptr;
  std::shared_ptr<OpenFile> file;
  std::uint64_t total = 0;  // bytes asked for
  std::uint64_t done = 0;   // bytes certain

  // The piece that `plan` chose.
  std::array<iovec, kVectors> vectors;
  std::uint32_t vector_count = 0;
  std::uint64_t piece = 0;
  bool direct = false;

  bool bypass_cache = false;  // pieces that can go past the page cache shall
  bool canceled = false;      // stop at the end of the piece

  void begin(Op& operation, std::shared_ptr<OpenFile> open);
  // Chooses the next piece; false when there is none: the operation is finished.
  bool plan();
  // Takes a system call's result (bytes or -errno) for the planned piece; true when the operation is
  // finished.
  bool settle(std::int64_t result);

  std::uint64_t position() const { return op->offset + done; }
  int fd() const { return (direct ? file->direct : file->cached).native(); }
  // The registered region of a piece in one segment, else kUnregistered.
  std::uint32_t region() const {
    return vector_count == 1 ? op->segments[first_segment_].region : kUnregistered;
  }

 private:
  bool finish(Code code, int system_error);
  bool direct_here(std::uint64_t at, const std::byte* memory, std::uint64_t length) const;
  void gather_direct();
  void gather_cached();
  void add(const Segment& segment, std::uint64_t from, std::uint64_t length);
  void advance(std::uint64_t bytes);

  std::uint32_t segment_ = 0;  // where `done` stands
  std::uint64_t in_segment_ = 0;
  std::uint32_t first_segment_ = 0;  // of the piece
  std::uint32_t retries_ = 0;
};

}  // namespace gpuio::io
