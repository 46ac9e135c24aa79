// The bottom: what device code and host code both see of the page directory, the mailboxes and the slab of a
// suspended lane. Plain words and plain structs; every offset is held by a static_assert. protocol.hpp says
// who may change what, when and with which memory order.
//
// A page's life in a way of the directory (its 64-bit tag):
//
//            claim, locked            posted            answered, bytes landed
//    FREE ───────────────▶ CLAIM(p) ─────────▶ FILL(p) ────────────────────────▶ VALID(p)
//      ▲                      ▲                   │                                 │
//      └──────── failed ──────┼───────────────────┘                                 │
//                             └──────── claim for another page: pins 0, clean ──────┘
//
//    VALID(p) dirty, pins 0 ─ write-back: clean, +1 pin ─▶ VALID(p) clean ─ answered: −1 pin; failed: dirty
//
// A mailbox's life (its 64-bit control word, in device memory; the bitmap says who leases it):
//
//    IDLE, leased ─▶ POSTED(fill, write-back) ─ answered, one lane wins ─▶ FINISHING ─▶ IDLE, free
//              └───▶ POSTED(bypass) ─ answered: its owner reads the bytes ─▶ IDLE, free
//                          └─ the owner gives up ─▶ ORPHAN ─ answered, one lane wins ─▶ FINISHING ─▶ ...
//
// A page that is pinned without pause is never written back: flush when no kernel keeps reading it, or at its
// end.
//
// Every word that crosses the bus has one writer: the device asks in Requests, the host answers in Answers.
// "Answered" means that the answer's sequence number equals the one in the control word. Sequence numbers
// count on for ever; nothing is reset between kernels.
//
// Threading: words are shared; touch them as protocol.hpp does. Lifetime: the block that holds them outlives
// every kernel launched on it. Errors: none here.
#pragma once

#include <cstddef>
#include <cstdint>

// Changes whenever a word here changes its meaning. 0: no promise yet.
#define GPUIO_DEVICE_ABI 0

