// The intermediate representation of a kernel: one small typed list of instructions from which PTX, SPIR-V
// and native CPU code are made, and which the interpreter runs as the oracle for all three.
//
// A kernel is a flat array of Inst. A value's id is the index of the instruction that made it; values are
// assigned once. What changes over time lives in Vars (typed mutable locals, private to a lane, zero at
// entry), in shared arrays (one copy a workgroup, undefined at entry) or in buffers. Control flow is
// structured, by bracket instructions; there are no jumps and no phi. A value may be used only after its
// definition and inside the region that defines it.
//
// Everything here is a literal type, usable in constant evaluation. Nothing allocates except Program.
//
// Semantics, the same on every device (the interpreter decides in doubt):
//  - Integers wrap. Shift counts are taken modulo the width. x / 0 = all ones (unsigned) or -1 (signed),
//    x % 0 = x; INT_MIN / -1 = INT_MIN, INT_MIN % -1 = 0. `shr` is arithmetic on signed types.
//  - Floats are IEEE 754 with round-to-nearest-even and subnormals kept; no contraction: only `fma` fuses.
//    min and max return the number when one operand is NaN; min(-0,+0) may be either. The bits of a NaN
//    result are unspecified. add sub mul div fma sqrt are correctly rounded; exp2 log2 sin cos are within 4
//    ulp or 2^-20 absolute for f32, on |x| <= 100 for sin and cos; those of f64 are composed (math64.hpp).
//  - cast float -> integer truncates, saturates, NaN gives 0. cast integer -> float and f64 -> f32 ->
//  f16/bf16
//    round to nearest even. integer -> narrower integer truncates; wider extends by the source's sign.
//    anything
//    -> boolean is `!= 0`; boolean -> anything gives 0 or 1.
//  - boolean, u8 i8 u16 i16 f16 bf16 are for memory, casts and select only: arithmetic is on u32 i32 u64 i64
//  f32 f64
//    (booleans also take bit_and, bit_or, bit_xor, bit_not, eq, ne).
//  - Reading or writing past the end of a buffer or shared array is a mistake of the kernel: undefined on a
//  GPU,
//    an error with the line in the interpreter.
//  - Plain loads and stores that race are undefined; atomics of every order and scope are not. A barrier
//  orders shared
//    memory and buffers among the lanes of the workgroup.
//  - Matrix operations are of a subgroup of 32 lanes that all take part; a kernel with one has subgroups of
//    32 and a workgroup of whole ones. The lanes hold the matrices in pieces, fragments, laid out as PTX's
//    mma.sync has them (matrix_lanes.hpp). Each sum begins with c, then a_k * b_k is added for k = 0, 1, ...:
//    products are exact, sums rounded once each to f32 (i32: wrap). GPUs may add in another order and with a
//    few bits less, so that they agree where the sums are exact and else to about K * 2^-23 of the largest
//    term.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

