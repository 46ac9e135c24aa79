// Native execution where lanes' indices grow by a constant, at the edges of that: chunks that are not full,
// numbers that wrap, strides of every kind, loops whose trips the chunks make together, and loops of no trip.
#include <gmock/gmock.h>

#include <gpuio/kernel.hpp>

#include "gpu/cpu/differential.hpp"
#include "gpu/cpu/native.hpp"

namespace gpuio::gpu::cpu {
namespace {

using namespace kernel;
using gpuio::kernel::kernel;

// Scalars and sizes of buffers (in elements), in the order of the parameters.
template <class K>
void expect_like_interpreter(K, u32 groups, std::initializer_list<u64> values) {
  const View k = K::view();
  RandomData data;
  Random random{7};
  auto next = values.begin();
  for (const Param& p : k.params) {
    const u64 v = *next++;
    const bool scalar = p.kind == ParamKind::scalar;
    data.bits.push_back(scalar ? v : 0);
    data.bytes.emplace_back(scalar ? 0 : v * size_of(p.type));
    for (std::byte& b : data.bytes.back()) b = std::byte(random.below(256));
  }
  RandomData want = data;
  const Outcome o = interpret(k, {groups, 1, 1}, want.arguments(), {.subgroup_size = 8});
  ASSERT_TRUE(o.ok()) << k.name << ": " << o.error << " at line " << o.line;
  ASSERT_TRUE(run_grid(make_native(K{}), k, {groups, 1, 1}, data));
  EXPECT_EQ(data.bytes, want.bytes) << k.name;
}

// Strides 1, -1, 2, 3 and 0, reading and writing, in a loop over the grid.
constexpr auto strides = kernel<"strides", 32>([](Ctx k, In<u32> x, InOut<u32> out, Val<u32> n) {
  for (auto i : k.range(k.global_id(), n, k.nctas() * 32)) {
    auto up = x[i + 1];
    auto down = x[n - 1 - i];
    auto wide = x[i * 2] ^ x[i * 3 + 1];
    out[n + n - 1 - i] = up + down;
    out[i] = wide + (i << 3) + x[n / 2];
  }
});
TEST(NativeIndex, StridesAndRaggedEnds) {
  for (const u64 n : {0u, 1u, 7u, 8u, 9u, 31u, 32u, 33u, 63u, 64u, 65u, 200u, 263u})
    expect_like_interpreter(strides, 2, {3 * n + 2, 2 * n + 1, n});
}

// 20 lanes: the last chunk is half full. Values carried over the loop, in vars and not.
constexpr auto carried = kernel<"carried", 20>([](Ctx k, In<u32> x, InOut<u32> out, Val<u32> n) {
  auto acc = k.var(0u);
  auto before = x[k.tid()];
  for (auto i : k.range(k.global_id(), n, k.nctas() * 20)) acc += x[i] * before;
  out[k.global_id()] = acc;
});
// The same with full chunks: the trips are made together.
constexpr auto carried_together =
    kernel<"carried_together", 24>([](Ctx k, In<u32> x, InOut<u32> out, Val<u32> n) {
      auto acc = k.var(0u);
      auto even = k.var(false);
      auto before = x[k.tid()];
      for (auto i : k.range(k.global_id(), n, k.nctas() * 24)) {
        auto own = k.var(i);
        GPU_IF(even) own += 5u;
        even = !even;
        acc += x[i] * before + own;
      }
      out[k.global_id()] = acc;
    });
TEST(NativeIndex, ValuesWaitBetweenTrips) {
  for (const u64 n : {24u, 100u, 128u, 240u, 241u}) {
    expect_like_interpreter(carried, 2, {n, 48, n});
    expect_like_interpreter(carried_together, 2, {n, 48, n});
  }
}

// Indices that wrap at 2^32 on their way to where they end, and wider numbers made of those that wrapped.
constexpr auto wrapping =
    kernel<"wrapping", 16>([](Ctx k, In<u32> x, InOut<u32> out, InOut<u64> wide, Val<u32> off) {
      auto i = k.global_id() + off;
      auto back = i - off;
      out[back] = x[i + (0u - off)] + i;
      wide[back] = i.as<u64>() + 3u;
      GPU_IF(i.as<u64>() < 20u) out[i] = x[i] ^ 1u;
      wide[back + 16] = (i.as<i64>() + 1).as<u64>();
    });
TEST(NativeIndex, NumbersThatWrap) {
  for (const u64 off : {0u, 1u, 5u, 0xfffffff0u, 0xfffffffbu, 0xffffffffu, 0x7ffffffcu})
    expect_like_interpreter(wrapping, 1, {32, 32, 32, off});
}

// A loop that begins near the end of its type, of a step that does not fit.
constexpr auto late =
    kernel<"late", 16>([](Ctx k, InOut<u32> out, Val<u32> first, Val<u32> end, Val<u32> step) {
      auto trips = k.var(0u);
      for (auto i : k.range(k.tid() + first, end, step)) {
        trips += i | 1u;
        k.break_if(trips > 0xf0000000u);
      }
      out[k.tid()] = trips;
      trips = 0u;
      for (auto i : k.range(k.tid() + first, end, step)) trips += i ^ 3u;
      out[k.tid() + 16] = trips;
    });
constexpr auto of_signs = kernel<"of_signs", 16>([](Ctx k, InOut<i32> out, Val<i32> first, Val<i32> end) {
  auto sum = k.var(0);
  for (auto i : k.range(k.tid().as<i32>() + first, end, 5)) sum += i;
  out[k.tid()] = sum;
  sum = 0;
  for (auto i : k.range(first - k.tid().as<i32>() * 3, end, 7)) sum = sum * 3 + i;
  out[k.tid() + 16] = sum;
});
TEST(NativeIndex, LoopsAtTheEndsOfTheirType) {
  for (const u64 step : {1u, 4u, 16u, 0x80000000u, 0xffffffffu}) {
    for (const u64 first : {0xffffffe0u, 0xffffffefu})
      expect_like_interpreter(late, 1, {32, first, 0xffffffffu, step});
    expect_like_interpreter(late, 1, {32, 0xfffffffau, 20, step});  // the lanes' begins wrap
  }
  expect_like_interpreter(late, 1, {32, 5, 5, 1});
  expect_like_interpreter(late, 1, {32, 9, 3, 1});
  for (const i32 first : {-40, -7, 0, 100, 2147483647 - 60, -2147483647 + 50})
    for (const i32 trips : {0, 1, 20, 60})
      expect_like_interpreter(of_signs, 1, {32, u32(first), u32(first + trips)});
}

// Rows and columns: a block of two dimensions whose rows are chunks, and one whose rows are not.
template <u32 X, u32 Y>
constexpr auto rows = [](Ctx k, In<u32> x, InOut<u32> out) {
  auto at = k.tid_y() * X + k.tid();
  auto tile = k.shared<u32, X * Y>();
  tile[at] = x[k.tid() * Y + k.tid_y()];
  k.barrier();
  auto t = k.local_index();
  out[at] = tile[X * Y - 1 - t] + (t / 16) * 3 + t % 24 + (t & 7) + (t >> 3) + x[t / 8];
};
constexpr auto rows_of_chunks = kernel<"rows_of_chunks", 16, 3>(rows<16, 3>);
constexpr auto ragged_rows = kernel<"ragged_rows", 12, 2>(rows<12, 2>);
TEST(NativeIndex, RowsAndColumns) {
  expect_like_interpreter(rows_of_chunks, 2, {48, 48});
  expect_like_interpreter(ragged_rows, 2, {24, 24});
}

// Lanes leave early, one after the other, and what the others read is where those who left may not.
constexpr auto leaving = kernel<"leaving", 24>([](Ctx k, In<u32> x, InOut<u32> out, Val<u32> n) {
  auto i = k.global_id();
  k.return_if(i >= n);
  auto at = k.var(0u);
  GPU_LOOP(k) {
    k.break_if(at >= n);
    out[i] = out[i] + x[at];
    at += 1u;
  }
  for (auto j : k.range(k.tid(), n, 24)) {
    k.continue_if(x[j] % 3u == 0u);
    out[i] = out[i] ^ x[j];
    k.break_if(x[j] % 7u == 1u);
  }
});
TEST(NativeIndex, LanesThatLeave) {
  for (const u64 n : {0u, 1u, 8u, 23u, 24u, 30u, 48u}) expect_like_interpreter(leaving, 2, {n, 48, n});
}

}  // namespace
}  // namespace gpuio::gpu::cpu
