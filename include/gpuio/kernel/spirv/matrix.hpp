// Matrix units in SPIR-V: SPV_KHR_cooperative_matrix, of subgroups of 32 lanes, 16 x K by K x 8.
//
// Which lane holds which element is the driver's there, and ir.hpp's in a kernel. So fragments of A and B are
// loaded from shared arrays, whose elements are not widened to words for it, and stay opaque; sums are opaque
// between products (sums.hpp), and where a lane reads its four, or made them, they go through 512 bytes of
// shared memory that each subgroup has for that.
//
// Never run: no driver at hand has the extension. The validator takes what is emitted.
#pragma once

#include <gpuio/kernel/spirv/module.hpp>
#include <gpuio/kernel/spirv/sums.hpp>

namespace gpuio::kernel::spirv {

inline constexpr u32 kSumsOfSubgroup = 128;  // 16 x 8

// What Vulkan cannot have of a kernel's matrix operations, and the first line with it; empty: all is well.
struct MatrixRefusal {
  std::string_view what{};
  u32 line = 0;
};
constexpr MatrixRefusal matrix_refusal(const View& k) {
  for (const Inst& i : k.insts) {
    if (is_matrix(i.op) && k.block[0] % kMatrixLanes != 0)
      return {"matrix units of Vulkan want a workgroup whose first size is a multiple of 32: reshape it",
              i.line};
    if (i.op == Op::matrix_load && i.from != Type::f16 && i.from != Type::bf16 && i.from != Type::i8)
      return {
          "matrix units of Vulkan multiply f16, bf16 and i8; f32 (tf32) and 8-bit floats are CUDA's (and "
          "the CPU device's): convert them, or use a plain variant",
          i.line};
    const bool product = i.op == Op::matrix_multiply;
    if (product && (k.insts[i.a].op != Op::matrix_load || k.insts[i.b].op != Op::matrix_load))
      return {
          "matrix units of Vulkan take fragments of A and B from shared memory only, not what lanes put "
          "together: use a plain variant",
          i.line};
    bool apart = false;
    each_operand(i, [&](u32 v) { apart = apart || k.insts[v].op == Op::matrix_load; });
    if (apart && !product)
      return {"fragments of A and B are opaque on Vulkan: lanes cannot take them apart there", i.line};
  }
  return {};
}

// The matrix operations of a kernel that is not refused.
class Matrices {
 public:
  constexpr Matrices(Module& m, const View& k) : m_(&m), k_(&k), sums_(k) {
    ids_.assign(k.insts.size(), 0);
    numbers_.assign(k.insts.size(), 0);
    read_.assign(k.shared.size(), 0);
    for (u32 n = 0; n < k.insts.size(); ++n) {
      const Inst& i = k.insts[n];
      if (i.op == Op::matrix_load) read_[i.a & ~kShared] = 1;
      if (sums_.role(n) != SumRole::none) continue;
      each_operand(i, [&](u32 v) {
        if (!(i.op == Op::matrix_multiply && v == i.c)) numbers_[v] = 1;
      });
    }
    fresh_.assign(sums_.groups.size(), 0);
    held_.assign(sums_.groups.size(), 0);
  }
  // Once, before the first instruction.
  constexpr void begin(u32 lane, u32 subgroup) {
    lane_ = lane;
    subgroup_ = subgroup;
    for (u32 g = 0; g < held_.size(); ++g) {
      if (!sums_.groups[g].held) continue;
      const Type t = type_of(g);
      const u32 zero = constant(t, 0);
      held_[g] = m_->local(sums(t), false);
      // Stored, as other compilers write it: an initializer would be one that drivers seldom see.
      m_->early_effect(Word::Store, {held_[g], zero});
    }
  }

  // Do matrix operations read this shared array? Then its elements have their own size.
  constexpr bool reads(u32 array) const { return read_[array]; }
  // Is instruction n one of these?
  constexpr bool takes(u32 n) const {
    return k_->insts[n].op == Op::matrix_multiply || sums_.role(n) != SumRole::none;
  }

