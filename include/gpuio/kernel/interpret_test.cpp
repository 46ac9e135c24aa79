#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/interpret.hpp>

#include <gtest/gtest.h>

namespace gpuio::kernel {
namespace {

template <class T, std::size_t N>
constexpr std::array<std::byte, N * sizeof(T)> bytes_of(const std::array<T, N>& values) {
  std::array<std::byte, N * sizeof(T)> bytes{};
  for (std::size_t i = 0; i < N; ++i) write_element(bytes, i * sizeof(T), sizeof(T), to_bits(values[i]));
  return bytes;
}
template <class T, std::size_t N>
constexpr T at(const std::array<std::byte, N>& bytes, std::size_t i) {
  return from_bits<T>(read_element(bytes, i * sizeof(T), sizeof(T)));
}

// Sums 16 numbers a workgroup through a tree in shared memory.
constexpr Program block_sum() {
  Program p{.name = "block_sum", .block = {16, 1, 1}};
  Builder b(p);
  const u32 in = b.param(ParamKind::in, Type::f32), out = b.param(ParamKind::out, Type::f32);
  const u32 tile = b.shared(Type::f32, 16), half = b.var(Type::u32);
  const auto number = [&](u64 n) { return b.constant(Type::u32, n); };
  const u32 t = b.builtin(Builtin::local_x), g = b.builtin(Builtin::group_x);
  b.store(tile, t, b.load(in, b.binary(Op::add, b.binary(Op::mul, g, number(16)), t)));
  b.var_store(half, number(8));
  b.loop();
  b.barrier();
  b.if_(b.compare(Op::eq, b.var_load(half), number(0)));
  b.break_();
  b.end_if();
  b.if_(b.compare(Op::lt, t, b.var_load(half)));
  const u32 other = b.load(tile, b.binary(Op::add, t, b.var_load(half)));
  b.store(tile, t, b.binary(Op::add, b.load(tile, t), other));
  b.end_if();
  b.continuing();
  b.var_store(half, b.binary(Op::shr, b.var_load(half), number(1)));
  b.end_loop();
  b.if_(b.compare(Op::eq, t, number(0)));
  b.store(out, g, b.load(tile, t));
  b.end_if();
  return p;
}

constexpr bool block_sum_adds_up(u32 subgroup, u64 seed) {
  std::array<f32, 32> in{};
  for (u32 i = 0; i < 32; ++i) in[i] = f32(i);
  auto x = bytes_of(in);
  auto y = bytes_of(std::array<f32, 2>{});
  const Program p = block_sum();
  const std::array<Argument, 2> arguments{Argument::buffer(x), Argument::buffer(y)};
  const Outcome o =
      interpret(p.view(), {2, 1, 1}, arguments, {.subgroup_size = subgroup, .shuffle_seed = seed});
  return o.ok() && at<f32>(y, 0) == 120 && at<f32>(y, 1) == 376;
}
static_assert(block_sum_adds_up(8, 0));

TEST(Interpret, BlockSumAtEverySubgroupSize) {
  for (const u32 size : {1u, 3u, 4u, 16u, 32u, 64u}) {
    for (u64 seed = 0; seed < 4; ++seed) EXPECT_TRUE(block_sum_adds_up(size, seed)) << size << ' ' << seed;
  }
}

// Runs a body for 8 lanes, each of which leaves one number in out[lane].
template <class Body>
std::array<u32, 8> run(Body body, Outcome* outcome = nullptr, u32 subgroup = 8) {
  Program p{.name = "body", .block = {8, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::inout, Type::u32);
  body(b, out, b.builtin(Builtin::local_x));
  auto bytes = bytes_of(std::array<u32, 8>{});
  const std::array<Argument, 1> arguments{Argument::buffer(bytes)};
  const Outcome o =
      interpret(p.view(), {1, 1, 1}, arguments, {.subgroup_size = subgroup, .steps_max = 100000});
  if (outcome != nullptr) {
    *outcome = o;
  } else {
    EXPECT_TRUE(o.ok()) << o.error << " line " << o.line;
  }
  std::array<u32, 8> result{};
  for (u32 i = 0; i < 8; ++i) result[i] = at<u32>(bytes, i);
  return result;
}

// Nested divergent control against the same loops in C++: for with break and continue, loop with continuing,
// return in the middle.
TEST(Interpret, DivergentControl) {
  const auto got = run([](Builder& b, u32 out, u32 lane) {
    const auto number = [&](u64 n) { return b.constant(Type::u32, n); };
    const u32 sum = b.var(Type::u32), j = b.var(Type::u32);
    const u32 i = b.for_(lane, number(13), number(3));
    b.if_(b.compare(Op::eq, i, number(7)));
    b.continue_();
    b.end_if();
    b.if_(b.compare(Op::gt, b.var_load(sum), number(40)));
    b.break_();
    b.else_();
    b.var_store(j, number(0));
    b.loop();
    b.if_(b.compare(Op::gt, b.var_load(j), i));
    b.break_();
    b.end_if();
    b.if_(b.compare(Op::eq, b.var_load(j), number(2)));
    b.continue_();
    b.end_if();
    b.var_store(sum, b.binary(Op::add, b.var_load(sum), b.var_load(j)));
    b.continuing();
    b.var_store(j, b.binary(Op::add, b.var_load(j), number(1)));
    b.end_loop();
    b.end_if();
    b.store(out, lane, b.var_load(sum));
    b.if_(b.compare(Op::eq, lane, number(5)));
    b.return_();
    b.end_if();
    b.end_for();
    b.store(out, lane, b.binary(Op::add, b.var_load(sum), number(1000)));
  });
  for (u32 lane = 0; lane < 8; ++lane) {
    u32 want = 0, sum = 0;
    bool ended = false;
    for (u32 i = lane; i < 13 && !ended; i += 3) {
      if (i == 7) continue;
      if (sum > 40) break;
      for (u32 j = 0; j <= i; ++j) sum += j == 2 ? 0 : j;
      want = sum;
      ended = lane == 5;
    }
    EXPECT_EQ(got[lane], ended ? want : sum + 1000) << lane;
  }
}

TEST(Interpret, EmptySectionsThatNoLaneEnters) {
  const auto got = run([](Builder& b, u32 out, u32 lane) {
    const u32 never = b.constant(Type::boolean, 0), zero = b.constant(Type::u32, 0);
    b.for_(zero, b.constant(Type::u32, 2), b.constant(Type::u32, 1));
    b.if_(never);
    b.end_if();
    b.if_(never);
    b.else_();
    b.end_if();
    b.for_(zero, zero, b.constant(Type::u32, 1));
    b.end_for();
    b.end_for();
    b.store(out, lane, b.constant(Type::u32, 1));
  });
  EXPECT_EQ(got, (std::array<u32, 8>{1, 1, 1, 1, 1, 1, 1, 1}));
}

TEST(Interpret, ForRunsTheRightNumberOfTimesWhereTheCounterWraps) {
  EXPECT_EQ(trip_count(Type::u32, 0xfffffff0, 0xffffffff, 8), 2u);
  EXPECT_EQ(trip_count(Type::i32, u32(-5), 5, 3), 4u);
  EXPECT_EQ(trip_count(Type::u32, u32(-5), 5, 3), 0u);
  EXPECT_EQ(trip_count(Type::i64, u64(1) << 63, (u64(1) << 63) - 1, u64(1) << 62), 4u);
  const auto got = run([](Builder& b, u32 out, u32 lane) {
    const u32 count = b.var(Type::u32);
    b.for_(b.constant(Type::u32, 0xfffffff0), b.constant(Type::u32, 0xffffffff), b.constant(Type::u32, 8));
    b.var_store(count, b.binary(Op::add, b.var_load(count), b.constant(Type::u32, 1)));
    b.end_for();
    b.store(out, lane, b.var_load(count));
  });
  EXPECT_EQ(got[3], 2u);
}

TEST(Interpret, SubgroupOperationsAmongActiveLanes) {
  const auto got = run([](Builder& b, u32 out, u32 lane) {
    const u32 one = b.constant(Type::u32, 1);
    const u32 odd = b.compare(Op::eq, b.binary(Op::bit_and, lane, one), one);
    b.if_(odd);                                                                 // lanes 1 3 5 7
    const u32 down = b.shuffle(Shuffle::down, lane, b.constant(Type::u32, 2));  // 7 has no partner
    const u32 flip = b.shuffle(Shuffle::exclusive_or, lane, one);               // partners are inactive
    const u32 sum = b.reduce(Rmw::add, lane);
    const u32 bits = b.cast(Type::u32, b.ballot(odd));
    const u32 first = b.cast(Type::u32, b.elect());
    u32 all = b.binary(Op::add, b.binary(Op::mul, down, b.constant(Type::u32, 10)), flip);
    all = b.binary(Op::add, all, b.binary(Op::mul, sum, b.constant(Type::u32, 100)));
    all = b.binary(Op::add, all, b.binary(Op::mul, bits, b.constant(Type::u32, 10000)));
    all = b.binary(Op::add, all, b.binary(Op::mul, first, b.constant(Type::u32, 10000000)));
    b.store(out, lane, all);
    b.end_if();
  });
  EXPECT_EQ(got, (std::array<u32, 8>{0, 11701631, 0, 1701653, 0, 1701675, 0, 1701677}));
}

TEST(Interpret, AtomicsReturnTheValueBefore) {
  const auto got = run([](Builder& b, u32 out, u32 lane) {
    const u32 zero = b.constant(Type::u32, 0), one = b.constant(Type::u32, 1);
    const u32 box = b.shared(Type::u64, 1);
    b.if_(b.elect());
    b.atomic_store(box, zero, b.constant(Type::u64, u64{1} << 40), Order::relaxed, Scope::workgroup);
    b.end_if();
    b.barrier();
    const u32 wide = b.cast(Type::u64, one);
    const u32 before = b.atomic_rmw(Rmw::add, box, zero, wide, Order::relaxed, Scope::workgroup);
    const u32 low = b.cast(Type::u32, before);
    b.barrier();
    const u32 swapped = b.atomic_cas(box, zero, b.constant(Type::u64, (u64{1} << 40) + 8),
                                     b.constant(Type::u64, 5), Order::acq_rel, Scope::workgroup);
    const u32 won = b.cast(Type::u32, b.compare(Op::gt, swapped, b.constant(Type::u64, 5)));
    b.store(out, lane, b.binary(Op::add, low, b.binary(Op::mul, won, b.constant(Type::u32, 100))));
  });
  EXPECT_EQ(got, (std::array<u32, 8>{100, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(Interpret, BarrierAnyTellsEveryLane) {
  const auto got = run(
      [](Builder& b, u32 out, u32 lane) {
        const u32 yes = b.barrier_any(b.compare(Op::eq, lane, b.constant(Type::u32, 6)));
        const u32 no = b.barrier_any(b.constant(Type::boolean, 0));
        b.store(out, lane, b.binary(Op::sub, b.cast(Type::u32, yes), b.cast(Type::u32, no)));
      },
      nullptr, 4);
  EXPECT_EQ(got, (std::array<u32, 8>{1, 1, 1, 1, 1, 1, 1, 1}));
}

TEST(Interpret, MistakesNameTheirLine) {
  Outcome o;
  run(
      [](Builder& b, u32 out, u32 lane) {
        b.line = 7;
        b.store(out, b.binary(Op::add, lane, b.constant(Type::u32, 1)), lane);
      },
      &o);
  EXPECT_EQ(o.error, "index out of range");
  EXPECT_EQ(o.line, 7u);
  EXPECT_EQ(o.lane, 7u);
  run(
      [](Builder& b, u32, u32 lane) {
        b.if_(b.compare(Op::lt, lane, b.constant(Type::u32, 4)));
        b.line = 9;
        b.barrier();
        b.end_if();
      },
      &o);
  EXPECT_EQ(o.error, "barrier that not every lane of the workgroup reaches");
  EXPECT_EQ(o.line, 9u);
  run(
      [](Builder& b, u32, u32 lane) {  // half of the lanes are gone
        b.if_(b.compare(Op::lt, lane, b.constant(Type::u32, 4)));
        b.return_();
        b.end_if();
        b.barrier();
      },
      &o, 4);
  EXPECT_FALSE(o.ok());
  run(
      [](Builder& b, u32 out, u32 lane) {
        const u32 tile = b.shared(Type::u32, 8);
        b.line = 3;
        b.store(out, lane, b.load(tile, lane));
      },
      &o);
  EXPECT_EQ(o.error, "shared memory read before it was written");
  EXPECT_EQ(o.line, 3u);
  run(
      [](Builder& b, u32, u32) {
        b.loop();
        b.end_loop();
      },
      &o);
  EXPECT_EQ(o.error, "step limit reached");
}

TEST(Interpret, OnDemandLoadsAnswerThroughTheHook) {
  struct Half : Hooks {
    OnDemandAnswer on_demand(u32, const Argument&, Type, u64 index) {
      return index % 2 == 0 ? OnDemandAnswer{index * 10, 0} : OnDemandAnswer{0, u32(index)};
    }
  } half;
  Program p{.name = "on_demand", .block = {8, 1, 1}};
  Builder b(p);
  const u32 array = b.param(ParamKind::on_demand, Type::u16), out = b.param(ParamKind::out, Type::u64);
  const u32 lane = b.builtin(Builtin::local_x);
  const u32 value = b.ondemand_load(array, lane);
  const u32 status = b.cast(Type::u64, b.ondemand_status(value));
  b.ondemand_load(array, b.constant(Type::u32, 0));
  const u32 sticky = b.cast(Type::u64, b.lane_status());
  const u32 hundred = b.constant(Type::u64, 100), length = b.length(array);
  u32 sum = b.binary(Op::add, b.cast(Type::u64, value), b.binary(Op::mul, status, hundred));
  sum = b.binary(Op::add, b.binary(Op::mul, sum, hundred), b.binary(Op::mul, sticky, length));
  b.store(out, lane, sum);
  auto bytes = bytes_of(std::array<u64, 8>{});
  const std::array<Argument, 2> arguments{Argument::on_demand(1000), Argument::buffer(bytes)};
  const Outcome o = interpret(p.view(), {1, 1, 1}, arguments, {}, half);
  ASSERT_TRUE(o.ok()) << o.error;
  EXPECT_EQ(at<u64>(bytes, 4), 4000u);
  EXPECT_EQ(at<u64>(bytes, 3), 30000u + 3000u);
}

// Two subgroups hand a token to and fro: only short turns let this end.
TEST(Interpret, ShortTurnsLetSubgroupsWaitForEachOther) {
  Program p{.name = "token", .block = {8, 1, 1}};
  Builder b(p);
  const u32 box = b.param(ParamKind::inout, Type::u32), zero = b.constant(Type::u32, 0);
  const u32 turn = b.builtin(Builtin::subgroup_index);
  b.loop();
  const u32 seen = b.atomic_load(box, zero, Order::acquire, Scope::workgroup);
  b.if_(b.compare(Op::eq, b.binary(Op::bit_and, seen, b.constant(Type::u32, 1)), turn));
  b.if_(b.elect());
  b.atomic_rmw(Rmw::add, box, zero, b.constant(Type::u32, 1), Order::acq_rel, Scope::workgroup);
  b.end_if();
  b.end_if();
  b.if_(b.compare(Op::ge, seen, b.constant(Type::u32, 20)));
  b.break_();
  b.end_if();
  b.end_loop();
  auto bytes = bytes_of(std::array<u32, 1>{});
  const std::array<Argument, 1> arguments{Argument::buffer(bytes)};
  InterpretOptions options{.subgroup_size = 4, .steps_max = 100000};
  EXPECT_FALSE(interpret(p.view(), {1, 1, 1}, arguments, options).ok());
  bytes = {};
  options.turn_steps = 3;
  EXPECT_TRUE(interpret(p.view(), {1, 1, 1}, arguments, options).ok());
}

}  // namespace
}  // namespace gpuio::kernel
