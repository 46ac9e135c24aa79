// Boxes of matrices, copied by hardware that knows the matrix: for kernels.
//
//   // a: rows x depth, a row `step` elements behind the other; all three numbers are the kernel's parameters
//   auto map = k.tensor_map<64, 128>(a, rows, depth, step);   // boxes of 64 rows of 128 bytes
//   auto tile = k.shared<f16, 64 * 64>();
//   auto full = k.mbarrier(1);
//   GPU_IF(k.tid() == 0) {
//     k.tensor_load(tile, 0, map, k.cta() * 64, k.val(0u), full);   // from that row and column on
//     full.arrive();
//   }
//   full.wait();
//   ... tile[panel_place<f16, 128>(row, column, 0)]
//
// One lane asks for a box, as for a bulk load (mbarrier.hpp), with the same rules for phases and waits. The
// box becomes a panel whose rows are the box's (warpgroup.hpp): of 16 bytes plain, of 32, 64 and 128 with
// their chunks swapped, as products of warpgroups read them. What lies outside the matrix is zero, to all
// four sides: row and column are taken as i32, so that bitcast<u32>(row - 1) may be one above the first.
//
// A matrix is declared once, outside branches and loops; CUDA encodes it at each launch, so that its size and
// place may change with each. The rules for it are those of TensorMap (ir.hpp).
//
// CUDA from sm_90 on, the interpreter and the CPU device; other back ends refuse by name.
#pragma once

#include <gpuio/kernel/mbarrier.hpp>
#include <gpuio/kernel/warpgroup.hpp>

namespace gpuio::kernel {

// A matrix of numbers of that type in a buffer, by boxes of Rows rows of Bytes bytes. Made by
// Ctx::tensor_map.
template <Type Of, u32 Rows, u32 Bytes>
struct Tensor {
  u32 map;
};

namespace detail {

// Part of Ctx.
template <class Ctx>
class TensorOperations {
 public:
  template <u32 Rows, u32 Bytes, class Buffer, class R, class C, class S>
  constexpr Tensor<Buffer::kParam.type, Rows, Bytes> tensor_map(const Buffer& of, const Val<R>& rows,
                                                                const Val<C>& columns, const Val<S>& step,
                                                                u32 line = __builtin_LINE()) const {
    static_assert(Rows >= 1 && Rows <= 256, "a box has 1 to 256 rows");
    static_assert(Buffer::kParam.kind == ParamKind::in || Buffer::kParam.kind == ParamKind::inout,
                  "a tensor map is of an In or InOut");
    const auto parameter = [&](u32 value) {
      const Inst& i = tracer().insts()[value];
      if (i.op != Op::argument) tracer().fail(Err::tensor_map, line);
      return i.a;
    };
    return {tracer().build.tensor({.buffer = of.object(),
                                   .rows = parameter(rows.id()),
                                   .columns = parameter(columns.id()),
                                   .step = parameter(step.id()),
                                   .box_rows = Rows,
                                   .box_width = kPanelWidth<Bytes>})};
  }
  // The box from (row, column) on, to element i of the array and on, a multiple of eight rows of the box. The
  // lane's arrival at `by` is yet to come.
  template <Storable T, u32 N, u32 Rows, u32 Bytes>
  constexpr void tensor_load(const Shared<T, N>& to, Index i, const Tensor<kTypeOf<T>, Rows, Bytes>& from,
                             Arg<u32> row, Arg<u32> column, const Mbarrier& by) const {
    static_assert(N >= Rows * Bytes / sizeof(T), "the array is smaller than the box");
    const u32 at = i.get(tracer());
    const u32 top = row.get(tracer());
    const u32 left = column.get(tracer());
    tracer().build.tensor_load(to.object(), at, from.map, top, left, by.object());
  }

 private:
  constexpr Tracer& tracer() const { return static_cast<const Ctx&>(*this).tracer(); }
};

}  // namespace detail
}  // namespace gpuio::kernel
