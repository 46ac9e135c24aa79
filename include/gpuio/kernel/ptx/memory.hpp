// PTX of buffers, shared arrays, vectors, vars and atomics. Part of ptx.hpp.
//
// The address of buffer p is in %b<p>, made once at entry; shared array n is the symbol shared<n>, or a
// place in $shared.
#pragma once

#include <bit>

#include <gpuio/kernel/ptx/scalar.hpp>

namespace gpuio::kernel::detail::ptx {

constexpr std::string_view space(u32 object) { return object & kShared ? "shared" : "global"; }

// An address ready to be printed between brackets: a register or shared array, and bytes after it.
struct Address {
  std::string_view base;  // empty: the shared array
  u32 number = kNone;     // appended to base
  u64 offset = 0;
};

template <class Sink>
constexpr Address address(Out<Sink>& o, const Inst& i) {
  const bool shared = (i.a & kShared) != 0;
  const u32 object = i.a & ~kShared, size = size_of(i.type);
  if (o.is_constant(i.b) && o.k.insts[i.b].imm < (u64{1} << 31) / size) {
    return {shared ? "" : "%b", object, o.k.insts[i.b].imm * size};
  }
  const Reg index = o.reg(i.b);
  const bool wide = size_of(index.type) == 8;
  if (shared) {  // 32 bits reach all of it
    o.line("mov.u32 %x1, ", SharedPlace{object});
    if (wide) o.line("cvt.u32.u64 %x0, ", index);
    else o.line("mov.b32 %x0, ", index);
    o.line("mad.lo.u32 %x0, %x0, ", size, ", %x1");
    return {"%x0"};
  }
  if (!wide) {
    o.line("mad.wide.u32 %y0, ", index, ", ", size, ", %b", object);
  } else {
    o.line("shl.b64 %y0, ", index, ", ", u32(std::countr_zero(size)));
    o.line("add.u64 %y0, %y0, %b", object);
  }
  return {"%y0"};
}

template <class Sink>
constexpr void put(Out<Sink>& o, const Address& a) {
  if (a.base.empty()) return o.text("[", SharedPlace{a.number, a.offset}, "]");
  o.text("[", a.base);
  if (a.number != kNone) o.text(a.number);
  if (a.offset != 0) o.text("+", a.offset);
  o.text("]");
}

constexpr std::string_view width_name(u32 width) { return width == 4 ? "v4." : width == 2 ? "v2." : ""; }

// {a0, a1}, or the register itself where it is no vector. Booleans travel through %z.
template <class Sink>
constexpr void put_elements(Out<Sink>& o, Type type, u32 value, u32 width) {
  if (width > 1) o.text("{");
  for (u32 e = 0; e < width; ++e) {
    if (e > 0) o.text(", ");
    if (type == Type::boolean) o.text("%z", e);
    else if (width > 1) o.text(Element{type, value, e});
    else o.text(Reg{type, value});
  }
  if (width > 1) o.text("}");
}

template <class Sink>
constexpr void declare_vector(Out<Sink>& o, const Inst& i, u32 id) {
  o.line(".reg .", i.type == Type::boolean ? "pred" : bits_of(i.type), " ", Reg{i.type, id}, "x<",
         u32(i.width), ">");
}

template <class Sink>
constexpr void load(Out<Sink>& o, const Inst& i, u32 id) {
  if (i.width > 1) declare_vector(o, i, id);
  const Address from = address(o, i);
  o.text("  ld.", space(i.a), ".", width_name(i.width), memory_name(i.type), " ");
  put_elements(o, i.type, id, i.width);
  o.text(", ");
  put(o, from);
  o.text(";\n");
  for (u32 e = 0; i.type == Type::boolean && e < i.width; ++e) {
    if (i.width > 1) o.line("setp.ne.u16 ", Element{i.type, id, e}, ", %z", e, ", 0");
    else o.line("setp.ne.u16 ", Reg{i.type, id}, ", %z0, 0");
  }
}

template <class Sink>
constexpr void store(Out<Sink>& o, const Inst& i) {
  const Address to = address(o, i);
  for (u32 e = 0; i.type == Type::boolean && e < i.width; ++e) {
    if (i.width > 1) o.line("selp.b16 %z", e, ", 1, 0, ", Element{i.type, i.c, e});
    else o.line("selp.b16 %z0, 1, 0, ", Reg{i.type, i.c});
  }
  const std::string_view type = size_of(i.type) == 1 ? "u8" : bits_of(i.type);
  o.text("  st.", space(i.a), ".", width_name(i.width), type, " ");
  put(o, to);
  o.text(", ");
  put_elements(o, i.type, i.c, i.width);
  o.text(";\n");
}

template <class Sink>
constexpr void compose(Out<Sink>& o, const Inst& i, u32 id) {
  const u32 parts[] = {i.a, i.b, i.c, i.d};
  declare_vector(o, i, id);
  for (u32 e = 0; e < i.width; ++e) {
    o.line("mov.", i.type == Type::boolean ? "pred" : bits_of(i.type), " ", Element{i.type, id, e}, ", ",
           o.reg(parts[e]));
  }
}

template <class Sink>
constexpr void extract(Out<Sink>& o, const Inst& i, u32 id) {
  o.line("mov.", i.type == Type::boolean ? "pred" : bits_of(i.type), " ", Reg{i.type, id}, ", ",
         Element{i.type, i.a, u32(i.imm)});
}

template <class Sink>
constexpr void var_move(Out<Sink>& o, const Inst& i, u32 id) {
  o.text("  mov.", i.type == Type::boolean ? "pred" : bits_of(i.type), " ");
  if (i.op == Op::var_load) o.text(Reg{i.type, id}, ", ", Var{i.type, i.a});
  else o.text(Var{i.type, i.a}, ", ", o.reg(i.b));
  o.text(";\n");
}

// cp.async from sm_80 on; a load and a store before, with nothing to wait for.
template <class Sink>
constexpr void async(Out<Sink>& o, const Inst& i) {
  if (i.op != Op::async_copy) {
    if (o.sm < 80) return;
    if (i.op == Op::async_commit) o.line("cp.async.commit_group");
    else o.line("cp.async.wait_group ", i.imm);
    return;
  }
  Inst source = i;
  source.a = i.c;
  source.b = i.d;
  const Address from = address(o, source), to = address(o, i);  // by way of %y0, and of %x0 and %x1
  if (o.sm >= 80) {
    o.text("  cp.async.", i.imm == 16 ? "cg" : "ca", ".shared.global ");
    put(o, to);
    o.text(", ");
    put(o, from);
    o.text(", ", i.imm, ";\n");
    return;
  }
  const std::string_view kind = i.imm == 16 ? "v4.b32 " : i.imm == 8 ? "v2.b32 " : "b32 ";
  const std::string_view registers = i.imm == 16 ? "{%x2, %x3, %x4, %x5}" : i.imm == 8 ? "{%x2, %x3}" : "%x2";
  o.text("  ld.global.", kind, registers, ", ");
  put(o, from);
  o.text(";\n  st.shared.", kind);
  put(o, to);
  o.text(", ", registers, ";\n");
}

// --- Atomics ----------------------------------------------------------------------------------------------

constexpr std::string_view scope_name(Scope s) {
  switch (s) {
    case Scope::system: return "sys.";
    case Scope::device: return "gpu.";
    default: return "cta.";  // PTX has none below; the larger one holds for a subgroup too
  }
}

constexpr bool acquires(Order o) { return o == Order::acquire || o == Order::acq_rel; }
constexpr bool releases(Order o) { return o == Order::release || o == Order::acq_rel; }

constexpr std::string_view order_name(Order o) {
  constexpr std::string_view kNames[] = {"relaxed.", "acquire.", "release.", "acq_rel."};
  return kNames[u32(o)];
}

template <class Sink>
constexpr void atomic(Out<Sink>& o, const Inst& i, u32 id) {
  const Address at = address(o, i);
  const Reg to{i.type, id};
  const std::string_view scope = scope_name(i.scope), where = space(i.a), bits = bits_of(i.type);
  switch (i.op) {
    case Op::atomic_load:
      o.text("  ld.", acquires(i.order) ? "acquire." : "relaxed.", scope, where, ".", bits, " ", to, ", ");
      put(o, at);
      break;
    case Op::atomic_store:
      o.text("  st.", releases(i.order) ? "release." : "relaxed.", scope, where, ".", bits, " ");
      put(o, at);
      o.text(", ", o.reg(i.c));
      break;
    case Op::atomic_cas:
      o.text("  atom.", order_name(i.order), scope, where, ".cas.", bits, " ", to, ", ");
      put(o, at);
      o.text(", ", o.reg(i.c), ", ", o.reg(i.d));
      break;
    default: {
      constexpr std::string_view kNames[] = {"add.", "min.", "max.", "and.", "or.", "xor.", "exch."};
      // There is no add of s64, whose bits are those of u64's.
      const bool by_type = Rmw(i.mode) <= Rmw::max;
      const std::string_view name =
          i.type == Type::i64 && Rmw(i.mode) == Rmw::add ? "u64" : type_name(i.type);
      o.text("  atom.", order_name(i.order), scope, where, ".", kNames[i.mode], by_type ? name : bits, " ",
             to, ", ");
      put(o, at);
      o.text(", ", o.reg(i.c));
    }
  }
  o.text(";\n");
}

template <class Sink>
constexpr void fence(Out<Sink>& o, const Inst& i) {
  // About as long as one read of host memory: a poll that finds nothing costs the bus half as often.
  if (i.order == Order::relaxed) return o.line("nanosleep.u32 500");
  o.line("fence.acq_rel.", scope_name(i.scope).substr(0, 3));
}

}  // namespace gpuio::kernel::detail::ptx
