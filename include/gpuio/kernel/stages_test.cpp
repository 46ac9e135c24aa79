// Stages: roles that load and read, which the verifier follows, and each rule of it by a kernel that breaks
// it.
#include <gpuio/kernel/sanitize.hpp>
#include <gpuio/kernel/serialize.hpp>
#include <gpuio/kernel/verify_suspend.hpp>

#include <gtest/gtest.h>

#include "support/phases.hpp"
#include "support/sane.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;

template <class T>
Argument buffer(std::vector<T>& v) {
  return Argument::buffer(std::as_writable_bytes(std::span(v)));
}

// f(k, x, y, tile, stage, n): 64 lanes, of which `readers` release the stage.
template <class F>
VerifyResult verdict(F f, u32 readers = 32, u32 loaders = 1) {
  return trace(
             [=](Ctx k, In<u32, 256> x, Out<u32, 64> y, Val<u32> n) {
               auto tile = k.shared<u32, 64>();
               auto stage = k.stage(readers, loaders);
               f(k, x, y, tile, stage, n);
             },
             "k", {64, 1, 1})
      .result;
}
#define KERNEL                                                                                            \
  [](Ctx k, [[maybe_unused]] In<u32, 256> x, [[maybe_unused]] Out<u32, 64> y, [[maybe_unused]] auto tile, \
     const Stage& stage, [[maybe_unused]] Val<u32> n)
#define LOAD           \
  GPU_IF(k.tid() == 0) \
    for ([[maybe_unused]] auto t : k.range(0u, n))
#define READ            \
  GPU_IF(k.tid() >= 32) \
    for ([[maybe_unused]] auto t : k.range(0u, n))
#define BRING k.bulk_load<256>(tile, 0, x, t * 64, mine)
#define TAKE y[k.tid()] = tile[95 - k.tid()] + x[t]

TEST(Stages, GoBackAndForth) {
  EXPECT_EQ(verdict(KERNEL {
              LOAD {
                auto mine = stage.acquire();
                BRING;
                mine.commit();
}
READ {
  auto mine = stage.wait();
  TAKE;
  mine.release();
}
}  // namespace
),
            VerifyResult{});
}  // namespace gpuio::kernel

TEST(Stages, AreLoadedBetweenAcquireAndCommit) {
  const auto read = [](Ctx k, [[maybe_unused]] In<u32, 256> x, [[maybe_unused]] Out<u32, 64> y,
                       [[maybe_unused]] auto tile, const Stage& stage, [[maybe_unused]] Val<u32> n) {
    READ {
      auto mine = stage.wait();
      TAKE;
      mine.release();
    }
  };
#define WRONG_LOAD(...)                                                                           \
  verdict([=](Ctx k, In<u32, 256> x, Out<u32, 64> y, auto tile, const Stage& stage, Val<u32> n) { \
    LOAD{__VA_ARGS__} read(k, x, y, tile, stage, n);                                              \
  }).error
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); BRING; mine.commit();), Err::ok);
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); mine.commit(); BRING;), Err::stage_not_owned);
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); BRING; mine.commit(); mine.commit();),
            Err::stage_not_owned);
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); BRING;), Err::stage_held);
  EXPECT_EQ(WRONG_LOAD(Stage::Loading mine(stage); BRING; mine.commit();), Err::stage_not_owned);
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); BRING; GPU_IF(t < 3) mine.commit();), Err::ok)
      << "nobody reads what is not committed";
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); GPU_IF(t < 3) mine.commit(); BRING; mine.commit();),
            Err::stage_not_owned);
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); BRING; k.break_if(t == 3); mine.commit();),
            Err::stage_held);
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); BRING; tile[0] = 1; mine.commit();),
            Err::stage_not_owned);
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); BRING; y[0] = tile[0]; mine.commit();),
            Err::stage_not_owned);
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); k.bulk_load<128>(tile, 0, x, t * 64, mine);
                       k.bulk_load<128>(tile, 32, x, t * 64, mine); mine.commit();),
            Err::ok);
  EXPECT_EQ(WRONG_LOAD(auto mine = stage.acquire(); k.bulk_load<128>(tile, 0, x, t * 64, mine);
                       k.bulk_load<128>(tile, 16, x, t * 64, mine); mine.commit();),
            Err::missing_wait)
      << "two loads of one fill meet";
#undef WRONG_LOAD
}