namespace gpuio::kernel {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
using f32 = float;
using f64 = double;

// g++ 12 takes scoped enumerators for shadowing.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
enum class Type : u8 { none, boolean, u8, i8, u16, i16, f16, bf16, u32, i32, f32, u64, i64, f64 };
#pragma GCC diagnostic pop

enum class Op : u8 {
  // Leaves.
  constant,  // imm: the bits, zero-extended; a: which specialization constant it is, or kNone
  argument,  // a: parameter (scalar); its value
  builtin,   // mode: Builtin; u32
  length,    // a: object; how many elements it has, u64
  // Arithmetic: a, b (, c) of `type`, result `type`.
  add,
  sub,
  mul,
  div,
  rem,  // integers
  min,
  max,
  fma,  // floats: a * b + c, rounded once
  neg,
  abs,
  bit_and,
  bit_or,
  bit_xor,
  bit_not,
  shl,                  // b: u32
  shr,                  // b: u32
  popcount,             // of `from`; u32
  count_leading_zeros,  // of `from`; u32; of zero: the width
  sqrt,
  exp2,
  log2,
  sin,
  cos,
  floor,
  // Comparison: a, b of type `from`, result boolean. Ordered: false if either is NaN, except ne.
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  select,   // a: boolean; then b, else c
  cast,     // a of `from` to `type`, by value
  bitcast,  // a of `from` to `type` of equal size, by bits
  // Vectors exist between a wide load or store, or a matrix operation, and elements only: width 2 or 4, at
  // most
  // 16 bytes.
  extract,  // a: vector; imm: element
  compose,  // a, b (, c, d): elements
  // Vars.
  var_load,   // a: var
  var_store,  // a: var, b: value
  // Memory. `a` is an object: parameter index, or kShared | index. Index b in elements, u32 or u64; for width
  // w a
  // multiple of w.
  load,
  store,  // c: value
  // Atomics on u32 i32 u64 i64 (scope; order). Result: the value before.
  atomic_load,
  atomic_store,  // c: value; no result
  atomic_rmw,    // mode: Rmw; c: operand
  atomic_cas,    // c: expected, d: desired
  fence,         // scope, order; relaxed: orders nothing, a hint that the lane waits for somebody
  // Workgroup. All lanes of the workgroup must arrive.
  barrier,
  barrier_any,  // a: boolean; barrier, then: did any lane say true? boolean
  // Subgroup: among the lanes of the subgroup that execute it together.
  subgroup_shuffle,  // mode: Shuffle; a: value (32 or 64 bits), b: u32 lane, mask or distance; from an
                     // inactive or absent lane: own value
  subgroup_vote,     // mode: Vote; a: boolean; boolean
  subgroup_ballot,   // a: boolean; u64, bit = lane
  subgroup_reduce,   // mode: Rmw (add min max bit_and bit_or bit_xor); a
  subgroup_elect,    // boolean: true in the lowest active lane
  // On-demand arrays: `a` is a parameter of kind on_demand, b: index, u32 or u64. Lowered to the above before
  // emission.
  ondemand_load,      // value, zero when it failed; a failure also sets the lane's sticky status
  ondemand_status,    // a: the ondemand_load; u32: 0, or the failure as a positive code
  ondemand_prefetch,  // a hint; never fails
  lane_status,        // u32: the lane's sticky status, the first failure since entry
  // Control.
  if_,  // a: boolean
  else_,
  end_if,
  for_,  // counter from a (inclusive) to b (exclusive) by constant c > 0, of `type` u32 i32 u64 i64; the
         // value is the counter.
         // Runs max(0, ceil((b - a) / c)) times even where a + n * c would wrap.
  end_for,
  loop,        // until break
  continuing,  // at most once a loop, before end_loop: what continue still runs; no break, continue or return
               // inside
  end_loop,
  break_,  // of the innermost loop or for
  continue_,
  return_,  // the lane ends
  // Matrix units; after the others, so that kernels in files keep their numbers.
  matrix_load,  // mode: MatrixPart; a: shared array of `from`, b: index of the part's first element, equal in
                // all lanes, a multiple of 16 bytes; imm: elements from one row of the array to the next,
                // likewise. A fragment: u32, width 4 (of A) or 2 (of B)
  matrix_multiply,  // mode: Matrix; a, b: fragments of A and B; c: four f32 or i32, the lane's of C.
                    // C + A * B: as c
  // Copies to shared memory while the lane goes on. A lane's copies since its last commit are a group; a wait
  // returns when all but the lane's newest `imm` groups have landed. Until then the destination is nobody's
  // to
  // read or write; then it is written as by the lane. What is not waited for may never land.
  async_copy,  // a: shared array, b: index; c: buffer of the same type, d: index; imm: bytes, 4, 8 or 16, of
               // which both places are a multiple
  async_commit,  // ends the group, which may be empty
  async_wait,    // imm: groups that may still be under way
  // PTX as it is written, CUDA's alone. imm: which text, least compute capability << 32, PTX version (major *
  // 10 + minor) << 48; mode: operands of a to d, numbers of 32 or 64 bits. The text says %0 for the result,
  // %1
  // to %4 for the operands and %% for a percent sign. What it does is its author's to answer for.
  inline_ptx,
  // mbarriers: shared arrays of one u64 that nothing else uses. A phase ends when so many lanes have arrived
  // as the barrier was made for and the bulk copies of the phase have landed; the next begins at once.
  mbarrier_init,    // a: the array; imm: lanes a phase, below 2^20. Once, outside regions; also a barrier. c:
                    // kNone, or an mbarrier: that one is full, this one empty of a stage (verify_stages.hpp)
  mbarrier_arrive,  // a. A token: the phase arrived in, u64. Releases what the lane did
  mbarrier_wait,    // a; mode: PhaseOf; c: a token, u64, or the parity of the phase's number, u32, of the
                    // running or the last phase. Returns when it has ended. Acquires
  // Bulk copies: one a lane, of `imm` bytes (low half; a multiple of 16, at most 2^20 - 16), of which both
  // places are multiples of 16. A load belongs to the running phase of the mbarrier, which it keeps from
  // ending: the lane arrives after its loads. Stores are groups that commit and wait as async copies do;
  // until
  // then the source is not to be written, and what is not waited for may never land.
  bulk_load,    // a: shared array, b: index; c: buffer of the same type, d: index; imm >> 32: the mbarrier
  bulk_store,   // likewise from shared array a, b to buffer c, d; no mbarrier
  bulk_commit,  // ends the group, which may be empty
  bulk_wait,    // imm: groups that may still be under way
  // Matrix units that work for four subgroups, a warpgroup, while lanes go on. Sums are Vars that only these
  // operations name, columns / 2 of them, one after the other; subgroup w of the four holds rows 16 w to
  // 16 w + 15, in each 8 columns as matrix_multiply has them. Operands are shared arrays in panels
  // (matrix_lanes.hpp). Multiplies since the last commit are a group; a wait returns when all but the newest
  // `imm` groups are done. Until then the sums are nobody's, and the operands not to be written; what is not
  // waited for may never be done. All 128 lanes take part; of tf32 the low 13 bits are ignored.
  warpgroup_clear,     // a: first Var; imm: how many. Zero
  warpgroup_read,      // a: Var; its value
  warpgroup_multiply,  // mode: Matrix; type: of the sums; from: of the elements; a: shared array of A, 64 x
                       // K, b: index; c: shared array of B, by columns, d: index; imm: WarpgroupShape.
                       // Sums += A * B, in the order of matrix_multiply. Places are multiples of 16 bytes; in
                       // wide panels of eight rows, and `step` says which 32 bytes of each row are K
  warpgroup_commit,
  warpgroup_wait,  // imm
  // Two halves in a u32, the low one first in memory: `from` f16 or bf16, a, b (, c) and the result u32. Each
  // half is rounded once, to nearest even, subnormals kept; min and max as of floats. What an f16x2 or bf16x2
  // of the language is.
  pair_add,
  pair_sub,
  pair_mul,
  pair_min,
  pair_max,
  pair_fma,
  // A bulk load of a box of a matrix (TensorMap), rows from c on and columns from d on, both u32 and taken as
  // i32: what lies outside the matrix is zero. The box becomes a panel (matrix_lanes.hpp) in shared array
  // a, at index b, a multiple of eight of its rows. mode: log2 of a row's bytes / 16; imm: TensorLoad, with
  // the mbarrier, as of a bulk_load, where bulk_load has it.
  tensor_load,
};
inline constexpr Op kLastOp = Op::tensor_load;

enum class Builtin : u8 {
  local_x,
  local_y,
  local_z,  // lane in its workgroup
  group_x,
  group_y,
  group_z,  // workgroup in the grid
  groups_x,
  groups_y,
  groups_z,  // workgroups in the grid
  subgroup_size,
  subgroup_lane,
  subgroup_index,  // index of the subgroup in the workgroup; lanes are consecutive local_x + ...
  local_index,     // x + y * size_x + z * size_x * size_y
};
enum class Rmw : u8 { add, min, max, bit_and, bit_or, bit_xor, exchange };
enum class Shuffle : u8 { lane, exclusive_or, up, down };
enum class Vote : u8 { any, all };
// What a matrix operation multiplies, 16 x K by K x 8 with K = 32 bytes / the size of an element: f16 and
// bf16 (K 16), f32 of which 10 bits behind the point count (K 8), 8-bit integers and floats (K 32). All sum
// up in f32, i8 in i32.
enum class Matrix : u8 { of_f16, of_bf16, of_tf32, of_i8, of_e4m3, of_e5m2 };
// What a fragment is loaded from: A with its rows one after the other; B likewise (k by n), or its columns.
enum class MatrixPart : u8 { a, b_rows, b_columns };
// What an mbarrier_wait is given.
enum class PhaseOf : u8 { token, parity };
enum class Order : u8 { relaxed, acquire, release, acq_rel };
enum class Scope : u8 { subgroup, workgroup, device, system };

inline constexpr u32 kNone = 0xffffffff;    // no operand
inline constexpr u32 kShared = 0x80000000;  // object id: shared array (id & ~kShared), else parameter

struct Inst {
  Op op = Op::constant;
  Type type = Type::none;  // of the result, or of the value stored; counter of a for_
  Type from = Type::none;  // operand type where it differs (compare, cast, bitcast, popcount,
                           // count_leading_zeros, votes)
  u8 width = 1;            // elements of a vector value
  u8 mode = 0;             // Builtin, Rmw, Shuffle or Vote
  Order order = Order::relaxed;
  Scope scope = Scope::device;
  u8 reserved = 0;
  u32 a = kNone, b = kNone, c = kNone, d = kNone;
  u64 imm = 0;
  u32 line = 0;  // of the kernel's source, 0 when made by a pass
  constexpr bool operator==(const Inst&) const = default;
};

// Arguments travel as one block: a slot of 16 bytes a parameter, in order. Buffer: address, then element
// count, both u64. Scalar: the bits, zero-extended to u64, then 0.
enum class ParamKind : u8 { scalar, in, out, inout, on_demand };
struct Param {
  ParamKind kind = ParamKind::scalar;
  Type type = Type::none;  // of the scalar or of one element
  u64 count = 0;           // elements, where the kernel declares them; 0: known at launch
  constexpr bool operator==(const Param&) const = default;
};
inline constexpr u32 kArgumentSlot = 16;

// A matrix in a buffer of which kernels copy boxes: element (r, c) is r * step + c of the buffer. Its numbers
// are arguments of the launch: rows and columns 1 to 2^32 - 1, step at least the columns and below 2^40
// bytes, the last element inside the buffer; address and step are multiples of 16 bytes.
struct TensorMap {
  u32 buffer = 0;                       // parameter: in or inout
  u32 rows = 0, columns = 0, step = 0;  // scalar parameters, u32 or u64; step in elements
  u32 box_rows = 1;                     // 1 to 256
  u32 box_width = 0;                    // 0 to 3: rows of 16 << box_width bytes
  constexpr bool operator==(const TensorMap&) const = default;
};

struct SharedArray {
  Type type = Type::none;
  u32 count = 0;
  constexpr bool operator==(const SharedArray&) const = default;
};

// A number that is set when a kernel is made ready, not while it runs. Its instructions hold its value, so
// that who wants another writes it there (specialize.hpp). What the verifier shows holds for its whole range.
struct Constant {
  std::string_view name;
  Type type = Type::none;   // boolean, or one that arithmetic takes
  u64 value = 0;            // bits, zero-extended; so the others
  u64 least = 0, most = 0;  // ordered as the type is
  constexpr bool operator==(const Constant&) const = default;
};

// A kernel that somebody else owns: what every pass, emitter and device takes.
struct View {
  std::string_view name;
  std::array<u32, 3> block{1, 1, 1};  // lanes of a workgroup
  std::span<const Param> params;
  std::span<const SharedArray> shared;
  std::span<const Type> vars;
  std::span<const Inst> insts;
  std::span<const std::string_view> texts{};  // of inline PTX
  std::string_view unchecked{};               // why the author answers for races; empty: they were checked
  std::span<const Constant> constants{};
  std::span<const TensorMap> tensors{};
  constexpr u32 lanes() const { return block[0] * block[1] * block[2]; }
};

// A kernel that owns its parts: what tracing at run time and passes produce.
struct Program {
  std::string_view name;  // outlives the program: a literal, or text of the caller's
  std::array<u32, 3> block{1, 1, 1};
  std::vector<Param> params{};
  std::vector<SharedArray> shared{};
  std::vector<Type> vars{};
  std::vector<Inst> insts{};
  std::vector<std::string_view> texts{};  // these and the reason outlive it too
  std::string_view unchecked{};
  std::vector<Constant> constants{};  // their names outlive it too
  std::vector<TensorMap> tensors{};
  // Address and size: a span's conversion from a container takes a compiler longer than all else here.
  constexpr View view() const {
    return {name,
            block,
            {params.data(), params.size()},
            {shared.data(), shared.size()},
            {vars.data(), vars.size()},
            {insts.data(), insts.size()},
            {texts.data(), texts.size()},
            unchecked,
            {constants.data(), constants.size()},
            {tensors.data(), tensors.size()}};
  }
};

inline constexpr u8 kTypeSizes[] = {0, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 8, 8, 8};
constexpr u32 size_of(Type t) { return t <= Type::f64 ? kTypeSizes[u8(t)] : 0; }
constexpr bool is_float(Type t) {
  return t == Type::f16 || t == Type::bf16 || t == Type::f32 || t == Type::f64;
}
constexpr bool is_signed(Type t) {
  return t == Type::i8 || t == Type::i16 || t == Type::i32 || t == Type::i64;
}
constexpr bool is_integer(Type t) { return t != Type::none && t != Type::boolean && !is_float(t); }
// Types that arithmetic takes.
constexpr bool is_arithmetic(Type t) { return size_of(t) >= 4; }

// Of where a shared array begins. The patterns of panels are of addresses, and eight rows of 128 bytes are
// the longest; mbarriers take no part.
constexpr u32 shared_alignment(const View& kernel, const SharedArray& array) {
  return kernel.tensors.empty() || size_of(array.type) * array.count <= 16 ? 16 : 1024;
}
// Where shared array `index` begins in a workgroup's shared memory: one after the other, each at a multiple
// of its alignment. With index = how many there are: the size of it all.
constexpr u32 shared_offset(const View& kernel, u32 index) {
  u32 offset = 0;
  for (u32 i = 0; i < kernel.shared.size(); ++i) {
    const SharedArray& array = kernel.shared[i];
    const u32 alignment = shared_alignment(kernel, array);
    offset = (offset + alignment - 1) / alignment * alignment;
    if (i == index) return offset;
    offset += (size_of(array.type) * array.count + 15) / 16 * 16;
  }
  return offset;
}
constexpr u32 shared_bytes(const View& kernel) { return shared_offset(kernel, u32(kernel.shared.size())); }

// A constant that stays what it is.
constexpr bool is_literal(const Inst& i) { return i.op == Op::constant && i.a == kNone; }
constexpr bool any_operation(const View& kernel, bool (*is)(Op)) {
  for (const Inst& i : kernel.insts)
    if (is(i.op)) return true;
  return false;
}
constexpr bool is_matrix(Op op) { return op == Op::matrix_load || op == Op::matrix_multiply; }
constexpr bool uses_matrix_units(const View& kernel) { return any_operation(kernel, is_matrix); }
inline constexpr u32 kMatrixLanes = 32, kWarpgroupLanes = 128;

// What a warpgroup_multiply multiplies, and where its sums are.
struct WarpgroupShape {
  u32 first = 0, columns = 8;     // Var, and N: 8 to 256
  u32 panel_a = 64, panel_b = 8;  // 16-byte rows from one panel to the next; 0 in wide panels
  u32 width = 0;                  // rows of both operands' panels have 16 << width bytes; wide: not 0
  u32 step = 0;                   // of wide ones: the product is of bytes 32 * step to 32 * step + 31
  constexpr u64 packed() const {
    return first | u64{columns} << 16 | u64{width} << 25 | u64{step} << 27 | u64{panel_a} << 32 |
           u64{panel_b} << 48;
  }
  static constexpr WarpgroupShape of(const Inst& i) {
    return {u32(i.imm & 0xffff), u32(i.imm >> 16 & 0x1ff), u32(i.imm >> 32 & 0xffff),
            u32(i.imm >> 48),    u32(i.imm >> 25 & 3),     u32(i.imm >> 27 & 3)};
  }
};
inline constexpr u32 kWarpgroupRows = 64, kPanelsMax = (1u << 14) - 1;
constexpr bool is_pair(Op op) { return op >= Op::pair_add && op <= Op::pair_fma; }
constexpr bool is_warpgroup(Op op) { return op >= Op::warpgroup_clear && op <= Op::warpgroup_wait; }
constexpr bool uses_warpgroups(const View& kernel) { return any_operation(kernel, is_warpgroup); }
// The Vars that a warpgroup operation names: first, how many.
struct SumVars {
  u32 first = 0, count = 0;
  constexpr bool has(u32 var) const { return var >= first && var - first < count; }
  constexpr bool meets(SumVars o) const { return first < o.first + o.count && o.first < first + count; }
};
constexpr SumVars sums_of(const Inst& i) {
  switch (i.op) {
    case Op::warpgroup_clear: return {i.a, u32(i.imm)};
    case Op::warpgroup_read: return {i.a, 1};
    case Op::warpgroup_multiply: {
      const WarpgroupShape shape = WarpgroupShape::of(i);
      return {shape.first, shape.columns / 2};
    }
    default: return {};
  }
}
// Elements that operand A (else B) of a warpgroup_multiply reaches over: two panels, or a wide one.
constexpr u64 panels_span(const Inst& i, bool a) {
  const WarpgroupShape shape = WarpgroupShape::of(i);
  if (shape.width) return u64(a ? kWarpgroupRows : shape.columns) * (16u << shape.width) / size_of(i.from);
  return u64(a ? shape.panel_a + kWarpgroupRows : shape.panel_b + shape.columns) * (16 / size_of(i.from));
}
constexpr bool has_inline_ptx(const View& kernel) {
  return any_operation(kernel, [](Op op) { return op == Op::inline_ptx; });
}

// Of an access to memory: operands a, the object, and b, the index.
constexpr bool is_access(Op op) { return (op >= Op::load && op <= Op::atomic_cas) || op == Op::matrix_load; }
// The rows of the array that a matrix_load reads, and how many elements of each.
struct MatrixExtent {
  u32 rows, columns;
};
constexpr MatrixExtent matrix_extent(const Inst& i) {
  const u32 k = 32 / size_of(i.from);
  switch (MatrixPart(i.mode)) {
    case MatrixPart::a: return {16, k};
    case MatrixPart::b_rows: return {k, 8};
    default: return {8, k};
  }
}
constexpr bool is_async(Op op) { return op >= Op::async_copy && op <= Op::async_wait; }
constexpr bool copies_async(const View& kernel) { return any_operation(kernel, is_async); }
constexpr bool is_mbarrier(Op op) { return op >= Op::mbarrier_init && op <= Op::mbarrier_wait; }
constexpr bool is_bulk(Op op) {
  return (op >= Op::bulk_load && op <= Op::bulk_wait) || op == Op::tensor_load;
}
constexpr bool moves_bulk(Op op) {
  return op == Op::bulk_load || op == Op::bulk_store || op == Op::tensor_load;
}
// The low half of a tensor_load's imm: the box's bytes, at most 2^15, and the map.
struct TensorLoad {
  u32 bytes = 0, map = 0;
  constexpr u32 packed() const { return bytes | map << 16; }
  static constexpr TensorLoad of(const Inst& i) { return {u32(i.imm & 0xffff), u32(i.imm >> 16 & 0xffff)}; }
};
constexpr u32 bulk_bytes(const Inst& i) {
  return i.op == Op::tensor_load ? TensorLoad::of(i).bytes : u32(i.imm);
}
constexpr u32 bulk_mbarrier(const Inst& i) { return u32(i.imm >> 32); }
inline constexpr u32 kBulkBytesMax = (1u << 20) - 16;
inline constexpr u32 kArrivalsMax = (1u << 20) - 1;
constexpr bool uses_mbarriers(const View& kernel) { return any_operation(kernel, is_mbarrier); }
// From the element at the index on, how many an access may touch, and of how many the index is a multiple.
constexpr u64 span_of(const Inst& i) {
  if (i.op == Op::async_copy || moves_bulk(i.op)) return bulk_bytes(i) / size_of(i.type);
  if (i.op != Op::matrix_load) return i.width;
  const MatrixExtent e = matrix_extent(i);
  return (e.rows - 1) * i.imm + e.columns;
}
constexpr u32 alignment_of(const Inst& i) {
  if (i.op == Op::warpgroup_multiply && WarpgroupShape::of(i).width)
    return (128u << WarpgroupShape::of(i).width) / size_of(i.from);
  if (i.op == Op::matrix_load || i.op == Op::warpgroup_multiply) return 16 / size_of(i.from);
  if (i.op == Op::tensor_load) return (128u << i.mode) / size_of(i.type);
  if (moves_bulk(i.op)) return 16 / size_of(i.type);
  return i.op == Op::async_copy ? u32(i.imm) / size_of(i.type) : i.width;
}

constexpr bool opens_region(Op op) { return op == Op::if_ || op == Op::for_ || op == Op::loop; }
constexpr bool closes_region(Op op) { return op == Op::end_if || op == Op::end_for || op == Op::end_loop; }

constexpr bool is_control(Op op) { return op >= Op::if_ && op <= Op::return_; }

namespace detail {
// By operation. Tables, since constant evaluation goes through the labels of a switch one by one.
struct OperationTraits {
  bool no_result[256]{};
  u8 operands[256]{};
};
inline constexpr u8 kOperandsVary = 0xff;
consteval OperationTraits operation_traits() {
  OperationTraits t;
  for (const Op op : {Op::var_store,
                      Op::store,
                      Op::atomic_store,
                      Op::fence,
                      Op::barrier,
                      Op::ondemand_prefetch,
                      Op::if_,
                      Op::else_,
                      Op::end_if,
                      Op::end_for,
                      Op::loop,
                      Op::continuing,
                      Op::end_loop,
                      Op::break_,
                      Op::continue_,
                      Op::return_,
                      Op::async_copy,
                      Op::async_commit,
                      Op::async_wait,
                      Op::mbarrier_init,
                      Op::mbarrier_wait,
                      Op::bulk_load,
                      Op::bulk_store,
                      Op::bulk_commit,
                      Op::bulk_wait,
                      Op::tensor_load,
                      Op::warpgroup_clear,
                      Op::warpgroup_multiply,
                      Op::warpgroup_commit,
                      Op::warpgroup_wait})
    t.no_result[u8(op)] = true;
  for (u8& o : t.operands) o = 0b0011;  // two-operand arithmetic, comparison, shifts, shuffle
  const auto take = [&](u8 mask, std::initializer_list<Op> ops) {
    for (const Op op : ops) t.operands[u8(op)] = mask;
  };
  take(0,
       {Op::constant,       Op::argument,         Op::builtin,        Op::length,       Op::var_load,
        Op::fence,          Op::barrier,          Op::subgroup_elect, Op::lane_status,  Op::else_,
        Op::end_if,         Op::end_for,          Op::loop,           Op::continuing,   Op::end_loop,
        Op::break_,         Op::continue_,        Op::return_,        Op::async_commit, Op::async_wait,
        Op::mbarrier_init,  Op::mbarrier_arrive,  Op::bulk_commit,    Op::bulk_wait,    Op::warpgroup_clear,
        Op::warpgroup_read, Op::warpgroup_commit, Op::warpgroup_wait});
  take(0b0001, {Op::neg,
                Op::abs,
                Op::bit_not,
                Op::popcount,
                Op::count_leading_zeros,
                Op::sqrt,
                Op::exp2,
                Op::log2,
                Op::sin,
                Op::cos,
                Op::floor,
                Op::cast,
                Op::bitcast,
                Op::extract,
                Op::barrier_any,
                Op::subgroup_vote,
                Op::subgroup_ballot,
                Op::subgroup_reduce,
                Op::ondemand_status,
                Op::if_});
  take(0b0010,
       {Op::var_store, Op::load, Op::atomic_load, Op::ondemand_load, Op::ondemand_prefetch, Op::matrix_load});
  take(0b0100, {Op::mbarrier_wait});
  take(0b0110, {Op::store, Op::atomic_store, Op::atomic_rmw});
  take(0b0111, {Op::fma, Op::select, Op::for_, Op::matrix_multiply, Op::pair_fma});
  take(0b1010, {Op::async_copy, Op::bulk_load, Op::bulk_store, Op::warpgroup_multiply});
  take(0b1110, {Op::atomic_cas, Op::tensor_load});
  take(kOperandsVary, {Op::inline_ptx, Op::compose});
  return t;
}
inline constexpr OperationTraits kOperations = operation_traits();
}  // namespace detail

// Does this instruction make a value that others may name?
constexpr bool has_result(Op op) { return !detail::kOperations.no_result[u8(op)]; }

// Which of a, b, c, d name values (the others name vars, objects or nothing): a mask, bit 0 for a.
constexpr u32 value_operands(const Inst& i) {
  const u8 mask = detail::kOperations.operands[u8(i.op)];
  if (mask != detail::kOperandsVary) return mask;
  if (i.op == Op::inline_ptx) return (1u << i.mode) - 1;
  return i.width == 4 ? 0b1111 : 0b0011;
}

}  // namespace gpuio::kernel
