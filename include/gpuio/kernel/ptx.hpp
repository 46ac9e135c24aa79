// PTX of a kernel: the text that NVIDIA's driver compiles for the GPU at hand.
//
// One text serves upward: `.version` and `.target` are the lowest that what the kernel uses needs (min_sm),
// sm_70 at least; `sm` names the GPU (or the oldest of several) and lets newer instructions in where they are
// better. The kernel's parameter is the argument block of ir.hpp, by value (none for a kernel without
// parameters); behind it come its tensor maps as the driver encodes them, 128 bytes each. Shared arrays that
// take up to 48 KiB (kStaticSharedMax) in all are static. Those that take more are one block, whose size the
// launch gives after the function was told to allow it (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
// what GPUs have at most differs (ptx_shared_max).
//
// Give it a verified kernel (verify.hpp) with on-demand operations lowered. What it cannot write it refuses,
// naming the operation. Pure, constexpr; emitting costs some microseconds a hundred operations.
//
//   std::string text;
//   PtxResult r = ptx_to(text, kernel, {.sm = 90});       // at launch
//   constexpr std::string_view k = ptx_text<saxpy, 90>;   // of a constexpr kernel: made when named
#pragma once

#include <gpuio/kernel/ptx/async_units.hpp>
#include <gpuio/kernel/ptx/control.hpp>
#include <gpuio/kernel/ptx/matrix.hpp>
#include <gpuio/kernel/ptx/pair.hpp>

