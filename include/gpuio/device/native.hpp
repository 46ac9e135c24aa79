// The protocol on host threads: atomics of C++ on the words of layout.hpp. The CPU device's lanes, the
// service and the simulation run on it.
//
//   Native m(words);                      // one a thread; copies nothing
//   Lane<Native> lane;
//   begin_access(m, lane, page, u64{0}, u64{0});
//   while (lane.at < At::pinned) step(m, lane);
//
// Threading: the words are shared, a Native is one thread's. Lifetime: the words outlive it. A lane waits by
// going round; after a while each round yields the processor, and after `turns_max` rounds the lane leaves
// with status `timed_out`, or with the abort word's status as soon as that is set.
#pragma once

#include <gpuio/device/lane.hpp>

#include <atomic>
#include <bit>
#include <cstring>
#include <thread>
#include <type_traits>

namespace gpuio::device {

struct Words {
  DirectoryHeader* header = nullptr;
  Bucket* bucket = nullptr;
  BucketSide* side = nullptr;
  Requests* requests = nullptr;
  Answers* answers = nullptr;
  u32 buckets = 0;
  u32 mailboxes = 0;  // a power of two
  std::byte* frames = nullptr;
  const std::byte* staging = nullptr;  // a page a mailbox
  u64 page_bytes = 0;
};

// Empty directory and mailboxes over zeroed words: ways beyond `frames` and mailboxes beyond the pool are
// taken.
inline void initialize(const Words& w, u32 frames) {
  for (u32 f = frames; f < w.buckets * kWays; ++f) w.bucket[f / kWays].tag[f % kWays] = kAbsentWay;
  for (u32 m = w.mailboxes; m < kMailboxesMax; ++m) w.header->lease[m / 64] |= u64{1} << m % 64;
}

class Native {
 public:
  using Word = u64;
  using Bool = bool;
  using Cell = u64;
  using Small = u32;
  using Place = u32;
  static constexpr bool kPlants = false;
  static constexpr bool faulty(Fault) { return false; }

  explicit Native(const Words& words) : w_(words) {}

  static constexpr bool writes() { return true; }
  static constexpr bool stages() { return true; }
  static constexpr u32 bypass_words() { return 2; }
  static u64 byte(const Lane<Native>& l) { return l.where & 0xffffffff; }
  static u64 bytes(const Lane<Native>& l) { return l.where >> 32; }

  // Puts a page into a frame if its bytes are at hand; whether it did. None: the host is asked.
  struct Bringer {
    bool (*bring)(void* self, u64 page, u64 frame) = nullptr;
    void* self = nullptr;
  };
  static constexpr bool kBrings = true;
  Bringer bringer;
  u32 brought = 0, asked = 0;  // pages so far
  bool bring(const Lane<Native>& l) {
    const bool at_hand = bringer.bring != nullptr && bringer.bring(bringer.self, l.page, l.frame);
    ++(at_hand ? brought : asked);
    return at_hand;
  }

  u64 turns_max = ~u64{0};
  u32 timed_out = 1;  // the status of a lane that leaves

  static constexpr u32 ways() { return kWays; }
  static constexpr u32 probes() { return 2 * kWays; }
  u32 buckets() const { return w_.buckets; }
  u32 mailboxes() const { return w_.mailboxes; }
  u64 hash(u64 page, u64 multiplier) const { return hash_bucket(page, multiplier, w_.buckets); }
  static u64 select(bool c, u64 a, u64 b) { return c ? a : b; }
  template <class Then, class Otherwise>
  static void when(bool c, Then then, Otherwise otherwise) {
    if (c) {
      then();
    } else {
      otherwise();
    }
  }
  static u64 bit_index(u64 w) { return u64(std::countr_zero(w)); }
  template <u32 at, u32 end, class F>
  static void dispatch(u64 where, F f) {
    if constexpr (end - at == 1) {
#ifdef GPUIO_ASSERT
      if (where != at) __builtin_trap();  // a lane whose access has ended was stepped
#endif
      f(std::integral_constant<u32, at>{});
    } else {
      constexpr u32 middle = at + (end - at) / 2;
      if (where < middle) {
        dispatch<at, middle>(where, f);
      } else {
        dispatch<middle, end>(where, f);
      }
    }
  }