  constexpr void load(u32 n, u32 pointer) {
    const Inst& i = k_->insts[n];
    const u32 size = size_of(i.from), depth = 32 / size;
    const u32 component = i.from == Type::f16    ? m_->float16()
                          : i.from == Type::bf16 ? m_->bfloat16()
                                                 : m_->signed_integer(8);
    const MatrixPart part{i.mode};
    const u32 of = part == MatrixPart::a ? m_->matrix(component, 16, depth, MatrixUse::A)
                                         : m_->matrix(component, depth, 8, MatrixUse::B);
    ids_[n] =
        load(of, pointer, part == MatrixPart::b_columns ? MatrixLayout::ColumnMajor : MatrixLayout::RowMajor,
             u32(i.imm));
  }

  // Of an instruction that takes() says is ours: its value, as lanes have it, or 0. `values` and `vars` are
  // ids; `depth` is of how many regions it lies in.
  constexpr u32 emit(u32 n, const std::vector<u32>& values, const std::vector<u32>& vars, u32 depth) {
    const Inst& i = k_->insts[n];
    const SumRole role = sums_.role(n);
    if (role == SumRole::none) return multiply(n, values);
    if (role == SumRole::part) return 0;
    const u32 g = sums_.group(n);
    const Type t = type_of(g);
    if (role == SumRole::load) {
      ids_[n] = m_->op(sums(t), Word::Load, {held_[g]});
    } else if (role == SumRole::read) {
      if (!fresh_[g]) {
        const std::array<u32, 4> lanes = numbers(m_->op(sums(t), Word::Load, {held_[g]}), t);
        for (u32 r = 0; r < 4; ++r) m_->effect(Word::Store, {vars[sums_.groups[g].vars[r]], lanes[r]});
        fresh_[g] = depth + 1;
      }
      return m_->op(m_->reg(reg_of(t)), Word::Load, {vars[i.a]});
    } else {
      const Inst& value = k_->insts[i.b];
      const u32 whole = role == SumRole::fill ? constant(t, u32(value.imm)) : ids_[value.a];
      m_->effect(Word::Store, {held_[g], whole});
      fresh_[g] = 0;
    }
    return 0;
  }

  // After a control instruction, in so many regions: what lanes read before may have changed, or have been
  // read on another way.
  constexpr void follow(Op op, u32 depth) {
    const bool loops = op == Op::for_ || op == Op::loop;
    if (!loops && op != Op::else_ && op != Op::continuing && !closes_region(op)) return;
    const u32 least = loops ? 0 : closes_region(op) ? depth + 1 : depth;
    for (u32& f : fresh_)
      if (f > least) f = 0;
  }

 private:
  struct Scratch {
    u32 matrix = 0;  // pointers to the subgroup's part and to the lane's elements
    std::array<u32, 4> lanes{};
  };

  constexpr Type type_of(u32 group) const { return k_->vars[sums_.groups[group].vars[0]]; }
  constexpr u32 component(Type t) { return t == Type::f32 ? m_->reg(Reg::f32) : m_->signed_integer(32); }
  constexpr u32 sums(Type t) { return m_->matrix(component(t), 16, 8, MatrixUse::Accumulator); }
  constexpr u32 constant(Type t, u32 bits) {
    const u32 of = sums(t);
    return m_->filled(of, component(t), bits);
  }

