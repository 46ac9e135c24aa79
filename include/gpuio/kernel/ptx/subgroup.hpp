// PTX of subgroup operations: a subgroup is a warp, and every operation names in its mask the lanes that
// execute it (flow.hpp). Part of ptx.hpp.
#pragma once

#include <bit>

#include <gpuio/kernel/ptx/scalar.hpp>

namespace gpuio::kernel::detail::ptx {

inline constexpr u32 kAllLanes = 0xffffffff;

// Known while emitting, or in the register of a region.
struct Mask {
  bool known = false;
  u32 lanes = 0;
  u32 region = 0;
};

template <class Sink>
struct MaskedOut {
  Out<Sink>& o;
  Mask mask;

  constexpr void put_mask() {
    if (mask.known) o.text("0x", std::string_view(hexadecimal(mask.lanes, 8)));
    else o.text("%m", mask.region);
  }
  // `operation to, operands, mask`.
  template <class... T>
  constexpr void line(T... pieces) {
    o.text("  ");
    o.text(pieces...);
    o.text(", ");
    put_mask();
    o.text(";\n");
  }
  // Shuffles 32 or 64 bits, these as two halves in %x4 to %x6.
  template <class To, class Source>
  constexpr void shuffle(std::string_view how, To to, Reg value, Source source, u32 clamp) {
    if (size_of(value.type) == 4) {
      line("shfl.sync.", how, ".b32 ", to, ", ", value, ", ", source, ", ", clamp);
      return;
    }
    o.line("mov.b64 {%x5, %x6}, ", value);
    line("shfl.sync.", how, ".b32 %x5, %x5, ", source, ", ", clamp);
    line("shfl.sync.", how, ".b32 %x6, %x6, ", source, ", ", clamp);
    o.line("mov.b64 ", to, ", {%x5, %x6}");
  }
};

template <class Sink>
constexpr void shuffle(MaskedOut<Sink> m, const Inst& i, u32 id) {
  auto& o = m.o;
  const Reg to{i.type, id}, value = o.reg(i.a), by = o.reg(i.b);
  const bool near = o.is_constant(i.b) && o.k.insts[i.b].imm < 32;
  if (m.mask.known && m.mask.lanes == kAllLanes && near) {  // the instruction's own rule is the IR's
    constexpr std::string_view kNames[] = {"idx", "bfly", "up", "down"};
    m.shuffle(kNames[i.mode], to, value, u32(o.k.insts[i.b].imm), Shuffle(i.mode) == Shuffle::up ? 0u : 31u);
    return;
  }
  // %x0: the lane to read from; absent ones are 32 and above, which `shr` answers with 0.
  if (Shuffle(i.mode) != Shuffle::lane) o.line("mov.u32 %x0, %laneid");
  switch (Shuffle(i.mode)) {
    case Shuffle::lane: o.line("mov.b32 %x0, ", by); break;
    case Shuffle::exclusive_or: o.line("xor.b32 %x0, %x0, ", by); break;
    default:
      o.line("min.u32 %x1, ", by, ", 32");
      o.line(Shuffle(i.mode) == Shuffle::up ? "sub" : "add", ".u32 %x0, %x0, %x1");
  }
  o.text("  shr.u32 %x1, ");
  m.put_mask();
  o.text(", %x0;\n");
  o.line("and.b32 %x1, %x1, 1");
  o.line("setp.ne.u32 %q0, %x1, 0");
  const bool wide = size_of(i.type) == 8;
  m.shuffle("idx", wide ? "%y0" : "%x4", value, "%x0", 31);
  o.line("selp.", bits_of(i.type), " ", to, ", ", wide ? "%y0" : "%x4", ", ", value, ", %q0");
}

// total = total op %x4 or %y0
template <class Sink>
constexpr void combine(Out<Sink>& o, const Inst& i, Reg total) {
  constexpr std::string_view kNames[] = {"add.", "min.", "max.", "and.", "or.", "xor."};
  const bool rounds = is_float(i.type) && Rmw(i.mode) == Rmw::add;
  const std::string_view type = Rmw(i.mode) <= Rmw::max ? type_name(i.type) : bits_of(i.type);
  o.line(kNames[i.mode], rounds ? "rn." : "", type, " ", total, ", ", total, ", ",
         size_of(i.type) == 8 ? "%y0" : "%x4");
}

// Into %x1, the lowest lane of %x0; takes it out of %x0.
template <class Sink>
constexpr void next_lane(Out<Sink>& o) {
  o.line("brev.b32 %x1, %x0");
  o.line("clz.b32 %x1, %x1");
  o.line("add.u32 %x2, %x0, -1");
  o.line("and.b32 %x0, %x0, %x2");
}

template <class Sink>
constexpr void reduce(MaskedOut<Sink> m, const Inst& i, u32 id) {
  auto& o = m.o;
  const Reg to{i.type, id}, value = o.reg(i.a);
  constexpr std::string_view kNames[] = {"add", "min", "max", "and", "or", "xor"};
  if (o.sm >= 80 && (i.type == Type::u32 || i.type == Type::i32)) {
    m.line("redux.sync.", kNames[i.mode], ".", Rmw(i.mode) <= Rmw::max ? type_name(i.type) : "b32", " ", to,
           ", ", value);
    return;
  }
  const std::string_view other = size_of(i.type) == 8 ? "%y0" : "%x4";
  const u32 lanes = u32(std::popcount(m.mask.lanes));
  if (m.mask.known && std::has_single_bit(lanes)) {  // the lowest 1, 2, 4 .. 32: halves exchange
    o.line("mov.", bits_of(i.type), " ", to, ", ", value);
    for (u32 distance = lanes / 2; distance > 0; distance /= 2) {
      m.shuffle("bfly", other, to, distance, 31);
      combine(o, i, to);
    }
    return;
  }
  // Any lanes: one after another, each seen by all.
  o.text("  mov.b32 %x0, ");
  m.put_mask();
  o.text(";\n");
  next_lane(o);
  m.shuffle("idx", to, value, "%x1", 31);
  o.line("setp.eq.u32 %q0, %x0, 0");
  o.line("@%q0 bra $reduced", id);
  o.label("$reduce", id);
  next_lane(o);
  m.shuffle("idx", other, value, "%x1", 31);
  combine(o, i, to);
  o.line("setp.ne.u32 %q0, %x0, 0");
  o.line("@%q0 bra $reduce", id);
  o.label("$reduced", id);
}

template <class Sink>
constexpr void subgroup(MaskedOut<Sink> m, const Inst& i, u32 id) {
  auto& o = m.o;
  const Reg to{i.type, id};
  switch (i.op) {
    case Op::subgroup_shuffle: return shuffle(m, i, id);
    case Op::subgroup_reduce: return reduce(m, i, id);
    case Op::subgroup_vote:
      m.line("vote.sync.", Vote(i.mode) == Vote::any ? "any" : "all", ".pred ", to, ", ", o.reg(i.a));
      return;
    case Op::subgroup_ballot:
      m.line("vote.sync.ballot.b32 %x0, ", o.reg(i.a));
      o.line("cvt.u64.u32 ", to, ", %x0");
      return;
    default:  // elect
      o.line("mov.u32 %x0, %lanemask_lt");
      o.text("  and.b32 %x0, %x0, ");
      m.put_mask();
      o.text(";\n");
      o.line("setp.eq.u32 ", to, ", %x0, 0");
  }
}

}  // namespace gpuio::kernel::detail::ptx