  bool expired(const Lane<Native>&) {
    aborted_ = u32(word(w_.answers->abort).load(std::memory_order_relaxed));
    if (aborted_) return true;
    if (++turns_ % kTurnsToSpin == 0) std::this_thread::yield();
    return turns_ >= turns_max;
  }
  u64 leave_status(const Lane<Native>&) { return aborted_ ? aborted_ : timed_out; }
  void begin_waiting() { turns_ = 0; }

  bool cold(u64 f) {
    const auto r = word(w_.side[f / kWays].reference[f % kWays]);
    if (!r.load(std::memory_order_relaxed)) return true;
    r.store(0, std::memory_order_relaxed);
    return false;
  }
  void touch(u64 f) {
    const auto r = word(w_.side[f / kWays].reference[f % kWays]);
    if (!r.load(std::memory_order_relaxed)) r.store(1, std::memory_order_relaxed);
  }
  static u64 rotate(u64 turn) { return turn + 1; }
  void copy_staged(u64 box, u64 f) {
    std::memcpy(w_.frames + f * w_.page_bytes, w_.staging + box * w_.page_bytes, w_.page_bytes);
  }

  u64 load(Field f, u64 i, Order o, Scope) {
    return at(f, i, [o](auto w) -> u64 { return w.load(load_order(o)); });
  }
  void store(Field f, u64 i, u64 v, Order o, Scope) {
    at(f, i, [=](auto w) -> u64 { return w.store(narrow(w, v), store_order(o)), 0; });
  }
  u64 add(Field f, u64 i, u64 v, Order o, Scope) {
    return at(f, i, [=](auto w) -> u64 { return w.fetch_add(narrow(w, v), order(o)); });
  }
  u64 bit_or(Field f, u64 i, u64 v, Order o, Scope) {
    return at(f, i, [=](auto w) -> u64 { return w.fetch_or(narrow(w, v), order(o)); });
  }
  u64 bit_and(Field f, u64 i, u64 v, Order o, Scope) {
    return at(f, i, [=](auto w) -> u64 { return w.fetch_and(narrow(w, v), order(o)); });
  }
  u64 cas(Field f, u64 i, u64 expected, u64 desired, Order o, Scope) {
    return at(f, i, [=](auto w) -> u64 {
      auto seen = narrow(w, expected);
      w.compare_exchange_strong(seen, narrow(w, desired), order(o), load_order(o));
      return seen;
    });
  }

 private:
  static constexpr u64 kTurnsToSpin = 64;

  static constexpr std::memory_order order(Order o) {
    switch (o) {
      case Order::acquire: return std::memory_order_acquire;
      case Order::release: return std::memory_order_release;
      case Order::acq_rel: return std::memory_order_acq_rel;
      default: return std::memory_order_relaxed;
    }
  }
  static constexpr std::memory_order load_order(Order o) {
    return o == Order::relaxed || o == Order::release ? std::memory_order_relaxed : std::memory_order_acquire;
  }
  static constexpr std::memory_order store_order(Order o) {
    return o == Order::relaxed ? std::memory_order_relaxed : std::memory_order_release;
  }
  template <class T>
  static std::atomic_ref<T> word(T& w) {
    return std::atomic_ref<T>(w);
  }
  template <class T>
  static T narrow(const std::atomic_ref<T>&, u64 v) {
    return T(v);
  }
  template <class F>
  u64 at(Field field, u64 i, F f) {
    switch (field) {
      case Field::tag: return f(word(w_.bucket[i / kWays].tag[i % kWays]));
      case Field::request: return f(word(w_.side[i / kWays].request[i % kWays]));
      case Field::lock: return f(word(w_.side[i].lock));
      case Field::lease: return f(word(w_.header->lease[i]));
      case Field::control: return f(word(w_.header->control[i]));
      case Field::ask: return f(word(w_.requests->request[i].ask));
      case Field::what: return f(word(w_.requests->request[i].what));
      case Field::answer: return f(word(w_.answers->answer[i]));
      case Field::bytes: return f(word(w_.answers->bytes[i / 2][i % 2]));
    }
    return 0;
  }

  Words w_;
  u64 turns_ = 0;
  u32 aborted_ = 0;
};

}  // namespace gpuio::device
