// On-demand arrays in native execution: how eight lanes on a host thread find their elements. Part of
// native.hpp.
//
// The lanes take the page directory's own steps (device/lane.hpp). What is added is what a worker remembers:
//  - A window: the page that it read last, which stays pinned. Eight lanes in it are one plain load; a
//    workgroup that takes a row of it looks once for all its chunks (Rows, ahead.hpp).
//  - Pins (pins.hpp), for lanes that go ways of their own, and for windows that come back: while what is
//    wanted is in the table no atomic is needed, and the bytes of all lanes travel at once.
// All are dropped before a worker waits.
//
// A page whose bytes are at hand (in memory, in the page cache) the worker that misses it brings itself: it
// finds them in its own processor's cache then. Of others, a worker that goes through an array in order asks
// for those ahead of it: an access that leaves at its first turn, so that its request stays posted for
// whoever comes by.
//
// Threading: a worker is one thread; the words are shared. Lifetime: within a workgroup. Errors: a status a
// lane. Once the abort word is set whatever is not in a window answers it at once.
#pragma once

#include <gpuio/kernel/ir.hpp>
#include <gpuio/kernel/native/page_table.hpp>
#include <gpuio/kernel/native/vector.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace gpuio::kernel::native {

// One on-demand array as one worker sees it.
struct OnDemandArray {
  u64 first_page = 0, length = 0;  // elements
  u32 element_shift = 0;           // log2 of the elements of a page: at least 6
  u64 salt = 0;                    // of its keys

  // Tells the page of any index from all others of all arrays, whether the array has it or not: the six bits
  // that a page number leaves say which array it is.
  GPUIO_INLINE u64 key(u64 index) const { return (index >> element_shift) ^ salt; }

  // The window: elements [first, first + count) lie at `at`. `whole`: where eight in a row may begin in it.
  // `frame`: its pin's, or kNone: one of the worker's table keeps it there.
  u64 first = 0, count = 0, whole = 0;
  const std::byte* at = nullptr;
  u32 frame = PinTable::kNone;

  // Reading in order: the page read last, the first that was not asked for, how far ahead to be.
  u64 page = device::kNoPage, asked = 0;
  u32 ahead = 0;
  bool at_hand = false;  // the page missed last
};

// Eight lanes' accesses: bit l of `active` for lane l. The caller zeroes value and status.
template <class T>
struct Accesses {
  std::array<u64, kLanes> index;
  std::array<T, kLanes> value;
  std::array<u32, kLanes> status;
};

template <class T>
GPUIO_INLINE T element(const std::byte* at, u64 index) {
  T v;
  std::memcpy(&v, at + index * sizeof(T), sizeof(T));
  return v;
}
// Calls f(lane) for each bit.
template <class F>
inline void for_lanes(u32 bits, F&& f) {
  for (; bits; bits &= bits - 1) f(u32(std::countr_zero(bits)));
}

class Worker {
  using Native = device::Native;
  using Lane = device::Lane<Native>;
  using At = device::At;

