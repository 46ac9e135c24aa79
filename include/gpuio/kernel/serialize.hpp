// A kernel's IR as bytes and back: how a kernel reaches the library through the C interface, or a file.
//
//   std::vector<u8> bytes = serialize(saxpy.view());
//   Deserialized read = deserialize(bytes);          // read.program.name points into `bytes`
//   if (!read.ok()) throw std::invalid_argument(message(read));
//
// All numbers are little-endian, whatever the machine; nothing is aligned. Version 1:
//
//   header   u32 each: "GKIR", version, bytes in all, block x y z, then how many of name's characters,
//   params,
//            shared, vars and insts follow
//   name     characters
//   params   12 bytes each: u8 kind, u8 type, u16 0, u64 count
//   shared    8 bytes each: u8 type, u8[3] 0, u32 count
//   vars      1 byte each: u8 type
//   insts    36 bytes each: u8 op type from width mode order scope 0, u32 a b c d, u64 imm, u32 line
//
// Version 2, of kernels with inline PTX or unchecked races only, goes on with
//
//   texts    u32 how many, u32 length and characters each: the reason for unchecked races, then inline PTX
//
// Version 3, of kernels with specialization constants only, goes on with those
//
//   constants  u32 how many; each u32 length and characters, u32 type, u64 value, least, most
//
// Version 4, of kernels with tensor maps only (there may be no constants then), goes on with
//
//   tensors  u32 how many; each 24 bytes, u32 buffer, rows, columns, step, box rows, box width
//
// Enumerators are what ir.hpp numbers them: a change of their order is a new version. Reading checks every
// count against the length, every number against its enumeration, and then the kernel itself (verify.hpp)
// save for races in shared memory, which were checked where it was made. That protects whoever reads it from
// bytes that are no kernel, not from a kernel that does harm: it may address what its caller may.
// Pure; constexpr; linear.
#pragma once

#include <gpuio/kernel/verify.hpp>

namespace gpuio::kernel {

inline constexpr u32 kSerializedMagic = 0x52494b47;  // "GKIR"
inline constexpr u32 kSerializedVersion = 4;         // the newest; what needs no newer is written as 1
inline constexpr u32 kNestingMax = 512;              // regions within each other
inline constexpr u32 kSharedBytesMax = 1u << 30;     // any device's limit is far below

enum class FormatError : u8 {
  ok,
  too_short,     // detail: bytes that are needed
  not_a_kernel,  // detail: the magic that is there
  version,       // detail: the version
  length,        // detail: bytes that its counts need
  value,         // detail: what is no number of its enumeration, or not zero where nothing is kept
  nesting,       // detail: the limit
  shared_size,   // detail: the limit
  wrong_kernel   // see Deserialized::wrong
};

struct Deserialized {
  Program program{};  // its name lies in the bytes that were read
  FormatError error = FormatError::ok;
  u64 offset = 0;  // of what is wrong
  u64 detail = 0;
  VerifyResult wrong{};
  constexpr bool ok() const { return error == FormatError::ok; }
};

namespace detail {

inline constexpr u32 kHeaderBytes = 44, kParamBytes = 12, kSharedArrayBytes = 8, kInstBytes = 36,
                     kTensorBytes = 24;

class ByteWriter {
 public:
  constexpr explicit ByteWriter(std::vector<u8>& out) : out_(out) {}
  template <class... N>
  constexpr void bytes(N... n) {
    (out_.push_back(u8(n)), ...);
  }
  constexpr void word(u64 v, u32 size) {
    for (u32 i = 0; i < size; ++i) out_.push_back(u8(v >> (8 * i)));
  }

