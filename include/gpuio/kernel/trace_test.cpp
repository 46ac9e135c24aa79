#include <gtest/gtest.h>

#include <gpuio/kernel.hpp>

#include "support/kernels.hpp"

namespace gpuio::kernel {
namespace {

using gpuio::kernel::kernel;

u32 count(View v, Op op) {
  u32 n = 0;
  for (const Inst& i : v.insts) n += i.op == op;
  return n;
}

TEST(Trace, ParametersComeInTheOrderOfTheLambda) {
  constexpr auto k =
      kernel<"params", 8, 4, 2>([](Ctx, Val<f32>, In<u8>, Out<f16, 7>, InOut<i64>, OnDemand<bf16>) {});
  const View v = k.view();
  EXPECT_EQ(v.name, "params");
  EXPECT_EQ(v.block, (std::array<u32, 3>{8, 4, 2}));
  ASSERT_EQ(v.params.size(), 5u);
  EXPECT_EQ(v.params[0], (Param{ParamKind::scalar, Type::f32, 0}));
  EXPECT_EQ(v.params[1], (Param{ParamKind::in, Type::u8, 0}));
  EXPECT_EQ(v.params[2], (Param{ParamKind::out, Type::f16, 7}));
  EXPECT_EQ(v.params[3], (Param{ParamKind::inout, Type::i64, 0}));
  EXPECT_EQ(v.params[4], (Param{ParamKind::on_demand, Type::bf16, 0}));
}

TEST(Trace, NativeLoopsUnrollAndTracedOnesDoNot) {
  const View v = test_kernels::block_sum.view();
  EXPECT_EQ(count(v, Op::barrier), 9u);
  EXPECT_EQ(count(v, Op::loop), 1u);  // the stride is not a constant
}

TEST(Trace, AnElementAssignedIsNotRead) {
  constexpr auto k = kernel<"w", 32>([](Ctx c, InOut<u32> x) { x[c.tid()] = 7u; });
  EXPECT_EQ(count(k.view(), Op::load), 0u);
  constexpr auto u = kernel<"u", 32>([](Ctx c, InOut<u32> x) { x[c.tid()] += 7u; });
  EXPECT_EQ(count(u.view(), Op::load), 1u);
}

TEST(Trace, AnElementNamedKeepsTheValueThatWasThere) {
  constexpr auto k = kernel<"swap", 32>([](Ctx c, InOut<u32> x) {
    auto i = c.tid();
    auto old = x[i];
    x[i] = 1u;
    x[i + 32] = old;
  });
  const View v = k.view();
  ASSERT_EQ(count(v, Op::load), 1u);
  u32 load = 0;
  while (v.insts[load].op != Op::load) ++load;
  EXPECT_EQ(v.insts.back().op, Op::store);
  EXPECT_EQ(v.insts.back().c, load);
}

TEST(Trace, LinesAreThoseOfTheSource) {
  const u32 here = __LINE__;
  constexpr auto k = kernel<"lines", 32>([](Ctx c, In<f32> x, Out<f32> y) {
    auto i = c.tid();  // here + 2
    auto v = x[i];     // + 3
    c.barrier();       // + 4
    y[i] = v + 1.0f;   // + 5
  });
  const View v = k.view();
  for (const Inst& i : v.insts) {
    u32 want = i.line;
    if (i.op == Op::builtin) want = here + 2;
    if (i.op == Op::load) want = here + 3;
    if (i.op == Op::barrier) want = here + 4;
    if (i.op == Op::add || i.op == Op::store) want = here + 5;
    EXPECT_EQ(i.line, want) << int(i.op);
  }
}

TEST(Trace, RunTimeLambdasCaptureWhatTheySpecialise) {
  u32 times = 3;
  const Program p = trace_program(
      [times](Ctx c, InOut<u32> x) {
        for (u32 i = 0; i < times; ++i) x[c.tid()] += 1u;
      },
      "specialised", {32, 1, 1});
  EXPECT_EQ(count(p.view(), Op::store), 3u);
}

TEST(Trace, MistakesThrowAtRunTime) {
  try {
    (void)trace_program(
        [](Ctx c) {
          for (auto i : c.range(0u, 4u)) {
            (void)i;
            break;
          }
        },
        "broken", {32, 1, 1});
    FAIL() << "a native break out of a traced loop was taken";
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("broken: a native break"), std::string::npos) << e.what();
  }
}

TEST(Trace, AnIfWithoutElseHasNone) {
  constexpr auto k = kernel<"if", 32>([](Ctx c, Out<u32> x) {
    auto i = c.tid();
    GPU_IF(i < 4) x[i] = 1u;
    GPU_IF(i < 8) x[i] = 1u;
    else x[i] = 2u;
  });
  EXPECT_EQ(count(k.view(), Op::if_), 2u);
  EXPECT_EQ(count(k.view(), Op::else_), 1u);
  EXPECT_EQ(count(k.view(), Op::end_if), 2u);
}

}  // namespace
}  // namespace gpuio::kernel
