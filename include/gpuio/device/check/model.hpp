// A small world in which the protocol's own steps run one visible operation at a time: a few lanes, pages,
// ways and mailboxes, a service that may fail and dawdle, store buffers, loads that complete late, and stale
// copies of frames. explore.hpp visits every state of it.
//
// What is modelled: every lane has its own data word in every page, so the order of a word's values is known
// and the oracle exact; a value is page * 16 + version. Stores to frames wait in a buffer of two, drained in
// any order; payload words wait for a release at system scope. A release needs everything before it done.
// With `stale`, a data load may return what the frame held at any time since the lane's last acquire (of
// that, the oldest). Protocol words themselves are coherent: their accesses take effect one after the other.
//
// Threading: Model::planted is one for the process; explore one configuration at a time. Errors:
// State::error.
#pragma once

#include <gpuio/device/lane.hpp>
#include <gpuio/device/service.hpp>

#include <bit>
#include <cstring>
#include <functional>
#include <string>

namespace gpuio::device::check {

inline constexpr u32 kLanesMax = 3, kPagesMax = 3, kFramesMax = 4, kBoxesMax = 2;
inline constexpr u8 kGarbage = 0xff;

// What a lane may do with a page.
enum Use : u8 { kRead = 1, kWrite = 2, kSpan = 4, kNested = 8, kBarrier = 16, kFlush = 32 };

struct Config {
  std::string name = "";
  u32 lanes = 2, pages = 2, buckets = 1, ways = 1, boxes = 1;
  u32 uses[kLanesMax] = {1, 1, 1};  // accesses a lane makes
  u32 may[kLanesMax] = {kRead | kWrite, kRead | kWrite, kRead | kWrite};
  u32 failures = 0;    // how many requests may fail
  u32 leavers = 0;     // mask of lanes that may run out of time
  bool parks = false;  // ... and come back
  bool bypass = false, staged = false, late = false, stale = false;
  bool brings = false;   // a lane may find its page's bytes at hand
  bool ordered = false;  // user-level acquire and release between lanes
  bool live = false;     // look for livelocks too
  bool loops = false;    // lane 0 never ends while another runs
  Fault fault = Fault::none;
};

// Frames are numbered bucket * kWays + way by the protocol and densely here.
inline u32 dense(const Config& c, u64 frame) { return u32(frame / kWays) * c.ways + u32(frame % kWays); }

enum Error : u8 {
  kOk,
  kWrongPage,
  kStale,
  kGarbageRead,
  kDeadRead,
  kDeadWrite,
  kTwoValid,
  kLostWrite,
  kPinLeak,
  kBoxLeak,
  kWayLeak,
  kForeignDma,
  kForeignWriteBack,
  kPinCount,
  kDeadlock,
  kLivelock,
  kFairCycle,
};
const char* describe(Error);

struct State;

// ---- The memory policy: executes on a State.
struct Model {
  using Word = u64;
  using Bool = bool;
  using Cell = u64;
  using Small = u8;
  using Place = u8;
  static constexpr bool kPlants = true;
  static constexpr bool kBrings = true;
  static inline Fault planted = Fault::none;
  static bool faulty(Fault f) { return f == planted; }

  const Config& config;
  State& s;
  u32 self;         // lane; kLanesMax: the host
  u32 choices = 0;  // what choose() answers, from the lowest bit
  u32 chosen = 0;   // how often it was asked
  bool blocked = false;

  // A world of readers explores what kernels of readers are made of.
  bool writes() const { return (config.may[0] | config.may[1] | config.may[2]) & (kWrite | kFlush); }
  bool stages() const { return config.staged; }
  static constexpr u32 bypass_words() { return 2; }
  static u64 byte(const Lane<Model>& l) { return l.where; }
  static u64 bytes(const Lane<Model>&) { return 1; }
  u32 ways() const { return config.ways; }
  u32 buckets() const { return config.buckets; }
  u32 probes() const { return config.buckets * config.ways; }
  u32 mailboxes() const { return config.boxes; }
  u64 hash(u64 page, u64 multiplier) const {
    return (page + (multiplier == kHashSecondary)) % config.buckets;
  }
  static u64 select(bool c, u64 a, u64 b) { return c ? a : b; }
  static void when(bool c, auto then, auto otherwise) { c ? then() : otherwise(); }
  static u64 bit_index(u64 w) { return u64(std::countr_zero(w)); }
  template <u32 at, u32 end>
  static void dispatch(u64 where, auto f) {
    if constexpr (at < end) {
      if (where == at) {
        f(std::integral_constant<u32, at>{});
      } else {
        dispatch<at + 1, end>(where, f);
      }
    }
  }

