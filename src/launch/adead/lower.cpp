// The array machine of accumulator and register code, made into one kernel.
//
// A register is an array; lane e has element e. What every instruction computes for the lane's own element
// stands at the top level of the kernel. DOT, MATMUL and their like need elements of other lanes: they
// compute those again from the buffers, which is right as long as no lane stores to a buffer that another
// lane reads so. Programs that would are refused.
#include <gpuio/kernel/builder.hpp>

#include <algorithm>
#include <bit>
#include <bitset>
#include <optional>

#include "launch/adead/parts.hpp"

namespace gpuio::launch::adead {
namespace {

using kernel::Builder;
using kernel::Builtin;
using kernel::kNone;
using kernel::Op;
using kernel::Type;

constexpr u32 kSideMax = 32;         // of a matrix to invert: two of them in shared memory
constexpr u32 kInversesMax = 1;      // their shared memory stays within 16 KiB, what every Vulkan device has
constexpr u32 kNestMax = 3;          // matrix products inside each other: each costs a loop
constexpr u32 kInstsMax = 1u << 16;  // of the kernel
constexpr u32 kNaN = 0x7fc00000;

// What a register held at some time.
struct Node {
  ArrayOp op{};
  u32 a = 0, b = 0, c = 0;   // nodes; load: buffer
  u32 own = kNone;           // f32: in the lane's own element
  u32 extent = kNone;        // u64: elements; kNone: as many as asked for
  u32 side = kNone;          // u64: of a square matrix
  u32 nest = 0;              // matrix products inside
  bool local = false;        // made of shared memory: other lanes' elements are not to be had
  std::bitset<256> reads{};  // buffers, by whoever computes it again
};

class ArrayMachine {
 public:
  ArrayMachine(std::span<const ArrayInst> code, const AdeadOptions& options) : code_(code), b_(program_) {
    program_.name = "adead";
    program_.block = options.block;
    lanes_ = program_.view().lanes();
  }

  Result<AdeadModule> run() {
    declare();
    for (const ArrayInst& i : code_) {
      if (Status s = step(i); !s) return fail(std::move(s).wrap(fmt::format("offset {}", i.offset)));
      if (too_long_ || program_.insts.size() > kInstsMax)
        return fail(Code::unsupported,
                    "offset {}: the program unfolds to more than {} operations; split it into several",
                    i.offset, kInstsMax);
    }
    module_.steps.push_back({std::move(program_), {}, {0, 0, 0}});
    for (u32 i = 0; i < module_.buffers.size(); ++i) module_.steps[0].buffers.push_back(i);
    return std::move(module_);
  }

 private:
  // Parameters, their lengths, and which element is the lane's own.
  void declare() {
    std::bitset<256> loaded, stored;
    for (const ArrayInst& i : code_) {
      if (i.op == ArrayOp::load) loaded.set(i.a);
      if (i.op == ArrayOp::store) stored.set(i.dst);
    }
    const std::bitset<256> used = loaded | stored;
    for (u32 n = 0; (used >> n).any(); ++n) {
      using kernel::ParamKind;
      const ParamKind kind = !stored[n] ? ParamKind::in : loaded[n] ? ParamKind::inout : ParamKind::out;
      b_.param(kind, Type::f32);
      module_.buffers.push_back({.kind = kind});
    }
    zero_ = b_.constant(Type::u64, 0);
    one_ = b_.constant(Type::u64, 1);
    fzero_ = b_.constant(Type::f32, 0);
    loaded_ = b_.var(Type::f32);
    local_ = b_.cast(Type::u64, b_.builtin(Builtin::local_index));
    const auto wide = [&](Builtin what) { return b_.cast(Type::u64, b_.builtin(what)); };
    u32 group = add(mul(wide(Builtin::group_z), wide(Builtin::groups_y)), wide(Builtin::group_y));
    group = add(mul(group, wide(Builtin::groups_x)), wide(Builtin::group_x));
    element_ = add(mul(group, number(lanes_)), local_);
    for (u32 n = 0; n < module_.buffers.size(); ++n) lengths_.push_back(b_.length(n));
  }

