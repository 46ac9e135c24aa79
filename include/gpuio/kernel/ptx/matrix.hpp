// PTX of matrix operations. Part of ptx.hpp; matrix_lanes.hpp says which lane holds what.
//
// ldmatrix moves 8 x 8 elements of 16 bits, a row each from the address that one lane gives. To it 16 bytes
// of a row are 8 elements, whatever they are to us: that suits every fragment but rows of B that are not of
// 16 bits, whose elements are loaded one by one.
#pragma once

#include <gpuio/kernel/ptx/memory.hpp>

namespace gpuio::kernel::detail::ptx {

// Into %x0 the address of the part's first element.
template <class Sink>
constexpr void part_address(Out<Sink>& o, const Inst& i) {
  Inst element = i;
  element.type = i.from;
  const Address at = address(o, element);
  if (!at.base.empty()) return;  // it is there
  o.line("mov.u32 %x0, ", SharedPlace{at.number});
  if (at.offset != 0) o.line("add.u32 %x0, %x0, ", at.offset);
}

template <class Sink>
constexpr void matrix_load(Out<Sink>& o, const Inst& i, u32 id) {
  const u32 size = size_of(i.from), row = u32(i.imm) * size;
  const MatrixPart part{i.mode};
  declare_vector(o, i, id);
  part_address(o, i);
  o.line("mov.u32 %x1, %laneid");
  if (part == MatrixPart::b_rows && size != 2) {
    o.line("shr.u32 %x2, %x1, 2");  // the column
    o.line("mad.lo.u32 %x0, %x2, ", size, ", %x0");
    o.line("and.b32 %x2, %x1, 3");
    o.line("mad.lo.u32 %x0, %x2, ", row * (4 / size), ", %x0");
    for (u32 r = 0; r < 2; ++r) {
      const Element to{Type::u32, id, r};
      const u32 first = r * (16 / size) * row;
      if (size == 4) {
        o.line("ld.shared.b32 ", to, ", [%x0+", first, "]");
        continue;
      }
      o.line("ld.shared.u8 ", to, ", [%x0+", first, "]");
      for (u32 e = 1; e < 4; ++e) {
        o.line("ld.shared.u8 %x3, [%x0+", first + e * row, "]");
        o.line("shl.b32 %x3, %x3, ", 8 * e);
        o.line("or.b32 ", to, ", ", to, ", %x3");
      }
    }
  } else {
    // Lanes 8m to 8m + 7 give the rows of matrix m.
    o.line("and.b32 %x2, %x1, ", part == MatrixPart::b_columns ? 7u : 15u);
    o.line("mad.lo.u32 %x0, %x2, ", row, ", %x0");
    if (part == MatrixPart::a) o.line("and.b32 %x1, %x1, 16");  // the second 16 bytes of each row
    if (part == MatrixPart::b_columns) {
      o.line("and.b32 %x1, %x1, 8");
      o.line("shl.b32 %x1, %x1, 1");
    }
    if (part != MatrixPart::b_rows) o.line("add.u32 %x0, %x0, %x1");
    o.text("  ldmatrix.sync.aligned.m8n8.x", u32(i.width), part == MatrixPart::b_rows ? ".trans" : "",
           ".shared.b16 ");
    put_elements(o, Type::u32, id, i.width);
    o.text(", [%x0];\n");
  }
  for (u32 r = 0; i.from == Type::f32 && r < i.width; ++r) {
    const Element to{Type::u32, id, r};
    o.line("cvt.rna.tf32.f32 ", to, ", ", to);
  }
}

template <class Sink>
constexpr void matrix_multiply(Out<Sink>& o, const Inst& i, u32 id) {
  constexpr std::string_view kShapes[] = {"m16n8k16", "m16n8k16", "m16n8k8",
                                          "m16n8k32", "m16n8k32", "m16n8k32"};
  constexpr std::string_view kTypes[] = {".f32.f16.f16.f32", ".f32.bf16.bf16.f32", ".f32.tf32.tf32.f32",
                                         ".s32.s8.s8.s32",   ".f32.e4m3.e4m3.f32", ".f32.e5m2.e5m2.f32"};
  declare_vector(o, i, id);
  o.text("  mma.sync.aligned.", kShapes[i.mode], ".row.col", kTypes[i.mode], " ");
  put_elements(o, i.type, id, 4);
  o.text(", ");
  put_elements(o, Type::u32, i.a, 4);
  o.text(", ");
  put_elements(o, Type::u32, i.b, 2);
  o.text(", ");
  put_elements(o, i.type, i.c, 4);
  o.text(";\n");
}

// --- wgmma ------------------------------------------------------------------------------------------------

// Into %y<to> the descriptor of a matrix in panels: where it begins, how far panels (of wide ones nobody
// asks) and eight rows are apart, in units of 16 bytes; on top the pattern, 1 to 3 for rows of 128, 64, 32
// bytes. The units swap the chunks of addresses, so that a step along wide rows is one of the address.
template <class Sink>
constexpr void descriptor(Out<Sink>& o, const Inst& i, u32 to, u32 object, u32 index, u32 panel) {
  const WarpgroupShape shape = WarpgroupShape::of(i);
  part_address(o, Inst{.op = Op::matrix_load, .from = i.from, .a = object, .b = index});
  if (shape.step) o.line("add.u32 %x0, %x0, ", shape.step * 32);
  o.line("shr.u32 %x0, %x0, 4");
  o.line("cvt.u64.u32 %y", to, ", %x0");
  const u64 pattern = shape.width ? 4 - shape.width : 0;
  o.line("or.b64 %y", to, ", %y", to, ", ",
         u64{shape.width ? 1 : panel} << 16 | u64{8u << shape.width} << 32 | pattern << 62);
}

template <class Sink>
constexpr void warpgroup_multiply(Out<Sink>& o, const Inst& i) {
  constexpr std::string_view kDepths[] = {"k16", "k16", "k8", "k32", "k32", "k32"};
  constexpr std::string_view kTypes[] = {".f32.f16.f16", ".f32.bf16.bf16", ".f32.tf32.tf32",
                                         ".s32.s8.s8",   ".f32.e4m3.e4m3", ".f32.e5m2.e5m2"};
  // What follows the predicate: signs of A and B, and how 16-bit ones lie.
  constexpr std::string_view kRest[] = {", 1, 1, 0, 0", ", 1, 1, 0, 0", ", 1, 1", "", ", 1, 1", ", 1, 1"};
  const WarpgroupShape shape = WarpgroupShape::of(i);
  descriptor(o, i, 0, i.a, i.b, shape.panel_a);
  descriptor(o, i, 1, i.c, i.d, shape.panel_b);
  o.line("mov.pred %q0, 1");
  if (!o.fenced) o.line("wgmma.fence.sync.aligned");
  o.fenced = true;
  o.text("  wgmma.mma_async.sync.aligned.m64n", shape.columns, kDepths[i.mode], kTypes[i.mode], " {");
  for (u32 r = 0; r < shape.columns / 2; ++r) {
    if (r) o.text(", ");
    o.text(Var{i.type, shape.first + r});
  }
  o.text("}, %y0, %y1, %q0", kRest[i.mode], ";\n");
}

template <class Sink>
constexpr void warpgroup(Out<Sink>& o, const Inst& i, u32 id) {
  switch (i.op) {
    case Op::warpgroup_clear:
      for (u32 v = 0; v < i.imm; ++v) o.line("mov.b32 ", Var{o.k.vars[i.a + v], i.a + v}, ", 0");
      return;
    case Op::warpgroup_read: return o.line("mov.b32 ", Reg{i.type, id}, ", ", Var{i.type, i.a});
    case Op::warpgroup_commit: return o.line("wgmma.commit_group.sync.aligned");
    case Op::warpgroup_wait: return o.line("wgmma.wait_group.sync.aligned ", i.imm);
    default: return warpgroup_multiply(o, i);
  }
}

}  // namespace gpuio::kernel::detail::ptx