namespace gpuio::device {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

// ---- Tag: pins 20 | page 40 | dirty 1 | state 2 | spare 1, from the top. Pins are on top so that a miscount
// cannot spill into the page.
inline constexpr u32 kFree = 0, kClaim = 1, kFill = 2, kValid = 3;
inline constexpr u32 kStateShift = 1, kDirtyShift = 3, kPageShift = 4, kPinShift = 44, kPageBits = 40;
inline constexpr u64 kState = u64{3} << kStateShift;
inline constexpr u64 kDirty = u64{1} << kDirtyShift;
inline constexpr u64 kPage = ((u64{1} << kPageBits) - 1) << kPageShift;
inline constexpr u64 kPin = u64{1} << kPinShift;
inline constexpr u64 kPins = ~u64{0} << kPinShift;
inline constexpr u64 kNoPage = (u64{1} << kPageBits) - 1;  // no array holds it
static_assert((kPins ^ kPage ^ kDirty ^ kState) == ~u64{1}, "the parts cover the word but its spare bit");

// Value: u64, or a traced one.
template <class Value>
constexpr Value make_tag(Value page, u64 state) {
  return (page << kPageShift) | (state << kStateShift);
}
constexpr u64 page_of(u64 tag) { return (tag & kPage) >> kPageShift; }
constexpr u32 state_of(u64 tag) { return u32((tag & kState) >> kStateShift); }
constexpr u64 pins_of(u64 tag) { return tag >> kPinShift; }
constexpr bool dirty_of(u64 tag) { return (tag & kDirty) != 0; }

// A way without a frame (the cache is not a multiple of four frames) is claimed for ever, by nobody.
inline constexpr u64 kAbsentWay = (kNoPage << kPageShift) | (u64{kClaim} << kStateShift);

// ---- Buckets. A page may be in two of them; the frame's number is the tag's.
inline constexpr u32 kWays = 4;
struct Bucket {
  u64 tag[kWays];
};
static_assert(sizeof(Bucket) == 32);

// What a bucket has beside its tags; apart, so that a probe reads one sector.
struct BucketSide {
  u32 request[kWays];  // hint: the mailbox of the last request for this frame; kRequestFailed | status after
                       // a failed fill, until the claimer has dropped its pin
  u32 reference[kWays];  // racy: 1 since it was last looked at for eviction
  u32 lock;              // held to claim a way for a page whose primary bucket this is
  u32 reserved[3];
};
static_assert(sizeof(BucketSide) == 48);
static_assert(offsetof(BucketSide, reference) == 16 && offsetof(BucketSide, lock) == 32);
inline constexpr u32 kRequestFailed = u32{1} << 31;

constexpr u32 buckets_for(u32 frames) { return (frames + kWays - 1) / kWays; }

// Multiplicative hashes of the page, reduced to [0, buckets) by a multiplication: any number of buckets will
// do.
inline constexpr u64 kHashPrimary = 0x9E3779B97F4A7C15, kHashSecondary = 0xC2B2AE3D27D4EB4F;
template <class Value, class Count>
constexpr Value hash_bucket(Value page, u64 multiplier, Count buckets) {
  return (((page * multiplier) >> 32) * Value(buckets)) >> 32;
}
constexpr u32 primary_bucket(u64 page, u32 buckets) {
  return u32(hash_bucket<u64>(page, kHashPrimary, buckets));
}
constexpr u32 secondary_bucket(u64 page, u32 buckets) {
  const u32 b = u32(hash_bucket<u64>(page, kHashSecondary, buckets));
  if (b != primary_bucket(page, buckets)) return b;
  return b + 1 == buckets ? 0 : b + 1;
}

// ---- Mailboxes: a pool, leased by whoever misses.
inline constexpr u32 kMailboxesMax = 1024;  // a pool holds a power of two

// Control: sequence 32 | frame 28 (of a bypass: the byte in the page) | operation 2 | state 2, from the top.
inline constexpr u32 kIdle = 0, kPosted = 1, kOrphan = 2, kFinishing = 3;
inline constexpr u32 kOpFill = 1, kOpWriteBack = 2, kOpBypass = 3;
inline constexpr u32 kOperationShift = 2, kFrameShift = 4, kSequenceShift = 32;
inline constexpr u64 kFrameMask = (u64{1} << 28) - 1, kPageBytesMax = kFrameMask + 1;
constexpr u32 control_state(u64 c) { return u32(c & 3); }
constexpr u32 control_operation(u64 c) { return u32(c >> kOperationShift & 3); }
constexpr u32 control_frame(u64 c) { return u32(c >> kFrameShift & kFrameMask); }
constexpr u32 control_sequence(u64 c) { return u32(c >> kSequenceShift); }

// Request: what is wanted, and the control word that asks for it, stored last. Both lie in one cache line, so
// that whoever sees the ask change has the rest: a request crosses the bus once.
// What: page 40 | bytes 8 (of a bypass, <= 16) | pages 16 (how many from there on; 1 today), from the bottom.
struct alignas(16) Request {
  u64 what;
  u64 ask;
};
static_assert(sizeof(Request) == 16);
inline constexpr u32 kRequestBytesShift = 40, kRequestPagesShift = 48;
constexpr u64 request_page(u64 what) { return what & kNoPage; }
constexpr u32 request_bytes(u64 what) { return u32(what >> kRequestBytesShift & 0xff); }

// Answer: sequence 32 in the low half | staged 1 | status 31. Status 0 is success, else the positive code of
// gpuio.h. Staged: the bytes lie in the mailbox's staging slot; whoever finishes copies them into the frame.
inline constexpr u32 kAnswerStatusShift = 32;
inline constexpr u64 kStaged = u64{1} << 63;
constexpr u32 answer_sequence(u64 a) { return u32(a); }
constexpr u32 answer_status(u64 a) { return u32(a >> kAnswerStatusShift) & 0x7fffffff; }
constexpr u64 make_answer(u32 sequence, u32 status) { return u64{status} << kAnswerStatusShift | sequence; }

inline constexpr u32 kBypassBytesMax = 16;

// Device memory, written by the device only (by the host while no kernel runs). Buckets follow it.
struct DirectoryHeader {
  u64 lease[kMailboxesMax / 64];  // a set bit: leased. Mailboxes beyond the pool are leased for ever.
  u64 reserved[16];
  u64 control[kMailboxesMax];
};
static_assert(offsetof(DirectoryHeader, control) == 256);
static_assert(sizeof(DirectoryHeader) == 8448 && sizeof(DirectoryHeader) % sizeof(Bucket) == 0);
inline constexpr u32 kControlWord = offsetof(DirectoryHeader, control) / 8;
inline constexpr u32 kTagWord = sizeof(DirectoryHeader) / 8;

// Pinned host memory, written by the device. The host sweeps it.
struct Requests {
  Request request[kMailboxesMax];
};
static_assert(sizeof(Requests) == 16384);

// Pinned host memory (or device memory, where that is faster), written by the host.
struct Answers {
  u64 answer[kMailboxesMax];
  u64 bytes[kMailboxesMax][2];  // of a bypass
  u64 abort;                    // not 0: every lane that waits leaves, with this as its status
  u64 heartbeat;                // counts on while the service lives
  u64 reserved[6];
};
static_assert(offsetof(Answers, bytes) == 8192 && offsetof(Answers, abort) == 24576);
static_assert(sizeof(Answers) == 24640);
inline constexpr u32 kBytesWord = offsetof(Answers, bytes) / 8;
inline constexpr u32 kAbortWord = offsetof(Answers, abort) / 8;
inline constexpr u32 kHeartbeatWord = offsetof(Answers, heartbeat) / 8;

// ---- Slab: what a launch leaves behind when lanes yield. A header, then a record a lane, then the saved
// values, structure of arrays: word w of lane l is at values[w * lanes + l].
struct SlabHeader {
  u32 abi;         // GPUIO_DEVICE_ABI
  u32 lanes;       // in this chunk of the grid
  u32 lane_words;  // 32-bit words saved a lane
  u32 group_words;
  u32 unfinished;  // lanes that yielded in the last launch; counted by the device
  u32 reserved[11];
};
static_assert(sizeof(SlabHeader) == 64);
struct LaneRecord {
  u32 point;      // where it goes on; 0: from the start, kLaneDone: nowhere
  u32 status;     // of the answer; kUnanswered while it waits for one
  u64 page;       // what it needs: the page,
  u32 byte;       // the byte in it
  u32 bytes;      // and how many, at most kBypassBytesMax
  u64 answer[2];  // the element's own bytes: progress never depends on a frame that stays
};
static_assert(sizeof(LaneRecord) == 40 && offsetof(LaneRecord, answer) == 24);
inline constexpr u32 kLaneDone = 0xffffffff;
inline constexpr u32 kUnanswered = 0xffffffff;

}  // namespace gpuio::device