  u32 number(u64 value) { return b_.constant(Type::u64, value); }
  u32 add(u32 x, u32 y) { return b_.binary(Op::add, x, y); }
  u32 mul(u32 x, u32 y) { return b_.binary(Op::mul, x, y); }
  u32 less(u32 x, u32 y) { return b_.compare(Op::lt, x, y); }
  u32 shorter(u32 x, u32 y) { return x == kNone ? y : y == kNone ? x : b_.binary(Op::min, x, y); }

  static bool is_matrix(ArrayOp op) { return op == ArrayOp::matmul || op == ArrayOp::transpose; }
  static bool is_plain(ArrayOp op) { return op >= ArrayOp::add && op <= ArrayOp::fma; }
  static Op scalar(ArrayOp op) {
    switch (op) {
      case ArrayOp::sub: return Op::sub;
      case ArrayOp::mul: return Op::mul;
      case ArrayOp::div: return Op::div;
      default: return Op::add;
    }
  }

  // --- Instructions ---
  Status step(const ArrayInst& i) {
    switch (i.op) {
      case ArrayOp::load: define(i.dst, load(i.a)); return {};
      case ArrayOp::store: return store(i.dst, nodes_[*registers_[i.a]]);
      case ArrayOp::immediate: {
        const u32 value = b_.constant(Type::f32, std::bit_cast<u32>(float(i.a)));
        define(i.dst, {.op = i.op, .own = value});
        return {};
      }
      case ArrayOp::load_shared: return load_shared(i.dst, i.a);
      case ArrayOp::store_shared: return store_shared(i.dst, nodes_[*registers_[i.a]]);
      case ArrayOp::sync: b_.barrier(); return {};
      default: break;
    }
    Node n{.op = i.op, .a = *registers_[i.a], .b = registers_[i.b].value_or(0)};
    if (is_plain(i.op)) {
      if (i.op == ArrayOp::fma) n.c = *registers_[i.dst];
      define(i.dst, plain(n));
      return {};
    }
    if (i.op == ArrayOp::norm || i.op == ArrayOp::transpose || i.op == ArrayOp::inverse) n.b = n.a;
    return across(i, n);
  }
  void define(u8 reg, const Node& n) {
    nodes_.push_back(n);
    registers_[reg] = u32(nodes_.size() - 1);
  }

  Node load(u32 buffer) {
    Node n{
        .op = ArrayOp::load, .a = buffer, .own = bounded_load(buffer, element_), .extent = lengths_[buffer]};
    n.reads.set(buffer);
    return n;
  }
  Node plain(Node n) {
    const bool fused = n.op == ArrayOp::fma;
    for (const u32 id : {n.a, n.b, fused ? n.c : n.a}) {
      const Node& from = nodes_[id];
      n.extent = shorter(n.extent, from.extent);
      n.local = n.local || from.local;
      n.nest = std::max(n.nest, from.nest);
      n.reads |= from.reads;
    }
    n.own = combine(n.op, nodes_[n.a].own, nodes_[n.b].own, fused ? nodes_[n.c].own : kNone);
    return n;
  }
  u32 combine(ArrayOp op, u32 x, u32 y, u32 z) {
    return op == ArrayOp::fma ? b_.fma(x, y, z) : b_.binary(scalar(op), x, y);
  }

  Status store(u32 buffer, const Node& n) {
    if (crossed_[buffer])
      return error(
          Code::unsupported,
          "STORE to buffer {}, of which lanes read each other's elements before: others may not have read "
          "them yet; store to another buffer",
          buffer);
    stored_.set(buffer);
    b_.if_(less(element_, lengths_[buffer]));
    b_.store(buffer, element_, n.own);
    b_.end_if();
    return {};
  }

