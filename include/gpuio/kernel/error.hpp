// What can be wrong with a kernel: the kinds, the result that tracing and verify.hpp give, and its words.
//
// A mistake in a kernel that is traced in constant evaluation stops the compilation; the compiler prints
// kernel_error<kind, line, other line, detail>, with lines of the kernel's source. At run time message()
// says the same. Literal types, pure functions.
#pragma once

#include <string>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

enum class Err : u8 {
  ok,
  // Tracing.
  jump_out_of_region,     // a native break or return left a traced if or loop
  literal_not_exact,      // the type does not hold this literal
  value_of_other_kernel,  // a handle was kept from another trace
  // Structure. line: the instruction's; other: the bracket's, where there is one.
  brackets_do_not_nest,
  continuing_misplaced,
  jump_in_continuing,
  jump_outside_loop,
  unreachable,
  block_size,  // not 1 to 1024 lanes
  // Operands. detail: which operand, 0 for a.
  no_such_value,
  no_such_var,
  no_such_object,
  use_out_of_scope,  // other: line of the definition
  wrong_type,
  wrong_width,
  wrong_mode,
  step_not_positive,
  store_to_input,
  load_of_output,
  needs_on_demand,  // or: an on-demand array used as a plain one
  // Memory of the workgroup. line: the later access; other: the earlier; detail: which shared array.
  missing_barrier,   // a lane may read what another wrote
  write_after_read,  // a lane may overwrite what another still reads
  write_after_write,
  missing_wait,    // other: the async copy
  still_read,      // other: what reads it meanwhile
  sums_under_way,  // line: what names the sums; other: the multiply; detail: the first Var
  mbarrier_use,
  mbarrier_arrivals,  // other: lanes that it was made for
  stage_not_owned,
  stage_held,
  stage_not_passed,  // other: the lane
  // Control. line: the barrier; other: what makes the lanes differ.
  divergent_barrier,
  divergent_matrix,       // line: the matrix operation
  matrix_place_differs,   // likewise; its index is not one for the subgroup
  matrix_workgroup_size,  // other: the lanes
  matrix_stride,
  warpgroup_size,   // other: the lanes
  warpgroup_shape,  // other: columns
  bulk_size,        // other: bytes
  inline_ptx_text,
  constant_declaration,  // detail: which
  tensor_map,            // likewise
  // Indices. other: first index that is wrong (or the lowest as a 32-bit number); detail: elements.
  index_out_of_range,
  vector_misaligned,
  // What cannot be suspended. line: the operation; other: the access or loop.
  suspend_spin,
  suspend_divergent_subgroup,
  suspend_lock,
  suspend_active_mask,
  suspend_matrix,
  suspend_async,
};

struct VerifyResult {
  Err error = Err::ok;
  u32 line = 0;   // of the kernel's source; 0: made by a pass
  u32 other = 0;  // a second line or number, see Err
  u32 detail = 0;
  constexpr bool ok() const { return error == Err::ok; }
  constexpr bool operator==(const VerifyResult&) const = default;
};

// Instantiated with what is wrong, so that the compiler prints the kind and the lines.
template <Err Kind, u32 Line, u32 Other, u32 Detail>
struct kernel_error {
  static_assert(Kind == Err::ok, "the kernel is wrong: see kernel_error<kind, line, other line, detail>");
  static constexpr bool ok = true;
};

