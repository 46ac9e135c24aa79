#include "cli/kernel/text.hpp"

#include <fmt/format.h>

#include "launch/constant.hpp"

namespace gpuio::cli {
namespace {

using namespace kernel;

constexpr std::string_view kTypes[] = {"none", "boolean", "u8",  "i8",  "u16", "i16", "f16",
                                       "bf16", "u32",     "i32", "f32", "u64", "i64", "f64"};
static_assert(std::size(kTypes) == std::size_t(Type::f64) + 1);
constexpr std::string_view kKinds[] = {"scalar", "in", "out", "inout", "on_demand"};
static_assert(std::size(kKinds) == std::size_t(ParamKind::on_demand) + 1);
constexpr std::string_view kOps[] = {"constant",
                                     "argument",
                                     "builtin",
                                     "length",
                                     "add",
                                     "sub",
                                     "mul",
                                     "div",
                                     "rem",
                                     "min",
                                     "max",
                                     "fma",
                                     "neg",
                                     "abs",
                                     "bit_and",
                                     "bit_or",
                                     "bit_xor",
                                     "bit_not",
                                     "shl",
                                     "shr",
                                     "popcount",
                                     "count_leading_zeros",
                                     "sqrt",
                                     "exp2",
                                     "log2",
                                     "sin",
                                     "cos",
                                     "floor",
                                     "eq",
                                     "ne",
                                     "lt",
                                     "le",
                                     "gt",
                                     "ge",
                                     "select",
                                     "cast",
                                     "bitcast",
                                     "extract",
                                     "compose",
                                     "var_load",
                                     "var_store",
                                     "load",
                                     "store",
                                     "atomic_load",
                                     "atomic_store",
                                     "atomic_rmw",
                                     "atomic_cas",
                                     "fence",
                                     "barrier",
                                     "barrier_any",
                                     "subgroup_shuffle",
                                     "subgroup_vote",
                                     "subgroup_ballot",
                                     "subgroup_reduce",
                                     "subgroup_elect",
                                     "ondemand_load",
                                     "ondemand_status",
                                     "ondemand_prefetch",
                                     "lane_status",
                                     "if",
                                     "else",
                                     "end_if",
                                     "for",
                                     "end_for",
                                     "loop",
                                     "continuing",
                                     "end_loop",
                                     "break",
                                     "continue",
                                     "return",
                                     "matrix_load",
                                     "matrix_multiply",
                                     "async_copy",
                                     "async_commit",
                                     "async_wait",
                                     "inline_ptx",
                                     "mbarrier_init",
                                     "mbarrier_arrive",
                                     "mbarrier_wait",
                                     "bulk_load",
                                     "bulk_store",
                                     "bulk_commit",
                                     "bulk_wait",
                                     "warpgroup_clear",
                                     "warpgroup_read",
                                     "warpgroup_multiply",
                                     "warpgroup_commit",
                                     "warpgroup_wait",
                                     "pair_add",
                                     "pair_sub",
                                     "pair_mul",
                                     "pair_min",
                                     "pair_max",
                                     "pair_fma",
                                     "tensor_load"};
static_assert(std::size(kOps) == std::size_t(kLastOp) + 1);
constexpr std::string_view kBuiltins[] = {
    "local_x",  "local_y",  "local_z",       "group_x",       "group_y",        "group_z",    "groups_x",
    "groups_y", "groups_z", "subgroup_size", "subgroup_lane", "subgroup_index", "local_index"};
static_assert(std::size(kBuiltins) == std::size_t(Builtin::local_index) + 1);
constexpr std::string_view kRmws[] = {"add", "min", "max", "bit_and", "bit_or", "bit_xor", "exchange"};
constexpr std::string_view kShuffles[] = {"lane", "exclusive_or", "up", "down"};
constexpr std::string_view kVotes[] = {"any", "all"};
constexpr std::string_view kMatrices[] = {"f16", "bf16", "tf32", "i8", "e4m3", "e5m2"};
constexpr std::string_view kMatrixParts[] = {"a", "b_rows", "b_columns"};
constexpr std::string_view kPhases[] = {"token", "parity"};
constexpr std::string_view kOrders[] = {"relaxed", "acquire", "release", "acq_rel"};
constexpr std::string_view kScopes[] = {"subgroup", "workgroup", "device", "system"};

std::string object(u32 id) {
  return id & kShared ? fmt::format("s{}", id & ~kShared) : fmt::format("p{}", id);
}

std::string_view mode_of(const Inst& i) {
  switch (i.op) {
    case Op::builtin: return kBuiltins[i.mode];
    case Op::atomic_rmw:
    case Op::subgroup_reduce: return kRmws[i.mode];
    case Op::subgroup_shuffle: return kShuffles[i.mode];
    case Op::subgroup_vote: return kVotes[i.mode];
    case Op::matrix_load: return kMatrixParts[i.mode];
    case Op::matrix_multiply:
    case Op::warpgroup_multiply: return kMatrices[i.mode];
    case Op::mbarrier_wait: return kPhases[i.mode];
    default: return "";
  }
}

// What `a` names where it is no value.
std::string named(const Inst& i) {
  switch (i.op) {
    case Op::var_load: return fmt::format(" v{}", i.a);
    case Op::var_store: return fmt::format(" to v{}", i.a);
    case Op::argument: return fmt::format(" p{}", i.a);
    case Op::length:
    case Op::load:
    case Op::atomic_load:
    case Op::atomic_rmw:
    case Op::atomic_cas:
    case Op::ondemand_load:
    case Op::ondemand_prefetch:
    case Op::matrix_load: return " of " + object(i.a);
    case Op::mbarrier_init:
    case Op::mbarrier_arrive:
    case Op::mbarrier_wait: return " of " + object(i.a);
    case Op::store:
    case Op::atomic_store: return " to " + object(i.a);
    default: return "";
  }
}

std::string instruction(const View& k, const Inst& i, u32 n) {
  std::string s = has_result(i.op) ? fmt::format("%{} = {}", n, kOps[std::size_t(i.op)])
                                   : std::string(kOps[std::size_t(i.op)]);
  if (const auto mode = mode_of(i); !mode.empty()) s += fmt::format(" {}", mode);
  if (i.type != Type::none) s += fmt::format(" {}", type_name(i.type));
  if (i.width > 1) s += fmt::format("x{}", i.width);
  if (i.from != Type::none) s += fmt::format(" from {}", type_name(i.from));
  const u32 values = value_operands(i);
  const u32 operands[] = {i.a, i.b, i.c, i.d};
  bool first = true;
  for (u32 o = 0; o < 4; ++o) {
    if (!(values >> o & 1)) continue;
    s += fmt::format("{}%{}", first ? " " : ", ", operands[o]);
    first = false;
  }
  s += named(i);
  if (i.op == Op::constant || i.op == Op::extract) s += fmt::format(" {:#x}", i.imm);
  if (i.op == Op::constant && i.a != kNone) s += fmt::format(", set as {}", k.constants[i.a].name);
  if (i.op == Op::async_copy) s += fmt::format(" to {} of {}, {} bytes", object(i.a), object(i.c), i.imm);
  if (i.op == Op::inline_ptx) s += fmt::format(" \"{}\"", k.texts[u32(i.imm)]);
  if (i.op == Op::mbarrier_init) {
    s += fmt::format(", {} lanes", i.imm);
    if (i.c != kNone) s += ", empty where " + object(i.c) + " is full";
  }
  if (i.op == Op::bulk_store) s += fmt::format(" to {} of {}, {} bytes", object(i.c), object(i.a), i.imm);
  if (i.op == Op::bulk_load)
    s += fmt::format(" to {} of {}, {} bytes, by {}", object(i.a), object(i.c), bulk_bytes(i),
                     object(bulk_mbarrier(i)));
  if (i.op == Op::tensor_load)
    s += fmt::format(" to {} of t{}, {} bytes, by {}", object(i.a), TensorLoad::of(i).map, bulk_bytes(i),
                     object(bulk_mbarrier(i)));
  if (i.op == Op::warpgroup_read) s += fmt::format(" v{}", i.a);
  if (i.op == Op::warpgroup_clear) s += fmt::format(" v{} to v{}", i.a, i.a + i.imm - 1);
  if (i.op == Op::warpgroup_multiply) {
    const WarpgroupShape shape = WarpgroupShape::of(i);
    const std::string panels =
        shape.width ? fmt::format("panels of {} bytes, from byte {} on", 16 << shape.width, 32 * shape.step)
                    : fmt::format("panels {} and {} rows apart", shape.panel_a, shape.panel_b);
    s += fmt::format(" of {} and {}, {}, to v{} to v{}", object(i.a), object(i.c), panels, shape.first,
                     shape.first + shape.columns / 2 - 1);
  }
  if (i.op == Op::async_wait || i.op == Op::bulk_wait || i.op == Op::warpgroup_wait)
    s += fmt::format(" for all but {}", i.imm);
  if (i.op == Op::matrix_load) s += fmt::format(", rows {} apart", i.imm);
  if ((i.op >= Op::atomic_load && i.op <= Op::fence))
    s += fmt::format(", {}, {}", kOrders[std::size_t(i.order)], kScopes[std::size_t(i.scope)]);
  return s;
}

}  // namespace

std::string_view type_name(Type type) { return kTypes[std::size_t(type)]; }
std::string_view kind_name(ParamKind kind) { return kKinds[std::size_t(kind)]; }

std::vector<std::string> marks_of(const View& k) {
  std::vector<std::string> marks;
  if (!k.unchecked.empty()) marks.push_back(fmt::format("races unchecked: {}", k.unchecked));
  std::string lines;
  for (const Inst& i : k.insts)
    if (i.op == Op::inline_ptx) lines += fmt::format("{}{}", lines.empty() ? "" : ", ", i.line);
  if (!lines.empty()) marks.push_back(fmt::format("inline PTX: line {}", lines));
  return marks;
}

std::string ir_text(const View& k) {
  std::string s =
      fmt::format("kernel {}, workgroups of {} x {} x {}\n", k.name, k.block[0], k.block[1], k.block[2]);
  for (const std::string& mark : marks_of(k)) s += fmt::format("  {}\n", mark);
  for (u32 n = 0; n < k.params.size(); ++n) {
    const Param& p = k.params[n];
    s += fmt::format("  p{} {} {}{}\n", n, kind_name(p.kind), type_name(p.type),
                     p.count ? fmt::format("[{}]", p.count) : "");
  }
  for (const Constant& c : k.constants)
    s += fmt::format("  constant {} {} = {}, from {} to {}\n", c.name, type_name(c.type),
                     launch::text_of(c.type, c.value), launch::text_of(c.type, c.least),
                     launch::text_of(c.type, c.most));
  for (u32 n = 0; n < k.tensors.size(); ++n) {
    const TensorMap& t = k.tensors[n];
    s += fmt::format("  t{} tensor of p{}, rows p{}, columns p{}, step p{}, boxes of {} rows of {} bytes\n",
                     n, t.buffer, t.rows, t.columns, t.step, t.box_rows, 16 << t.box_width);
  }
  for (u32 n = 0; n < k.shared.size(); ++n)
    s += fmt::format("  s{} shared {}[{}]\n", n, type_name(k.shared[n].type), k.shared[n].count);
  for (u32 n = 0; n < k.vars.size(); ++n) s += fmt::format("  v{} var {}\n", n, type_name(k.vars[n]));
  u32 depth = 1;
  for (u32 n = 0; n < k.insts.size(); ++n) {
    const Inst& i = k.insts[n];
    const bool middle = i.op == Op::else_ || i.op == Op::continuing;
    if (closes_region(i.op)) --depth;
    std::string line = std::string(2 * (depth - (middle ? 1 : 0)), ' ') + instruction(k, i, n);
    if (i.line) line = fmt::format("{:<64}; line {}", line, i.line);
    s += line + "\n";
    if (opens_region(i.op)) ++depth;
  }
  return s;
}

}  // namespace gpuio::cli