  Status store_shared(u32 slot, const Node& n) {
    if (slot >= kSharedSlots)
      return error(Code::unsupported, "STORESH to slot {}; there are {}", slot, kSharedSlots);
    if (!slots_[slot]) slots_[slot] = b_.shared(Type::f32, lanes_);
    b_.store(*slots_[slot], local_, n.own);
    return {};
  }
  Status load_shared(u8 reg, u32 slot) {
    if (slot >= kSharedSlots || !slots_[slot])
      return error(Code::invalid_arg, "LOADSH of slot {}, which nothing wrote; STORESH there first", slot);
    define(reg, {.op = ArrayOp::load_shared, .own = b_.load(*slots_[slot], local_), .local = true});
    return {};
  }

  // --- What needs other lanes' elements ---
  Status across(const ArrayInst& i, Node n) {
    for (const u32 id : {n.a, n.b}) {
      const Node& from = nodes_[id];
      if (from.local)
        return error(
            Code::unsupported,
            "an operand comes from shared memory, which holds this workgroup's elements only; use a buffer");
      if (const auto both = from.reads & stored_; both.any())
        return error(
            Code::unsupported,
            "reads other lanes' elements of buffer {}, which the program stored to before: they may not be "
            "there yet; split the program in two",
            lowest(both));
      crossed_ |= from.reads;
      n.nest = std::max(n.nest, from.nest);
      n.extent = shorter(n.extent, from.extent);
    }
    if (n.extent == kNone) n.extent = one_;
    switch (i.op) {
      case ArrayOp::dot:
      case ArrayOp::norm:
        n.own = sum_of_products(n);
        if (i.op == ArrayOp::norm) n.own = b_.unary(Op::sqrt, n.own);
        n.extent = kNone;
        n.nest = 0;
        break;
      case ArrayOp::inverse:
        if (inverses_++ == kInversesMax)
          return error(Code::unsupported, "more than {} INVERSE in one program; split it", kInversesMax);
        square(n);
        invert(n);
        n.own = inverse_at(n, element_);
        n.nest = 0;
        break;
      default:
        n.reads = nodes_[n.a].reads | nodes_[n.b].reads;
        if (i.op == ArrayOp::matmul && ++n.nest > kNestMax)
          return error(Code::unsupported,
                       "{} matrix products inside each other, {} at most; store one and start "
                       "another program",
                       n.nest, kNestMax);
        square(n);
        n.own = i.op == ArrayOp::matmul ? matmul_at(n, element_) : transpose_at(n, element_);
        break;
    }
    define(i.dst, n);
    return {};
  }
  static u32 lowest(const std::bitset<256>& bits) {
    u32 n = 0;
    while (!bits[n]) ++n;
    return n;
  }

  // The side of the largest square matrix in so many elements. f32 is one off at most; then it is set right.
  void square(Node& n) {
    const u32 guess = b_.cast(Type::u64, b_.unary(Op::sqrt, b_.cast(Type::f32, n.extent)));
    const u32 down =
        b_.select(b_.compare(Op::gt, mul(guess, guess), n.extent), b_.binary(Op::sub, guess, one_), guess);
    const u32 next = add(down, one_);
    n.side = b_.select(b_.compare(Op::le, mul(next, next), n.extent), next, down);
    n.extent = mul(n.side, n.side);
  }

  u32 bounded_load(u32 buffer, u32 index) {
    b_.var_store(loaded_, fzero_);
    b_.if_(less(index, lengths_[buffer]));
    b_.var_store(loaded_, b_.load(buffer, index));
    b_.end_if();
    return b_.var_load(loaded_);
  }

