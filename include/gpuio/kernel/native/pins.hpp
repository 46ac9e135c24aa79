// Pages that native workers keep pinned between accesses and between workgroups, so that what is in the cache
// costs a look into a table and no atomic. Part of native.hpp.
//
// A table is one worker's while it runs a workgroup; the next worker that takes it finds the pins of the
// last. A pin only ever keeps a frame from being given to another page, and whoever finds every way pinned
// takes the element's bytes past the cache: so a pin that is held makes nobody wait. But frames are wanted
// where pages are missed. Who is about to wait for one therefore lets go of its own pins and of those in
// tables that no worker has, and counts the wait; a worker whose workgroup ends lets go of its own if anybody
// has waited since they began. When the launch has ended the host lets go of all.
//
// Threading: leases and the count of waits are atomic; the rest of a table is its worker's. Lifetime: as the
// page directory's. Nothing fails.
#pragma once

#include <gpuio/device/native.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>

namespace gpuio::kernel::native {

using device::u32;
using device::u64;

// A page that is pinned: its key (OnDemandArray::key), and where the array would begin if all of it lay
// around this page.
struct Pin {
  u64 key;
  const std::byte* array;
};
inline constexpr u64 kNoKey = ~u64{0};

class PinTable {
 public:
  bool lease() {
    u32 free = 0;
    return word(leased_).compare_exchange_strong(free, 1, std::memory_order_seq_cst);
  }
  void give_back() { word(leased_).store(0, std::memory_order_seq_cst); }
  bool holds_any() const {
    return std::atomic_ref(const_cast<u32&>(held_)).load(std::memory_order_relaxed) != 0;
  }

  // For who has the lease.
  const u64* keys() const { return keys_; }  // kNoKey where there is none
  const std::byte* const* arrays() const { return arrays_; }
  u32 mask() const { return mask_; }
  // Keeps a pin that was taken, in place of the one that was there; its frame, or kNone.
  static constexpr u32 kNone = ~u32{0};
  u32 keep(const Pin& pin, u32 frame) {
    const u32 slot = u32(pin.key) & mask_;
    u32 replaced = kNone;
    if (keys_[slot] != kNoKey) {
      replaced = sides_[slot].frame;
    } else {
      sides_[held_].slot = slot;
      word(held_).store(held_ + 1, std::memory_order_relaxed);
    }
    keys_[slot] = pin.key;
    arrays_[slot] = pin.array;
    sides_[slot].frame = frame;
    return replaced;
  }
  // unpin(frame) for each.
  template <class Unpin>
  void drop(const Unpin& unpin) {
    for (u32 i = 0; i < held_; ++i) {
      const u32 slot = sides_[i].slot;
      unpin(sides_[slot].frame);
      keys_[slot] = kNoKey;
    }
    word(held_).store(0, std::memory_order_relaxed);
  }

 private:
  friend struct PinTables;
  struct Side {
    u32 frame = 0;  // of the pin with this number
    u32 slot = 0;   // the list of those in use, in order of use
  };
  static std::atomic_ref<u32> word(u32& w) { return std::atomic_ref<u32>(w); }

  alignas(64) u32 leased_ = 0;
  u32 held_ = 0;
  u32 mask_ = 0;
  u64* keys_ = nullptr;
  const std::byte** arrays_ = nullptr;
  Side* sides_ = nullptr;
};

// All tables of a launch.
struct PinTables {
  PinTable* table = nullptr;
  u32 count = 0;
  u64 waits = 0;  // atomic: how often anybody waited

  static constexpr u32 kPinsMax = 4096;  // of a table: 64 KiB to look at
  static u32 pins_for(u32 frames) { return std::min(std::bit_ceil(frames), kPinsMax); }
  static std::size_t bytes_for(u32 tables, u32 frames) {
    return tables * (sizeof(PinTable) + pins_for(frames) * (sizeof(Pin) + sizeof(PinTable::Side)));
  }
  // Makes them in `memory` of so many bytes, aligned to 64.
  void initialize(std::byte* memory, u32 tables, u32 frames) {
    table = reinterpret_cast<PinTable*>(memory);
    count = tables;
    waits = 0;
    const u32 pins = pins_for(frames);
    std::byte* next = memory + tables * sizeof(PinTable);
    for (u32 i = 0; i < tables; ++i) {
      PinTable* const made = new (table + i) PinTable;
      made->mask_ = pins - 1;
      made->keys_ = reinterpret_cast<u64*>(next);
      made->arrays_ = reinterpret_cast<const std::byte**>(next += pins * sizeof(u64));
      made->sides_ = reinterpret_cast<PinTable::Side*>(next += pins * sizeof(std::byte*));
      next += pins * sizeof(PinTable::Side);
      std::uninitialized_fill_n(made->keys_, pins, kNoKey);
      std::uninitialized_fill_n(made->arrays_, pins, nullptr);
      std::uninitialized_default_construct_n(made->sides_, pins);
    }
  }

  // Nothing where all are taken. Who had one before most likely gets it again.
  PinTable* lease() {
    static thread_local u32 last = 0;
    for (u32 i = 0; i < count; ++i) {
      const u32 t = (last + i) % count;
      if (table[t].lease()) return last = t, table + t;
    }
    return nullptr;
  }
  // Waits so far; a store of this thread before it is seen by whoever waits later.
  u64 waited() { return std::atomic_ref(waits).load(std::memory_order_seq_cst); }
  // Somebody is about to wait: the waits before this one.
  template <class Unpin>
  u64 wait(const Unpin& unpin) {
    const u64 before = std::atomic_ref(waits).fetch_add(1, std::memory_order_seq_cst);
    drop_idle(unpin);
    return before;
  }
  // Those that no worker has.
  template <class Unpin>
  void drop_idle(const Unpin& unpin) {
    for (u32 i = 0; i < count; ++i) drop_idle(table[i], unpin);
  }
  template <class Unpin>
  static void drop_idle(PinTable& t, const Unpin& unpin) {
    if (!t.holds_any() || !t.lease()) return;
    t.drop(unpin);
    t.give_back();
  }
};

}  // namespace gpuio::kernel::native
