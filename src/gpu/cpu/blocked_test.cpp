// The blocked interpreter against the lock-step interpreter: random kernels, every operation on every type,
// and the errors that it reports.
#include "gpu/cpu/blocked.hpp"

#include <gmock/gmock.h>

#include <random>

#include "gpu/cpu/differential.hpp"
#include "support/every_operation.hpp"
#include "support/matrices.hpp"
#include "support/phases.hpp"
#include "support/tensors.hpp"
#include "support/warpgroups.hpp"

namespace gpuio::gpu::cpu {
namespace {

using namespace kernel;
using ::testing::AllOf;
using ::testing::HasSubstr;

Status run_blocked(const View& kernel, std::array<u32, 3> grid, RandomData& data, u32 subgroup_size = 8) {
  auto native = make_blocked(kernel, {.subgroup_size = subgroup_size});
  if (!native) return native.error();
  return run_grid(*native, kernel, grid, data);
}

void expect_like_interpreter(const View& kernel, std::array<u32, 3> grid, const RandomData& input,
                             u32 subgroup_size) {
  RandomData want = input, got = input;
  const Outcome o =
      interpret(kernel, grid, want.arguments(), {.subgroup_size = subgroup_size, .steps_max = 1u << 26});
  ASSERT_TRUE(o.ok()) << o.error << " at line " << o.line;
  const Status s = run_blocked(kernel, grid, got, subgroup_size);
  ASSERT_TRUE(s) << s.message();
  for (std::size_t p = 0; p < want.bytes.size(); ++p)
    ASSERT_EQ(got.bytes[p], want.bytes[p]) << "parameter " << p;
}

TEST(Blocked, RandomKernels) {
  const std::array<u32, 3> blocks[] = {{10, 1, 1}, {4, 2, 1}, {64, 1, 1}, {3, 5, 7}, {1, 1, 1}, {33, 2, 1}};
  for (u64 seed = 0; seed < 600; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomOptions options;
    options.statements = seed % 2 == 0 ? 16 : 40;
    options.block = blocks[seed % std::size(blocks)];
    options.on_demand = false;
    options.wide = seed % 7 != 0;
    options.pairs = seed % 3 != 0;
    const Program p = random_program(seed, options);
    expect_like_interpreter(p.view(), options.grid(), random_contents(p.view(), seed), seed % 3 == 0 ? 4 : 8);
    if (HasFatalFailure()) return;
  }
}

// All have left the loop: what a uniform var gets in `continuing` is of a trip that nobody makes.
TEST(Blocked, NobodyContinuesALoopThatAllHaveLeft) {
  Program p{.name = "left", .block = {16, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::inout, Type::u32, 16), var = b.var(Type::u32);
  b.loop();
  b.if_(b.compare(Op::ge, b.var_load(var), b.constant(Type::u32, 3)));
  b.break_();
  b.end_if();
  b.continuing();
  b.var_store(var, b.binary(Op::add, b.var_load(var), b.constant(Type::u32, 1)));
  b.end_loop();
  b.store(out, b.builtin(Builtin::local_x), b.var_load(var));
  expect_like_interpreter(p.view(), {1, 1, 1}, random_contents(p.view(), 1), 8);
}

// Inputs of every_operation.hpp, and room for its results.
RandomData interesting_data(Type t, u32 elements, u32 results) {
  std::mt19937_64 random(42);
  RandomData data;
  data.bits.assign(3, 0);
  for (int i = 0; i < 2; ++i) {
    data.bytes.emplace_back(elements * size_of(t));
    for (u32 e = 0; e < elements; ++e)
      write_element(data.bytes.back(), e * size_of(t), size_of(t),
                    test_kernels::interesting(t, random, true));
  }
  data.bytes.emplace_back(u64{results} * elements * 8);
  return data;
}

TEST(Blocked, EveryOperationOnEveryType) {
  constexpr u32 kElements = 1024;
  const std::array<u32, 3> grid{kElements / test_kernels::kEveryLanes, 1, 1};
  for (const Type t : {Type::boolean, Type::u32, Type::i32, Type::u64, Type::i64, Type::f32, Type::f64}) {
    SCOPED_TRACE(int(t));
    const auto e = test_kernels::every_arithmetic(t, kElements);
    expect_like_interpreter(e.program.view(), grid, interesting_data(t, kElements, e.results), 8);
  }
  for (const Type t : test_kernels::kValueTypes) {
    SCOPED_TRACE(int(t));
    const auto e = test_kernels::every_cast(t, kElements);
    expect_like_interpreter(e.program.view(), grid, interesting_data(t, kElements, e.results), 8);
  }
  for (const Type half : {Type::f16, Type::bf16}) {
    SCOPED_TRACE(int(half));
    const auto e = test_kernels::every_pair(half, kElements);
    expect_like_interpreter(e.program.view(), grid, interesting_data(half, kElements, e.results), 8);
  }
  const auto e = test_kernels::every_function(kElements);
  expect_like_interpreter(e.program.view(), grid, interesting_data(Type::f32, kElements, e.results), 8);
}

// A kernel of one instruction that matters, at line 12.
Program reading_at(u32 index, u32 elements, u8 width) {
  Program p{.name = "reading", .block = {4, 1, 1}};
  Builder b(p);
  const u32 in = b.param(ParamKind::in, Type::u32, elements), out = b.param(ParamKind::inout, Type::u32, 8);
  const u32 at = b.binary(Op::mul, b.builtin(Builtin::local_x), b.constant(Type::u32, index));
  b.line = 12;
  const u32 v = b.load(in, at, width);
  b.store(out, b.builtin(Builtin::local_x), width == 1 ? v : b.extract(v, 0));
  return p;
}

TEST(Blocked, AnIndexOutOfRangeNamesLineIndexAndLength) {
  const auto message = [](const Program& p) {
    RandomData data = random_contents(p.view(), 1);
    const Status s = run_blocked(p.view(), {1, 1, 1}, data);
    EXPECT_TRUE(s || s.code() == Code::invalid_address);
    return s.message();
  };
  EXPECT_EQ(message(reading_at(1, 4, 1)), "");
  EXPECT_EQ(message(reading_at(1, 3, 1)), "line 12: index 3 of 3 elements");
  EXPECT_EQ(message(reading_at(0x80000001, 9, 1)), "line 12: index 2147483649 of 9 elements");
  EXPECT_EQ(message(reading_at(2, 8, 2)), "");
  EXPECT_EQ(message(reading_at(2, 7, 2)), "line 12: index 6 of 7 elements");
  EXPECT_THAT(message(reading_at(1, 8, 2)), HasSubstr("line 12: index 1 of 8 elements is not aligned"));
}

TEST(Blocked, MatrixOperations) {
  test_kernels::each_product([](auto lambda, auto number, auto) {
    using T = decltype(number);
    const Program p = trace_program(lambda, "product", {64, 1, 1});
    RandomData want = random_contents(p.view(), 5);
    for (u32 input = 0; sizeof(T) == 1 && input < 2; ++input)  // no NaN, whose bits are nobody's business
      for (std::byte& b : want.bytes[input]) b &= std::byte{0xbf};
    RandomData got = want;
    const Outcome o = interpret(p.view(), {1, 1, 1}, want.arguments(), {.subgroup_size = 32});
    ASSERT_TRUE(o.ok()) << o.error << " at line " << o.line;
    const Status s = run_blocked(p.view(), {1, 1, 1}, got, 8);  // it takes 32 by itself
    ASSERT_TRUE(s) << s.message();
    EXPECT_TRUE(got.bytes == want.bytes) << "type " << int(kernel::detail::kMatrixOf<T>);
  });
}

TEST(Blocked, MbarriersAndBulkCopies) {
  using namespace test_kernels;
  for (const View& k : {two_halves.view(), bulk_ring.view()})
    expect_like_interpreter(k, {1, 1, 1}, random_contents(k, 5), 8);
  RandomData data = random_contents(roles.view(), 6);
  data.bytes[0].resize(7 * 256);
  data.bits[2] = 7;
  expect_like_interpreter(roles.view(), {2, 1, 1}, data, 8);
}

TEST(Blocked, ProductsOfWarpgroups) {
  const auto compare = [](const View& k) {
    RandomData want = random_contents(k, 5);
    for (u32 input = 0; input < 2; ++input)  // no NaN, whose bits are nobody's business
      for (std::byte& b : want.bytes[input]) b &= std::byte{0xbf};
    RandomData got = want;
    const Outcome o = interpret(k, {1, 1, 1}, want.arguments(), {.subgroup_size = 32});
    ASSERT_TRUE(o.ok()) << o.error << " at line " << o.line;
    const Status s = run_blocked(k, {1, 1, 1}, got, 8);  // it takes 32 by itself
    ASSERT_TRUE(s) << s.message();
    EXPECT_TRUE(got.bytes == want.bytes);
  };
  compare(test_kernels::streamed_product().view());
  for (const auto& p : test_kernels::warpgroup_products()) {
    SCOPED_TRACE(p.program.name);
    compare(p.program.view());
  }
}

// Numbers that are no NaN, whose bits are nobody's business.
std::vector<std::byte> some_numbers(std::size_t bytes, u64 seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> out(bytes);
  for (std::byte& b : out) b = std::byte(random()) & std::byte{0xbf};
  return out;
}

TEST(Blocked, BoxesOfMatrices) {
  const auto compare = [](const View& k, std::array<u32, 3> grid, RandomData want) {
    RandomData got = want;
    const Outcome o = interpret(k, grid, want.arguments(), {.subgroup_size = 32});
    ASSERT_TRUE(o.ok()) << o.error << " at line " << o.line;
    const Status s = run_blocked(k, grid, got, 8);
    ASSERT_TRUE(s) << s.message();
    EXPECT_TRUE(got.bytes == want.bytes);
  };
  for (const auto& c : test_kernels::box_copies()) {
    SCOPED_TRACE(c.program.name);
    const u32 size = size_of(c.type), columns = 2 * c.bytes / size - 1, step = (columns / 16 + 1) * 16;
    for (const auto& [top, left] : {std::pair<i32, i32>{0, 0}, {-3, -1}, {5, i32(columns) - 2}}) {
      RandomData data = random_contents(c.program.view(), 5);
      data.bytes[0] = some_numbers(20 * step * size, 1);
      data.bits = {0, 20, columns, step, u32(top), u32(left), 0};
      compare(c.program.view(), {1, 1, 1}, data);
    }
  }
  for (const auto& p : test_kernels::box_products()) {
    SCOPED_TRACE(p.program.name);
    RandomData data = random_contents(p.program.view(), 6);
    for (const u32 input : {0, 1})
      data.bytes[input] = some_numbers(64 * p.depth * element_bytes(p.what), input);
    data.bits = {0, 0, 0, 60, p.columns - 1, p.depth - 1, p.depth};
    compare(p.program.view(), {1, 1, 1}, data);
  }
  const Program tiled = test_kernels::boxed_product();
  RandomData data = random_contents(tiled.view(), 7);
  const u32 m = 70, n = 130, depth = 100, step = 104;
  for (const u32 buffer : {0, 1, 2})
    data.bytes[buffer] = some_numbers(buffer == 2 ? m * n * 4 : n * step * 2, buffer);
  data.bits = {0, 0, 0, m, n, depth, step, step};
  compare(tiled.view(), {2, 2, 1}, data);
  data.bits[6] = 100;  // what cannot be mapped is said with its numbers
  EXPECT_THAT(run_blocked(tiled.view(), {1, 1, 1}, data).message(),
              AllOf(HasSubstr("tensor map whose rows are not a multiple of 16 bytes apart"),
                    HasSubstr("70 x 100 elements of 2 bytes, 100 from row to row")));
}

TEST(Blocked, AnMbarrierThatNobodyEndsAndABarrierThatSomeMissAreErrors) {
  const auto message = [](auto lambda) {
    const Program p = trace_program(lambda, "stuck", {64, 1, 1});
    RandomData data = random_contents(p.view(), 1);
    return run_blocked(p.view(), {1, 1, 1}, data).message();
  };
  EXPECT_THAT(message([](Ctx k, Out<u32, 64> y) {
                k.unchecked_races("nobody meets anybody");
                auto full = k.mbarrier(64);
                GPU_IF(k.tid() < 32) full.wait();
                y[k.tid()] = 1u;
              }),
              HasSubstr("an mbarrier whose phase nobody ends"));
  EXPECT_THAT(message([](Ctx k, InOut<u32, 64> y) {
                k.unchecked_races("nobody meets anybody");
                auto full = k.mbarrier(64);
                GPU_IF(k.tid() < 32) full.arrive();
                k.barrier();
                full.wait();
                y[k.tid()] = 1u;
              }),
              HasSubstr("phase nobody ends"));
}

TEST(Blocked, InactiveLanesTouchNothing) {
  Program p{.name = "guarded", .block = {16, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::inout, Type::u32, 5);
  const u32 i = b.builtin(Builtin::local_x);
  b.if_(b.compare(Op::lt, i, b.constant(Type::u32, 5)));
  b.store(out, i, b.binary(Op::add, b.load(out, i), i));
  b.end_if();
  expect_like_interpreter(p.view(), {1, 1, 1}, random_contents(p.view(), 3), 8);
}

TEST(Blocked, ABarrierThatSomeLanesMissIsAnError) {
  Program p{.name = "missing", .block = {16, 1, 1}};
  Builder b(p);
  b.if_(b.compare(Op::lt, b.builtin(Builtin::local_x), b.constant(Type::u32, 5)));
  b.line = 33;
  b.barrier();
  b.end_if();
  RandomData none;
  const Status s = run_blocked(p.view(), {1, 1, 1}, none);
  EXPECT_THAT(s.message(), HasSubstr("line 33: barrier"));
}

TEST(Blocked, OnDemandAccessesAreRefused) {
  Program p{.name = "demands", .block = {1, 1, 1}};
  Builder b(p);
  b.line = 5;
  b.ondemand_load(b.param(ParamKind::on_demand, Type::u32), b.constant(Type::u32, 0));
  auto native = make_blocked(p.view());
  ASSERT_FALSE(native);
  EXPECT_EQ(native.error().code(), Code::unsupported);
  EXPECT_THAT(native.error().message(), HasSubstr("'demands', line 5"));
}

}  // namespace
}  // namespace gpuio::gpu::cpu
