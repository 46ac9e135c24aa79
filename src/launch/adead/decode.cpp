// Accumulator and register code, from bytes to the operations of the array machine.
#include <algorithm>
#include <array>

#include "launch/adead/parts.hpp"

namespace gpuio::launch::adead {
namespace {

constexpr u8 kAccumulator = 0, kOperand = 1;  // registers that accumulator code is written in

enum class Shape : u8 { exit, load, store, immediate, with_buffer, alone, unknown };
struct Accumulator {
  std::string_view name;
  Shape shape;
  ArrayOp op{};
};
constexpr std::array<Accumulator, 16> kAccumulatorOps{{
    {"EXIT", Shape::exit},
    {"LOAD", Shape::load},
    {"STORE", Shape::store},
    {"LOAD_IMM", Shape::immediate},
    {"ADD", Shape::with_buffer, ArrayOp::add},
    {"SUB", Shape::with_buffer, ArrayOp::sub},
    {"MUL", Shape::with_buffer, ArrayOp::mul},
    {"DIV", Shape::with_buffer, ArrayOp::div},
    {"VEC_ADD", Shape::with_buffer, ArrayOp::add},
    {"VEC_MUL", Shape::with_buffer, ArrayOp::mul},
    {"DOT", Shape::with_buffer, ArrayOp::dot},
    {"MATMUL", Shape::with_buffer, ArrayOp::matmul},
    {"SYNC", Shape::alone, ArrayOp::sync},
    {"NOP", Shape::alone},
    {"reserved", Shape::unknown},
    {"reserved", Shape::unknown},
}};

struct Register {
  u8 code;
  std::string_view name;
  ArrayOp op;
  u8 fields;  // used: 1 dst, 2 src1, 4 src2
};
constexpr u8 kDst = 1, kOne = 3, kTwo = 7;
constexpr Register kRegisterOps[] = {
    {0x01, "ADD", ArrayOp::add, kTwo},
    {0x02, "SUB", ArrayOp::sub, kTwo},
    {0x03, "MUL", ArrayOp::mul, kTwo},
    {0x04, "DIV", ArrayOp::div, kTwo},
    {0x05, "FMA", ArrayOp::fma, kTwo},
    {0x10, "VADD", ArrayOp::add, kTwo},
    {0x11, "VMUL", ArrayOp::mul, kTwo},
    {0x12, "VDOT", ArrayOp::dot, kTwo},
    {0x13, "VNORM", ArrayOp::norm, kOne},
    {0x20, "MATMUL", ArrayOp::matmul, kTwo},
    {0x21, "TRANSPOSE", ArrayOp::transpose, kOne},
    {0x22, "INVERSE", ArrayOp::inverse, kOne},
    {0x30, "SYNC", ArrayOp::sync, 0},
    {0x31, "BARRIER", ArrayOp::sync, 0},
    {0x40, "LOAD", ArrayOp::load, kOne},
    {0x41, "STORE", ArrayOp::store, kOne},
    {0x42, "LOADSH", ArrayOp::load_shared, kOne},
    {0x43, "STORESH", ArrayOp::store_shared, kOne},
};
constexpr u32 kExit = 0xff;

}  // namespace

Result<std::vector<ArrayInst>> decode_accumulator(std::span<const std::byte> bytes) {
  std::vector<ArrayInst> code{{ArrayOp::immediate, kAccumulator, 0, 0, 0}};  // it begins as zero
  for (u64 at = 0; at < bytes.size(); ++at) {
    const u8 byte = u8(bytes[at]), operand = byte & 15;
    const Accumulator& op = kAccumulatorOps[byte >> 4];
    if (op.shape == Shape::unknown)
      return fail(Code::invalid_arg, "offset {}: byte {:02x}; operation {:x} is reserved, 0 to d are known",
                  at, byte, byte >> 4);
    if ((op.shape == Shape::exit || op.shape == Shape::alone) && operand != 0)
      return fail(Code::invalid_arg, "offset {}: byte {:02x}; {} takes no operand: write {:x}0", at, byte,
                  op.name, byte >> 4);
    switch (op.shape) {
      case Shape::exit: {
        // Zeros fill a file up; anything else would be code that nobody runs.
        const auto rest = bytes.subspan(at + 1);
        const auto found = std::ranges::find_if(rest, [](std::byte b) { return b != std::byte{0}; });
        if (found == rest.end()) return code;
        return fail(Code::invalid_arg, "offset {}: byte {:02x} follows EXIT; only zeros may",
                    at + 1 + u64(found - rest.begin()), u32(*found));
      }
      case Shape::load: code.push_back({ArrayOp::load, kAccumulator, operand, 0, at}); break;
      case Shape::store: code.push_back({ArrayOp::store, operand, kAccumulator, 0, at}); break;
      case Shape::immediate: code.push_back({ArrayOp::immediate, kAccumulator, operand, 0, at}); break;
      case Shape::with_buffer:
        code.push_back({ArrayOp::load, kOperand, operand, 0, at});
        code.push_back({op.op, kAccumulator, kAccumulator, kOperand, at});
        break;
      case Shape::alone:
        if (op.op == ArrayOp::sync) code.push_back({ArrayOp::sync, 0, 0, 0, at});
        break;
      case Shape::unknown: break;
    }
  }
  return fail(
      Code::invalid_arg,
      "offset {}: the code ends without EXIT; the file is truncated, or a byte 00 is missing at its end",
      bytes.size());
}

Result<std::vector<ArrayInst>> decode_registers(Reader reader, u32 count) {
  if (reader.left() != u64{count} * 4)
    return fail(Code::invalid_arg, "offset 6: {} instructions of 4 bytes announced and {} bytes there", count,
                reader.left());
  std::vector<ArrayInst> code;
  std::array<bool, 256> written{};
  for (u32 n = 0; n < count; ++n) {
    const u64 at = reader.offset();
    const u32 word = *reader.number(4, "an instruction");
    const u8 opcode = u8(word), dst = u8(word >> 8), a = u8(word >> 16), b = u8(word >> 24);
    if (opcode == kExit) {
      if (word >> 8)
        return fail(Code::invalid_arg, "offset {}: EXIT with fields {:02x} {:02x} {:02x}; they are 0", at,
                    dst, a, b);
      if (n + 1 == count) return code;
      return fail(Code::invalid_arg, "offset {}: EXIT is instruction {} of {}; nothing may follow it", at,
                  n + 1, count);
    }
    const auto op = std::ranges::find(kRegisterOps, opcode, &Register::code);
    if (op == std::end(kRegisterOps))
      return fail(Code::invalid_arg, "offset {}: opcode {:02x} is none of AHYB's (docs/adead.md lists them)",
                  at, opcode);
    if ((!(op->fields & 1) && dst) || (!(op->fields & 2) && a) || (!(op->fields & 4) && b))
      return fail(Code::invalid_arg,
                  "offset {}: {} with fields {:02x} {:02x} {:02x}; those it does not use are 0", at, op->name,
                  dst, a, b);
    const auto read = [&](u8 r, u32 field) -> Status {
      if (written[r]) return {};
      return error(Code::invalid_arg, "offset {}: {} reads register {}, which nothing wrote; LOAD it first",
                   at + field, op->name, r);
    };
    const bool memory = op->op == ArrayOp::load || op->op == ArrayOp::load_shared;
    const bool stores = op->op == ArrayOp::store || op->op == ArrayOp::store_shared;
    Status s;
    if ((op->fields & 2) && !memory) s = read(a, 2);
    if (s && (op->fields & 4)) s = read(b, 3);
    if (s && op->op == ArrayOp::fma) s = read(dst, 1);
    if (!s) return fail(std::move(s));
    if ((op->fields & kDst) && !stores) written[dst] = true;
    code.push_back({op->op, dst, a, b, at});
  }
  return fail(Code::invalid_arg, "offset {}: the last of {} instructions is not EXIT (ff 00 00 00)",
              reader.offset(), count);
}

}  // namespace gpuio::launch::adead