TEST(Stages, AreReadBetweenWaitAndRelease) {
#define WRONG_READ(...)            \
  verdict(KERNEL {                                                                 \
    LOAD {                                                                         \
      auto mine = stage.acquire();                                                 \
      BRING;                                                                       \
      mine.commit();               \
  }                                \
  READ { __VA_ARGS__ }             \
  }).error
  EXPECT_EQ(WRONG_READ(auto mine = stage.wait(); TAKE; mine.release();), Err::ok);
  EXPECT_EQ(WRONG_READ(auto mine = stage.wait(); mine.release(); TAKE;), Err::stage_not_owned);
  EXPECT_EQ(WRONG_READ(TAKE; auto mine = stage.wait(); mine.release();), Err::stage_not_owned);
  EXPECT_EQ(WRONG_READ(auto mine = stage.wait(); TAKE; mine.release(); mine.release();),
            Err::stage_not_owned);
  EXPECT_EQ(WRONG_READ((void)stage.wait(); TAKE;), Err::stage_held);
  EXPECT_EQ(WRONG_READ(auto mine = stage.wait(); tile[k.tid()] = 1; mine.release();), Err::stage_not_owned);
  EXPECT_EQ(WRONG_READ(auto mine = stage.wait(); TAKE; GPU_IF(t < 3) mine.release(); TAKE;),
            Err::stage_not_owned);
  EXPECT_EQ(WRONG_READ(auto mine = stage.wait(); TAKE; k.continue_if(t == 3); mine.release();),
            Err::stage_held);
  EXPECT_EQ(WRONG_READ(auto mine = stage.wait(); GPU_IF(k.tid() < 48) TAKE; else y[k.tid()] = tile[0];
                       mine.release();),
            Err::ok);
  // Of the lanes that read, half release.
  EXPECT_EQ(verdict(KERNEL {
              LOAD {
                auto mine = stage.acquire();
                BRING;
                mine.commit();
}
READ {
  auto mine = stage.wait();
  TAKE;
  GPU_IF(k.tid() >= 48) mine.release();
}
}, 16).error,
            Err::stage_not_passed);
#undef WRONG_READ
}

TEST(Stages, ArePassedOnByAsManyLanesAsTheyWereMadeFor) {
  const auto both = [](Ctx k, [[maybe_unused]] In<u32, 256> x, [[maybe_unused]] Out<u32, 64> y,
                       [[maybe_unused]] auto tile, const Stage& stage, [[maybe_unused]] Val<u32> n) {
    LOAD {
      auto mine = stage.acquire();
      BRING;
      mine.commit();
    }
    READ {
      auto mine = stage.wait();
      TAKE;
      mine.release();
    }
  };
  EXPECT_EQ(verdict(both), VerifyResult{});
  EXPECT_EQ(verdict(both, 31).error, Err::mbarrier_arrivals);
  EXPECT_EQ(verdict(both, 64).error, Err::mbarrier_arrivals);
  EXPECT_EQ(verdict(both, 32, 2).error, Err::mbarrier_arrivals);
  const auto many = [](Ctx k, [[maybe_unused]] In<u32, 256> x, [[maybe_unused]] Out<u32, 64> y,
                       [[maybe_unused]] auto tile, const Stage& stage, [[maybe_unused]] Val<u32> n) {
    GPU_IF((k.lane() < 4) & (k.subgroup_index() == 0))
      for ([[maybe_unused]] auto t : k.range(0u, n)) {
        auto mine = stage.acquire();
        k.bulk_load<64>(tile, k.lane() * 16, x, t * 64 + k.lane() * 16, mine);
        mine.commit();
      }
    READ {
      auto mine = stage.wait();
      TAKE;
      mine.release();
    }
  };
  EXPECT_EQ(verdict(many, 32, 4), VerifyResult{});
  EXPECT_EQ(verdict(many, 32, 1).error, Err::mbarrier_arrivals);
  // Two that load in branches of their own: one's fill is the other's.
  const auto two = [](u32 apart) {
    return verdict(
        [apart](Ctx k, In<u32, 256> x, Out<u32, 64> y, auto tile, const Stage& stage, Val<u32> n) {
          for (u32 lane = 0; lane < 2; ++lane)
            GPU_IF(k.tid() == lane)
              for (auto t : k.range(0u, n)) {
                auto mine = stage.acquire();
                k.bulk_load<128>(tile, lane * apart, x, t * 64, mine);
                mine.commit();
              }
          READ {
            auto mine = stage.wait();
            TAKE;
            mine.release();
          }
        },
        32, 2);
  };
  EXPECT_EQ(two(32), VerifyResult{});
  EXPECT_EQ(two(16).error, Err::write_after_write);
  // A condition on data may keep lanes away, which lets others wait, but not more than these may come.
  EXPECT_EQ(verdict(KERNEL {
              LOAD {
                auto mine = stage.acquire();
                BRING;
                mine.commit();
              }
              GPU_IF((k.tid() >= 32) & (x[k.tid()] == 7u)) {
                auto mine = stage.wait();
                y[k.tid()] = tile[0] + n;
                mine.release();
              }
            }),
            VerifyResult{});
  EXPECT_EQ(verdict(KERNEL {
              LOAD {
                auto mine = stage.acquire();
                BRING;
                mine.commit();
              }
              GPU_IF(x[k.tid()] == 7u) {
                auto mine = stage.wait();
                y[k.tid()] = tile[0] + n;
                mine.release();
              }
            }).error,
            Err::mbarrier_arrivals);
}