 private:
  std::vector<u8>& out_;
};

// Remembers the first thing that is wrong; afterwards everything reads as zero.
class ByteReader {
 public:
  constexpr ByteReader(std::span<const u8> in, Deserialized& result) : in_(in), result_(result) {}
  constexpr u64 at() const { return at_; }
  constexpr u64 word(u32 size) {
    u64 v = 0;
    if (!result_.ok()) return 0;
    if (in_.size() - at_ < size) return fail(FormatError::too_short, at_, at_ + size), 0;
    for (u32 i = 0; i < size; ++i) v |= u64(in_[at_ + i]) << (8 * i);
    at_ += size;
    return v;
  }
  // A number that is at most `last`.
  constexpr u8 upto(u8 last, u8 first = 0) {
    const u64 v = word(1);
    if (result_.ok() && (v > last || v < first)) fail(FormatError::value, at_ - 1, v);
    return u8(v);
  }
  constexpr Type type(bool none_too = false) { return Type(upto(u8(Type::f64), none_too ? 0 : 1)); }
  constexpr void zeros(u32 size) {
    for (u32 i = 0; i < size; ++i) upto(0);
  }
  constexpr void skip(u64 size) { at_ += size; }
  constexpr void fail(FormatError e, u64 offset, u64 detail) {
    if (!result_.ok()) return;
    result_.error = e;
    result_.offset = offset;
    result_.detail = detail;
  }

