#include <gpuio/kernel/hash.hpp>

#include <gtest/gtest.h>

#include "support/kernels.hpp"

namespace gpuio::kernel {
namespace {

using gpuio::kernel::kernel;

// One number on every compiler: this file is built by all that we support.
static_assert(canonical_hash(test_kernels::block_sum.view()) == 0x959ae27353156e5b);
static_assert(canonical_hash(test_kernels::matmul.view()) == 0x2b1959d38df26ba4);

const auto mixed = [](Ctx k, In<f32> a, InOut<f32> b, OnDemand<f32> c, Val<u32> n) {
  auto i = k.global_id();
  auto v = k.var(0.5f);
  GPU_IF((i < n) & (a[i] > b[i])) {
    b[i + 1] = (a[i] + b[i]) * (a[i + 1] - v) / fma(a[2], b[3], v);
  } else {
    v += c[i] * a[i];
  }
  b[i] = select(v > 1.0f, v, a[i]);
};

TEST(Hash, TracingWhileCompilingAndAtRunTimeAgree) {
  constexpr auto k = kernel<"mixed", 64>(mixed);
  const Program p = trace_program(mixed, "mixed", {64, 1, 1});
  EXPECT_EQ(p.insts.size(), k.view().insts.size());
  EXPECT_EQ(canonical_hash(p.view()), canonical_hash(k.view()));
  constexpr u64 compiled = canonical_hash(k.view());
  EXPECT_EQ(compiled, canonical_hash(k.view()));
}

Program two_loads(bool swapped, u32 line) {
  Program p{.name = "two", .block = {8, 1, 1}};
  Builder b(p);
  b.line = line;
  const u32 x = b.param(ParamKind::in, Type::u32), y = b.param(ParamKind::out, Type::u32);
  const u32 i = b.builtin(Builtin::local_x), one = b.constant(Type::u32, 1);
  const u32 first = b.load(x, swapped ? one : i), second = b.load(x, swapped ? i : one);
  b.store(y, i, b.binary(Op::sub, swapped ? second : first, swapped ? first : second));
  return p;
}
TEST(Hash, OrderOfEvaluationAndLinesDoNotCount) {
  EXPECT_EQ(canonical_hash(two_loads(false, 1).view()), canonical_hash(two_loads(true, 2).view()));
}

TEST(Hash, WhatChangesTheKernelCounts) {
  const Program base = two_loads(false, 1);
  const u64 h = canonical_hash(base.view());
  for (u32 n = 0; n < base.insts.size(); ++n) {
    Program p = base;
    if (p.insts[n].op == Op::sub) {
      p.insts[n].op = Op::add;
      EXPECT_NE(canonical_hash(p.view()), h);
      p = base;
      std::swap(p.insts[n].a, p.insts[n].b);
      EXPECT_NE(canonical_hash(p.view()), h);
    }
    if (p.insts[n].op == Op::constant) {
      p.insts[n].imm = 2;
      EXPECT_NE(canonical_hash(p.view()), h);
    }
  }
  Program p = base;
  p.block = {16, 1, 1};
  EXPECT_NE(canonical_hash(p.view()), h);
  p = base;
  p.params[0].type = Type::i32;
  EXPECT_NE(canonical_hash(p.view()), h);
}

TEST(Hash, AStoreBetweenLoadsCounts) {
  const auto before = [](Ctx k, InOut<u32> x) {
    auto v = x[k.tid()];
    x[k.tid() + 1] = 7u;
    x[k.tid() + 2] = v;
  };
  const auto after = [](Ctx k, InOut<u32> x) {
    x[k.tid() + 1] = 7u;
    auto v = x[k.tid()];
    x[k.tid() + 2] = v;
  };
  EXPECT_NE(canonical_hash(trace_program(before, "k", {8, 1, 1}).view()),
            canonical_hash(trace_program(after, "k", {8, 1, 1}).view()));
}

}  // namespace
}  // namespace gpuio::kernel
