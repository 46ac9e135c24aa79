#include "launch/adead/kernels.hpp"

#include <gpuio/kernel/builder.hpp>

#include <bit>
#include <numbers>

namespace gpuio::launch::adead {
namespace {

using kernel::Builder;
using kernel::Builtin;
using kernel::Op;
using kernel::ParamKind;
using kernel::Program;
using kernel::Type;

constexpr float kEpsilon = 1e-5f;  // of a layer norm, under the root

// What every kernel here starts with: lane `e` of `count`, and shorthand.
struct Kernel {
  Kernel(Program& program, std::string_view name) : b(program) {
    program.name = name;
    program.block = {kLanes, 1, 1};
  }
  void begin(u64 count) {
    const auto wide = [&](Builtin what) { return b.cast(Type::u64, b.builtin(what)); };
    u32 group = add(mul(wide(Builtin::group_z), wide(Builtin::groups_y)), wide(Builtin::group_y));
    group = add(mul(group, wide(Builtin::groups_x)), wide(Builtin::group_x));
    e = add(mul(group, number(kLanes)), wide(Builtin::local_x));
    b.if_(b.compare(Op::lt, e, number(count)));
  }
  void end() { b.end_if(); }

  u32 number(u64 value) { return b.constant(Type::u64, value); }
  u32 real(float value) { return b.constant(Type::f32, std::bit_cast<u32>(value)); }
  u32 add(u32 x, u32 y) { return b.binary(Op::add, x, y); }
  u32 sub(u32 x, u32 y) { return b.binary(Op::sub, x, y); }
  u32 mul(u32 x, u32 y) { return b.binary(Op::mul, x, y); }
  u32 div(u32 x, u32 y) { return b.binary(Op::div, x, y); }
  u32 rem(u32 x, u32 y) { return b.binary(Op::rem, x, y); }
  u32 up_to(u64 count) { return b.for_(number(0), number(count), number(1)); }
  u32 exp(u32 x) { return b.unary(Op::exp2, mul(x, real(std::numbers::log2e_v<float>))); }
  // 1 - 2 / (exp(2x) + 1): right at both infinities.
  u32 tanh(u32 x) { return sub(real(1), div(real(2), add(exp(add(x, x)), real(1)))); }

