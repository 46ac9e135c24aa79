// Programs made by hand, as a pass or a generator might get them wrong; and what cannot be suspended.
#include <gtest/gtest.h>

#include <functional>

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/verify_suspend.hpp>

namespace gpuio::kernel {
namespace {

// A program of parameters in u32 (0), out u32 (1), inout u32 (2), on-demand u32 (3), scalar f32 (4); shared
// u32[8]; a u32 var; values 0: local_x, 1: constant 1, 2: constant true, 3: the scalar. Each instruction has
// its own line.
Program base() {
  Program p{.name = "p", .block = {8, 1, 1}};
  Builder b(p);
  b.param(ParamKind::in, Type::u32);
  b.param(ParamKind::out, Type::u32);
  b.param(ParamKind::inout, Type::u32);
  b.param(ParamKind::on_demand, Type::u32);
  b.param(ParamKind::scalar, Type::f32);
  b.shared(Type::u32, 8);
  b.var(Type::u32);
  b.builtin(Builtin::local_x);
  b.constant(Type::u32, 1);
  b.constant(Type::boolean, 1);
  b.argument(4);
  return p;
}
constexpr u32 kX = 0, kOne = 1, kTrue = 2, kFloat = 3;

Err error_of(const std::function<void(Builder&)>& f) {
  Program p = base();
  Builder b(p);
  f(b);
  return verify(p.view()).error;
}

TEST(VerifyProgram, TheBaseIsGood) {
  EXPECT_EQ(error_of([](Builder&) {}), Err::ok);
}
TEST(VerifyProgram, BracketsNest) {
  EXPECT_EQ(error_of([](Builder& b) { b.if_(kTrue); }), Err::brackets_do_not_nest);
  EXPECT_EQ(error_of([](Builder& b) { b.end_if(); }), Err::brackets_do_not_nest);
  EXPECT_EQ(error_of([](Builder& b) { b.if_(kTrue), b.end_loop(); }), Err::brackets_do_not_nest);
  EXPECT_EQ(error_of([](Builder& b) { b.if_(kTrue), b.else_(), b.else_(), b.end_if(); }),
            Err::brackets_do_not_nest);
  EXPECT_EQ(error_of([](Builder& b) { b.loop(), b.else_(), b.end_loop(); }), Err::brackets_do_not_nest);
  EXPECT_EQ(error_of([](Builder& b) { b.if_(kTrue), b.else_(), b.end_if(); }), Err::ok);
  EXPECT_EQ(error_of([](Builder& b) { b.break_(); }), Err::jump_outside_loop);
  EXPECT_EQ(error_of([](Builder& b) { b.loop(), b.break_(), b.end_loop(); }), Err::ok);
  EXPECT_EQ(error_of([](Builder& b) { b.return_(), b.barrier(); }), Err::unreachable);
}
TEST(VerifyProgram, ContinuingStandsOnceDirectlyInItsLoop) {
  EXPECT_EQ(error_of([](Builder& b) { b.loop(), b.break_(), b.continuing(), b.end_loop(); }), Err::ok);
  EXPECT_EQ(error_of([](Builder& b) { b.loop(), b.continuing(), b.continuing(), b.end_loop(); }),
            Err::continuing_misplaced);
  EXPECT_EQ(error_of([](Builder& b) { b.for_(kX, kOne, kOne), b.continuing(), b.end_for(); }),
            Err::continuing_misplaced);
  EXPECT_EQ(error_of([](Builder& b) { b.loop(), b.continuing(), b.break_(), b.end_loop(); }),
            Err::jump_in_continuing);
  EXPECT_EQ(error_of([](Builder& b) {  // a continue may have skipped the definition
              b.loop(), b.if_(kTrue), b.continue_(), b.end_if();
              const u32 v = b.load(0, kX);
              b.break_(), b.continuing(), b.var_store(0, v), b.end_loop();
            }),
            Err::use_out_of_scope);
}
TEST(VerifyProgram, ValuesAreUsedWhereTheyAreDefined) {
  EXPECT_EQ(error_of([](Builder& b) {
              b.binary(Op::add, kX, 0), b.append({.op = Op::neg, .type = Type::u32, .a = 99});
            }),
            Err::no_such_value);
  EXPECT_EQ(error_of([](Builder& b) { b.append({.op = Op::neg, .type = Type::u32, .a = 4}); }),
            Err::use_out_of_scope);
  const auto leak = [](Builder& b) {
    b.if_(kTrue);
    const u32 v = b.load(0, kX);
    b.end_if();
    b.store(1, kX, v);
  };
  EXPECT_EQ(error_of(leak), Err::use_out_of_scope);
  EXPECT_EQ(error_of([](Builder& b) {
              const u32 i = b.for_(kX, kOne, kOne);
              b.end_for(), b.store(1, kX, i);
            }),
            Err::use_out_of_scope);
}
TEST(VerifyProgram, TypesOfOperands) {
  EXPECT_EQ(error_of([](Builder& b) { b.binary(Op::add, kX, kFloat); }), Err::wrong_type);
  EXPECT_EQ(error_of([](Builder& b) { b.binary(Op::add, kTrue, kTrue); }), Err::wrong_type);
  EXPECT_EQ(error_of([](Builder& b) { b.binary(Op::bit_and, kTrue, kTrue); }), Err::ok);
  EXPECT_EQ(error_of([](Builder& b) { b.binary(Op::rem, kFloat, kFloat); }), Err::wrong_type);
  EXPECT_EQ(error_of([](Builder& b) { b.unary(Op::sqrt, kX); }), Err::wrong_type);
  EXPECT_EQ(error_of([](Builder& b) { b.compare(Op::lt, kTrue, kTrue); }), Err::wrong_type);
  EXPECT_EQ(error_of([](Builder& b) { b.bitcast(Type::u64, kX); }), Err::wrong_type);
  EXPECT_EQ(error_of([](Builder& b) { b.bitcast(Type::f32, kX); }), Err::ok);
  EXPECT_EQ(error_of([](Builder& b) { b.store(1, kX, kFloat); }), Err::wrong_type);
  EXPECT_EQ(error_of([](Builder& b) { b.load(0, kFloat); }), Err::wrong_type);
  EXPECT_EQ(error_of([](Builder& b) { b.if_(kX), b.end_if(); }), Err::wrong_type);
  EXPECT_EQ(error_of([](Builder& b) { b.constant(Type::u8, 256); }), Err::wrong_type);
  EXPECT_EQ(error_of([](Builder& b) { b.reduce(Rmw::exchange, kX); }), Err::wrong_mode);
  EXPECT_EQ(error_of([](Builder& b) { b.atomic_load(2, kX, Order::release, Scope::device); }),
            Err::wrong_mode);
  EXPECT_EQ(error_of([](Builder& b) { b.for_(kX, kOne, kX), b.end_for(); }), Err::step_not_positive);
  EXPECT_EQ(error_of([](Builder& b) { b.load(0, kX, 8); }), Err::wrong_width);
  EXPECT_EQ(error_of([](Builder& b) { b.extract(kX, 0); }), Err::wrong_width);
  EXPECT_EQ(error_of([](Builder& b) { b.extract(b.load(0, b.constant(Type::u32, 4), 2), 1); }), Err::ok);
}
TEST(VerifyProgram, ObjectsOfTheRightKind) {
  EXPECT_EQ(error_of([](Builder& b) { b.store(0, kX, kOne); }), Err::store_to_input);
  EXPECT_EQ(error_of([](Builder& b) { b.load(1, kX); }), Err::load_of_output);
  EXPECT_EQ(error_of([](Builder& b) { b.load(3, kX); }), Err::needs_on_demand);
  EXPECT_EQ(error_of([](Builder& b) { b.ondemand_load(0, kX); }), Err::needs_on_demand);
  EXPECT_EQ(error_of([](Builder& b) { b.ondemand_status(b.ondemand_load(3, kX)); }), Err::ok);
  EXPECT_EQ(error_of([](Builder& b) { b.load(4, kX); }), Err::no_such_object);
  EXPECT_EQ(
      error_of([](Builder& b) { b.append({.op = Op::load, .type = Type::u32, .a = kShared | 1, .b = kX}); }),
      Err::no_such_object);
  EXPECT_EQ(error_of([](Builder& b) { b.append({.op = Op::var_load, .type = Type::u32, .a = 1}); }),
            Err::no_such_var);
}
TEST(VerifyProgram, BlockSize) {
  Program p = base();
  p.block = {1024, 2, 1};
  EXPECT_EQ(verify(p.view()).error, Err::block_size);
}

template <class F>
VerifyResult suspend(const F& f, SuspendOptions options = {}) {
  return verify_suspend(trace_program(f, "k", {64, 1, 1}).view(), options);
}
TEST(VerifySuspend, LanesThatWaitForEachOther) {
  EXPECT_EQ(suspend([](Ctx k, OnDemand<u32> x, InOut<u32> flag, Out<u32> y) {
              y[k.tid()] = x[k.tid()];
              GPU_WHILE(k, flag.atomic_load(0, Order::acquire) == 0) {
              }
            }).error,
            Err::suspend_spin);
  EXPECT_TRUE(suspend([](Ctx k, OnDemand<u32> x, InOut<u32> flag, Out<u32> y) {  // bounded
                y[k.tid()] = x[k.tid()];
                auto tries = k.var(0u);
                GPU_WHILE(k, tries < 100) {
                  tries += 1;
                  k.break_if(flag.atomic_load(0) != 0);
                }
              })
                  .ok());
  EXPECT_TRUE(suspend([](Ctx k, InOut<u32> flag) {  // nothing on demand: nothing is suspended
                GPU_WHILE(k, flag.atomic_load(0) == 0) {
                }
              })
                  .ok());
}
TEST(VerifySuspend, ALockAcrossAnAccess) {
  EXPECT_EQ(suspend([](Ctx k, OnDemand<u32> x, InOut<u32> lock, InOut<u32> y) {
              GPU_LOOP(k) k.break_if(lock.atomic_exchange(0, 1u, Order::acquire) == 0);
              y[0] = x[y[0]];
              lock.atomic_store(0, 0u, Order::release);
            }).error,
            Err::suspend_lock);
  EXPECT_TRUE(suspend([](Ctx k, OnDemand<u32> x, InOut<u32> lock, InOut<u32> y) {
                auto v = x[k.tid()];
                GPU_LOOP(k) k.break_if(lock.atomic_exchange(0, 1u, Order::acquire) == 0);
                y[0] += v;
                lock.atomic_store(0, 0u, Order::release);
              }).ok());
  EXPECT_TRUE(suspend([](Ctx k, OnDemand<u32> x, InOut<u32> sum) {  // a retry holds nothing
                auto v = x[k.tid()];
                auto old = k.var(sum.atomic_load(0));
                GPU_LOOP(k) {
                  auto seen = sum.atomic_cas(0, old, old * 3 + v);
                  k.break_if(seen == old);
                  old = seen;
                }
              })
                  .ok());
}
TEST(VerifySuspend, DivergentSubgroupOperations) {
  const auto divergent = [](Ctx k, OnDemand<u32> x, Out<u32> y) {
    GPU_IF(k.tid() < 7) y[k.tid()] = subgroup_add(x[k.tid()]);
  };
  EXPECT_EQ(suspend(divergent).error, Err::suspend_divergent_subgroup);
  EXPECT_TRUE(suspend(divergent, {.structured_reconvergence = true}).ok());
  EXPECT_TRUE(
      suspend([](Ctx k, OnDemand<u32> x, Out<u32> y) { y[k.tid()] = subgroup_add(x[k.tid()]); }).ok());
  const auto mask = [](Ctx k, OnDemand<u32> x, Out<u64> y) {
    GPU_IF(x[k.tid()] < 7) y[k.tid()] = ballot(x[k.tid()] == 0);
  };
  EXPECT_EQ(suspend(mask, {.structured_reconvergence = true}).error, Err::suspend_active_mask);
}

}  // namespace
}  // namespace gpuio::kernel
