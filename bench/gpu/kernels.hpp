// The kernels that the benchmark of devices runs. Those over data come twice from one body: over an on-demand
// array and over a plain buffer. Every element is read `turns` times and summed, whatever the order, so that
// one sum verifies all; n is a power of two.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::bench {

using namespace gpuio::kernel;
using gpuio::kernel::kernel;  // inside gpuio the namespace would hide it

inline constexpr u32 kLanes = 128;  // of a workgroup
inline constexpr u32 kPieceBytes = 4096;
inline constexpr u32 kRowBytes = 512;        // of a random row
inline constexpr u64 kScatter = 0x9E3779B1;  // odd: i -> i * kScatter mod 2^k visits every i once

// 16 bytes a load, neighbours side by side: as fast as a kernel can read.
inline constexpr auto read_wide =
    kernel<"read_wide", kLanes>([](Ctx k, In<u32> data, InOut<u64, 1> sum, Val<u64> n, Val<u32> turns) {
      auto total = k.var<u64>(0);
      auto stride = k.nctas().as<u64>() * kLanes;
      for (auto turn : k.range(0, turns)) {
        for (auto i : k.range(k.global_id().as<u64>(), n / 4, stride)) {
          auto v = data.vec<4>(i * 4);
          total += v[0].as<u64>() + v[1].as<u64>() + v[2].as<u64>() + v[3].as<u64>() + (turn & 0u).as<u64>();
        }
      }
      sum.atomic_add(0, total);
    });

template <class T, class Array>
constexpr auto in_order_body = [](Ctx k, Array data, InOut<u64, 1> sum, Val<u64> n, Val<u32> turns) {
  auto total = k.var<u64>(0);
  auto stride = k.nctas().as<u64>() * kLanes;
  for (auto turn : k.range(0, turns)) {
    for (auto i : k.range(k.global_id().as<u64>(), n, stride))
      total += data[i].template as<u64>() + (turn & 0u).template as<u64>();
  }
  sum.atomic_add(0, total);
};

// A group reads pieces of kPieceBytes, each group others: as many pages are wanted at once as groups allow.
template <class T, class Array>
constexpr auto by_piece_body = [](Ctx k, Array data, InOut<u64, 1> sum, Val<u64> n, Val<u32> turns) {
  constexpr u64 piece = kPieceBytes / sizeof(T);
  auto total = k.var<u64>(0);
  for (auto turn : k.range(0, turns)) {
    for (auto p : k.range(k.cta().as<u64>(), n / piece, k.nctas().as<u64>()))
      for (auto i : k.range(k.tid().as<u64>(), piece, kLanes))
        total += data[p * piece + i].template as<u64>() + (turn & 0u).template as<u64>();
  }
  sum.atomic_add(0, total);
};

// Rows of kRowBytes in a scattered order; the lanes of a subgroup read neighbours of a row.
template <class T, class Array>
constexpr auto by_row_body = [](Ctx k, Array data, InOut<u64, 1> sum, Val<u64> n, Val<u32> turns) {
  constexpr u64 row = kRowBytes / sizeof(T);
  auto total = k.var<u64>(0);
  auto stride = k.nctas().as<u64>() * kLanes;
  for (auto turn : k.range(0, turns)) {
    for (auto i : k.range(k.global_id().as<u64>(), n, stride)) {
      auto at = ((i / row * kScatter) & (n / row - 1)) * row + (i & (row - 1));
      total += data[at].template as<u64>() + (turn & 0u).template as<u64>();
    }
  }
  sum.atomic_add(0, total);
};

template <class T, class Array>
constexpr auto by_word_body = [](Ctx k, Array data, InOut<u64, 1> sum, Val<u64> n, Val<u32> turns) {
  auto total = k.var<u64>(0);
  auto stride = k.nctas().as<u64>() * kLanes;
  for (auto turn : k.range(0, turns)) {
    for (auto i : k.range(k.global_id().as<u64>(), n, stride)) {
      auto at = (i * kScatter) & (n - 1);
      total += data[at].template as<u64>() + (turn & 0u).template as<u64>();
    }
  }
  sum.atomic_add(0, total);
};

inline constexpr auto in_order = kernel<"in_order", kLanes>(in_order_body<u64, OnDemand<u64>>);
inline constexpr auto in_order_plain = kernel<"in_order_plain", kLanes>(in_order_body<u64, In<u64>>);
inline constexpr auto by_piece = kernel<"by_piece", kLanes>(by_piece_body<u64, OnDemand<u64>>);
inline constexpr auto by_row = kernel<"by_row", kLanes>(by_row_body<u64, OnDemand<u64>>);
inline constexpr auto by_row_plain = kernel<"by_row_plain", kLanes>(by_row_body<u64, In<u64>>);
inline constexpr auto by_word = kernel<"by_word", kLanes>(by_word_body<u32, OnDemand<u32>>);
inline constexpr auto by_word_plain = kernel<"by_word_plain", kLanes>(by_word_body<u32, In<u32>>);

// The first word of each page, by `lanes` lanes of one group, each its next page when it has the last one.
inline constexpr auto touch = kernel<"touch", 32>(
    [](Ctx k, OnDemand<u64> data, InOut<u64, 1> sum, Val<u64> pages, Val<u64> page_words, Val<u32> lanes) {
      auto total = k.var<u64>(0);
      GPU_IF(k.tid() < lanes) {
        for (auto p : k.range(k.tid().as<u64>(), pages, lanes.as<u64>())) total += data[p * page_words];
      }
      sum.atomic_add(0, total);
    });

// One lane and a host thread take turns: flags[0] is the lane's word, flags[32] the host's. Gives up after a
// while, so that a mistake hangs nobody.
inline constexpr auto ping_pong = kernel<"ping_pong", 32>([](Ctx k, InOut<u32> flags, Val<u32> turns) {
  GPU_IF(k.tid() == 0) {
    auto polls = k.var<u32>(0);
    for (auto turn : k.range(0, turns)) {
      flags.atomic_store(0, turn + 1, Order::release, Scope::system);
      GPU_LOOP(k) {
        k.break_if(flags.atomic_load(32, Order::acquire, Scope::system) > turn);
        polls += 1;
        k.break_if(polls > 100'000'000u);
      }
    }
  }
});

inline constexpr auto nothing = kernel<"nothing", 32>([](Ctx) {});

}  // namespace gpuio::bench
