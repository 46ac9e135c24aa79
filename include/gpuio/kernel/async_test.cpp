// Async copies: what they compute, that a missing wait is seen, and what the back ends make of them.
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/sanitize.hpp>
#include <gpuio/kernel/spirv.hpp>

#include <gtest/gtest.h>

#include "support/copies.hpp"
#include "support/sane.hpp"
#include "support/tile_kernels.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;

TEST(AsyncCopy, APipelineIsRightAndFreeOfRaces) {
  std::vector<f32> x(kPipelineTiles * 256), out(64), want(64);
  for (u32 i = 0; i < x.size(); ++i) x[i] = f32(i * 7 % 1001);
  for (u32 lane = 0; lane < 64; ++lane)
    for (u32 t = 0; t < kPipelineTiles; ++t) want[lane] += x[t * 256 + 255 - 4 * lane];
  const std::array arguments{Argument::buffer(std::as_writable_bytes(std::span(x))),
                             Argument::buffer(std::as_writable_bytes(std::span(out))),
                             Argument::scalar(kPipelineTiles)};
  for (const u64 seed : {0, 1, 2}) {
    expect_sane(pipeline.view(), arguments, {.shuffle_seed = seed, .turn_steps = seed});
    EXPECT_EQ(out, want);
  }
}

using Numbers = In<u32, 256>;
using Results = Out<u32, 64>;
template <class F>
Traced traced(F f) {
  return traced_on_tile<Results>(f);
}
template <class F>
Err verdict(F f) {
  return traced(f).result.error;
}
#define KERNEL [](Ctx k, Numbers x, Results y, auto tile)

TEST(AsyncCopy, TheVerifierFollowsWaits) {
  // Another lane's: wait and barrier. The lane's own: wait.
  EXPECT_EQ(verdict(KERNEL {
              k.async_copy<4>(tile, k.tid(), x, k.tid());
              k.async_commit();
              k.async_wait();
              k.barrier();
              y[k.tid()] = tile[63 - k.tid()];
            }),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL {
              k.async_copy<4>(tile, k.tid(), x, k.tid());
              k.async_commit();
              k.async_wait();
              y[k.tid()] = tile[k.tid()];
            }),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL {  // no wait
              k.async_copy<4>(tile, k.tid(), x, k.tid());
              k.async_commit();
              k.barrier();
              y[k.tid()] = tile[k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // no commit
              k.async_copy<4>(tile, k.tid(), x, k.tid());
              k.async_wait();
              y[k.tid()] = tile[k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // a wait that lets the newest group go on
              k.async_copy<4>(tile, k.tid(), x, k.tid());
              k.async_commit();
              k.async_wait<1>();
              y[k.tid()] = tile[k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // a wait that perhaps nobody comes to
              k.async_copy<4>(tile, k.tid(), x, k.tid());
              k.async_commit();
              GPU_IF(x[0] == 1u) k.async_wait();
              y[k.tid()] = tile[k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // likewise
              k.async_copy<4>(tile, k.tid(), x, k.tid());
              k.async_commit();
              for (auto i : k.range(0u, x[0])) {
                (void)i;
                k.async_wait();
              }
              y[k.tid()] = tile[k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // a wait that is jumped over
              GPU_LOOP(k) {
                k.async_copy<4>(tile, k.tid(), x, k.tid());
                k.async_commit();
                k.break_if(x[0] == 1u);
                k.async_wait();
              }
              y[k.tid()] = tile[k.tid()];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // in a branch as a whole
              GPU_IF(x[0] == 1u) {
                k.async_copy<4>(tile, k.tid(), x, k.tid());
                k.async_commit();
                k.async_wait();
                k.barrier();
                y[k.tid()] = tile[63 - k.tid()];
              }
            }),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL {
              k.async_copy<4>(tile, k.tid(), x, k.tid());
              k.async_commit();
              k.async_wait();
              y[k.tid()] = tile[63 - k.tid()];
            }),
            Err::missing_barrier);
  EXPECT_EQ(verdict(KERNEL {
              k.async_copy<8>(tile, k.tid(), x, k.tid() * 2);
              y[k.tid()] = 0u;
            }),
            Err::write_after_write);
  EXPECT_EQ(verdict(KERNEL {
              k.async_copy<16>(tile, k.tid() * 4, x, k.tid() * 4 + 2);
              y[k.tid()] = 0u;
            }),
            Err::vector_misaligned);
  EXPECT_EQ(verdict(KERNEL {
              k.async_copy<16>(tile, k.tid() * 4, x, k.tid() * 4 + 4);
              y[k.tid()] = 0u;
            }),
            Err::index_out_of_range);
}

// A lane's copies under way at once to columns of 16 bytes, whose 32 rows lanes fill by sixteens: other
// lanes' columns lie between a lane's first and its last.
TEST(AsyncCopy, ManyOfALaneMayBeUnderWayToPanels) {
  const auto rows_apart = [](auto rows) {
    return verdict([](Ctx k, Numbers x, Results y, auto) {
      constexpr u32 kPanel = decltype(rows)::value * 4;
      auto panels = k.shared<u32, 4 * 33 * 4>();
      for (u32 sixteen = 0; sixteen < 2; ++sixteen)
        k.async_copy<16>(panels, k.tid() % 4 * kPanel + k.tid() / 4 * 4 + sixteen * 64, x, k.tid() * 4);
      k.async_commit();
      k.async_wait();
      k.barrier();
      y[k.tid()] = panels[k.tid()];
    });
  };
  EXPECT_EQ(rows_apart(std::integral_constant<u32, 33>{}), Err::ok);
  EXPECT_EQ(rows_apart(std::integral_constant<u32, 32>{}), Err::ok);
  EXPECT_EQ(rows_apart(std::integral_constant<u32, 31>{}), Err::missing_wait);
}

TEST(AsyncCopy, WithoutAWaitNothingLandsInTheInterpreter) {
  const Traced t = traced(KERNEL {
    k.unchecked_races("the interpreter shows that this is wrong");
    k.async_copy<4>(tile, k.tid(), x, k.tid());
    k.async_commit();
    k.barrier();
    y[k.tid()] = tile[k.tid()];
  });
  ASSERT_TRUE(t.result.ok());
  std::vector<std::byte> x(1024), y(256);
  const std::array arguments{Argument::buffer(x), Argument::buffer(y)};
  const Outcome o = interpret(t.program.view(), {1, 1, 1}, arguments);
  EXPECT_EQ(o.error, "shared memory read before it was written");
}

TEST(AsyncCopy, BackEndsHaveTheirOwnOrPlainOnes) {
  std::string text;
  ASSERT_TRUE(ptx_to(text, pipeline.view(), {.sm = 80}).ok());
  for (const char* part :
       {".target sm_80", "cp.async.cg.shared.global", "cp.async.commit_group;", "cp.async.wait_group 1;"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
  ASSERT_TRUE(ptx_to(text, pipeline.view(), {.sm = 75}).ok());
  EXPECT_EQ(text.find("cp.async"), std::string::npos);
  EXPECT_NE(text.find("st.shared.v4.b32"), std::string::npos);
  EXPECT_EQ(min_sm(pipeline.view()), 70u);
  EXPECT_TRUE(spirv_refusal(pipeline.view()).what.empty());
  EXPECT_FALSE(emit_spirv(pipeline.view()).empty());
}

}  // namespace
}  // namespace gpuio::kernel