  Builder b;
  u32 e = 0;
};

}  // namespace

Program contraction(const Contraction& s) {
  Program p;
  Kernel k(p, "adead_matmul");
  Builder& b = k.b;
  const u32 x = b.param(ParamKind::in, Type::f32), y = b.param(ParamKind::in, Type::f32),
            z = b.param(ParamKind::out, Type::f32);
  const u32 sum = b.var(Type::f32);
  k.begin(s.lanes());
  const u32 j = k.rem(k.e, k.number(s.columns)), ij = k.div(k.e, k.number(s.columns));
  const u32 i = k.rem(ij, k.number(s.rows)), batch = k.div(ij, k.number(s.rows));
  const auto place = [&](const Contraction::Strides& at, u32 outer, u32 inner) {
    const u32 start = k.add(k.mul(batch, k.number(at.batch)), k.mul(outer, k.number(at.outer)));
    return k.add(start, k.mul(inner, k.number(at.inner)));
  };
  b.var_store(sum, k.real(0));
  const u32 d = k.up_to(s.depth);
  const u32 product = k.mul(b.load(x, place(s.a, i, d)), b.load(y, place(s.b, d, j)));
  b.var_store(sum, k.add(b.var_load(sum), product));
  b.end_for();
  u32 result = b.var_load(sum);
  if (s.scale != 1) result = k.mul(result, k.real(s.scale));
  if (s.relu) result = b.binary(Op::max, result, k.real(0));
  b.store(z, place(s.c, i, j), result);
  k.end();
  return p;
}

Program copy(u64 count) {
  Program p;
  Kernel k(p, "adead_copy");
  const u32 from = k.b.param(ParamKind::in, Type::u32), to = k.b.param(ParamKind::out, Type::u32);
  k.begin(count);
  k.b.store(to, k.e, k.b.load(from, k.e));
  k.end();
  return p;
}

Program fill(u64 count, u32 value) {
  Program p;
  Kernel k(p, "adead_fill");
  const u32 to = k.b.param(ParamKind::out, Type::u32);
  k.begin(count);
  k.b.store(to, k.e, k.b.constant(Type::u32, value));
  k.end();
  return p;
}

Program binary(Op op, u64 count) {
  Program p;
  Kernel k(p, "adead_binary");
  const u32 x = k.b.param(ParamKind::in, Type::f32), y = k.b.param(ParamKind::in, Type::f32),
            z = k.b.param(ParamKind::out, Type::f32);
  k.begin(count);
  k.b.store(z, k.e, k.b.binary(op, k.b.load(x, k.e), k.b.load(y, k.e)));
  k.end();
  return p;
}

Program map(Map what, u64 count, float factor) {
  Program p;
  Kernel k(p, "adead_map");
  Builder& b = k.b;
  const u32 from = b.param(ParamKind::in, Type::f32), to = b.param(ParamKind::out, Type::f32);
  k.begin(count);
  const u32 x = b.load(from, k.e);
  u32 y = x;
  switch (what) {
    case Map::scale: y = k.mul(x, k.real(factor)); break;
    case Map::relu: y = b.select(b.compare(Op::lt, x, k.real(0)), k.real(0), x); break;  // NaN stays
    case Map::sigmoid: y = k.div(k.real(1), k.add(k.real(1), k.exp(b.unary(Op::neg, x)))); break;
    case Map::tanh: y = k.tanh(x); break;
    case Map::gelu: {
      const u32 cube = k.mul(k.mul(x, x), k.mul(x, k.real(0.044715f)));
      const float root = std::numbers::inv_sqrtpi_v<float> * std::numbers::sqrt2_v<float>;  // sqrt(2 / pi)
      const u32 t = k.tanh(k.mul(k.real(root), k.add(x, cube)));
      y = k.mul(k.mul(k.real(0.5f), x), k.add(k.real(1), t));
      break;
    }
  }
  b.store(to, k.e, y);
  k.end();
  return p;
}

Program softmax(u64 rows, u64 columns) {
  Program p;
  Kernel k(p, "adead_softmax");
  Builder& b = k.b;
  const u32 from = b.param(ParamKind::in, Type::f32), to = b.param(ParamKind::out, Type::f32);
  const u32 most = b.var(Type::f32), sum = b.var(Type::f32);
  k.begin(rows);
  const u32 start = k.mul(k.e, k.number(columns));
  const auto element = [&](u32 j) { return b.load(from, k.add(start, j)); };
  b.var_store(most, element(k.number(0)));
  u32 j = k.up_to(columns);
  b.var_store(most, b.binary(Op::max, b.var_load(most), element(j)));
  b.end_for();
  const u32 top = b.var_load(most);
  b.var_store(sum, k.real(0));
  j = k.up_to(columns);
  b.var_store(sum, k.add(b.var_load(sum), k.exp(k.sub(element(j), top))));
  b.end_for();
  const u32 total = b.var_load(sum);
  j = k.up_to(columns);
  b.store(to, k.add(start, j), k.div(k.exp(k.sub(element(j), top)), total));
  b.end_for();
  k.end();
  return p;
}

Program layer_norm(u64 rows, u64 columns) {
  Program p;
  Kernel k(p, "adead_layer_norm");
  Builder& b = k.b;
  const u32 from = b.param(ParamKind::in, Type::f32), to = b.param(ParamKind::out, Type::f32);
  const u32 sum = b.var(Type::f32);
  k.begin(rows);
  const u32 start = k.mul(k.e, k.number(columns));
  const auto element = [&](u32 j) { return b.load(from, k.add(start, j)); };
  const u32 count = k.real(float(columns));
  b.var_store(sum, k.real(0));
  u32 j = k.up_to(columns);
  b.var_store(sum, k.add(b.var_load(sum), element(j)));
  b.end_for();
  const u32 mean = k.div(b.var_load(sum), count);
  b.var_store(sum, k.real(0));
  j = k.up_to(columns);
  const u32 off = k.sub(element(j), mean);
  b.var_store(sum, k.add(b.var_load(sum), k.mul(off, off)));
  b.end_for();
  const u32 spread = b.unary(Op::sqrt, k.add(k.div(b.var_load(sum), count), k.real(kEpsilon)));
  j = k.up_to(columns);
  b.store(to, k.add(start, j), k.div(k.sub(element(j), mean), spread));
  b.end_for();
  k.end();
  return p;
}

Program embedding(u64 count, u64 vocabulary, u64 width) {
  Program p;
  Kernel k(p, "adead_embedding");
  Builder& b = k.b;
  const u32 ids = b.param(ParamKind::in, Type::u32), table = b.param(ParamKind::in, Type::f32),
            to = b.param(ParamKind::out, Type::f32);
  const u32 value = b.var(Type::f32);
  k.begin(count * width);
  const u32 id = b.cast(Type::u64, b.load(ids, k.div(k.e, k.number(width))));
  b.var_store(value, k.real(0));
  b.if_(b.compare(Op::lt, id, k.number(vocabulary)));
  const u32 column = k.rem(k.e, k.number(width));
  b.var_store(value, b.load(table, k.add(k.mul(id, k.number(width)), column)));
  b.end_if();
  b.store(to, k.e, b.var_load(value));
  k.end();
  return p;
}

}  // namespace gpuio::launch::adead
