#include "conformance/device_kernels.hpp"

#include <bit>

namespace gpuio::conformance {
namespace {

using namespace kernel;

constexpr std::array kScalarTypes = {Type::u32, Type::i32, Type::u64, Type::f32, Type::f64};
// Bounds the wait of `handshake`: a mistake ends the kernel instead of hanging the device. Minutes of
// polling.
constexpr u64 kPollsMax = 2'000'000'000;

// The index of this lane in a one-dimensional grid.
u32 global_x(Builder& b, u32 lanes) {
  return b.binary(Op::add, b.binary(Op::mul, b.builtin(Builtin::group_x), b.constant(Type::u32, lanes)),
                  b.builtin(Builtin::local_x));
}

// Opens `if (index < length(object))`, as the kernels here are launched with ragged lengths.
void if_inside(Builder& b, u32 index, u32 object) {
  b.if_(b.compare(Op::lt, b.cast(Type::u64, index), b.length(object)));
}

}  // namespace

Program nothing() { return {.name = "nothing", .block = {32, 1, 1}}; }

Program write_global_index(std::array<u32, 3> block) {
  Program p{.name = "write_global_index", .block = block};
  Builder b(p);
  const u32 out = b.param(ParamKind::out, Type::u32);
  u32 row = b.binary(Op::mul, b.builtin(Builtin::group_z), b.builtin(Builtin::groups_y));
  row = b.binary(Op::add, row, b.builtin(Builtin::group_y));
  u32 group = b.binary(Op::mul, row, b.builtin(Builtin::groups_x));
  group = b.binary(Op::add, group, b.builtin(Builtin::group_x));
  // The lane's index is put together by hand, so that local_x, y and z are held too.
  u32 lane = b.binary(Op::mul, b.builtin(Builtin::local_z), b.constant(Type::u32, block[1]));
  lane = b.binary(Op::add, lane, b.builtin(Builtin::local_y));
  lane = b.binary(Op::mul, lane, b.constant(Type::u32, block[0]));
  lane = b.binary(Op::add, lane, b.builtin(Builtin::local_x));
  const u32 lanes = b.constant(Type::u32, block[0] * block[1] * block[2]);
  const u32 i = b.binary(Op::add, b.binary(Op::mul, group, lanes), lane);
  if_inside(b, i, out);
  b.store(out, i, i);
  b.end_if();
  return p;
}

Program add_to_each() {
  Program p{.name = "add_to_each", .block = {64, 1, 1}};
  Builder b(p);
  const u32 data = b.param(ParamKind::inout, Type::u32);
  const u32 amount = b.param(ParamKind::scalar, Type::u32);
  const u32 i = global_x(b, 64);
  if_inside(b, i, data);
  b.store(data, i, b.binary(Op::add, b.load(data, i), b.argument(amount)));
  b.end_if();
  return p;
}

Program scale_then_add() {
  Program p{.name = "scale_then_add", .block = {64, 1, 1}};
  Builder b(p);
  const u32 data = b.param(ParamKind::inout, Type::u32);
  const u32 i = global_x(b, 64);
  if_inside(b, i, data);
  const u32 scaled = b.binary(Op::mul, b.load(data, i), b.constant(Type::u32, 3));
  b.store(data, i, b.binary(Op::add, scaled, b.constant(Type::u32, 1)));
  b.end_if();
  return p;
}

std::uint64_t argument_bits(u32 k) {
  switch (kScalarTypes[k % kScalarTypes.size()]) {
    case Type::u32: return 0xfffffff0u - k;
    case Type::i32: return u32(-1 - i32(k));
    case Type::u64: return 0xfedcba9876543210u + k;
    case Type::f32: return std::bit_cast<u32>(1.5f + float(k));
    default: return std::bit_cast<u64>(-2.25 - double(k));
  }
}

Program copy_arguments(u32 scalars) {
  Program p{.name = "copy_arguments", .block = {32, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::out, Type::u64);
  for (u32 k = 0; k < scalars; ++k) b.param(ParamKind::scalar, kScalarTypes[k % kScalarTypes.size()]);
  b.if_(b.compare(Op::eq, b.builtin(Builtin::local_x), b.constant(Type::u32, 0)));
  for (u32 k = 0; k < scalars; ++k) {
    u32 v = b.argument(k + 1);
    if (size_of(b.type(v)) == 4) v = b.cast(Type::u64, b.bitcast(Type::u32, v));
    if (b.type(v) != Type::u64) v = b.bitcast(Type::u64, v);
    b.store(out, b.constant(Type::u32, k), v);
  }
  b.end_if();
  return p;
}

Program reverse_in_shared(u32 lanes, u32 words) {
  Program p{.name = "reverse_in_shared", .block = {lanes, 1, 1}};
  Builder b(p);
  const u32 in = b.param(ParamKind::in, Type::u32);
  const u32 out = b.param(ParamKind::out, Type::u32);
  const u32 tile = b.shared(Type::u32, words);
  const u32 i = global_x(b, lanes);
  const u32 lane = b.builtin(Builtin::local_x);
  // The last words of the array, so that all of it has to exist.
  b.store(tile, b.binary(Op::add, lane, b.constant(Type::u32, words - lanes)), b.load(in, i));
  b.barrier();
  const u32 mirrored = b.binary(Op::sub, b.constant(Type::u32, words - 1), lane);
  b.store(out, i, b.load(tile, mirrored));
  return p;
}

Program block_sum(u32 lanes) {
  Program p{.name = "block_sum", .block = {lanes, 1, 1}};
  Builder b(p);
  const u32 in = b.param(ParamKind::in, Type::u32);
  const u32 out = b.param(ParamKind::out, Type::u32);
  const u32 tile = b.shared(Type::u32, lanes);
  const u32 lane = b.builtin(Builtin::local_x);
  b.store(tile, lane, b.load(in, global_x(b, lanes)));
  b.barrier();
  for (u32 half = lanes / 2; half > 0; half /= 2) {
    b.if_(b.compare(Op::lt, lane, b.constant(Type::u32, half)));
    const u32 other = b.load(tile, b.binary(Op::add, lane, b.constant(Type::u32, half)));
    b.store(tile, lane, b.binary(Op::add, b.load(tile, lane), other));
    b.end_if();
    b.barrier();
  }
  b.if_(b.compare(Op::eq, lane, b.constant(Type::u32, 0)));
  b.store(out, b.builtin(Builtin::group_x), b.load(tile, lane));
  b.end_if();
  return p;
}

Program count_lanes() {
  Program p{.name = "count_lanes", .block = {64, 1, 1}};
  Builder b(p);
  const u32 counter = b.param(ParamKind::inout, Type::u32);
  b.atomic_rmw(Rmw::add, counter, b.constant(Type::u32, 0), b.constant(Type::u32, 1), Order::relaxed,
               Scope::device);
  return p;
}

Program write_subgroup_size() {
  Program p{.name = "write_subgroup_size", .block = {64, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::out, Type::u32);
  b.if_(b.compare(Op::eq, b.builtin(Builtin::local_x), b.constant(Type::u32, 0)));
  b.store(out, b.constant(Type::u32, 0), b.builtin(Builtin::subgroup_size));
  b.end_if();
  return p;
}

u32 busy_result(u32 lane, u32 rounds) {
  u32 x = lane;
  for (u32 i = 0; i < rounds; ++i) x = x * 1664525 + 1013904223;
  return x;
}

Program busy(u32 lanes) {
  Program p{.name = "busy", .block = {lanes, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::out, Type::u32);
  const u32 rounds = b.param(ParamKind::scalar, Type::u32);
  const u32 i = global_x(b, lanes);
  const u32 x = b.var(Type::u32);
  b.var_store(x, i);
  b.for_(b.constant(Type::u32, 0), b.argument(rounds), b.constant(Type::u32, 1));
  const u32 scaled = b.binary(Op::mul, b.var_load(x), b.constant(Type::u32, 1664525));
  b.var_store(x, b.binary(Op::add, scaled, b.constant(Type::u32, 1013904223)));
  b.end_for();
  b.store(out, i, b.var_load(x));
  return p;
}

Program handshake() {
  Program p{.name = "handshake", .block = {1, 1, 1}};
  Builder b(p);
  const u32 flags = b.param(ParamKind::inout, Type::u32);
  const u32 zero = b.constant(Type::u32, 0);
  const u32 one = b.constant(Type::u32, 1);
  // Loads and stores alone: a read-modify-write of host memory is more than kernel_io promises.
  b.atomic_store(flags, zero, one, Order::release, Scope::system);
  b.for_(b.constant(Type::u64, 0), b.constant(Type::u64, kPollsMax), b.constant(Type::u64, 1));
  b.if_(b.compare(Op::ne, b.atomic_load(flags, one, Order::acquire, Scope::system), zero));
  b.break_();
  b.end_if();
  b.end_for();
  return p;
}

}  // namespace gpuio::conformance