 public:
  // `arrays` outlive it. `turn`: this worker's own, it spreads workers over mailboxes and ways.
  Worker(const PageTable& table, OnDemandArray* arrays, u32 count, u32 turn)
      : table_(table), m_(table.words), arrays_(arrays), count_(count), turn_(turn) {
    m_.bringer = table.bringer;
    if (!table.pins) return;
    waited_ = table.pins->waited();
    pins_ = table.pins->lease();
    if (!pins_) return;
    pinned_.keys = pins_->keys();
    pinned_.arrays = pins_->arrays();
    pinned_.mask = pins_->mask();
  }
  ~Worker() {
    for (u32 i = 0; i < count_; ++i) drop(arrays_[i]);
    if (!pins_) return;
    // Given back first: who waits after this look finds the table idle.
    pins_->give_back();
    if (table_.pins->waited() != waited_) PinTables::drop_idle(*pins_, Unpin{*this});
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // What the pins hold, for lanes to look into.
  struct Pinned {
    const u64* keys = nullptr;
    const std::byte* const* arrays = nullptr;
    u32 mask = 0;
  };
  const Pinned& pinned() const { return pinned_; }
  // Moves the window to the page of this element, of so many bytes, if the pins hold it; are eight in a row
  // from there in it?
  [[gnu::noinline]] bool window_pinned(OnDemandArray& a, u64 index, u32 size) {
    const u64 key = a.key(index);
    const u32 slot = u32(key) & pinned_.mask;
    if (!pinned_.keys || pinned_.keys[slot] != key) return false;
    drop(a);
    const u64 first = index >> a.element_shift << a.element_shift;
    hold(a, first, pinned_.arrays[slot] + first * size, kNoFrame);
    return index - first < a.whole;
  }
  // What lies in no window. Values and statuses of the lanes in `active`; true: some failed.
  template <class T>
  [[gnu::noinline]] bool fetch(OnDemandArray& a, Accesses<T>& x, u32 active) {
    if (u32 status = aborted()) {
      for_lanes(active, [&](u32 l) { x.status[l] = status; });
      return true;
    }
    std::array<u64, kLanes> page;
    u32 inside = 0;
    bool one = true;
    u64 last = device::kNoPage;
    for_lanes(active, [&](u32 l) {
      if (x.index[l] >= a.length) {
        x.status[l] = table_.out_of_range;
        return;
      }
      page[l] = a.first_page + (x.index[l] >> a.element_shift);
      one &= page[l] == last || inside == 0;
      last = page[l];
      inside |= 1u << l;
    });
    bool failed = inside != active;
    if (inside == 0) return failed;
    if (!one) {
      const u32 missing = read_apart(a, x, page, inside);
      if (missing) failed |= wait(a, x, page, missing);
    } else if (window(a, last, x.index[std::countr_zero(inside)])) {
      for_lanes(inside, [&](u32 l) { x.value[l] = element<T>(a.at, x.index[l] - a.first); });
    } else {
      failed |= wait(a, x, page, inside);
    }
    if (one) read_ahead(a, last);
    return failed;
  }

  // A hint.
  [[gnu::noinline]] void prefetch(OnDemandArray& a, const std::array<u64, kLanes>& index, u32 active) {
    if (aborted()) return;
    u64 last = device::kNoPage;
    for_lanes(active, [&](u32 l) {
      const u64 page = a.first_page + (index[l] >> a.element_shift);
      if (index[l] < a.length && page != last) ask(page);
      last = page;
    });
  }

 private:
  const std::byte* frame_at(u64 frame) const { return table_.words.frames + (frame << table_.page_shift); }
  static constexpr u32 kNoFrame = PinTable::kNone;

  u32 aborted() const {
    return u32(std::atomic_ref(table_.words.answers->abort).load(std::memory_order_relaxed));
  }
  // --- A page that is there ---
  // Where the page seems to be. Only the word before a pin tells.
  u32 find(u64 page) {
    const u64 wanted = device::make_tag(page, device::kValid);
    const u32 buckets = table_.words.buckets;
    const u32 first = device::primary_bucket(page, buckets) * device::kWays;
    const u32 second = device::secondary_bucket(page, buckets) * device::kWays;
    const auto holds = [&](u32 f) {
      const u64 tag = m_.load(device::Field::tag, f, device::Order::relaxed, device::Scope::device);
      return u32((tag & (device::kPage | device::kState)) == wanted);
    };
    // All ways without a branch: which of them it is cannot be foretold.
    u32 ways = 0;
    for (u32 w = 0; w < device::kWays; ++w)
      ways |= holds(first + w) << w | holds(second + w) << (device::kWays + w);
    if (ways == 0) return kNoFrame;
    const u32 way = u32(std::countr_zero(ways));
    return way < device::kWays ? first + way : second + way - device::kWays;
  }
  bool pin(u64 page, u32 frame) {
    Lane l;
    l.page = page;
    l.frame = frame;
    device::steps::pin<Native>(m_, l);
    if (l.at == At::pinned) return true;
    device::steps::undo<Native>(m_, l);
    return false;
  }
  void unpin(u32 frame) {
    Lane l;
    l.frame = frame;
    device::steps::unpin<Native>(m_, l);
  }

  // --- Windows ---
  void hold(OnDemandArray& a, u64 first, const std::byte* at, u32 frame) {
    a.first = first;
    a.count = std::min(u64{1} << a.element_shift, a.length - first);
    a.whole = a.count < kLanes ? 0 : a.count - (kLanes - 1);
    a.at = at;
    a.frame = frame;
  }
  // Moves the window to the page, for this element, if it is there. Who begins with a page's first element
  // reads on to the next page; to another place somebody comes back, so that the pin goes into the table.
  bool window(OnDemandArray& a, u64 page, u64 index) {
    drop(a);
    const u32 frame = find(page);
    if (frame == kNoFrame || !pin(page, frame)) return false;
    const u64 in_array = page - a.first_page, first = in_array << a.element_shift;
    const bool kept = index != first && keep(a, in_array, frame);
    hold(a, first, frame_at(frame), kept ? kNoFrame : frame);
    if (index == first) prefetch_begin(page + 1);
    return true;
  }
  void drop(OnDemandArray& a) {
    if (a.count && a.frame != kNoFrame) unpin(a.frame);
    a.count = a.whole = 0;
  }
  // What the processor's own prefetching needs to get going, which it does anew in each frame.
  void prefetch_begin(u64 page) {
    const u32 frame = find(page);
    if (frame == kNoFrame) return;
    const u64 bytes = std::min<u64>(4096, u64{1} << table_.page_shift);
    for (u64 i = 0; i < bytes; i += 64) __builtin_prefetch(frame_at(frame) + i, 0, 2);
  }
  // Hands a pin to the table, if it can hold it: whoever finds it there asks for no length, so a page that is
  // not whole is not kept.
  bool keep(OnDemandArray& a, u64 in_array, u32 frame) {
    if (!pins_ || (in_array + 1) << a.element_shift > a.length) return false;
    const u32 let_go =
        pins_->keep({in_array ^ a.salt, frame_at(frame) - (in_array << table_.page_shift)}, frame);
    if (let_go == kNoFrame) return true;
    for (u32 i = 0; i < count_; ++i)
      if (arrays_[i].at == frame_at(let_go)) drop(arrays_[i]);
    unpin(let_go);
    return true;
  }
  struct Unpin {
    Worker& worker;
    void operator()(u32 frame) const { worker.unpin(frame); }
  };
  // Before it waits: nobody is to miss a frame for what is only kept.
  void drop_all() {
    for (u32 i = 0; i < count_; ++i) drop(arrays_[i]);
    if (pins_) pins_->drop(Unpin{*this});
    if (table_.pins && table_.pins->wait(Unpin{*this}) == waited_) ++waited_;  // nobody else so far
  }

  // Lanes in several pages: pins for those whose page is there. Returns the others.
  template <class T>
  u32 read_apart(OnDemandArray& a, Accesses<T>& x, const std::array<u64, kLanes>& page, u32 lanes) {
    const u64 mask = (u64{1} << a.element_shift) - 1;
    std::array<u32, kLanes> frame;
    for_lanes(lanes, [&](u32 l) {
      frame[l] = find(page[l]);
      // Before the pins, which let nothing pass.
      if (frame[l] != kNoFrame) __builtin_prefetch(frame_at(frame[l]) + (x.index[l] & mask) * sizeof(T));
    });
    u32 missing = 0;
    for_lanes(lanes, [&](u32 l) {
      const u64 key = a.key(x.index[l]);
      const u32 slot = u32(key) & pinned_.mask;
      if (pins_ && pinned_.keys[slot] == key) {
        x.value[l] = element<T>(pinned_.arrays[slot], x.index[l]);
        return;
      }
      if (frame[l] == kNoFrame || !pin(page[l], frame[l])) {
        missing |= 1u << l;
        return;
      }
      x.value[l] = element<T>(frame_at(frame[l]), x.index[l] & mask);
      if (!keep(a, page[l] - a.first_page, frame[l])) unpin(frame[l]);
    });
    return missing;
  }

  // --- Pages that are not there ---
  // An access to a page, for the lanes that want it.
  struct Miss {
    Lane lane;
    u32 lanes = 0;
  };

  // With the bytes around an element, should they have to come past the cache: as many as an answer holds, so
  // that they serve its neighbours too.
  template <class T>
  void begin(Miss& miss, const OnDemandArray& a, const Accesses<T>& x, u64 page) {
    const u32 l = u32(std::countr_zero(miss.lanes));
    const u64 byte = (x.index[l] & ((u64{1} << a.element_shift) - 1)) * sizeof(T);
    const u64 where = (byte & ~u64{device::kBypassBytesMax - 1}) | u64{device::kBypassBytesMax} << 32;
    miss.lane.turn = turn_++;
    device::begin_access(m_, miss.lane, page, u64{1}, where);
  }

  // Brings all their pages at once. Nothing is pinned meanwhile but what the accesses themselves have
  // claimed.
  template <class T>
  bool wait(OnDemandArray& a, Accesses<T>& x, const std::array<u64, kLanes>& page, u32 lanes) {
    drop_all();
    std::array<Miss, kLanes> misses;
    u32 n = 0;
    for_lanes(lanes, [&](u32 l) {
      u32 i = 0;
      while (i < n && misses[i].lane.page != page[l]) ++i;
      if (i == n) misses[n++].lane.page = page[l];
      misses[i].lanes |= 1u << l;
    });
    for (u32 i = 0; i < n; ++i) begin(misses[i], a, x, misses[i].lane.page);
    m_.begin_waiting();
    const u32 brought = m_.brought, asked = m_.asked;
    if (n == 1) {
      Lane& l = misses[0].lane;
      while (l.at < At::turn && l.at != At::wait) device::step(m_, l);
      a.at_hand &= m_.asked == asked;
      if (l.at == At::wait && m_.asked != asked) read_ahead(a, l.page);
    }
    bool failed = false;
    for (u32 open = n; open;)
      for (u32 i = 0; i < n; ++i) {
        Miss& miss = misses[i];
        if (!miss.lanes) continue;
        // It may have ended above: another worker brought the page since it was looked for.
        if (miss.lane.at < At::pinned) device::step(m_, miss.lane);
        if (miss.lane.at < At::pinned) continue;
        failed |= settle(a, x, miss, n == 1);
        open -= miss.lanes == 0;
      }
    a.at_hand = m_.asked == asked && (a.at_hand || m_.brought != brought);
    return failed;
  }

  // Its access has ended: lanes that have their element leave `miss.lanes`. True: some failed.
  template <class T>
  bool settle(OnDemandArray& a, Accesses<T>& x, Miss& miss, bool alone) {
    const u64 mask = (u64{1} << a.element_shift) - 1;
    Lane& l = miss.lane;
    const u64 page = l.page;
    if (l.at == At::pinned) {
      const std::byte* const at = frame_at(l.frame);
      for_lanes(miss.lanes, [&](u32 i) { x.value[i] = element<T>(at, x.index[i] & mask); });
      miss.lanes = 0;
      if (alone) return hold(a, (page - a.first_page) << a.element_shift, at, l.frame), false;
      device::release(m_, l, false);
      while (l.at < At::pinned) device::step(m_, l);
      return false;
    }
    if (l.at == At::bypassed) {
      const u64 bytes[2] = {l.low, l.high};
      const u64 first = l.where & 0xffffffff;
      for_lanes(miss.lanes, [&](u32 i) {
        const u64 byte = (x.index[i] & mask) * sizeof(T);
        if (byte - first >= sizeof(bytes)) return;
        x.value[i] = element<T>(reinterpret_cast<const std::byte*>(bytes), (byte - first) / sizeof(T));
        miss.lanes &= ~(1u << i);
      });
      if (miss.lanes) begin(miss, a, x, page);
      return false;
    }
    for_lanes(miss.lanes, [&](u32 i) { x.status[i] = u32(l.status); });
    miss.lanes = 0;
    return true;
  }

  // --- Pages that will be wanted ---
  // Asks for the page and does not wait for it: neither for the host nor for a copy.
  void ask(u64 page) {
    if (find(page) != kNoFrame) return;
    Lane l;
    l.turn = turn_++;
    device::begin_access(m_, l, page, u64{0}, u64{0});
    const u64 turns = std::exchange(m_.turns_max, 0);
    m_.bringer = {};
    while (l.at < At::pinned) device::step(m_, l);
    m_.bringer = table_.bringer;
    m_.turns_max = turns;
    if (l.at != At::pinned) return;
    device::release(m_, l, false);
    while (l.at < At::pinned) device::step(m_, l);
  }

  void read_ahead(OnDemandArray& a, u64 page) {
    if (page == a.page) return;
    if (a.at_hand) {
      a.page = page;
      return;
    }
    const bool in_order = page == a.page + 1;
    a.page = page;
    a.ahead = in_order ? std::min(std::max(2 * a.ahead, 2u), table_.ahead_max) : 0;
    if (a.ahead == 0) {
      a.asked = 0;
      return;
    }
    // Half a stretch at a time, so that what is asked together can be brought together.
    const u64 from = std::max(a.asked, page + 1);
    if (from - page > a.ahead / 2 + 1) return;
    const u64 pages = ((a.length - 1) >> a.element_shift) + 1;
    const u64 end = std::min(page + 1 + a.ahead, a.first_page + pages);
    for (u64 p = from; p < end; ++p) ask(p);
    a.asked = std::max(a.asked, end);
  }

  const PageTable& table_;
  Native m_;
  OnDemandArray* const arrays_;
  const u32 count_;
  u32 turn_;
  PinTable* pins_ = nullptr;
  Pinned pinned_;
  u64 waited_ = 0;
};

// What a kernel's workgroup needs of its on-demand arrays; nothing where it has none.
template <class K>
inline constexpr u32 kOnDemandArrays = [] {
  u32 n = 0;
  for (const Param& p : K::frozen().params) n += p.kind == ParamKind::on_demand;
  return n;
}();
template <class K>
inline constexpr bool kAsksStatus = [] {
  for (const Inst& i : K::frozen().insts)
    if (i.op == Op::lane_status) return true;
  return false;
}();
template <class K, bool = kOnDemandArrays<K> != 0>
struct OnDemandOf {
  template <class Group>
  explicit OnDemandOf(const Group&) {}
};
template <class K>
class OnDemandOf<K, true> {
  static_assert(kOnDemandArrays<K> < 63, "native code of a kernel knows up to 62 on-demand arrays");

