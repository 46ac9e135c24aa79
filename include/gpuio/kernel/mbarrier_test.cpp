// mbarriers and bulk copies: what they compute, what the verifier follows, what back ends make of them.
#include <gpuio/kernel/hash.hpp>
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/sanitize.hpp>
#include <gpuio/kernel/serialize.hpp>
#include <gpuio/kernel/spirv.hpp>
#include <gpuio/kernel/verify_suspend.hpp>

#include <gtest/gtest.h>

#include "support/phases.hpp"
#include "support/sane.hpp"
#include "support/tile_kernels.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;

// One number on every compiler.
static_assert(canonical_hash(two_halves.view()) == 0xf1b2bc902902eeb3);
static_assert(canonical_hash(bulk_ring.view()) == 0x2376a40690f7c077);

template <class T>
Argument buffer(std::vector<T>& v) {
  return Argument::buffer(std::as_writable_bytes(std::span(v)));
}

TEST(Mbarrier, ABarrierInTwoHalves) {
  std::vector<u32> x(256), out(64), want(64);
  for (u32 i = 0; i < 256; ++i) x[i] = i * i;
  for (u32 lane = 0; lane < 64; ++lane)
    for (u32 round = 0; round < 4; ++round) want[lane] += round + x[round * 64 + 63 - lane];
  for (const u64 seed : {0, 1, 2, 3}) {
    expect_sane(two_halves.view(), std::array{buffer(x), buffer(out)},
                {.shuffle_seed = seed, .turn_steps = seed});
    EXPECT_EQ(out, want);
  }
}

TEST(Mbarrier, BulkCopiesBringAndTakeTiles) {
  std::vector<f32> x(kBulkTiles * 256), out(x.size()), want(x.size());
  for (u32 i = 0; i < x.size(); ++i) x[i] = f32(i * 7 % 1001);
  for (u32 i = 0; i < x.size(); ++i) want[i] = 2 * x[i / 256 * 256 + 255 - i % 256];
  for (const u64 seed : {0, 1, 2}) {
    expect_sane(bulk_ring.view(), std::array{buffer(x), buffer(out)},
                {.shuffle_seed = seed, .turn_steps = seed});
    EXPECT_EQ(out, want);
  }
}

TEST(Mbarrier, RolesHandATileToEachOther) {
  constexpr u32 kTiles = 5;
  std::vector<u32> x(kTiles * 64), out(32), want(32);
  for (u32 i = 0; i < x.size(); ++i) x[i] = i * 3 + 1;
  for (u32 lane = 0; lane < 32; ++lane)
    for (u32 t = 0; t < kTiles; ++t) want[lane] += x[t * 64 + 32 + lane] * (t + 1) + x[t * 64 + lane];
  for (const u64 seed : {0, 1, 2}) {
    expect_sane(roles.view(), std::array{buffer(x), buffer(out), Argument::scalar(kTiles)},
                {.shuffle_seed = seed, .turn_steps = seed});
    EXPECT_EQ(out, want);
  }
}

using Numbers = In<u32, 256>;
using Results = InOut<u32, 256>;
template <class F>
Traced traced(F f) {
  return traced_on_tile<Results>(f);
}
template <class F>
Err verdict(F f) {
  return traced(f).result.error;
}
#define KERNEL [](Ctx k, Numbers x, Results y, auto tile)