TEST(Stages, LoopsThatEndOnDataHoldNothingEither) {
  const auto loop = [](bool commit, bool go_on) {
    return verdict([=](Ctx k, In<u32, 256> x, [[maybe_unused]] Out<u32, 64> y, auto tile, const Stage& stage,
                       Val<u32> n) {
             GPU_IF(k.tid() == 0) {
               auto at = k.var(0u);
               GPU_WHILE(k, at < n) {
                 const Val<u32> t = at;
                 at += 1u;
                 if (go_on) k.continue_if(x[t] == 3u);
                 auto mine = stage.acquire();
                 BRING;
                 if (commit) mine.commit();
               }
             }
             READ {
               auto mine = stage.wait();
               TAKE;
               mine.release();
             }
           })
        .error;
  };
  EXPECT_EQ(loop(true, false), Err::ok);
  EXPECT_EQ(loop(true, true), Err::ok);
  EXPECT_EQ(loop(false, false), Err::stage_held);
  EXPECT_EQ(loop(false, true), Err::stage_held);
}

TEST(Stages, AnArrayIsOfOneStageAndItsMbarriersOfNoOther) {
  EXPECT_EQ(verdict(KERNEL {  // brought to another mbarrier
              auto other = k.mbarrier(1);
              LOAD {
                auto mine = stage.acquire();
                BRING;
                k.bulk_load<16>(tile, 0, x, t * 64, other);
                other.arrive();
                mine.commit();
              }
              y[k.tid()] = x[0];
            })
                .error,
            Err::stage_not_owned);
  EXPECT_EQ(verdict(KERNEL {  // of two stages
              auto other = k.stage(32);
              LOAD {
                auto mine = stage.acquire();
                BRING;
                mine.commit();
                auto its = other.acquire();
                k.bulk_load<256>(tile, 0, x, t * 64, its);
                its.commit();
              }
              y[k.tid()] = x[0];
            })
                .error,
            Err::stage_not_owned);
  Program p{.name = "k", .block = {64, 1, 1}};
  Builder b(p);
  const u32 full = b.shared(Type::u64, 1), empty = b.shared(Type::u64, 1), more = b.shared(Type::u64, 1);
  b.mbarrier_init(full, 1);
  b.mbarrier_init(empty, 32, full);
  EXPECT_TRUE(verify(p.view()).ok());
  b.mbarrier_init(more, 32, full);
  EXPECT_EQ(verify(p.view()).error, Err::mbarrier_use);
  Program q{.name = "k", .block = {64, 1, 1}};
  Builder c(q);
  c.mbarrier_init(c.shared(Type::u64, 1), 1, c.shared(Type::u64, 1));  // which is not made yet
  EXPECT_EQ(verify(q.view()).error, Err::mbarrier_use);
  q.insts[0].c = 77;
  EXPECT_EQ(verify(q.view()).error, Err::no_such_object);
}

// What lanes hand to each other by other means is checked beside it.
TEST(Stages, ExcuseNothingElse) {
  EXPECT_EQ(verdict(KERNEL {
              auto sums = k.shared<u32, 64>();
              LOAD {
                auto mine = stage.acquire();
                BRING;
                sums[0] = t;
                mine.commit();
              }
              READ {
                auto mine = stage.wait();
                y[k.tid()] = tile[k.tid()] + sums[0];
                mine.release();
              }
            }).error,
            Err::missing_barrier);
}

