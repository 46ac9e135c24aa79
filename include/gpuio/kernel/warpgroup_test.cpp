// Products of warpgroups against plain ones, what the verifier follows, what ptxas makes of them.
#include <gpuio/kernel/hash.hpp>
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/sanitize.hpp>
#include <gpuio/kernel/serialize.hpp>
#include <gpuio/kernel/spirv.hpp>
#include <gpuio/kernel/verify_suspend.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "support/sane.hpp"
#include "support/warpgroups.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;

using gpuio::kernel::kernel;

// One number on every compiler.
constexpr auto once = kernel<"once", 128>([](Ctx k, In<i8, 3072> x, Out<i32, 512> y) {
  auto tile = k.shared<i8, 3072>();
  for (u32 j = 0; j < 24; ++j) tile[j * 128 + k.tid()] = x[j * 128 + k.tid()];
  k.barrier();
  auto sum = k.warpgroup_sum<i8, 8>();
  sum.multiply_add(tile, 0, 1024, tile, 2048, 512);
  k.warpgroup_commit();
  k.warpgroup_wait();
  sum.for_elements([&](auto row, auto column, auto v) { y[row * 8 + column] = v; });
});
static_assert(canonical_hash(once.view()) == 0xee96ec2174145a39);

// What the units make of an element: f32, or i32 as one.
f32 number_of(Matrix what, u32 bits) {
  switch (what) {
    case Matrix::of_f16: return widen(f16{u16(bits)});
    case Matrix::of_bf16: return widen(bf16{u16(bits)});
    case Matrix::of_tf32: return std::bit_cast<f32>(bits & ~u32{0x1fff});
    case Matrix::of_i8: return f32(i8(bits));
    case Matrix::of_e4m3: return widen(f8e4m3{u8(bits)});
    default: return widen(f8e5m2{u8(bits)});
  }
}
u32 random_bits(Matrix what, std::mt19937_64& random) {
  const f32 v = std::uniform_real_distribution<f32>(-4, 4)(random);
  switch (what) {
    case Matrix::of_f16: return narrow<f16>(v).bits;
    case Matrix::of_bf16: return narrow<bf16>(v).bits;
    case Matrix::of_tf32: return std::bit_cast<u32>(v);
    case Matrix::of_i8: return u8(random());
    case Matrix::of_e4m3: return narrow<f8e4m3>(v).bits;
    default: return narrow<f8e5m2>(v).bits;
  }
}
struct Numbers {
  u32 size;
  std::vector<std::byte> bytes;
  Matrix what;
  Numbers(Matrix kind, u32 count, u64 seed) : size(element_bytes(kind)), bytes(size * count), what(kind) {
    std::mt19937_64 random(seed);
    for (u32 n = 0; n < count; ++n) write_element(bytes, n * size, size, random_bits(kind, random));
  }
  f32 operator[](u32 n) const { return number_of(what, u32(read_element(bytes, n * size, size))); }
};

// Sums of a(i, k) * b(j, k) in order, as bits. Those of i8 are exact in f32.
template <class A, class B>
std::vector<u32> product_of(Matrix what, u32 rows, u32 columns, u32 depth, A a, B b) {
  std::vector<u32> c;
  for (u32 i = 0; i < rows; ++i)
    for (u32 j = 0; j < columns; ++j) {
      f32 sum = 0;
      for (u32 k = 0; k < depth; ++k) sum = std::fma(a(i, k), b(j, k), sum);
      c.push_back(what == Matrix::of_i8 ? u32(i32(sum)) : std::bit_cast<u32>(sum));
    }
  return c;
}
template <class T>
Argument buffer(std::vector<T>& v) {
  return Argument::buffer(std::as_writable_bytes(std::span(v)));
}
void expect_product(const View& k, Numbers& a, Numbers& b, const std::vector<u32>& want) {
  std::vector<u32> c(want.size());
  const std::array arguments{buffer(a.bytes), buffer(b.bytes), buffer(c)};
  expect_sane(k, arguments, {.subgroup_size = 32});
  EXPECT_EQ(c, want);
  const std::vector<u8> bytes = serialize(k);
  const Deserialized back = deserialize(bytes);
  ASSERT_TRUE(back.ok()) << message(back);
  EXPECT_TRUE(std::ranges::equal(back.program.insts, k.insts));
}

TEST(Warpgroup, EveryTypeIsThePlainProduct) {
  for (const WarpgroupProduct& p : warpgroup_products()) {
    SCOPED_TRACE(p.program.name);
    Numbers a(p.what, kGroupRows * p.depth, 1), b(p.what, p.columns * p.depth, 2);
    expect_product(
        p.program.view(), a, b,
        product_of(
            p.what, kGroupRows, p.columns, p.depth, [&](u32 i, u32 k) { return a[i * p.depth + k]; },
            [&](u32 j, u32 k) { return b[j * p.depth + k]; }));
  }
}