TEST(Mbarrier, TheVerifierFollowsPhases) {
  EXPECT_EQ(verdict(KERNEL {
              auto full = k.mbarrier(1);
              GPU_IF(k.tid() == 0) {
                k.bulk_load<1024>(tile, 0, x, 0, full);
                full.arrive();
              }
              full.wait();
              y[k.tid()] = tile[63 - k.tid()];
            }),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL {  // no wait: a barrier does not make it land
              auto full = k.mbarrier(1);
              GPU_IF(k.tid() == 0) {
                k.bulk_load<1024>(tile, 0, x, 0, full);
                full.arrive();
              }
              k.barrier();
              y[k.tid()] = tile[63 - k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // the lane arrives before its load
              auto full = k.mbarrier(1);
              GPU_IF(k.tid() == 0) {
                full.arrive();
                k.bulk_load<1024>(tile, 0, x, 0, full);
              }
              full.wait();
              y[k.tid()] = tile[63 - k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // another lane than the one that loads arrives
              auto full = k.mbarrier(1);
              GPU_IF(k.tid() == 0) k.bulk_load<1024>(tile, 0, x, 0, full);
              GPU_IF(k.tid() == 1) full.arrive();
              full.wait();
              y[k.tid()] = tile[63 - k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // another mbarrier
              auto full = k.mbarrier(1);
              auto other = k.mbarrier(1);
              GPU_IF(k.tid() == 0) {
                k.bulk_load<1024>(tile, 0, x, 0, full);
                full.arrive();
                other.arrive();
              }
              other.wait();
              y[k.tid()] = tile[63 - k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // some lanes wait
              auto full = k.mbarrier(1);
              GPU_IF(k.tid() == 0) {
                k.bulk_load<1024>(tile, 0, x, 0, full);
                full.arrive();
              }
              GPU_IF(k.tid() < 32) full.wait();
              y[k.tid()] = tile[63 - k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // still being read
              auto full = k.mbarrier(1);
              for (auto i : k.range(0u, 4u)) {
                GPU_IF(k.tid() == 0) {
                  k.bulk_load<256>(tile, 0, x, i * 64, full);
                  full.arrive();
                }
                full.wait();
                y[k.tid()] = tile[63 - k.tid()];
              }
            }),
            Err::write_after_read);
}

TEST(Mbarrier, TheVerifierFollowsArrivals) {
  EXPECT_EQ(verdict(KERNEL {
              auto written = k.mbarrier(64);
              tile[k.tid()] = x[k.tid()];
              written.wait(written.arrive());
              y[k.tid()] = tile[63 - k.tid()];
            }),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL {  // written after the lane arrived
              auto written = k.mbarrier(64);
              auto token = written.arrive();
              tile[k.tid()] = x[k.tid()];
              written.wait(token);
              y[k.tid()] = tile[63 - k.tid()];
            }),
            Err::missing_barrier);
  EXPECT_EQ(verdict(KERNEL {  // read before the wait
              auto written = k.mbarrier(64);
              tile[k.tid()] = x[k.tid()];
              auto token = written.arrive();
              y[k.tid()] = tile[63 - k.tid()];
              written.wait(token);
            }),
            Err::missing_barrier);
  EXPECT_EQ(verdict(KERNEL {  // 64 lanes arrive
              auto written = k.mbarrier(32);
              written.wait(written.arrive());
              y[k.tid()] = x[k.tid()] + tile.object();
            }),
            Err::mbarrier_arrivals);
  EXPECT_EQ(verdict(KERNEL {  // as many as there are
              auto written = k.mbarrier(1);
              GPU_IF(x[k.tid()] == 7u) written.arrive();
              y[k.tid()] = tile.object();
            }),
            Err::mbarrier_arrivals);
}

TEST(Mbarrier, TheVerifierFollowsStores) {
  EXPECT_EQ(verdict(KERNEL {
              tile[k.tid()] = x[k.tid()];
              k.barrier();
              GPU_IF(k.tid() == 0) {
                k.bulk_store<256>(y, 0, tile, 0);
                k.bulk_commit();
                k.bulk_wait();
              }
              k.barrier();
              tile[k.tid()] = 1u;
            }),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL {  // no wait
              tile[k.tid()] = x[k.tid()];
              k.barrier();
              GPU_IF(k.tid() == 0) {
                k.bulk_store<256>(y, 0, tile, 0);
                k.bulk_commit();
              }
              k.barrier();
              tile[k.tid()] = 1u;
            }),
            Err::still_read);
  EXPECT_EQ(verdict(KERNEL {  // no barrier between the lanes that write and the one that stores
              tile[k.tid()] = x[k.tid()];
              GPU_IF(k.tid() == 0) k.bulk_store<256>(y, 0, tile, 0);
            }),
            Err::missing_barrier);
  EXPECT_EQ(verdict(KERNEL {
              GPU_IF(k.tid() == 0) k.bulk_store<256>(y, 0, tile, 2);
              y[0] = x[0];
            }),
            Err::vector_misaligned);
  EXPECT_EQ(verdict(KERNEL {
              GPU_IF(k.tid() == 0) k.bulk_store<256>(y, 196, tile, 0);
              y[0] = x[0];
            }),
            Err::index_out_of_range);
}

TEST(Mbarrier, OneIsMadeOnceAndForOneKindOfWait) {
  EXPECT_EQ(verdict(KERNEL {
              for (auto i : k.range(0u, 2u)) {
                k.mbarrier(64);
                y[k.tid()] = x[i] + tile.object();
              }
            }),
            Err::mbarrier_use);
  EXPECT_EQ(verdict(KERNEL {
              auto both = k.mbarrier(64);
              auto token = both.arrive();
              both.wait();
              both.wait(token);
              y[k.tid()] = x[0] + tile.object();
            }),
            Err::mbarrier_use);
  EXPECT_EQ(verdict(KERNEL {
              GPU_IF(k.tid() < 7) k.return_();
              k.mbarrier(64);
              y[k.tid()] = x[0] + tile.object();
            }),
            Err::divergent_barrier);
  Program p{.name = "k", .block = {64, 1, 1}};  // its word is nobody else's
  Builder b(p);
  const u32 object = b.shared(Type::u64, 1), zero = b.constant(Type::u32, 0);
  b.mbarrier_init(object, 64);
  EXPECT_TRUE(verify(p.view()).ok());
  b.load(object, zero);
  EXPECT_EQ(verify(p.view()).error, Err::mbarrier_use);
  Program bytes{.name = "k", .block = {64, 1, 1}};
  Builder c(bytes);
  const u32 by = c.shared(Type::u64, 1), to = c.shared(Type::u32, 64), at = c.constant(Type::u32, 0);
  c.mbarrier_init(by, 1);
  c.bulk_load(to, at, c.param(ParamKind::in, Type::u32), at, 24, by);
  EXPECT_NE(message(verify(bytes.view())).find("24 bytes"), std::string::npos);
}

TEST(Mbarrier, APhaseThatNobodyEndsIsAnError) {
  const Traced t = traced(KERNEL {
    k.unchecked_races("the interpreter shows that this is wrong");
    auto full = k.mbarrier(2);
    GPU_IF(k.tid() == 0) full.arrive();
    full.wait();
    y[k.tid()] = x[k.tid()] + tile.object();
  });
  ASSERT_TRUE(t.result.ok());
  std::vector<u32> x(256), y(256);
  const Outcome o = interpret(t.program.view(), {1, 1, 1}, std::array{buffer(x), buffer(y)});
  EXPECT_EQ(o.error, "mbarrier whose phase nobody ends");
  EXPECT_GT(o.line, 0u);
}

TEST(Mbarrier, OlderGpusAndVulkanAreRefusedByName) {
  std::string text;
  EXPECT_EQ(min_sm(two_halves.view()), 80u);
  ASSERT_TRUE(ptx_to(text, two_halves.view(), {.sm = 90}).ok());
  for (const char* part :
       {".target sm_80", "mbarrier.init.shared.b64", "mbarrier.test_wait.shared.b64", "trap;"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
  EXPECT_EQ(text.find("fence.proxy"), std::string::npos);
  EXPECT_EQ(ptx_to(text, two_halves.view(), {.sm = 75}).error, PtxError::newer);
  EXPECT_EQ(min_sm(bulk_ring.view()), 90u);
  EXPECT_EQ(ptx_to(text, bulk_ring.view(), {.sm = 89}).error, PtxError::newer);
  ASSERT_TRUE(ptx_to(text, bulk_ring.view(), {.sm = 90}).ok());
  for (const char* part :
       {".target sm_90", "mbarrier.expect_tx", "mbarrier.try_wait.parity",
        "fence.proxy.async.shared::cta;\n  bar.sync", "cp.async.bulk.shared::cluster.global.mbarrier",
        "cp.async.bulk.global.shared::cta.bulk_group"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
  for (const View& k : {two_halves.view(), bulk_ring.view()}) {
    EXPECT_NE(spirv_refusal(k).what.find("mbarriers"), std::string_view::npos);
    EXPECT_TRUE(emit_spirv(k).empty());
    const std::vector<u8> bytes = serialize(k);
    const Deserialized back = deserialize(bytes);
    ASSERT_TRUE(back.ok()) << message(back);
    EXPECT_TRUE(std::ranges::equal(back.program.insts, k.insts));
  }
}

TEST(Mbarrier, NotWhereLanesMayBeSuspended) {
  const Program p = trace_program(
      [](Ctx k, OnDemand<u32> x, Out<u32> y) {
        auto all = k.mbarrier(64);
        all.wait(all.arrive());
        y[k.tid()] = x[k.tid()];
      },
      "k", {64, 1, 1});
  EXPECT_EQ(verify_suspend(p.view()).error, Err::suspend_async);
}

}  // namespace
}  // namespace gpuio::kernel