// Two warpgroups multiply what a third one's first lane brings, one of two stages ahead; a stage is released
// when the products after it are under way, by one lane of each subgroup.
constexpr u32 kWide = 64 * 8 * 8;
template <class F>
Traced product(F change, u32 readers = 8) {
  return trace(
      [=](Ctx k, In<f16> a, In<f16> b, Out<f32> c, Val<u32> steps) {
        auto a0 = k.shared<f16, 2 * kWide>(), a1 = k.shared<f16, 2 * kWide>();
        auto b0 = k.shared<f16, kWide>(), b1 = k.shared<f16, kWide>();
        const Stage s0 = k.stage(readers), s1 = k.stage(readers);
        const auto load = [&](const Stage& stage, const auto& to_a, const auto& to_b, const Val<u32>& t) {
          auto mine = stage.acquire();
          k.template bulk_load<4 * kWide>(to_a, 0, a, t * (2 * kWide), mine);
          k.template bulk_load<2 * kWide>(to_b, 0, b, t * kWide, mine);
          mine.commit();
        };
        GPU_IF(k.warpgroup_index() == 2) {
          GPU_IF(k.tid() == 256)
            for (auto t : k.range(0u, steps, 2)) {
              load(s0, a0, b0, t);
              load(s1, a1, b1, t + 1);
            }
        } else {
          auto sum = k.warpgroup_sum<f16, 64>();
          const auto multiply = [&](const auto& from_a, const auto& from_b) {
            sum.multiply_add(from_a, k.warpgroup_index() * (64 * 8), 128 * 8, from_b, 0, 64 * 8, 64);
            k.warpgroup_commit();
          };
          change(k, s0, s1, [&] { multiply(a0, b0); }, [&] { multiply(a1, b1); }, steps);
          k.warpgroup_wait();
          sum.for_elements(
              [&](auto row, auto column, auto v) { c[(k.warpgroup_index() * 64 + row) * 64 + column] = v; });
        }
      },
      "product", {384, 1, 1});
}
#define ROUNDS \
  [](Ctx k, const Stage& s0, const Stage& s1, auto multiply0, auto multiply1, const Val<u32>& steps)

// So many groups of products go on while a stage is released: 1 is right.
template <u32 Groups>
constexpr auto kDelayed = ROUNDS {
  const auto release = [&](const Stage& s) {
    GPU_IF(k.lane() == 0) s.reading().release();
  };
  (void)s0.wait();
  multiply0();
  for ([[maybe_unused]] auto t : k.range(2u, steps, 2)) {
    (void)s1.wait();
    multiply1();
    k.warpgroup_wait<Groups>();
    release(s0);
    (void)s0.wait();
    multiply0();
    k.warpgroup_wait<Groups>();
    release(s1);
  }
  (void)s1.wait();
  multiply1();
};

TEST(Stages, ProductsAreReleasedWhenTheyAreDone) {
  const Traced right = product(kDelayed<1>);
  ASSERT_EQ(right.result, VerifyResult{}) << message(right.result);
  EXPECT_EQ(product(kDelayed<1>, 256).result.error, Err::mbarrier_arrivals);
  const auto plain = [](bool wait) {
    return product([wait](Ctx k, const Stage& s0, const Stage& s1, auto multiply0, auto multiply1,
                          const Val<u32>& steps) {
             const auto round = [&](const Stage& stage, auto multiply) {
               auto mine = stage.wait();
               multiply();
               if (wait) k.warpgroup_wait();
               GPU_IF(k.lane() == 0) mine.release();
             };
             for ([[maybe_unused]] auto t : k.range(0u, steps, 2)) {
               round(s0, multiply0);
               round(s1, multiply1);
             }
           })
        .result.error;
  };
  EXPECT_EQ(plain(true), Err::ok);
  EXPECT_EQ(plain(false), Err::still_read);
  // One group too many goes on, that of the iteration before.
  EXPECT_EQ(product(kDelayed<2>).result.error, Err::still_read);

  std::vector<f16> a(4 * 2 * kWide), b(4 * kWide);
  for (u32 i = 0; i < a.size(); ++i) a[i] = narrow<f16>(f32(i % 13) - 6);
  for (u32 i = 0; i < b.size(); ++i) b[i] = narrow<f16>(f32(i % 7) - 3);
  std::vector<f32> c(128 * 64), want(128 * 64);
  for (u32 t = 0; t < 4; ++t)
    for (u32 row = 0; row < 128; ++row)
      for (u32 column = 0; column < 64; ++column)
        for (u32 d = 0; d < 64; ++d)
          want[row * 64 + column] += widen(a[t * 2 * kWide + panel_place<f16>(row, d, 128 * 8)]) *
                                     widen(b[t * kWide + panel_place<f16>(column, d, 64 * 8)]);
  for (const u64 seed : {0, 1, 2}) {
    std::ranges::fill(c, -1.0f);
    expect_sane(right.program.view(), std::array{buffer(a), buffer(b), buffer(c), Argument::scalar(4)},
                {.subgroup_size = 32, .shuffle_seed = seed, .turn_steps = seed});
    EXPECT_EQ(c, want);
  }
}

}  // namespace
}  // namespace gpuio::kernel