 public:
  template <class Group>
  explicit OnDemandOf(const Group& g)
      : table_(*reinterpret_cast<const PageTable*>(g.arguments[K::frozen().params.size()].value)),
        worker(table_, arrays_.data(), kOnDemandArrays<K>, g.group[0] * 7 + g.group[1] * 3 + g.group[2]) {
    for (u32 p = 0, n = 0; p < K::frozen().params.size(); ++p) {
      const Param& param = K::frozen().params[p];
      if (param.kind != ParamKind::on_demand) continue;
      arrays_[n].first_page = g.arguments[p].value;
      arrays_[n].length = g.arguments[p].count;
      arrays_[n].salt = arrays_[n].first_page ^ u64(n) << 58;
      arrays_[n++].element_shift = table_.page_shift - u32(std::countr_zero(size_of(param.type)));
    }
  }
  // The first failures of the chunk that begins with this lane; nothing where the kernel never asks.
  GPUIO_INLINE u32* first_failures(u32 lane) { return first_failures_.data() + (kAsksStatus<K> ? lane : 0); }
  template <u32 Parameter>
  GPUIO_INLINE OnDemandArray& array() {
    constexpr u32 kIndex = [] {
      u32 n = 0;
      for (u32 p = 0; p < Parameter; ++p) n += K::frozen().params[p].kind == ParamKind::on_demand;
      return n;
    }();
    return arrays_[kIndex];
  }

 private:
  const PageTable& table_;
  std::array<OnDemandArray, kOnDemandArrays<K>> arrays_;
  std::array<u32, kAsksStatus<K> ? (K::frozen().view().lanes() + kLanes - 1) / kLanes * kLanes : 1>
      first_failures_{};

 public:
  Worker worker;  // after the arrays, which its end lets go of
};

}  // namespace gpuio::kernel::native