TEST(Warpgroup, BulkCopiesBringTilesInPanels) {
  constexpr u32 kDepth = kStreamTiles * 64;
  constexpr Matrix kOf = Matrix::of_bf16;
  Numbers a(kOf, 64 * kDepth, 3), b(kOf, 128 * kDepth, 4);
  const auto at = [](u32 rows, u32 row, u32 k) {
    return k / 64 * 64 * rows + panel_place<bf16>(row, k % 64, rows * 8);
  };
  expect_product(streamed_product().view(), a, b,
                 product_of(
                     kOf, 64, 128, kDepth, [&](u32 i, u32 k) { return a[at(64, i, k)]; },
                     [&](u32 j, u32 k) { return b[at(128, j, k)]; }));
}

using Results = Out<f32>;
template <class F>
Traced traced(F f, u32 lanes = 128) {
  return trace(
      [f](Ctx k, In<f16> x, Results y) {
        auto tile = k.shared<f16, 2048>();
        f(k, x, y, tile);
      },
      "k", {lanes, 1, 1});
}
template <class F>
Err verdict(F f, u32 lanes = 128) {
  return traced(f, lanes).result.error;
}
#define KERNEL []([[maybe_unused]] Ctx k, [[maybe_unused]] In<f16> x, [[maybe_unused]] Results y, auto tile)
// What kernels here have in common: sums of one product, and a store of them.
template <class Sum, class Tile>
constexpr void multiply(const Sum& sum, const Tile& tile) {
  sum.multiply_add(tile, 0, 512, tile, 1024, 512);
}
template <class Sum>
constexpr void keep(const Sum& sum, const Results& y) {
  sum.for_elements([&](auto row, auto column, auto v) { y[row * 8 + column] = v; });
}

TEST(Warpgroup, TheVerifierFollowsWhoHasTheSums) {
  EXPECT_EQ(verdict(KERNEL {
              auto sum = k.warpgroup_sum<f16, 8>();
              multiply(sum, tile);
              k.warpgroup_commit();
              k.warpgroup_wait();
              keep(sum, y);
            }),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL {  // no wait
              auto sum = k.warpgroup_sum<f16, 8>();
              multiply(sum, tile);
              k.warpgroup_commit();
              keep(sum, y);
            }),
            Err::sums_under_way);
  EXPECT_EQ(verdict(KERNEL {  // no commit
              auto sum = k.warpgroup_sum<f16, 8>();
              multiply(sum, tile);
              k.warpgroup_wait();
              keep(sum, y);
            }),
            Err::sums_under_way);
  EXPECT_EQ(verdict(KERNEL {  // a wait that lets the newest go on
              auto sum = k.warpgroup_sum<f16, 8>();
              multiply(sum, tile);
              k.warpgroup_commit();
              k.warpgroup_wait<1>();
              sum.zero();
            }),
            Err::sums_under_way);
  EXPECT_EQ(verdict(KERNEL {  // the older of two
              auto older = k.warpgroup_sum<f16, 8>();
              auto newer = k.warpgroup_sum<f16, 8>();
              multiply(older, tile);
              k.warpgroup_commit();
              multiply(newer, tile);
              k.warpgroup_commit();
              k.warpgroup_wait<1>();
              keep(older, y);
            }),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL {  // over a back edge
              auto sum = k.warpgroup_sum<f16, 8>();
              for (auto i : k.range(0u, 4u)) {
                y[i] = 0.0f;
                sum.zero();
                multiply(sum, tile);
                k.warpgroup_commit();
                k.barrier();
              }
            }),
            Err::sums_under_way);
  EXPECT_EQ(verdict(KERNEL {  // a wait that perhaps nobody comes to
              auto sum = k.warpgroup_sum<f16, 8>();
              multiply(sum, tile);
              k.warpgroup_commit();
              GPU_IF(k.cta() == 1) k.warpgroup_wait();
              keep(sum, y);
            }),
            Err::sums_under_way);
}

TEST(Warpgroup, TheVerifierFollowsWhoHasTheTiles) {
  EXPECT_EQ(verdict(KERNEL {
              auto sum = k.warpgroup_sum<f16, 8>();
              multiply(sum, tile);
              k.warpgroup_commit();
              k.barrier();
              tile[k.tid()] = x[k.tid()];
            }),
            Err::still_read);
  EXPECT_EQ(verdict(KERNEL {
              auto sum = k.warpgroup_sum<f16, 8>();
              multiply(sum, tile);
              k.warpgroup_commit();
              k.warpgroup_wait();
              tile[k.tid()] = x[k.tid()];
            }),
            Err::write_after_read);
  EXPECT_EQ(verdict(KERNEL {
              auto sum = k.warpgroup_sum<f16, 8>();
              tile[k.tid()] = x[k.tid()];
              multiply(sum, tile);
            }),
            Err::missing_barrier);
  EXPECT_EQ(verdict(KERNEL {
              auto sum = k.warpgroup_sum<f16, 8>();
              multiply(sum, tile);
              k.warpgroup_commit();
              k.warpgroup_wait();
              k.barrier();
              tile[k.tid()] = x[k.tid()];
            }),
            Err::ok);
}

