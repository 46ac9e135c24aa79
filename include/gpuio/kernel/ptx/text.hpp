// PTX as text: where it goes (sinks) and how registers, types and numbers are spelt.
//
// The emitter runs twice at compile time, into a PtxCounter and then into a PtxWriter over an array of that
// size; at run time once into a PtxString. All three see the same pieces in the same order, so the bytes are
// the same. constexpr; one thread; a sink outlives the emitter and owns nothing but its own text.
//
// Registers are untyped and named by size: %p predicate, %h 16 bits (8-bit values too, extended as their sign
// says), %r 32, %d 64, each with the number of the IR value it holds.
#pragma once

#include <string>
#include <string_view>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

struct PtxCounter {
  std::size_t size = 0;
  constexpr void append(std::string_view s) { size += s.size(); }
};
struct PtxWriter {
  char* at;
  constexpr void append(std::string_view s) {
    std::char_traits<char>::copy(at, s.data(), s.size());
    at += s.size();
  }
};
struct PtxString {
  std::string text{};
  constexpr void append(std::string_view s) { text.append(s); }
};

namespace detail::ptx {

// Decimal and fixed-width hexadecimal spellings, built in place.
struct Spelling {
  std::array<char, 24> digits{};
  u32 first = 24;
  constexpr operator std::string_view() const { return {digits.data() + first, 24 - first}; }
};
constexpr Spelling decimal(u64 v) {
  Spelling s;
  do {
    s.digits[--s.first] = char('0' + v % 10);
    v /= 10;
  } while (v != 0);
  return s;
}
constexpr Spelling hexadecimal(u64 v, u32 digits) {
  Spelling s;
  for (u32 i = 0; i < digits; ++i, v >>= 4) s.digits[--s.first] = "0123456789ABCDEF"[v & 15];
  return s;
}

constexpr std::string_view bits_of(Type t) {
  switch (size_of(t)) {
    case 8: return "b64";
    case 4: return "b32";
    default: return "b16";
  }
}
// As arithmetic, comparison and conversion spell the type of a register; 8-bit values live in 16 bits.
constexpr std::string_view type_name(Type t) {
  switch (t) {
    case Type::u8:
    case Type::u16: return "u16";
    case Type::i8:
    case Type::i16: return "s16";
    case Type::f16: return "f16";
    case Type::bf16: return "bf16";
    case Type::u32: return "u32";
    case Type::i32: return "s32";
    case Type::f32: return "f32";
    case Type::u64: return "u64";
    case Type::i64: return "s64";
    case Type::f64: return "f64";
    default: return "pred";
  }
}
// As loads and stores spell it.
constexpr std::string_view memory_name(Type t) {
  switch (t) {
    case Type::boolean:
    case Type::u8: return "u8";
    case Type::i8: return "s8";
    default: return bits_of(t);
  }
}
constexpr std::string_view register_class(Type t) {
  if (t == Type::boolean) return "%p";
  switch (size_of(t)) {
    case 8: return "%d";
    case 4: return "%r";
    default: return "%h";
  }
}

struct Reg {  // of a value
  Type type;
  u32 value;
};
struct Element {  // of a vector value
  Type type;
  u32 value;
  u32 index;
};
struct Var {
  Type type;
  u32 index;
};

// A byte of a shared array: an array of its own, or a place in the block that a launch sizes (Out::block).
struct SharedPlace {
  u32 array;
  u64 offset = 0;
};

// What the parts of the emitter write through.
template <class Sink>
struct Out {
  View k;
  u32 sm;
  Sink& sink;
  u32 target = 70;      // that the text is for: what the kernel needs
  bool fences = false;  // lanes write what the async proxy reads or overwrites
  bool block = false;   // shared arrays are one block that the launch sizes
  bool fenced = false;  // nothing since the last wgmma.fence touches what a product reads or adds to

  constexpr void piece(std::string_view s) { sink.append(s); }
  constexpr void piece(u64 v) { sink.append(decimal(v)); }
  constexpr void piece(u32 v) { sink.append(decimal(v)); }
  constexpr void piece(Reg r) {
    piece(register_class(r.type));
    piece(r.value);
  }
  constexpr void piece(Element e) {
    piece(Reg{e.type, e.value});
    piece("x");
    piece(e.index);
  }
  constexpr void piece(Var v) {
    piece("%w");
    piece(register_class(v.type).substr(1));
    piece(v.index);
  }
  constexpr void piece(SharedPlace p) {
    if (!block) {
      piece("shared");
      piece(p.array);
    } else {
      piece("$shared");
      p.offset += shared_offset(k, p.array);
    }
    if (p.offset == 0) return;
    piece("+");
    piece(p.offset);
  }
  template <class... T>
  constexpr void text(T... pieces) {
    (piece(pieces), ...);
  }
  // One instruction.
  template <class... T>
  constexpr void line(T... pieces) {
    piece("  ");
    (piece(pieces), ...);
    piece(";\n");
  }
  template <class... T>
  constexpr void label(T... pieces) {
    (piece(pieces), ...);
    piece(":\n");
  }
  // The register of a value.
  constexpr Reg reg(u32 value) const { return {k.insts[value].type, value}; }
  constexpr bool is_constant(u32 value) const { return k.insts[value].op == Op::constant; }
};

// Compute capability and PTX version (major * 10 + minor) that an instruction cannot do without.
struct Needs {
  u32 sm = 70, version = 63;
};
constexpr Needs needs(const Inst& i) {
  if (i.op == Op::inline_ptx) return {u32(i.imm >> 32 & 0xffff), u32(i.imm >> 48)};
  if (is_bulk(i.op) || is_warpgroup(i.op)) return {90, 80};
  if (is_mbarrier(i.op)) return {80, i.op == Op::mbarrier_wait ? 71u : 70u};
  if (!is_matrix(i.op)) return {};
  const Matrix what{i.mode};
  const bool eighths = i.op == Op::matrix_multiply && (what == Matrix::of_e4m3 || what == Matrix::of_e5m2);
  return eighths ? Needs{89, 84} : Needs{80, 70};
}

// The author's text with its registers.
template <class Sink>
constexpr void inline_ptx(Out<Sink>& o, const Inst& i, u32 id) {
  const std::string_view s = o.k.texts[u32(i.imm)];
  const u32 operands[] = {i.a, i.b, i.c, i.d};
  std::size_t from = 0;
  o.text("  ");
  for (std::size_t at = 0; at + 1 < s.size(); ++at) {
    if (s[at] != '%') continue;
    o.text(s.substr(from, at - from));
    const char what = s[++at];
    if (what == '%') o.text("%");
    else if (what == '0') o.text(Reg{i.type, id});
    else o.text(o.reg(operands[what - '1']));
    from = at + 1;
  }
  o.text(s.substr(from), "\n");
}

}  // namespace detail::ptx
}  // namespace gpuio::kernel