  // A register's element at any index. Nodes are numbered in order of creation, so operands come first.
  u32 at(u32 root, u32 index) {
    if (program_.insts.size() > kInstsMax) {
      too_long_ = true;
      return fzero_;
    }
    std::vector<u8> needed(root + 1, 0);
    needed[root] = 1;
    for (u32 id = root + 1; id-- > 0;) {
      const Node& n = nodes_[id];
      if (!needed[id] || !is_plain(n.op)) continue;
      needed[n.a] = needed[n.b] = 1;
      if (n.op == ArrayOp::fma) needed[n.c] = 1;
    }
    std::vector<u32> value(root + 1, kNone);
    for (u32 id = 0; id <= root; ++id) {
      if (!needed[id]) continue;
      const Node& n = nodes_[id];
      if (n.op == ArrayOp::load) value[id] = bounded_load(n.a, index);
      else if (n.op == ArrayOp::matmul) value[id] = matmul_at(n, index);
      else if (n.op == ArrayOp::transpose) value[id] = transpose_at(n, index);
      else if (n.op == ArrayOp::inverse) value[id] = inverse_at(n, index);
      else if (is_plain(n.op))
        value[id] = combine(n.op, value[n.a], value[n.b], n.op == ArrayOp::fma ? value[n.c] : kNone);
      else value[id] = n.own;  // the same in every element
    }
    return value[root];
  }

  u32 matmul_at(const Node& n, u32 index) {
    const u32 sum = b_.var(Type::f32);
    b_.var_store(sum, fzero_);
    b_.if_(less(index, n.extent));
    const u32 row = mul(b_.binary(Op::div, index, n.side), n.side),
              column = b_.binary(Op::rem, index, n.side);
    const u32 k = b_.for_(zero_, n.side, one_);
    const u32 x = at(n.a, add(row, k)), y = at(n.b, add(mul(k, n.side), column));
    b_.var_store(sum, b_.binary(Op::add, b_.var_load(sum), b_.binary(Op::mul, x, y)));
    b_.end_for();
    b_.end_if();
    return b_.var_load(sum);
  }
  u32 transpose_at(const Node& n, u32 index) {
    const u32 result = b_.var(Type::f32);
    b_.var_store(result, fzero_);
    b_.if_(less(index, n.extent));
    const u32 row = b_.binary(Op::div, index, n.side), column = b_.binary(Op::rem, index, n.side);
    b_.var_store(result, at(n.a, add(mul(column, n.side), row)));
    b_.end_if();
    return b_.var_load(result);
  }

  // Each workgroup sums all elements: every lane a share, then a tree in shared memory.
  u32 sum_of_products(const Node& n) {
    if (!scratch_) scratch_ = b_.shared(Type::f32, lanes_);
    const u32 sum = b_.var(Type::f32);
    b_.var_store(sum, fzero_);
    const u32 j = b_.for_(local_, n.extent, number(lanes_));
    const u32 x = at(n.a, j), y = n.a == n.b ? x : at(n.b, j);
    b_.var_store(sum, b_.binary(Op::add, b_.var_load(sum), b_.binary(Op::mul, x, y)));
    b_.end_for();
    b_.barrier();  // the last sum has been read
    b_.store(*scratch_, local_, b_.var_load(sum));
    b_.barrier();
    for (u32 left = lanes_; left > 1;) {
      const u32 half = (left + 1) / 2;
      b_.if_(less(local_, number(left - half)));
      const u32 other = b_.load(*scratch_, add(local_, number(half)));
      b_.store(*scratch_, local_, b_.binary(Op::add, b_.load(*scratch_, local_), other));
      b_.end_if();
      b_.barrier();
      left = half;
    }
    return b_.load(*scratch_, zero_);
  }

