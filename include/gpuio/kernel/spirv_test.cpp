// Every module that the emitter makes must pass the specification's own validator.
#include <gpuio/kernel/spirv.hpp>

#include <gtest/gtest.h>
#include <gpuio/kernel/random_program.hpp>
#include <spirv-tools/libspirv.hpp>

#include "support/copies.hpp"
#include "support/every_operation.hpp"
#include "support/kernels.hpp"
#include "support/vocabulary.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;

std::string complaints(std::span<const u32> words) {
  static const spvtools::ValidatorOptions options = [] {
    spvtools::ValidatorOptions o;
    o.SetScalarBlockLayout(true);
    return o;
  }();
  std::string text;
  spvtools::SpirvTools tools(SPV_ENV_VULKAN_1_3);
  tools.SetMessageConsumer(
      [&](spv_message_level_t, const char*, const spv_position_t& at, const char* message) {
        text += "word " + std::to_string(at.index) + ": " + message + "\n";
      });
  if (!tools.Validate(words.data(), words.size(), options) && text.empty()) text = "refused without a word";
  return text;
}
std::string complaints(const View& kernel) { return complaints(emit_spirv(kernel)); }

TEST(Spirv, TheValidatorCanRefuse) {
  std::vector<u32> words = emit_spirv(saxpy.view());
  words.resize(words.size() - 3);
  EXPECT_NE(complaints(words), "");
}

TEST(Spirv, SharedKernels) {
  for (const View& v : {saxpy.view(), block_sum.view(), matmul.view(), histogram.view(), subgroup_sum.view(),
                        subgroup_mix.view(), storage.view(), pipeline.view(), copies_of_bytes.view(),
                        copies_of_longs.view()}) {
    EXPECT_EQ(complaints(v), "") << v.name;
  }
}

TEST(Spirv, Vocabulary) {
  for (const Sample& s : vocabulary()) EXPECT_EQ(complaints(s.program.view()), "") << s.program.name;
}

TEST(Spirv, EveryOperationOnEveryType) {
  for (const Type t : {Type::boolean, Type::u32, Type::i32, Type::u64, Type::i64, Type::f32, Type::f64}) {
    EXPECT_EQ(complaints(every_arithmetic(t, 64).program.view()), "") << u32(t);
  }
  for (const Type t : kValueTypes) EXPECT_EQ(complaints(every_cast(t, 64).program.view()), "") << u32(t);
  for (const Type t : {Type::f16, Type::bf16})
    EXPECT_EQ(complaints(every_pair(t, 64).program.view()), "") << u32(t);
  EXPECT_EQ(complaints(every_function(64).program.view()), "");
}

// Loads, stores and vectors of every type, in buffers and shared arrays, by u32 and u64 indices.
TEST(Spirv, MemoryOfEveryType) {
  for (const Type t : kValueTypes) {
    Program p{.name = "memory", .block = {32, 1, 1}};
    Builder b(p);
    const u32 buffer = b.param(ParamKind::inout, t), scalar = b.param(ParamKind::scalar, t);
    const u32 tile = b.shared(t, 64), i = b.builtin(Builtin::local_x), wide = b.cast(Type::u64, i);
    b.store(buffer, wide, b.argument(scalar));
    for (const u32 index : {i, wide}) {
      b.store(tile, index, b.load(buffer, index));
      b.store(buffer, index, b.load(tile, index));
    }
    for (const u8 width : {u8(2), u8(4)}) {
      if (size_of(t) * width > 16) continue;
      for (const u32 object : {buffer, tile}) {
        const u32 v = b.load(object, i, width), first = b.extract(v, 0), last = b.extract(v, width - 1u);
        const u32 r = width == 2 ? b.compose(last, first) : b.compose(last, first, last, first);
        b.store(buffer, i, r);
        b.store(tile, i, r);
      }
    }
    EXPECT_EQ(complaints(p.view()), "") << u32(t);
  }
}

TEST(Spirv, AtomicsOfEveryOrderAndScope) {
  for (const Type t : {Type::u32, Type::i32, Type::u64, Type::i64}) {
    Program p{.name = "atomics", .block = {32, 1, 1}};
    Builder b(p);
    const u32 buffer = b.param(ParamKind::inout, t), tile = b.shared(t, 64), i = b.builtin(Builtin::local_x);
    const u32 one = b.constant(t, 1), two = b.constant(t, 2);
    for (const Order order : {Order::relaxed, Order::acquire, Order::release, Order::acq_rel}) {
      for (const Scope scope : {Scope::subgroup, Scope::workgroup, Scope::device, Scope::system}) {
        for (const u32 object : {buffer, tile}) {
          b.atomic_store(object, i, b.atomic_load(object, i, order, scope), order, scope);
          b.atomic_cas(object, i, one, two, order, scope);
          for (u32 r = 0; r <= u32(Rmw::exchange); ++r) b.atomic_rmw(Rmw(r), object, i, one, order, scope);
        }
        b.fence(order, scope);
      }
    }
    EXPECT_EQ(complaints(p.view()), "") << u32(t);
  }
}

