// Each rule of the verifier: a kernel that breaks it, and near it kernels that do not.
#include <gtest/gtest.h>

#include <gpuio/kernel.hpp>

namespace gpuio::kernel {
namespace {

using Block = std::array<u32, 3>;

template <class F>
VerifyResult check(const F& f, Block block = {256, 1, 1}) {
  return trace(f, "k", block).result;
}
#define EXPECT_GOOD(...)                        \
  do {                                          \
    const VerifyResult r_ = check(__VA_ARGS__); \
    EXPECT_TRUE(r_.ok()) << message(r_);        \
  } while (false)
// LINE and OTHER are read after the trace.
#define EXPECT_BAD(ERROR, LINE, OTHER, ...)         \
  do {                                              \
    const VerifyResult r_ = check(__VA_ARGS__);     \
    EXPECT_EQ(r_.error, ERROR) << message(r_);      \
    EXPECT_EQ(r_.line, u32(LINE)) << message(r_);   \
    EXPECT_EQ(r_.other, u32(OTHER)) << message(r_); \
  } while (false)

// --- Races in shared memory ---

const auto missing_barrier = [](Ctx k, In<f32> x, Out<f32> y) {
  auto tile = k.shared<f32, 256>();
  auto t = k.tid();
  tile[t] = x[t];
  y[t] = tile[255 - t];
};
constexpr u32 kMissing = __LINE__ - 3;

TEST(Races, ReadAfterWriteNeedsABarrier) {
  EXPECT_BAD(Err::missing_barrier, kMissing + 1, kMissing, missing_barrier);
  EXPECT_GOOD(missing_barrier, Block{1, 1, 1});
}
TEST(Races, ABarrierBetweenMakesItGood) {
  EXPECT_GOOD([](Ctx k, In<f32> x, Out<f32> y) {
    auto tile = k.shared<f32, 256>();
    auto t = k.tid();
    tile[t] = x[t];
    k.barrier();
    y[t] = tile[255 - t];
  });
}
TEST(Races, ItsOwnElementNeedsNone) {
  EXPECT_GOOD([](Ctx k, In<f32> x, Out<f32> y) {
    auto tile = k.shared<f32, 512>();
    auto t = k.tid();
    tile[t * 2] = x[t];
    tile[2 * t + 1] = x[t];
    y[t] = tile[t * 2] + tile[t + t + 1];
  });
}
TEST(Races, WriteAfterReadAcrossABackEdge) {
  u32 line = 0;
  const auto k = [&line](Ctx c, In<f32> x, Out<f32> y, Val<u32> n) {
    auto tile = c.shared<f32, 256>();
    auto t = c.tid();
    auto sum = c.var(0.0f);
    line = __LINE__;
    for (auto i : c.range(0, n)) {
      tile[t] = x[t + i * 256];
      c.barrier();
      sum += tile[255 - t];
    }
    y[t] = sum;
  };
  const VerifyResult r = check(k);
  EXPECT_EQ(r.error, Err::write_after_read) << message(r);
  EXPECT_EQ(r.line, line + 2);
  EXPECT_EQ(r.other, line + 4);
}
TEST(Races, WriteAfterWrite) {
  u32 line = 0;
  const auto same = [&line](Ctx k, In<f32> x) {
    auto tile = k.shared<f32, 256>();
    line = __LINE__ + 1;
    tile[k.tid() >> 1] = x[k.tid()];
  };
  EXPECT_BAD(Err::write_after_write, line, line, same);
  const auto all = [](Ctx k) { k.shared<u32, 4>()[0] = 1u; };
  EXPECT_EQ(check(all).error, Err::write_after_write);
  const auto one = [](Ctx k) {
    auto s = k.shared<u32, 4>();
    GPU_IF(k.tid() == 3) s[0] = 1u;
    k.barrier();
  };
  EXPECT_GOOD(one);
  const auto two = [](Ctx k) {
    auto s = k.shared<u32, 4>();
    GPU_IF(k.tid() == 3) s[0] = 1u;
    GPU_IF(k.tid() == 4) s[0] = 1u;
  };
  EXPECT_EQ(check(two).error, Err::write_after_write);
}
TEST(Races, BothSidesOfADivergentBranchRunAtOnce) {
  EXPECT_EQ(check([](Ctx k) {
              auto s = k.shared<u32, 256>();
              auto t = k.tid();
              GPU_IF(t < 16) s[t] = 1u;
              else s[t - 16] = 2u;
            }).error,
            Err::write_after_write);
  EXPECT_GOOD([](Ctx k) {
    auto s = k.shared<u32, 256>();
    auto t = k.tid();
    GPU_IF(t < 16) s[t] = 1u;
    else s[t] = 2u;
  });
  EXPECT_GOOD([](Ctx k, Val<u32> n) {  // one side only, the same for all
    auto s = k.shared<u32, 256>();
    auto t = k.tid();
    GPU_IF(n < 16) s[t] = 1u;
    else s[255 - t] = 2u;
  });
}
TEST(Races, TreeReductionOverATracedStride) {
  EXPECT_GOOD([](Ctx k, In<f32> x, Out<f32> y) {
    auto tile = k.shared<f32, 256>();
    auto t = k.tid();
    tile[t] = x[t];
    k.barrier();
    auto s = k.var(128u);
    GPU_WHILE(k, s > 0) {
      GPU_IF(t < s) tile[t] += tile[t + s];
      k.barrier();
      s >>= 1u;
    }
    GPU_IF(t == 0) y[k.cta()] = tile[0];
  });
}
TEST(Races, TreeReductionWithoutItsBarrier) {
  EXPECT_EQ(check([](Ctx k, In<f32> x, Out<f32> y) {
              auto tile = k.shared<f32, 256>();
              auto t = k.tid();
              tile[t] = x[t];
              k.barrier();
              for (u32 s = 128; s; s >>= 1)
                GPU_IF(t < s) tile[t] = tile[t] + tile[t + s];
              GPU_IF(t == 0) y[0] = tile[0];
            }).error,
            Err::missing_barrier);
}
TEST(Races, PingPong) {
  EXPECT_GOOD([](Ctx k, In<f32> x, Out<f32> y, Val<u32> n) {
    auto buf = k.shared<f32, 512>();
    auto t = k.tid();
    buf[t] = x[t];
    k.barrier();
    for (auto i : k.range(0, n)) {
      auto from = i & 1;
      auto to = 1 - from;
      buf[to * 256 + t] = buf[from * 256 + ((t + 1) & 255)];
      k.barrier();
    }
    y[t] = buf[t];
  });
  EXPECT_EQ(check([](Ctx k, In<f32> x, Out<f32> y, Val<u32> n) {
              auto buf = k.shared<f32, 512>();
              auto t = k.tid();
              buf[t] = x[t];
              k.barrier();
              for (auto i : k.range(0, n)) {
                auto from = i & 1;
                buf[from * 256 + t] = buf[from * 256 + ((t + 1) & 255)];
                k.barrier();
              }
              y[t] = buf[t];
            }).error,
            Err::write_after_read);
}
TEST(Races, StridedFillAndRowMajorTiles) {
  EXPECT_GOOD(
      [](Ctx k) {
        auto s = k.shared<u32, 1000>();
        for (auto i : k.range(k.local_index(), 1000, 256)) s[i] = i;
        for (auto i : k.range(k.local_index(), 1000, 256)) s[i] += 1u;
      },
      Block{16, 16, 1});
  EXPECT_GOOD(
      [](Ctx k, Out<f32> y) {  // padded transpose
        auto s = k.shared<f32, 17 * 16>();
        auto x = k.tid();
        auto r = k.tid_y();
        s[r * 17 + x] = 1.0f;
        k.barrier();
        y[r * 16 + x] = s[x * 17 + r];
      },
      Block{16, 16, 1});
  EXPECT_EQ(check(
                [](Ctx k) {
                  auto s = k.shared<f32, 256>();
                  s[k.tid_y() * 15 + k.tid()] = 1.0f;
                },
                Block{16, 16, 1})
                .error,
            Err::write_after_write);
}
TEST(Races, OneElementASubgroup) {
  EXPECT_GOOD([](Ctx k, In<f32> x, Out<f32> y) {
    auto partial = k.shared<f32, 256>();
    auto sum = subgroup_add(x[k.tid()]);
    GPU_IF(k.elect()) partial[k.subgroup_index()] = sum;
    k.barrier();
    GPU_IF(k.tid() == 0) y[0] = partial[0];
  });
  EXPECT_GOOD([](Ctx k, In<f32> x) {
    auto partial = k.shared<f32, 256>();
    auto sum = subgroup_add(x[k.tid()]);
    GPU_IF(k.lane() == 0) partial[k.subgroup_index()] = sum;
  });
  EXPECT_EQ(check([](Ctx k, In<f32> x) { k.shared<f32, 256>()[k.subgroup_index()] = x[k.tid()]; }).error,
            Err::write_after_write);
}
TEST(Races, APairIsSafeUnderItsConditionsOnly) {
  u32 line = 0;
  const auto k = [&line](Ctx c, In<f32> x, Out<f32> y) {
    auto tile = c.shared<f32, 256>();
    auto t = c.tid();
    for (u32 i = 0; i < 3; ++i) {
      GPU_IF(t == 0) tile[0] = x[i];
      c.barrier();
    }
    line = __LINE__;
    tile[0] = x[3];
    c.barrier();
    y[t] = tile[0];
  };
  EXPECT_BAD(Err::write_after_write, line + 1, line + 1, k);
}
TEST(Races, AtomicsMixWithAtomicsOnly) {
  EXPECT_GOOD([](Ctx k, In<u8> x) { k.shared<u32, 256>().atomic_add(x[k.tid()], 1u); });
  EXPECT_EQ(check([](Ctx k, In<u8> x, Out<u32> y) {
              auto s = k.shared<u32, 256>();
              s.atomic_add(x[k.tid()], 1u);
              y[k.tid()] = s[k.tid()];
            }).error,
            Err::missing_barrier);
}
TEST(Races, VectorsCoverTheirElements) {
  EXPECT_GOOD([](Ctx k, In<f32> x) {
    auto s = k.shared<f32, 1024>();
    s.store(k.tid() * 4, x.vec<4>(k.tid() * 4));
  });
  EXPECT_EQ(check([](Ctx k, In<f32> x) {
              auto s = k.shared<f32, 1024>();
              s.store(k.tid() * 2, x.vec<4>(k.tid() * 4));
            }).error,
            Err::write_after_write);
}
TEST(Races, AnAuthorMayAnswerForThem) {
  EXPECT_GOOD([](Ctx k, In<u32> x) {
    k.unchecked_races("x is a permutation");
    k.shared<u32, 256>()[x[k.tid()] & 255] = 1u;
  });
}
TEST(Races, AJumpCarriesWhatWasRead) {
  EXPECT_EQ(check([](Ctx k, In<f32> x, Out<f32> y, Val<u32> n) {
              auto s = k.shared<f32, 256>();
              auto t = k.tid();
              for (auto i : k.range(0, n)) {
                s[t] = x[t];
                k.barrier();
                y[t] = s[255 - t];
                k.continue_if(i == 3);
                k.barrier();
              }
            }).error,
            Err::write_after_read);
}
TEST(Races, AJumpOutOfAnInnerLoopStaysInTheIteration) {
  EXPECT_GOOD([](Ctx k, In<f32> x, Out<f32> y, Val<u32> n) {
    auto s = k.shared<f32, 256>();
    auto t = k.tid();
    for (auto i : k.range(0, n)) {
      s[t] = x[t];
      k.barrier();
      for (auto j : k.range(0, n)) {
        y[t] = s[255 - t];
        k.break_if(j == i);
        k.continue_if(i == 3);
      }
      k.barrier();
    }
  });
}
TEST(Races, OneLaneOfAWideBlock) {
  const auto first = [](Ctx k, Out<u32> y) {
    auto s = k.shared<u32, 4>();
    GPU_IF(k.local_index() < 1) s[3] = 7u;
    k.barrier();
    y[k.local_index()] = s[3];
  };
  EXPECT_GOOD(first, Block{16, 4, 2});
  const auto two = [](Ctx k) {
    auto s = k.shared<u32, 4>();
    GPU_IF(k.local_index() < 2) s[3] = 7u;
  };
  EXPECT_EQ(check(two, Block{16, 4, 2}).error, Err::write_after_write);
  EXPECT_EQ(check(two, Block{1, 2, 2}).error, Err::write_after_write);
}

// --- Barriers ---

TEST(Barriers, UnderADivergentBranch) {
  u32 line = 0;
  const auto k = [&line](Ctx c) {
    auto first = c.tid() < 4;
    GPU_IF(first) {
      line = __LINE__ + 1;
      c.barrier();
    }
  };
  EXPECT_BAD(Err::divergent_barrier, line, line - 2, k);
  EXPECT_GOOD(k, Block{1, 1, 1});
  EXPECT_GOOD([](Ctx c, Val<u32> n) {
    GPU_IF(n < 4) c.barrier();
  });
}
TEST(Barriers, AfterAReturnOfSome) {
  u32 line = 0;
  const auto k = [&line](Ctx c, Val<u32> n) {
    line = __LINE__ + 1;
    c.return_if(c.global_id() >= n);
    c.barrier();
  };
  EXPECT_BAD(Err::divergent_barrier, line + 1, line, k);
  EXPECT_GOOD([](Ctx c, Val<u32> n) {
    c.return_if(c.cta() >= n);
    c.barrier();
  });
}
TEST(Barriers, InALoopThatSomeLeave) {
  EXPECT_EQ(check([](Ctx c) {
              for (auto i : c.range(0, c.tid())) {
                (void)i;
                c.barrier();
              }
            }).error,
            Err::divergent_barrier);
  EXPECT_EQ(check([](Ctx c, In<u32> x) {
              GPU_LOOP(c) {
                c.barrier();
                c.break_if(x[c.tid()] == 0);
              }
            }).error,
            Err::divergent_barrier);
  EXPECT_GOOD([](Ctx c, In<u32> x, Val<u32> n) {
    for (auto i : c.range(0, n)) {
      c.barrier();
      c.break_if(x[i] == 0);
    }
  });
  EXPECT_GOOD([](Ctx c, In<u32> x) {  // voted
    GPU_LOOP(c) {
      c.break_if(!c.barrier_any(x[c.tid()] == 0));
    }
  });
  EXPECT_EQ(check([](Ctx c, In<u32> x) {  // some skip it
              for (auto i : c.range(0u, 4u)) {
                c.continue_if(x[c.tid()] == i);
                c.barrier();
              }
            })
                .error,
            Err::divergent_barrier);
  EXPECT_GOOD([](Ctx c, In<u32> x, InOut<u32> y) {  // the lanes meet again in the next iteration
    for (auto i : c.range(0u, 4u)) {
      c.barrier();
      c.continue_if(x[c.tid()] == i);
      y[c.tid()] = i;
    }
  });
}
TEST(Barriers, OnAVarThatDiffers) {
  EXPECT_EQ(check([](Ctx c) {
              auto v = c.var(0u);
              GPU_IF(c.tid() == 1) v = 1u;
              GPU_IF(v == 1) c.barrier();
            }).error,
            Err::divergent_barrier);
  EXPECT_EQ(check([](Ctx c, Val<u32> n) {  // differs from the second iteration on
              auto v = c.var(0u);
              auto w = c.var(0u);
              for (auto i : c.range(0, n)) {
                (void)i;
                GPU_IF(v == 1) c.barrier();
                v = w;
                w = c.tid();
              }
            })
                .error,
            Err::divergent_barrier);
}

// --- Indices ---

TEST(Indices, OutOfRange) {
  u32 line = 0;
  const auto k = [&line](Ctx c) {
    auto s = c.shared<u32, 256>();
    line = __LINE__ + 1;
    s[c.tid() + 1] = 0u;
  };
  EXPECT_BAD(Err::index_out_of_range, line, 256, k);
  EXPECT_GOOD(k, Block{255, 1, 1});
  EXPECT_EQ(check([](Ctx c) { (void)c.shared<u32, 16>()[16]; }).error, Err::index_out_of_range);
  EXPECT_EQ(check([](Ctx, In<u32, 100> x, Out<u32> y) { y[0] = x[100]; }, Block{1, 1, 1}).error,
            Err::index_out_of_range);
  EXPECT_EQ(check([](Ctx c, Out<u32> y) {
              auto s = c.shared<u32, 256>();
              y[c.tid()] = s[c.tid() - 1];
            }).error,
            Err::index_out_of_range);
  EXPECT_EQ(check(
                [](Ctx c, Out<u32> y) {
                  auto s = c.shared<u32, 64>();
                  for (auto i : c.range(0u, 65u)) y[0] = s[i];
                },
                Block{1, 1, 1})
                .error,
            Err::index_out_of_range);
}
TEST(Indices, ConditionsBoundThem) {
  const auto bounded = [](Ctx c, Out<u32> y) {
    auto s = c.shared<u32, 256>();
    auto t = c.tid();
    GPU_IF(t > 0) y[t] = s[t - 1];
    GPU_IF(t != 255) y[t] = s[t + 1];
    GPU_IF((t >= 8) & !(t > 100)) y[t] = s[t + 155];
    c.return_if(t >= 16);
    y[t] = s[t * 16 + 15];
  };
  EXPECT_GOOD(bounded);
  EXPECT_GOOD([](Ctx c, In<u32> x, Out<u32> y) {  // a condition that says nothing to us
    auto s = c.shared<u32, 256>();
    GPU_IF(x[c.tid()] == 0) y[0] = s[c.tid() + 1];
  });
  EXPECT_GOOD([](Ctx c, In<u32> x, Out<u32> y) {
    auto s = c.shared<u32, 256>();
    y[c.tid()] = s[x[c.tid()] & 255] + s[x[c.tid()]] + s[min(x[0], 255)];
  });
}
TEST(Indices, AConditionAnswersForItsOwnBranchOnly) {
  u32 line = 0;
  const auto k = [&line](Ctx c, In<f32> x, Out<f32> y) {
    auto tile = c.shared<f32, 256>();
    auto wide = c.shared<f32, 257>();
    auto t = c.tid();
    tile[t] = x[t];
    wide[t + 1] = x[t];
    c.barrier();
    auto sum = c.var(0.0f);
    for (u32 i = 0; i < 3; ++i) {
      GPU_IF(t < 255) sum += tile[t + 1] + wide[t + 1];
      sum += wide[t + 1];
    }
    line = __LINE__;
    sum += tile[t + 1];
    y[t] = sum;
  };
  EXPECT_BAD(Err::index_out_of_range, line + 1, 256, k);
}
TEST(Indices, TheGridsEdgeHidesNoMistake) {
  EXPECT_EQ(check([](Ctx c, Val<u32> n, Out<u32> y) {
              auto s = c.shared<u32, 256>();
              c.return_if(c.global_id() >= n);
              y[c.tid()] = s[c.tid() + 1];
            }).error,
            Err::index_out_of_range);
  EXPECT_GOOD([](Ctx c, Val<u32> n, Out<u32> y) {  // n may be what keeps i below 64
    auto s = c.shared<u32, 64>();
    for (auto i : c.range(0u, 100u))
      GPU_IF(i < n) y[i] = s[i];
  });
}
TEST(Indices, NothingIsKnownOfHugeNumbers) {
  EXPECT_GOOD([](Ctx c, InOut<u64, 256> y) {
    auto s = c.shared<u64, 64>();
    auto big = c.var<u64>(0x9E3779B97F4A7C15u) + 0;
    auto mixed = big * (y[c.tid()] + big + big);  // wraps on a device
    y[c.tid()] = s[mixed >> 58] + s[(big - 5u) & 63] + s[(mixed % 64u)] + s[min(mixed, 63)];
  });
  EXPECT_EQ(check([](Ctx c, Out<u64> y) {
              auto s = c.shared<u64, 64>();
              y[0] = s[64 + ((c.tid().as<u64>() * 0xffffffffffffffffu) & 15)];
            }).error,
            Err::index_out_of_range);
}
TEST(Indices, VectorsAreAligned) {
  EXPECT_EQ(check([](Ctx c, In<f32> x, Out<f32> y) { y[c.tid()] = x.vec<4>(c.tid() * 4 + 2)[0]; }).error,
            Err::vector_misaligned);
  EXPECT_GOOD([](Ctx c, In<f32> x, Out<f32> y) { y[c.tid()] = x.vec<2>(c.tid() * 4 + 2)[0]; });
}

}  // namespace
}  // namespace gpuio::kernel