  bool choose() { return choices >> chosen++ & 1; }
  bool expired(const Lane<Model>&) { return (config.leavers >> self & 1) && choose(); }
  u64 leave_status(const Lane<Model>&) const { return 1; }
  bool cold(u64) { return choose(); }
  void touch(u64) {}
  u64 rotate(u64 turn) const { return (turn + 1) & (std::max(mailboxes(), probes()) - 1); }
  void copy_staged(u64 box, u64 frame);
  bool bring(const Lane<Model>&);

  u64 load(Field, u64 index, Order, Scope);
  void store(Field, u64 index, u64 value, Order, Scope);
  u64 add(Field, u64 index, u64 value, Order, Scope);
  u64 bit_or(Field, u64 index, u64 value, Order, Scope);
  u64 bit_and(Field, u64 index, u64 value, Order, Scope);
  u64 cas(Field, u64 index, u64 expected, u64 desired, Order, Scope);

 private:
  u64 read(Field, u64 index) const;
  void write(Field, u64 index, u64 value);
  u64 change(Field, u64 index, Order, Scope, auto f);
  void before(Order, Scope);
  void after(Order);
  void copy(u64 frame, const u8* page);
};

// ---- One state. Plain bytes without meaning between them: it is hashed and compared as memory.
struct Buffered {
  u8 kind;  // 0 none, 1 a word, 2 a whole frame
  u8 frame, life;
  u8 value[kLanesMax];
};

enum Phase : u8 { kIdlePhase, kRunning, kExit, kEnded };

struct Actor {
  Lane<Model> lane;
  u64 pending_what;
  Buffered buffer[2];
  u8 pending;  // 1 + mailbox whose payload has not reached memory
  u8 phase, use, page, uses, part, outer, life, publish;
  u8 late, late_frame, late_life, late_page, late_word, late_floor;
  u8 stale_of, stale[kFramesMax][kLanesMax];
  u8 seen[kPagesMax][kLanesMax];
};

struct Service {
  u32 sequence;
  u8 working, operation, page, frame, life, late;
  u8 payload[kLanesMax];
};

struct State {
  u64 tag[kFramesMax], control[kBoxesMax], what[kBoxesMax], ask[kBoxesMax], answer[kBoxesMax],
      bytes[kBoxesMax];
  Actor actor[kLanesMax];
  Service service[kBoxesMax];
  u8 request[kFramesMax], lock[2], lease;
  u8 data[kFramesMax][kLanesMax], life[kFramesMax];
  u8 box_life[kBoxesMax];
  u8 backing[kPagesMax][kLanesMax], published[kPagesMax][kLanesMax];
  u8 failures, ended, error;
};

inline u8 value_of(u32 page, u32 version) { return u8(page * 16 + version); }
// Before a frame's content changes: everybody but `except` may go on seeing what it held.
void remember(const Config&, State&, u32 frame, u32 except);
inline bool drained(const Actor& a) { return !a.buffer[0].kind && !a.buffer[1].kind && !a.late; }

// ---- Moving on. Successors are handed out one by one, with the actor that made them.
enum ActorId : u32 { kDrain = kLanesMax, kHost = 2 * kLanesMax, kEnd, kActors };

// Alone: only one lane's move was looked at, because it concerns nobody else.
struct Moves {
  std::function<void(const State&, u32 actor)> emit;
  bool alone = false;
};
void initial(const Config&, State&);
void successors(const Config&, const State&, Moves&);

// One line for a counter-example.
std::string show(const Config&, const State& before, const State& after, u32 actor);

}  // namespace gpuio::device::check