  // Gauss and Jordan with row pivots, by one lane of each workgroup: small matrices, seldom.
  void invert(const Node& n) {
    matrix_ = b_.shared(Type::f32, kSideMax * kSideMax);
    inverse_ = b_.shared(Type::f32, kSideMax * kSideMax);
    b_.if_(b_.compare(Op::eq, local_, zero_));
    b_.if_(b_.compare(Op::le, n.side, number(kSideMax)));
    const u32 fone = b_.constant(Type::f32, std::bit_cast<u32>(1.0f));
    const u32 e = b_.for_(zero_, n.extent, one_);
    b_.store(matrix_, e, at(n.a, e));
    const u32 diagonal = b_.compare(Op::eq, b_.binary(Op::div, e, n.side), b_.binary(Op::rem, e, n.side));
    b_.store(inverse_, e, b_.select(diagonal, fone, fzero_));
    b_.end_for();
    const u32 column = b_.for_(zero_, n.side, one_);
    const u32 pivot = find_pivot(n.side, column), top = mul(column, n.side);
    const u32 by = b_.load(matrix_, add(mul(pivot, n.side), column));
    for (const u32 m : {matrix_, inverse_}) {  // swap the pivot's row up, divided
      const u32 j = b_.for_(zero_, n.side, one_);
      const u32 up = add(mul(pivot, n.side), j), here = add(top, j);
      const u32 lower = b_.load(m, up), upper = b_.load(m, here);
      b_.store(m, up, upper);
      b_.store(m, here, b_.binary(Op::div, lower, by));
      b_.end_for();
    }
    const u32 row = b_.for_(zero_, n.side, one_);
    b_.if_(b_.compare(Op::ne, row, column));
    const u32 start = mul(row, n.side), factor = b_.load(matrix_, add(start, column));
    for (const u32 m : {matrix_, inverse_}) {
      const u32 j = b_.for_(zero_, n.side, one_);
      const u32 less_by = b_.binary(Op::mul, factor, b_.load(m, add(top, j)));
      b_.store(m, add(start, j), b_.binary(Op::sub, b_.load(m, add(start, j)), less_by));
      b_.end_for();
    }
    b_.end_if();
    b_.end_for();
    b_.end_for();
    b_.end_if();
    b_.end_if();
    b_.barrier();
  }
  // The row at or below `column` whose element there is largest.
  u32 find_pivot(u32 side, u32 column) {
    const u32 best = b_.var(Type::u64), largest = b_.var(Type::f32);
    b_.var_store(best, column);
    b_.var_store(largest, fzero_);
    const u32 r = b_.for_(column, side, one_);
    const u32 size = b_.unary(Op::abs, b_.load(matrix_, add(mul(r, side), column)));
    b_.if_(b_.compare(Op::gt, size, b_.var_load(largest)));
    b_.var_store(best, r);
    b_.var_store(largest, size);
    b_.end_if();
    b_.end_for();
    return b_.var_load(best);
  }
  u32 inverse_at(const Node& n, u32 index) {
    const u32 result = b_.var(Type::f32);
    b_.var_store(result, fzero_);
    b_.if_(less(index, n.extent));
    b_.var_store(result, b_.constant(Type::f32, kNaN));
    b_.if_(b_.compare(Op::le, n.side, number(kSideMax)));
    b_.var_store(result, b_.load(inverse_, index));
    b_.end_if();
    b_.end_if();
    return b_.var_load(result);
  }

  std::span<const ArrayInst> code_;
  kernel::Program program_;
  Builder b_;
  AdeadModule module_;
  u32 lanes_ = 0;
  std::vector<Node> nodes_;
  std::array<std::optional<u32>, 256> registers_{};
  std::array<std::optional<u32>, kSharedSlots> slots_{};
  std::bitset<256> crossed_{}, stored_{};  // buffers whose elements lanes read of each other; stored to
  std::vector<u32> lengths_;               // of buffers, u64
  std::optional<u32> scratch_{};
  u32 matrix_ = 0, inverse_ = 0, inverses_ = 0;
  u32 zero_ = 0, one_ = 0, fzero_ = 0, loaded_ = 0, local_ = 0, element_ = 0;
  bool too_long_ = false;
};

}  // namespace

Result<AdeadModule> lower_array(std::span<const ArrayInst> code, const AdeadOptions& options) {
  u64 lanes = 1;
  for (const u32 side : options.block) lanes = side > 1024 ? 0 : lanes * side;
  if (lanes == 0 || lanes > 1024)
    return fail(Code::invalid_arg, "a workgroup of {} x {} x {} lanes; 1 to 1024 are possible",
                options.block[0], options.block[1], options.block[2]);
  return ArrayMachine(code, options).run();
}

}  // namespace gpuio::launch::adead
