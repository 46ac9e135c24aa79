// The engine contract: how gpuio reads and writes anything that has an address. Poll-driven, like io_uring.
//
//   Engine   opens URIs of its schemes.
//   Target   one opened thing: size, block size, capabilities. Any thread.
//   Queue    submits operations to targets of its engine and delivers their completions. One thread at a
//            time: it may be handed over, and destroyed by another, once the first has finished with it.
//   Op       one operation, owned by the caller from submit until its completion is delivered.
//
// Rules that every engine and every layer keeps, and the conformance suite checks:
//  - `submit` never blocks and never allocates; it answers how many it took, in order. 0 means: poll first.
//  - Every operation that was taken completes exactly once, with status and bytes, out of order, in `poll` on
//    the queue's thread. Also when it is cancelled, and when its target was closed (destroyed) meanwhile: the
//    engine keeps what it needs. Destroying the queue ends what is in flight without delivering it.
//  - Bytes are the truth: a read past the end is short and ok, a write is ok only when all of it was written,
//    and a failed operation says how many of its first bytes are certain. A read may have touched the rest of
//    its segments.
//  - An operation that can be seen to be wrong (another engine's target, null memory, a segment outside its
//    region, a target not opened for it) is taken, and completes with INVALID_ARG or PERMISSION.
//  - Only `flush` promises durability, for the writes that completed before it was submitted.
//  - `cancel` asks; the completion still comes, CANCELED or not. Memory may be touched until then.
//  - An engine starts no thread unless the kernel's interface forces it to, and then says so in its
//    capabilities.
// Errors of open and registration are a Status with a message; a completion carries a code and the system's
// errno, so that the path stays free of allocation; `describe` makes the message.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.hpp"

namespace gpuio {
struct Uri;
}

namespace gpuio::io {

enum OpenFlags : std::uint32_t {
  kRead = 1,
  kWrite = 2,
  kCreate = 4,
  kTruncate = 8,
  kDirect = 16
};  // as GPUIO_OPEN_*

enum class Cap : std::uint32_t {
  read = 1 << 0,
  write = 1 << 1,
  direct = 1 << 2,     // bypasses the page cache; offset, length and memory aligned to `alignment`
  zero_copy = 1 << 3,  // registered regions are used in place
  one_sided = 1 << 4,
  atomics = 1 << 5,
  device_memory = 1 << 6,  // regions may be memory of a GPU
  resize = 1 << 7,         // writing past the end grows it
  durable = 1 << 8,        // flush reaches stable storage
  threads = 1 << 9,        // needs threads of its own
  mapped = 1 << 10,        // `address` gives the bytes themselves; the target never shrinks
};
using Caps = std::uint32_t;
constexpr bool has(Caps caps, Cap c) { return caps & std::uint32_t(c); }

struct TargetInfo {
  std::string_view engine;      // "file", "memory", …
  std::string path;             // what was opened, as a person would name it
  std::uint64_t size = 0;       // bytes now
  std::uint32_t block = 1;      // bytes: natural unit of transfer
  std::uint32_t alignment = 1;  // bytes: required of offset, length and memory where Cap::direct
  Caps caps = 0;
  std::string route;   // the path really taken: "io_uring, O_DIRECT, registered buffers"
  std::string reason;  // why not a better one; empty when it is the best
};

class Target {
 public:
  virtual ~Target() = default;
  virtual Result<TargetInfo> info() const = 0;            // fresh: size may have changed
  virtual std::byte* address() const { return nullptr; }  // the bytes, where Cap::mapped
  // Copies the bytes from `offset` on, as far as they are at hand: no device is asked, nobody waits. How
  // many; what is behind them in `to` is undefined. Any thread.
  virtual std::uint64_t read_at_hand(std::uint64_t, std::span<std::byte>) const { return 0; }
};

// Memory that operations read into or write from. Registering lets an engine pin it once; any memory may be
// used unregistered (`region` = kUnregistered).
inline constexpr std::uint32_t kUnregistered = ~std::uint32_t{0};
struct Segment {
  std::byte* memory = nullptr;
  std::uint64_t length = 0;
  std::uint32_t region = kUnregistered;  // what Queue::enroll gave for memory that holds this segment
};

enum class OpKind : std::uint8_t { read, write, flush };

// One operation: `segments` in order, to or from consecutive bytes of the target starting at `offset`.
struct Op {
  // Set by the caller, unchanged until completion.
  OpKind kind = OpKind::read;
  Target* target = nullptr;
  std::uint64_t offset = 0;
  std::span<const Segment> segments = {};
  void* user = nullptr;

  // Set by the engine before the completion is delivered.
  Code code = Code::ok;
  int system_error = 0;     // errno, or 0
  std::uint64_t bytes = 0;  // transferred for certain

  // The engine's own, while it holds the operation.
  struct Scratch {
    Op* next = nullptr;
    std::uint64_t word[6] = {};
  } scratch = {};

  std::uint64_t length() const {
    std::uint64_t n = 0;
    for (const Segment& s : segments) n += s.length;
    return n;
  }
};

class Queue {
 public:
  virtual ~Queue() = default;  // cancels and drains: nothing touches an Op or its memory afterwards
  virtual std::uint32_t depth() const = 0;                     // operations at once
  virtual std::uint32_t submit(std::span<Op* const> ops) = 0;  // how many were taken
  virtual std::uint32_t poll(std::span<Op*> done) = 0;         // how many it wrote to `done`; never blocks
  // Returns when a completion may be there, or after the time; TIMEOUT is no failure of any operation. With
  // nothing in flight it returns ok at once: no wait without an end.
  virtual Status wait(std::uint64_t timeout_ns) = 0;
  virtual void cancel(Op& op) = 0;  // an operation that is not here is left alone
  // Registers memory, which outlives the queue or `withdraw`. An engine that cannot pin it takes it all the
  // same.
  virtual Result<std::uint32_t> enroll(std::span<std::byte> memory) = 0;
  virtual Status withdraw(std::uint32_t region) = 0;  // BUSY while an operation uses it
};

class Engine {
 public:
  virtual ~Engine() = default;  // after its targets and queues
  virtual std::string_view name() const = 0;
  virtual Result<std::unique_ptr<Target>> open(const Uri& uri, std::uint32_t flags) = 0;
  virtual Result<std::unique_ptr<Queue>> queue(std::uint32_t depth) = 0;
};

// "reading 4096 bytes at 8192 of /a/b: Input/output error (EIO); 512 bytes are certain". The target must be
// open.
std::string describe(const Op& op);

}  // namespace gpuio::io