  constexpr u32 multiply(u32 n, const std::vector<u32>& values) {
    const Inst& i = k_->insts[n];
    const u32 before = ids_[i.c] ? ids_[i.c] : together(i.c, values), of = sums(i.type);
    ids_[n] = i.type == Type::f32
                  ? m_->op(of, Word::CooperativeMatrixMulAddKHR, {ids_[i.a], ids_[i.b], before})
                  : m_->op(of, Word::CooperativeMatrixMulAddKHR, {ids_[i.a], ids_[i.b], before, kAllSigned});
    if (!numbers_[n]) return 0;
    const std::array<u32, 4> e = numbers(ids_[n], i.type);
    return m_->op(m_->vector(m_->reg(reg_of(i.type)), 4), Word::CompositeConstruct, {e[0], e[1], e[2], e[3]});
  }
  // A matrix of four numbers a lane.
  constexpr u32 together(u32 n, const std::vector<u32>& values) {
    const Inst& i = k_->insts[n];
    if (i.op == Op::compose && i.a == i.b && i.a == i.c && i.a == i.d && is_literal(k_->insts[i.a]))
      return constant(i.type, u32(k_->insts[i.a].imm));
    const Scratch& s = scratch(i.type);
    const u32 each = m_->reg(reg_of(i.type));
    meet();
    for (u32 r = 0; r < 4; ++r) {
      const u32 element = m_->op(each, Word::CompositeExtract, {values[n], r});
      m_->effect(Word::Store, {s.lanes[r], element, kNonPrivatePointer});
    }
    meet();
    return load(sums(i.type), s.matrix, MatrixLayout::RowMajor, 8);
  }
  // The lane's four numbers of a matrix.
  constexpr std::array<u32, 4> numbers(u32 matrix, Type t) {
    const Scratch& s = scratch(t);
    const u32 layout = m_->number(u32(MatrixLayout::RowMajor)), stride = m_->number(8);
    meet();
    m_->effect(Word::CooperativeMatrixStoreKHR, {s.matrix, matrix, layout, stride, kNonPrivatePointer});
    meet();
    std::array<u32, 4> out{};
    for (u32 r = 0; r < 4; ++r)
      out[r] = m_->op(m_->reg(reg_of(t)), Word::Load, {s.lanes[r], kNonPrivatePointer});
    return out;
  }
  constexpr u32 load(u32 of, u32 pointer, MatrixLayout layout, u32 stride) {
    const u32 how = m_->number(u32(layout)), step = m_->number(stride);
    return m_->op(of, Word::CooperativeMatrixLoadKHR, {pointer, how, step, kNonPrivatePointer});
  }
  // The lanes of the subgroup, and what they did in shared memory.
  constexpr void meet() {
    const u32 subgroup = m_->number(3);
    const u32 order = m_->number(kAcquireRelease | kMakeAvailable | kMakeVisible | kWorkgroupMemory);
    m_->effect(Word::ControlBarrier, {subgroup, subgroup, order});
  }
  // By rows: element_of_c of register r lies at 2 * lane + r % 2 + 64 * (r / 2).
  constexpr const Scratch& scratch(Type t) {
    Scratch& s = scratch_[t == Type::f32 ? 0 : 1];
    if (s.matrix != 0) return s;
    const u32 of = m_->u32_type(), each = m_->reg(reg_of(t)), to = m_->pointer(Storage::Workgroup, each);
    const u32 subgroups = k_->lanes() / kMatrixLanes, all = m_->array(each, kSumsOfSubgroup * subgroups);
    const u32 array = m_->variable(Storage::Workgroup, all);
    const u32 first = m_->early(of, Word::IMul, {subgroup_, m_->number(kSumsOfSubgroup)});
    const u32 twice = m_->early(of, Word::IMul, {lane_, m_->number(2)});
    const u32 mine = m_->early(of, Word::IAdd, {first, twice});
    for (u32 r = 0; r < 4; ++r) {
      const u32 at = r ? m_->early(of, Word::IAdd, {mine, m_->number(r % 2 + 64 * (r / 2))}) : mine;
      s.lanes[r] = m_->early(to, Word::AccessChain, {array, at});
    }
    s.matrix = m_->early(to, Word::AccessChain, {array, first});
    return s;
  }

  Module* m_;
  const View* k_;
  Sums sums_;
  std::vector<u32> ids_;            // of instructions that are matrices
  std::vector<char> numbers_;       // products whose numbers lanes ask for
  std::vector<char> read_;          // shared arrays
  std::vector<u32> fresh_, held_;   // of a group: 1 + in how many regions lanes read it, or 0; its variable
  std::array<Scratch, 2> scratch_;  // of f32 and i32
  u32 lane_ = 0, subgroup_ = 0;
};

// Bytes of shared memory that the module has beside the kernel's own arrays.
constexpr u32 matrix_scratch_bytes(const View& k) {
  bool floats = false, integers = false;
  for (const Inst& i : k.insts) {
    if (i.op != Op::matrix_multiply) continue;
    floats = floats || i.type == Type::f32;
    integers = integers || i.type == Type::i32;
  }
  return (u32(floats) + u32(integers)) * (k.lanes() / kMatrixLanes) * kSumsOfSubgroup * 4;
}

}  // namespace gpuio::kernel::spirv