TEST(Warpgroup, MistakesAreNamed) {
  const auto one = KERNEL {
    auto sum = k.warpgroup_sum<f16, 8>();
    multiply(sum, tile);
  };
  EXPECT_EQ(verdict(one), Err::ok);
  EXPECT_EQ(verdict(one, 96), Err::warpgroup_size);
  EXPECT_EQ(verdict(KERNEL {  // a subgroup of the four
              auto sum = k.warpgroup_sum<f16, 8>();
              GPU_IF(k.tid() / 32 == 1) multiply(sum, tile);
            }),
            Err::divergent_matrix);
  EXPECT_EQ(verdict(
                KERNEL {  // a warpgroup of two
                  auto sum = k.warpgroup_sum<f16, 8>();
                  GPU_IF(k.warpgroup_index() == 1) multiply(sum, tile);
                },
                256),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL {
              auto sum = k.warpgroup_sum<f16, 8>();
              sum.multiply_add(tile, k.subgroup_index() * 128, 512, tile, 1024, 512);
            }),
            Err::matrix_place_differs);
  EXPECT_EQ(verdict(KERNEL {  // rows of 60 bytes less than a panel has
              auto sum = k.warpgroup_sum<f16, 8>();
              sum.multiply_add(tile, 0, 480, tile, 1024, 512);
            }),
            Err::warpgroup_shape);
  EXPECT_EQ(verdict(KERNEL {
              auto sum = k.warpgroup_sum<f16, 8>();
              sum.multiply_add(tile, 4, 512, tile, 1024, 512);
            }),
            Err::vector_misaligned);
  EXPECT_EQ(verdict(KERNEL {
              auto sum = k.warpgroup_sum<f16, 8>();
              sum.multiply_add(tile, 0, 512, tile, 1536, 512);
            }),
            Err::index_out_of_range);
  Program p{.name = "k", .block = {128, 1, 1}};  // sums are no plain Vars
  Builder b(p);
  const u32 sum = b.var(Type::f32);
  b.warpgroup_clear({sum, 1});
  EXPECT_TRUE(verify(p.view()).ok());
  b.var_load(sum);
  EXPECT_EQ(verify(p.view()).error, Err::no_such_var);
  p.insts.back() = {.op = Op::warpgroup_clear, .a = sum, .imm = (u64{1} << 32) + 1};  // from a file, say
  EXPECT_EQ(verify(p.view()).error, Err::wrong_mode);
  p.insts.back() = {.op = Op::warpgroup_read, .type = Type::f32, .a = sum + 1};
  EXPECT_EQ(verify(p.view()).error, Err::no_such_var);
}

TEST(Warpgroup, TheInterpreterHoldsSumsBackUntilTheyAreWaitedFor) {
  const Traced t = traced(KERNEL {
    k.unchecked_races("the interpreter shows that this is wrong");
    auto sum = k.warpgroup_sum<f16, 8>();
    for (u32 j = 0; j < 16; ++j) tile[j * 128 + k.tid()] = x[0];
    k.barrier();
    multiply(sum, tile);
    k.warpgroup_commit();
    keep(sum, y);
  });
  ASSERT_TRUE(t.result.ok()) << message(t.result);
  std::vector<f16> x(4);
  std::vector<f32> y(512);
  const std::array arguments{buffer(x), buffer(y)};
  const Outcome o = interpret(t.program.view(), {1, 1, 1}, arguments, {.subgroup_size = 32});
  EXPECT_EQ(o.error, "sums of a product that nobody has waited for");
  EXPECT_GT(o.line, 0u);
}

TEST(Warpgroup, OtherGpusAndVulkanAreRefusedByName) {
  const Program streamed = streamed_product();
  const View k = streamed.view();
  std::string text;
  ASSERT_TRUE(ptx_to(text, k, {.sm = 90}).ok());
  for (const char* part :
       {".target sm_90a\n", "wgmma.fence.sync.aligned;\n  wgmma.mma_async.sync.aligned.m64n128k16",
        "wgmma.commit_group", "wgmma.wait_group.sync.aligned 0;"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
  for (const u32 sm : {80u, 100u, 120u}) {
    const PtxResult r = ptx_to(text, k, {.sm = sm});
    EXPECT_EQ(r.error, PtxError::hopper);
    EXPECT_EQ(k.insts[r.inst].op, Op::warpgroup_clear);
  }
  EXPECT_NE(describe(PtxError::hopper).find("sm_90 alone"), std::string_view::npos);
  EXPECT_NE(spirv_refusal(once.view()).what.find("matrix units"), std::string_view::npos);
  EXPECT_TRUE(emit_spirv(once.view()).empty());
  const Program p = trace_program(
      [](Ctx c, OnDemand<f32> x, Out<f32> y) {
        auto sum = c.warpgroup_sum<f16, 8>();
        sum.for_elements([&](auto row, auto column, auto v) { y[row * 8 + column] = v + x[0]; });
      },
      "k", {128, 1, 1});
  EXPECT_EQ(verify_suspend(p.view()).error, Err::suspend_matrix);
}

}  // namespace
}  // namespace gpuio::kernel