namespace gpuio::kernel {

// Bytes of shared arrays that a text may declare itself, on every GPU.
inline constexpr u32 kStaticSharedMax = 48 * 1024;

// Bytes of shared memory that a workgroup may have on a GPU of that compute capability.
constexpr u32 ptx_shared_max(u32 sm) {
  switch (sm) {
    case 75: return 64 * 1024;
    case 80:
    case 87: return 163 * 1024;
    case 86:
    case 89: return 99 * 1024;
    default: return sm < 75 ? 96 * 1024 : sm < 90 ? kStaticSharedMax : sm < 120 ? 227 * 1024 : 99 * 1024;
  }
}

struct PtxOptions {
  u32 sm = 70;  // compute capability, major * 10 + minor
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
enum class PtxError : u8 {
  none,
  target,       // older than sm_70
  name,         // not an identifier
  workgroup,    // no lanes, or more than 1024
  shared,       // more than ptx_shared_max()
  structure,    // brackets that do not match
  on_demand,    // not lowered
  newer,        // min_sm() is above the target; `inst` is what needs it
  hopper,       // products of warpgroups are of sm_90 alone; `inst` is the first
  unsupported,  // an operation on a type that has no such operation
};
#pragma GCC diagnostic pop

struct PtxResult {
  PtxError error = PtxError::none;
  u32 inst = kNone;  // the instruction refused
  u32 line = 0;      // and its line in the kernel's source
  constexpr bool ok() const { return error == PtxError::none; }
};

constexpr std::string_view describe(PtxError e) {
  switch (e) {
    case PtxError::none: return "no error";
    case PtxError::target: return "PTX is made for sm_70 and newer";
    case PtxError::name:
      return "the kernel's name is no identifier: letters, digits and _, not beginning with a digit";
    case PtxError::workgroup: return "a workgroup has 1 to 1024 lanes";
    case PtxError::shared: return "shared arrays take more than a workgroup has on this GPU";
    case PtxError::structure: return "the brackets of regions do not match: verify the kernel first";
    case PtxError::on_demand: return "on-demand operation: lower it before emitting PTX";
    case PtxError::newer:
      return "newer GPUs have this: matrix units and mbarriers sm_80 (matrix units of 8-bit floats sm_89), "
             "bulk copies and tensor maps sm_90, inline PTX what it says; use a plain variant";
    case PtxError::hopper:
      return "products of warpgroups (wgmma) are for sm_90 alone, neither older nor newer: use fragments "
             "there";
    case PtxError::unsupported: return "no such operation on this type: verify the kernel first";
  }
  return "";
}

namespace detail::ptx {

constexpr bool is_name(std::string_view s) {
  if (s.empty() || (s[0] >= '0' && s[0] <= '9')) return false;
  for (const char c : s) {
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
      return false;
  }
  return true;
}

// Which operations a type has; the rest is verify.hpp's.
constexpr PtxError check(View k, const Inst& i) {
  const bool memory = i.op >= Op::load && i.op <= Op::atomic_cas;
  if (i.op >= Op::ondemand_load && i.op <= Op::lane_status) return PtxError::on_demand;
  if ((memory || i.op == Op::length) && !(i.a & kShared) && k.params[i.a].kind == ParamKind::on_demand) {
    return PtxError::on_demand;
  }
  const bool logic = i.op >= Op::bit_and && i.op <= Op::bit_not && i.type == Type::boolean;
  const bool atomic = i.op >= Op::atomic_load && i.op <= Op::atomic_cas;
  const bool integral = i.op == Op::rem || (i.op >= Op::bit_and && i.op <= Op::shr) || atomic;
  const bool floating = i.op == Op::fma || (i.op >= Op::sqrt && i.op <= Op::floor);
  const bool single = i.op >= Op::exp2 && i.op <= Op::cos;
  bool fine = true;
  if (i.op >= Op::add && i.op <= Op::floor) fine = logic || is_arithmetic(i.type);
  if (integral) fine = logic || (is_integer(i.type) && is_arithmetic(i.type));
  if (floating) fine = is_float(i.type) && is_arithmetic(i.type);
  if (single) fine = i.type == Type::f32;
  if (i.op == Op::subgroup_shuffle) fine = is_arithmetic(i.type);
  if (i.op == Op::subgroup_reduce) {
    fine = is_arithmetic(i.type) && Rmw(i.mode) != Rmw::exchange &&
           (Rmw(i.mode) <= Rmw::max || !is_float(i.type));
  }
  return fine ? PtxError::none : PtxError::unsupported;
}

// What the kernel as a whole cannot do without; where it is: the first instruction that needs as much.
constexpr Needs needs(View k, u32* where = nullptr) {
  Needs most;
  for (u32 n = 0; n < k.insts.size(); ++n) {
    const Needs one = needs(k.insts[n]);
    if (one.sm > most.sm && where) *where = n;
    most = {one.sm > most.sm ? one.sm : most.sm, one.version > most.version ? one.version : most.version};
  }
  return most;
}

constexpr PtxResult check(View k, const PtxOptions& options) {
  if (options.sm < 70) return {PtxError::target};
  if (!is_name(k.name)) return {PtxError::name};
  if (k.block[0] == 0 || k.block[1] == 0 || k.block[2] == 0 || k.lanes() > 1024) return {PtxError::workgroup};
  if (shared_bytes(k) > ptx_shared_max(options.sm)) return {PtxError::shared};
  for (u32 n = 0; n < k.insts.size(); ++n) {
    const PtxError e = check(k, k.insts[n]);
    if (e != PtxError::none) return {e, n, k.insts[n].line};
  }
  u32 where = kNone;
  for (u32 n = 0; n < k.insts.size(); ++n)
    if (is_warpgroup(k.insts[n].op) && options.sm != 90) return {PtxError::hopper, n, k.insts[n].line};
  if (needs(k, &where).sm > options.sm) return {PtxError::newer, where, k.insts[where].line};
  return {};
}

// Does it use what came with sm_80?
constexpr bool uses_sm80(View k) {
  for (const Inst& i : k.insts) {
    if (i.op == Op::cast && i.type == Type::bf16 && i.from != Type::bf16 && i.from != Type::boolean)
      return true;
    if (i.op == Op::subgroup_reduce && (i.type == Type::u32 || i.type == Type::i32)) return true;
    if (is_async(i.op)) return true;
    if (is_pair(i.op) && (i.from == Type::bf16 || i.op == Op::pair_min || i.op == Op::pair_max)) return true;
  }
  return false;
}

// Do lanes write shared memory that bulk copies or products of warpgroups may take up?
constexpr bool needs_fences(View k) {
  bool bulk = false, written = false;
  for (const Inst& i : k.insts) {
    bulk = bulk || is_bulk(i.op) || is_warpgroup(i.op);
    written =
        written || i.op == Op::async_copy || (i.op >= Op::store && i.op <= Op::atomic_cas && i.a & kShared);
  }
  return bulk && written;
}

template <class Sink>
constexpr void header(Out<Sink>& o) {
  const View& k = o.k;
  Needs least = needs(k);
  if (least.sm < 80 && o.sm >= 80 && uses_sm80(k)) least = {80, 70};
  o.text(".version ", least.version / 10, ".", least.version % 10, "\n.target sm_", least.sm,
         uses_warpgroups(k) ? "a" : "", "\n.address_size 64\n\n");
  // A multiple of the banks' 128 bytes, so that places in it have the banks that they seem to have, and of
  // the patterns of panels.
  if (o.block) o.text(".extern .shared .align ", k.tensors.empty() ? 128u : 1024u, " .b8 $shared[];\n");
  o.text(".visible .entry ", k.name, "(");
  if (!k.params.empty()) o.text(".param .align 8 .b8 args[", u64{kArgumentSlot} * k.params.size(), "]");
  for (u32 t = 0; t < k.tensors.size(); ++t) o.text(", .param .align 64 .b8 tensor", t, "[128]");
  o.text(")\n.maxntid ", k.block[0], ", ", k.block[1], ", ", k.block[2], "\n{\n");
}

template <class Sink>
constexpr void declarations(Out<Sink>& o) {
  const View& k = o.k;
  const u64 n = k.insts.size() + 1;  // a kernel may be empty
  o.line(".reg .pred %p<", n, ">, %q<2>");
  o.line(".reg .b16 %h<", n, ">, %z<4>");
  o.line(".reg .b32 %r<", n, ">, %x<8>");
  o.line(".reg .b64 %d<", n, ">, %y<2>");
  for (u32 s = 0; s < k.shared.size() && !o.block; ++s) {
    o.line(".shared .align ", shared_alignment(k, k.shared[s]), " .b8 shared", s, "[",
           u64{k.shared[s].count} * size_of(k.shared[s].type), "]");
  }
  for (u32 v = 0; v < k.vars.size(); ++v) {
    const Type t = k.vars[v];
    const std::string_view bits = t == Type::boolean ? "pred" : bits_of(t);
    o.line(".reg .", bits, " ", Var{t, v});
    o.line("mov.", bits, " ", Var{t, v}, ", 0");
  }
  for (u32 p = 0; p < k.params.size(); ++p) {
    if (k.params[p].kind == ParamKind::scalar || k.params[p].kind == ParamKind::on_demand) continue;
    o.line(".reg .b64 %b", p);
    o.line("ld.param.b64 %b", p, ", [args+", p * kArgumentSlot, "]");
    o.line("cvta.to.global.u64 %b", p, ", %b", p);
  }
}

template <class Sink>
constexpr void instruction(Out<Sink>& o, Control<Sink>& control, const Inst& i, u32 id) {
  o.fenced = o.fenced && (i.op <= Op::compose || is_pair(i.op) || i.op == Op::warpgroup_multiply);
  if (is_subgroup(i.op)) return subgroup(control.masked(), i, id);
  if (i.op == Op::inline_ptx) return inline_ptx(o, i, id);
  if (is_pair(i.op)) return pair(o, i, id);
  if (i.op == Op::matrix_load) return matrix_load(o, i, id);
  if (i.op == Op::matrix_multiply) return matrix_multiply(o, i, id);
  if (is_async(i.op)) return async(o, i);
  if (is_warpgroup(i.op)) return warpgroup(o, i, id);
  if (is_mbarrier(i.op) || is_bulk(i.op)) return async_unit(o, i, id);
  if (i.op >= Op::if_) return control.step(i, id);
  switch (i.op) {
    case Op::constant: return constant(o, i, id);
    case Op::argument: return argument(o, i, id);
    case Op::builtin: return builtin(o, i, id);
    case Op::length: return length(o, i, id);
    case Op::fma:
      return o.line("fma.rn.", type_name(i.type), " ", Reg{i.type, id}, ", ", o.reg(i.a), ", ", o.reg(i.b),
                    ", ", o.reg(i.c));
    case Op::neg:
    case Op::abs:
    case Op::bit_not:
    case Op::popcount:
    case Op::count_leading_zeros:
    case Op::sqrt:
    case Op::exp2:
    case Op::log2:
    case Op::sin:
    case Op::cos:
    case Op::floor: return unary(o, i, id);
    case Op::eq:
    case Op::ne:
    case Op::lt:
    case Op::le:
    case Op::gt:
    case Op::ge: return compare(o, i, id);
    case Op::select: return select(o, i, id);
    case Op::cast: return cast(o, i, id);
    case Op::bitcast: return bitcast(o, i, id);
    case Op::extract: return extract(o, i, id);
    case Op::compose: return compose(o, i, id);
    case Op::var_load:
    case Op::var_store: return var_move(o, i, id);
    case Op::load: return load(o, i, id);
    case Op::store: return store(o, i);
    case Op::atomic_load:
    case Op::atomic_store:
    case Op::atomic_rmw:
    case Op::atomic_cas: return atomic(o, i, id);
    case Op::fence: return fence(o, i);
    case Op::barrier: fence_proxy(o); return o.line("bar.sync 0");
    case Op::barrier_any:
      fence_proxy(o);
      return o.line("bar.red.or.pred ", Reg{i.type, id}, ", 0, ", o.reg(i.a));
    default: return binary(o, i, id);
  }
}

}  // namespace detail::ptx

// The oldest GPU that has what the kernel uses, as PtxOptions::sm: 70, or what its instructions need.
constexpr u32 min_sm(View kernel) { return detail::ptx::needs(kernel).sm; }

// Writes the text into a sink (ptx/text.hpp), or nothing when it refuses.
template <class Sink>
constexpr PtxResult emit_ptx(View kernel, const PtxOptions& options, Sink& sink) {
  namespace ptx = detail::ptx;
  if (const PtxResult r = ptx::check(kernel, options); !r.ok()) return r;
  const ptx::Flow flow(kernel);
  if (!flow.balanced) return {PtxError::structure};
  ptx::Out<Sink> o{kernel,
                   options.sm,
                   sink,
                   min_sm(kernel),
                   ptx::needs_fences(kernel),
                   shared_bytes(kernel) > kStaticSharedMax};
  ptx::Control<Sink> control(o, flow);
  ptx::header(o);
  ptx::declarations(o);
  control.begin();
  for (u32 n = 0; n < kernel.insts.size(); ++n) ptx::instruction(o, control, kernel.insts[n], n);
  o.line("ret");
  o.text("}\n");
  return {};
}

// Replaces `text`.
constexpr PtxResult ptx_to(std::string& text, View kernel, const PtxOptions& options) {
  PtxString sink;
  const PtxResult r = emit_ptx(kernel, options, sink);
  text = static_cast<std::string&&>(sink.text);
  return r;
}

namespace detail::ptx {

template <const auto& kKernel, u32 kSm>
constexpr std::size_t text_size() {
  PtxCounter count;
  const PtxResult r = emit_ptx(kKernel.view(), {.sm = kSm}, count);
  return r.ok() ? count.size
                : throw r.error;  // reached in constant evaluation only: an error of the compiler
}
template <const auto& kKernel, u32 kSm>
inline constexpr auto kText = [] {
  std::array<char, text_size<kKernel, kSm>()> text{};
  PtxWriter to{text.data()};
  emit_ptx(kKernel.view(), {.sm = kSm}, to);
  return text;
}();

}  // namespace detail::ptx

// The text of a constexpr kernel with static storage, in .rodata; instantiated when named.
template <const auto& kKernel, u32 kSm>
inline constexpr std::string_view ptx_text{detail::ptx::kText<kKernel, kSm>.data(),
                                           detail::ptx::kText<kKernel, kSm>.size()};

}  // namespace gpuio::kernel