 private:
  std::span<const u8> in_;
  Deserialized& result_;
  u64 at_ = 0;
};

constexpr u32 version_of(const View& v) {
  if (!v.tensors.empty()) return 4;
  if (!v.constants.empty()) return 3;
  return v.texts.empty() && v.unchecked.empty() ? 1 : 2;
}
constexpr u64 text_bytes(const View& v) {
  const u32 version = version_of(v);
  if (version == 1) return 0;
  u64 bytes = 8 + v.unchecked.size();
  for (const std::string_view text : v.texts) bytes += 4 + text.size();
  if (version >= 3) bytes += 4;
  for (const Constant& c : v.constants) bytes += 32 + c.name.size();
  if (version >= 4) bytes += 4 + v.tensors.size() * kTensorBytes;
  return bytes;
}

struct SerializedCounts {
  u32 name = 0, params = 0, shared = 0, vars = 0, insts = 0;
  constexpr u64 bytes() const {
    return kHeaderBytes + u64(name) + u64(params) * kParamBytes + u64(shared) * kSharedArrayBytes +
           u64(vars) + u64(insts) * kInstBytes;
  }
};

constexpr void write_inst(ByteWriter& w, const Inst& i) {
  w.bytes(i.op, i.type, i.from, i.width, i.mode, i.order, i.scope, 0);
  for (u32 operand : {i.a, i.b, i.c, i.d}) w.word(operand, 4);
  w.word(i.imm, 8);
  w.word(i.line, 4);
}

constexpr void write_text(ByteWriter& w, std::string_view text) {
  w.word(text.size(), 4);
  for (const char c : text) w.bytes(c);
}
// Characters, not numbers: in constant evaluation, which cannot reinterpret them, they stay empty.
constexpr std::string_view read_text(ByteReader& r, std::span<const u8> in) {
  const u64 length = r.word(4);
  if (length > in.size() - r.at()) return r.fail(FormatError::too_short, r.at(), r.at() + length), "";
  std::string_view text;
  if (!std::is_constant_evaluated() && length)
    text = {reinterpret_cast<const char*>(in.data()) + r.at(), length};
  r.skip(length);
  return text;
}
// What is behind the texts of versions 3 and 4.
constexpr void read_constants(ByteReader& r, std::span<const u8> in, Deserialized& out) {
  const u64 at = r.at(), count = r.word(4);
  if ((count == 0 && in[4] == 3) || count > in.size() / 32) return r.fail(FormatError::value, at, count);
  for (u64 n = 0; n < count && out.ok(); ++n) {
    Constant c;
    c.name = read_text(r, in);
    c.type = r.type();
    r.zeros(3);
    c.value = r.word(8);
    c.least = r.word(8);
    c.most = r.word(8);
    out.program.constants.push_back(c);
  }
}
// And behind those, of version 4.
constexpr void read_tensors(ByteReader& r, std::span<const u8> in, Deserialized& out) {
  const u64 at = r.at(), count = r.word(4);
  if (count == 0 || count > in.size() / kTensorBytes) return r.fail(FormatError::value, at, count);
  for (u64 n = 0; n < count && out.ok(); ++n) {
    TensorMap t;
    for (u32* field : {&t.buffer, &t.rows, &t.columns, &t.step, &t.box_rows, &t.box_width})
      *field = u32(r.word(4));
    out.program.tensors.push_back(t);
  }
}
// What is behind the instructions of versions from 2 on.
constexpr void read_texts(ByteReader& r, std::span<const u8> in, Deserialized& out) {
  Program& p = out.program;
  const u64 at = r.at(), count = r.word(4);
  if (count == 0 || count > in.size() / 4) return r.fail(FormatError::value, at, count);
  for (u64 n = 0; n < count && out.ok(); ++n) {
    const std::string_view text = read_text(r, in);
    if (n == 0) p.unchecked = text;
    else p.texts.push_back(text);
  }
  if (out.ok() && in[4] >= 3) read_constants(r, in, out);
  if (out.ok() && in[4] >= 4) read_tensors(r, in, out);
  if (out.ok() && r.at() != in.size()) r.fail(FormatError::length, r.at(), r.at());
}

constexpr Inst read_inst(ByteReader& r) {
  Inst i;
  i.op = Op(r.upto(u8(kLastOp)));
  i.type = r.type(true);
  i.from = r.type(true);
  i.width = r.upto(4, 1);
  if (i.width == 3) r.fail(FormatError::value, r.at() - 1, 3);
  i.mode = r.upto(u8(Builtin::local_index));
  i.order = Order(r.upto(u8(Order::acq_rel)));
  i.scope = Scope(r.upto(u8(Scope::system)));
  r.zeros(1);
  i.a = u32(r.word(4));
  i.b = u32(r.word(4));
  i.c = u32(r.word(4));
  i.d = u32(r.word(4));
  i.imm = r.word(8);
  i.line = u32(r.word(4));
  return i;
}

// The header; afterwards the counts fit the bytes that are there.
constexpr SerializedCounts read_header(ByteReader& r, std::span<const u8> in, Deserialized& out) {
  if (in.size() < kHeaderBytes) r.fail(FormatError::too_short, in.size(), kHeaderBytes);
  const u64 magic = r.word(4);
  if (magic != kSerializedMagic) r.fail(FormatError::not_a_kernel, 0, magic);
  const u64 version = r.word(4);
  if (version < 1 || version > kSerializedVersion) r.fail(FormatError::version, 4, version);
  const u64 bytes = r.word(4);
  for (u32& n : out.program.block) n = u32(r.word(4));
  SerializedCounts counts;
  for (u32* n : {&counts.name, &counts.params, &counts.shared, &counts.vars, &counts.insts})
    *n = u32(r.word(4));
  const bool fits = version == 1 ? counts.bytes() == in.size() : counts.bytes() <= in.size();
  if (bytes != in.size() || !fits) r.fail(FormatError::length, 8, counts.bytes());
  return out.ok() ? counts : SerializedCounts{};
}

// What the passes take for granted and the verifier has no word for.
constexpr void check_limits(ByteReader& r, const Program& p, u64 shared_at, u64 insts_at) {
  u64 shared_bytes = 0;
  for (u64 n = 0; n < p.shared.size(); ++n) {
    const u64 multiple = p.tensors.empty() ? 16 : 1024;
    shared_bytes += (u64(size_of(p.shared[n].type)) * p.shared[n].count + multiple - 1) / multiple * multiple;
    if (shared_bytes > kSharedBytesMax)
      return r.fail(FormatError::shared_size, shared_at + n * kSharedArrayBytes, kSharedBytesMax);
  }
  u32 depth = 0;
  for (u64 n = 0; n < p.insts.size(); ++n) {
    if (opens_region(p.insts[n].op) && ++depth > kNestingMax)
      return r.fail(FormatError::nesting, insts_at + n * kInstBytes, kNestingMax);
    if (closes_region(p.insts[n].op) && depth > 0) --depth;
  }
}

}  // namespace detail

constexpr std::vector<u8> serialize(const View& v) {
  const detail::SerializedCounts counts{u32(v.name.size()), u32(v.params.size()), u32(v.shared.size()),
                                        u32(v.vars.size()), u32(v.insts.size())};
  std::vector<u8> out;
  const u64 bytes = counts.bytes() + detail::text_bytes(v);
  out.reserve(bytes);
  detail::ByteWriter w(out);
  const u32 version = detail::version_of(v);
  for (u64 n : {u64(kSerializedMagic), u64(version), bytes}) w.word(n, 4);
  for (u32 n : v.block) w.word(n, 4);
  for (u32 n : {counts.name, counts.params, counts.shared, counts.vars, counts.insts}) w.word(n, 4);
  for (char c : v.name) w.bytes(c);
  for (const Param& p : v.params) {
    w.bytes(p.kind, p.type, 0, 0);
    w.word(p.count, 8);
  }
  for (const SharedArray& s : v.shared) {
    w.bytes(s.type, 0, 0, 0);
    w.word(s.count, 4);
  }
  for (Type t : v.vars) w.bytes(t);
  for (const Inst& i : v.insts) detail::write_inst(w, i);
  if (version == 1) return out;
  w.word(v.texts.size() + 1, 4);
  detail::write_text(w, v.unchecked);
  for (const std::string_view text : v.texts) detail::write_text(w, text);
  if (version == 2) return out;
  w.word(v.constants.size(), 4);
  for (const Constant& c : v.constants) {
    detail::write_text(w, c.name);
    w.bytes(c.type, 0, 0, 0);
    for (const u64 n : {c.value, c.least, c.most}) w.word(n, 8);
  }
  if (version == 3) return out;
  w.word(v.tensors.size(), 4);
  for (const TensorMap& t : v.tensors)
    for (const u32 n : {t.buffer, t.rows, t.columns, t.step, t.box_rows, t.box_width}) w.word(n, 4);
  return out;
}

// The bytes outlive the program that is read from them.
constexpr Deserialized deserialize(std::span<const u8> bytes) {
  Deserialized out;
  detail::ByteReader r(bytes, out);
  const detail::SerializedCounts counts = detail::read_header(r, bytes, out);
  Program& p = out.program;
  r.skip(counts.name);
  for (u32 n = 0; n < counts.params && out.ok(); ++n) {
    Param param;
    param.kind = ParamKind(r.upto(u8(ParamKind::on_demand)));
    param.type = r.type();
    r.zeros(2);
    param.count = r.word(8);
    p.params.push_back(param);
  }
  const u64 shared_at = r.at();
  for (u32 n = 0; n < counts.shared && out.ok(); ++n) {
    SharedArray array;
    array.type = r.type();
    r.zeros(3);
    array.count = u32(r.word(4));
    p.shared.push_back(array);
  }
  for (u32 n = 0; n < counts.vars && out.ok(); ++n) p.vars.push_back(r.type());
  const u64 insts_at = r.at();
  for (u32 n = 0; n < counts.insts && out.ok(); ++n) p.insts.push_back(detail::read_inst(r));
  if (out.ok() && bytes[4] != 1) detail::read_texts(r, bytes, out);
  if (out.ok()) detail::check_limits(r, p, shared_at, insts_at);
  if (out.ok()) {
    out.wrong = verify(p.view(), {.races = false});
    if (!out.wrong.ok()) r.fail(FormatError::wrong_kernel, insts_at, 0);
  }
  if (!out.ok()) p = {};
  // Characters, not numbers: the one part that is not copied.
  else if (!std::is_constant_evaluated() && counts.name)
    p.name = {reinterpret_cast<const char*>(bytes.data()) + detail::kHeaderBytes, counts.name};
  return out;
}

// One line: where, what, and what it should be.
inline std::string message(const Deserialized& d) {
  const std::string at = "offset " + std::to_string(d.offset) + ": ", n = std::to_string(d.detail);
  switch (d.error) {
    case FormatError::ok: return "no mistake";
    case FormatError::too_short: return at + "the bytes end here; " + n + " are needed";
    case FormatError::not_a_kernel: return at + "these bytes are no kernel: they do not begin with GKIR";
    case FormatError::version:
      return at + "version " + n + " of the format; this library reads " + std::to_string(kSerializedVersion);
    case FormatError::length: return at + "its counts make " + n + " bytes, which is not what was given";
    case FormatError::value: return at + n + " is not a value that may stand here";
    case FormatError::nesting: return at + "more than " + n + " regions within each other";
    case FormatError::shared_size: return at + "more than " + n + " bytes of shared memory";
    case FormatError::wrong_kernel: return at + "the kernel is wrong: " + message(d.wrong);
  }
  return "unknown";
}

}  // namespace gpuio::kernel