constexpr std::string_view words(Err e) {
  switch (e) {
    case Err::ok: return "no mistake";
    case Err::jump_out_of_region:
      return "a native break or return leaves a traced if or loop: use k.break_() or k.return_()";
    case Err::literal_not_exact: return "the type does not hold this literal exactly";
    case Err::value_of_other_kernel: return "a value of another kernel";
    case Err::brackets_do_not_nest: return "if, for and loop brackets do not nest";
    case Err::continuing_misplaced:
      return "continuing stands at most once in a loop, directly in it, until its end";
    case Err::jump_in_continuing: return "break, continue or return inside continuing";
    case Err::jump_outside_loop: return "break or continue outside a loop";
    case Err::unreachable: return "never reached: it follows a break, continue or return in its region";
    case Err::block_size: return "a workgroup has 1 to 1024 lanes";
    case Err::no_such_value: return "an operand names no value";
    case Err::no_such_var: return "an operand names no var";
    case Err::no_such_object: return "an operand names no parameter or shared array of the right kind";
    case Err::use_out_of_scope:
      return "a value is used before its definition or outside the region that defines it";
    case Err::wrong_type: return "an operand or result has the wrong type";
    case Err::wrong_width: return "a vector of the wrong width";
    case Err::wrong_mode: return "this operation does not have that mode, order or scope";
    case Err::step_not_positive: return "the step of a for is a constant above zero";
    case Err::store_to_input: return "a store to an input";
    case Err::load_of_output: return "a load of an output: declare it InOut";
    case Err::needs_on_demand: return "on-demand arrays and plain ones take different operations";
    case Err::missing_barrier: return "missing barrier: a lane may read what another lane wrote";
    case Err::write_after_read: return "missing barrier: a lane may overwrite what another lane still reads";
    case Err::write_after_write: return "two lanes may write the same element";
    case Err::missing_wait:
      return "an async copy may not have landed here: wait for it (k.async_wait; of a bulk load, the "
             "mbarrier), then "
             "let a barrier follow";
    case Err::still_read:
      return "an asynchronous operation may still read this: wait for it, then let a barrier follow";
    case Err::mbarrier_use:
      return "an mbarrier is made once, outside branches and loops, before it is used; it is waited for by "
             "tokens or by phases";
    case Err::mbarrier_arrivals:
      return "cannot show that as many lanes arrive as the mbarrier was made for: all lanes of the "
             "workgroup, "
             "or a single one; of a stage those that conditions on the lane choose";
    case Err::stage_not_owned:
      return "a stage's arrays are loaded between acquire and commit and read between wait and release, on "
             "every path; a lane passes on only what it owns";
    case Err::stage_held:
      return "a stage is waited for again, or its loop is left, before the lane has passed it on (commit, "
             "release)";
    case Err::stage_not_passed:
      return "a lane loads or reads a stage and does not pass it on itself (of products: nobody of its "
             "subgroup does)";
    case Err::bulk_size: return "a bulk copy is of a multiple of 16 bytes, below 1 MiB";
    case Err::divergent_barrier: return "not all lanes of the workgroup reach this barrier together";
    case Err::sums_under_way:
      return "these sums are the matrix units' until the product is committed and waited for "
             "(k.warpgroup_commit, k.warpgroup_wait)";
    case Err::warpgroup_size: return "warpgroup operations need a workgroup of whole warpgroups of 128 lanes";
    case Err::warpgroup_shape:
      return "a warpgroup's product has 8 to 256 columns, a multiple of 8 (of i8 beyond 24: of 16); panels "
             "do not overlap and are less than 2^18 bytes apart; their rows have 16, 32, 64 or 128 bytes";
    case Err::divergent_matrix:
      return "not all lanes of the subgroup (of a warpgroup) reach this matrix operation together";
    case Err::matrix_place_differs:
      return "lanes of a subgroup load a matrix from different places: index by k.subgroup_index(), not by "
             "the lane";
    case Err::matrix_workgroup_size:
      return "matrix operations need a workgroup of whole subgroups of 32 lanes";
    case Err::inline_ptx_text:
      return "inline PTX: %0 is the result, %1 to %4 are operands that are given, %% is a percent sign";
    case Err::constant_declaration:
      return "a specialization constant has a name of its own, a type that computes, and a value from its "
             "least to its most";
    case Err::tensor_map:
      return "a tensor map is of an In or InOut of numbers, with rows, columns and step that are parameters "
             "of "
             "the kernel (u32 or u64), and a box of 1 to 256 rows of 16, 32, 64 or 128 bytes";
    case Err::matrix_stride:
      return "the rows of a matrix are a multiple of 16 bytes apart, and no less than a row of its part";
    case Err::index_out_of_range: return "an index is out of range";
    case Err::vector_misaligned: return "the index of a vector access is not a multiple of its width";
    case Err::suspend_spin:
      return "lanes that wait for each other cannot be suspended: the partner may be parked";
    case Err::suspend_divergent_subgroup:
      return "a divergent subgroup operation in a kernel that may be suspended";
    case Err::suspend_lock: return "a lock held across an on-demand access";
    case Err::suspend_active_mask: return "the set of active lanes changes where lanes may be suspended";
    case Err::suspend_async:
      return "an asynchronous copy or mbarrier in a kernel whose lanes may be suspended";
    case Err::suspend_matrix: return "a matrix operation in a kernel whose lanes may be suspended";
  }
  return "unknown";
}

// One line: what, where, and the second line or numbers that belong to it.
inline std::string message(const VerifyResult& r) {
  std::string s(words(r.error));
  if (r.ok()) return s;
  s += " (line " + std::to_string(r.line);
  switch (r.error) {
    case Err::missing_barrier:
    case Err::write_after_read:
    case Err::write_after_write:
    case Err::missing_wait:
    case Err::still_read:
      s += ", the earlier access in line " + std::to_string(r.other) + ", shared array " +
           std::to_string(r.detail);
      break;
    case Err::index_out_of_range:
      s += ", index " + std::to_string(r.other) + " of " + std::to_string(r.detail) + " elements";
      break;
    case Err::matrix_workgroup_size:
    case Err::warpgroup_size:
    case Err::mbarrier_arrivals: s += ", " + std::to_string(r.other) + " lanes"; break;
    case Err::stage_not_passed: s += ", lane " + std::to_string(r.other); break;
    case Err::bulk_size: s += ", " + std::to_string(r.other) + " bytes"; break;
    case Err::vector_misaligned:
      s += ", index " + std::to_string(r.other) + ", width " + std::to_string(r.detail);
      break;
    default:
      if (r.other) s += ", see line " + std::to_string(r.other);
      break;
  }
  return s + ")";
}

}  // namespace gpuio::kernel