TEST(Spirv, Collectives) {
  Program p{.name = "collectives", .block = {32, 2, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::inout, Type::u64);
  const u32 lane = b.builtin(Builtin::subgroup_lane);
  for (u32 w = 0; w <= u32(Builtin::local_index); ++w)
    b.store(out, b.constant(Type::u32, w), b.cast(Type::u64, b.builtin(Builtin(w))));
  const u32 odd = b.compare(Op::eq, lane, b.constant(Type::u32, 1));
  b.barrier();
  const u32 any = b.barrier_any(odd);
  b.if_(b.barrier_any(any));
  b.store(out, lane, b.ballot(b.vote(Vote::all, b.vote(Vote::any, odd))));
  b.end_if();
  b.if_(b.elect());
  b.store(out, lane, b.length(out));
  b.end_if();
  for (const Type t : {Type::u32, Type::i32, Type::u64, Type::i64, Type::f32, Type::f64}) {
    const u32 v = b.cast(t, lane);
    for (const Rmw r : {Rmw::add, Rmw::min, Rmw::max, Rmw::bit_and, Rmw::bit_or, Rmw::bit_xor}) {
      if (is_float(t) && r > Rmw::max) continue;
      b.store(out, lane, b.cast(Type::u64, b.reduce(r, v)));
    }
    for (u32 s = 0; s <= u32(Shuffle::down); ++s)
      b.store(out, lane, b.cast(Type::u64, b.shuffle(Shuffle(s), v, lane)));
  }
  EXPECT_EQ(complaints(p.view()), "");
}

// Jumps everywhere, code after jumps, regions that control never leaves.
TEST(Spirv, ControlFlow) {
  Program p{.name = "control", .block = {32, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::inout, Type::u32), i = b.builtin(Builtin::local_x),
            v = b.var(Type::boolean);
  const u32 odd =
      b.compare(Op::ne, b.binary(Op::bit_and, i, b.constant(Type::u32, 1)), b.constant(Type::u32, 0));
  b.var_store(v, odd);
  b.loop();
  b.if_(odd);
  b.break_();
  b.if_(odd);  // dead
  b.store(out, i, i);
  b.else_();
  b.continue_();
  b.end_if();
  b.else_();
  b.if_(b.var_load(v));
  b.continue_();
  b.else_();
  b.return_();
  b.store(out, i, i);  // dead
  b.end_if();
  b.store(out, i, i);  // nothing arrives here
  b.end_if();
  b.continuing();
  b.var_store(v, b.unary(Op::bit_not, b.var_load(v)));
  b.end_loop();
  for (const Type t : {Type::u32, Type::i32, Type::u64, Type::i64}) {
    const u32 n = b.for_(b.constant(t, 3), b.cast(t, i), b.constant(t, 5));
    b.if_(odd);
    b.continue_();
    b.end_if();
    b.store(out, i, b.cast(Type::u32, n));
    b.if_(b.unary(Op::bit_not, odd));
    b.break_();
    b.end_if();
    b.end_for();
  }
  b.loop();
  b.return_();
  b.end_loop();
  b.store(out, i, i);
  EXPECT_EQ(complaints(p.view()), "");
}

TEST(Spirv, RandomPrograms) {
  for (u64 seed = 1; seed <= 150; ++seed) {
    RandomOptions options;
    options.on_demand = false;
    options.pairs = seed % 2 == 0;
    const Program p = random_program(seed, options);
    ASSERT_EQ(complaints(p.view()), "") << "seed " << seed;
  }
}

// The words in the program and those made at run time, with whatever order the compiler evaluates in.
TEST(Spirv, SameWordsAtCompileTimeAndAtRunTime) {
  constexpr auto& words = kSpirv<decltype(block_sum)::frozen()>;
  EXPECT_EQ(std::vector<u32>(words.begin(), words.end()), emit_spirv(block_sum.view()));
  constexpr auto& mixed = kSpirv<decltype(storage)::frozen()>;
  EXPECT_EQ(std::vector<u32>(mixed.begin(), mixed.end()), emit_spirv(storage.view()));
}

}  // namespace
}  // namespace gpuio::kernel
