// Pins that workers keep: one that is taken is let go of exactly once, whoever does it, and none is left
// where somebody waits.
#include <gpuio/kernel/native/pins.hpp>

#include <gtest/gtest.h>

#include <map>
#include <thread>
#include <vector>

namespace gpuio::kernel::native {
namespace {

class Pins : public ::testing::Test {
 protected:
  void make(u32 tables, u32 frames) {
    memory_.resize(PinTables::bytes_for(tables, frames) / 64 + 1);
    tables_.initialize(reinterpret_cast<std::byte*>(memory_.data()), tables, frames);
  }
  // What the table lets go of, by frame.
  std::map<u32, int> dropped(PinTable& t) {
    std::map<u32, int> out;
    t.drop([&](u32 frame) { ++out[frame]; });
    return out;
  }
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> memory_;
  PinTables tables_;
};

TEST_F(Pins, WhatIsKeptIsFoundAndLetGoOnce) {
  make(1, 6);  // eight pins
  PinTable& t = *tables_.lease();
  EXPECT_EQ(t.mask(), 7u);
  EXPECT_FALSE(t.holds_any());
  EXPECT_EQ(t.keep({3, nullptr}, 30), PinTable::kNone);
  EXPECT_EQ(t.keep({12, nullptr}, 31), PinTable::kNone);
  EXPECT_EQ(t.keep({4, nullptr}, 32), 31u);  // where 12 was
  EXPECT_EQ(t.keep({0, nullptr}, 33), PinTable::kNone);
  EXPECT_EQ(t.keep({11, nullptr}, 34), 30u);  // where 3 was
  EXPECT_EQ(t.keys()[4], 4u);
  EXPECT_EQ(t.keys()[3], 11u);
  EXPECT_EQ(dropped(t), (std::map<u32, int>{{32, 1}, {33, 1}, {34, 1}}));
  EXPECT_FALSE(t.holds_any());
  for (u32 i = 0; i < 8; ++i) EXPECT_EQ(t.keys()[i], kNoKey);
  EXPECT_EQ(t.keep({5, nullptr}, 35), PinTable::kNone);
  EXPECT_EQ(dropped(t), (std::map<u32, int>{{35, 1}}));
}

TEST_F(Pins, OneWorkerATable) {
  make(2, 100);
  PinTable* const a = tables_.lease();
  PinTable* const b = tables_.lease();
  EXPECT_NE(a, b);
  EXPECT_EQ(tables_.lease(), nullptr);
  b->give_back();
  EXPECT_EQ(tables_.lease(), b);
}

TEST_F(Pins, WhoWaitsEmptiesTheTablesThatNobodyHas) {
  make(3, 64);
  PinTable* const mine = tables_.lease();
  PinTable* const other = tables_.lease();
  PinTable* const busy = tables_.lease();
  other->keep({1, nullptr}, 10);
  busy->keep({2, nullptr}, 20);
  other->give_back();
  std::vector<u32> let_go;
  EXPECT_EQ(tables_.wait([&](u32 frame) { let_go.push_back(frame); }), 0u);
  EXPECT_EQ(let_go, std::vector<u32>{10});
  EXPECT_EQ(tables_.waited(), 1u);  // what its worker looks at when it gives the table back
  EXPECT_TRUE(busy->holds_any());
  busy->give_back();
  PinTables::drop_idle(*busy, [&](u32 frame) { let_go.push_back(frame); });
  EXPECT_EQ(let_go, (std::vector<u32>{10, 20}));
  mine->give_back();
}

// As workers do it: every pin taken is let go of, and when all have given back after a wait none is left.
TEST_F(Pins, NoneIsLostAmongThreads) {
  constexpr u32 kFrames = 32, kWorkers = 4;
  make(kWorkers - 1, kFrames);  // one goes without now and then
  std::vector<std::atomic<int>> pins(kFrames);
  const auto unpin = [&](u32 frame) { pins[frame].fetch_sub(1); };
  const auto work = [&](u32 seed) {
    for (u32 group = 0; group < 500; ++group) {
      u64 waited = tables_.waited();
      PinTable* const t = tables_.lease();
      for (u32 i = 0; i < 20; ++i) {
        seed = seed * 1664525 + 1013904223;
        const u32 page = seed >> 27;
        if (seed % 64 == 0) {
          if (t) t->drop(unpin);
          if (tables_.wait(unpin) == waited) ++waited;
        }
        if (t && t->keys()[page & t->mask()] == page) {
          if (pins[page].load() <= 0) ADD_FAILURE() << "page " << page << " is kept, and not pinned";
          continue;
        }
        pins[page].fetch_add(1);
        const u32 let_go = t ? t->keep({page, nullptr}, page) : page;
        if (let_go != PinTable::kNone) unpin(let_go);
      }
      if (!t) continue;
      t->give_back();
      if (tables_.waited() != waited) PinTables::drop_idle(*t, unpin);
    }
  };
  {
    std::vector<std::jthread> threads;
    for (u32 w = 0; w < kWorkers; ++w) threads.emplace_back(work, w + 1);
  }
  (void)tables_.wait(unpin);
  for (u32 f = 0; f < kFrames; ++f) EXPECT_EQ(pins[f].load(), 0) << f;
}

}  // namespace
}  // namespace gpuio::kernel::native
