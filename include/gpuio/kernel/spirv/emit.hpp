// From a kernel to a SPIR-V module: arguments, memory, atomics, collectives and control flow.
//
// Arguments: the push constant is one u64, the device address of the argument block (ir.hpp); what the kernel
// uses of it is read at entry. Buffers are addresses: every access converts base + index * size to a pointer.
// Vars and loop counters are Function variables, shared arrays Workgroup arrays whose elements below 32 bits
// take a whole word (but where matrix units read them, matrix.hpp), and booleans are bytes in buffers and
// words in shared arrays.
//
// Memory model: Vulkan's, with every access non-private, so that barriers and acquire/release order them.
// Vulkan has no scope beyond the device: Scope::system becomes Device, and whether the host sees such atomics
// is the device's capability kernel_io, found by a self-test.
#pragma once

#include <optional>

#include <gpuio/kernel/spirv/matrix.hpp>
#include <gpuio/kernel/spirv/scalar.hpp>

namespace gpuio::kernel::spirv {

class Emitter {
 public:
  constexpr explicit Emitter(const View& kernel) : k_(&kernel), scalars_(m_) {
    values_.assign(kernel.insts.size(), 0);
    bases_.assign(kernel.params.size(), 0);
    counts_.assign(kernel.params.size(), 0);
    scalar_arguments_.assign(kernel.params.size(), 0);
    for (const Type t : kernel.vars) vars_.push_back(m_.local(scalars_.type(t), true));
    if (uses_matrix_units(kernel)) matrices_.emplace(m_, kernel);
    for (u32 s = 0; s < kernel.shared.size(); ++s) {
      shared_.push_back(m_.variable(Storage::Workgroup, m_.array(kept(s), kernel.shared[s].count)));
    }
    if (matrices_) {
      const u32 lane = builtin(Builtin::subgroup_lane);
      matrices_->begin(lane, builtin(Builtin::subgroup_index));
    }
    for (const Inst& i : kernel.insts) {
      if (i.op == Op::barrier_any && flags_[0] == 0) make_flags();
    }
  }

  constexpr std::vector<u32> run() {
    for (u32 i = 0; i < k_->insts.size(); ++i) {
      const Inst& inst = k_->insts[i];
      if (dead_ && !wakes(inst.op)) continue;
      values_[i] = matrices_ ? emit_with_matrices(i) : emit(inst);
    }
    if (!dead_) m_.effect(Word::Return, {});
    return m_.finish(k_->name, k_->block);
  }

 private:
  struct Region {
    Op opener;
    u32 merge, other, header;  // other: else of an if, continue target of a loop
    bool other_begun = false;  // else_ or continuing was met
    const Inst* inst = nullptr;
    u32 counter = 0, more = 0;  // of a for: Function variables
  };

  // What follows a jump is not emitted, up to the bracket at which control can come back. Regions inside it
  // are counted, so that their brackets are passed over too.
  constexpr bool wakes(Op op) {
    if (opens_region(op)) ++dead_depth_;
    if (dead_depth_ == 0) return op == Op::else_ || op == Op::continuing || closes_region(op);
    if (closes_region(op)) --dead_depth_;
    return false;
  }

  constexpr u32 emit_with_matrices(u32 n) {
    const Inst& i = k_->insts[n];
    if (i.op == Op::matrix_load) return matrices_->load(n, shared_pointer(i, 0)), 0;
    if (matrices_->takes(n)) return matrices_->emit(n, values_, vars_, u32(regions_.size()));
    const u32 value = emit(i);
    matrices_->follow(i.op, u32(regions_.size()));
    return value;
  }
  constexpr u32 emit(const Inst& i) {
    const auto v = [&](u32 operand) { return values_[operand]; };
    switch (i.op) {
      case Op::constant:
        return i.a == kNone ? scalars_.constant(i.type, i.imm) : m_.specialized(i.a, reg_of(i.type), i.imm);
      case Op::argument: return scalar_argument(i.a);
      case Op::builtin: return builtin(Builtin(i.mode));
      case Op::length: return length(i.a);
      case Op::fma: return scalars_.fma(i.type, v(i.a), v(i.b), v(i.c));
      case Op::pair_add:
      case Op::pair_sub:
      case Op::pair_mul:
      case Op::pair_min:
      case Op::pair_max: return scalars_.pair(i.op, i.from, v(i.a), v(i.b), 0);
      case Op::pair_fma: return scalars_.pair(i.op, i.from, v(i.a), v(i.b), v(i.c));
      case Op::neg:
      case Op::abs:
      case Op::bit_not:
      case Op::sqrt:
      case Op::exp2:
      case Op::log2:
      case Op::sin:
      case Op::cos:
      case Op::floor: return scalars_.unary(i.op, i.type, v(i.a));
      case Op::popcount:
      case Op::count_leading_zeros: return scalars_.count(i.op, i.from, v(i.a));
      case Op::eq:
      case Op::ne:
      case Op::lt:
      case Op::le:
      case Op::gt:
      case Op::ge: return scalars_.compare(i.op, i.from, v(i.a), v(i.b));
      case Op::select: return m_.op(scalars_.type(i.type), Word::Select, {v(i.a), v(i.b), v(i.c)});
      case Op::cast: return scalars_.cast(i.type, i.from, v(i.a));
      case Op::bitcast: return scalars_.bitcast(i.type, i.from, v(i.a));
      case Op::extract: return m_.op(scalars_.type(i.type), Word::CompositeExtract, {v(i.a), u32(i.imm)});
      case Op::compose: return compose(i);
      case Op::var_load: return m_.op(scalars_.type(i.type), Word::Load, {vars_[i.a]});
      case Op::var_store: m_.effect(Word::Store, {vars_[i.a], v(i.b)}); return 0;
      case Op::load:
      case Op::store: return memory(i);
      case Op::atomic_load:
      case Op::atomic_store:
      case Op::atomic_rmw:
      case Op::atomic_cas: return atomic(i);
      case Op::fence:
      case Op::barrier:
      case Op::barrier_any:
      case Op::subgroup_shuffle:
      case Op::subgroup_vote:
      case Op::subgroup_ballot:
      case Op::subgroup_reduce:
      case Op::subgroup_elect: return collective(i);
      case Op::ondemand_load:
      case Op::ondemand_status:
      case Op::ondemand_prefetch:
      case Op::lane_status: return 0;  // lowered before emission
      case Op::if_:
      case Op::else_:
      case Op::end_if:
      case Op::for_:
      case Op::end_for:
      case Op::loop:
      case Op::continuing:
      case Op::end_loop:
      case Op::break_:
      case Op::continue_:
      case Op::return_: return control(i);
      default: return scalars_.binary(i.op, i.type, v(i.a), v(i.b));
    }
  }

  // --- Arguments and built-ins ---

  constexpr u32 slot(u32 parameter, u32 offset) {
    if (block_ == 0) block_ = m_.push_constant();
    const u32 at = parameter * kArgumentSlot + offset, of = m_.u64_type();
    const u32 address = at ? m_.early(of, Word::IAdd, {block_, m_.constant(Reg::u64, at)}) : block_;
    const u32 to = m_.pointer(Storage::PhysicalStorageBuffer, of);
    return m_.early(of, Word::Load, {m_.early(to, Word::ConvertUToPtr, {address}), kAligned, 8});
  }
  constexpr u32 base(u32 parameter) {
    if (bases_[parameter] == 0) bases_[parameter] = slot(parameter, 0);
    return bases_[parameter];
  }
  constexpr u32 length(u32 object) {
    if (object & kShared) return m_.constant(Reg::u64, k_->shared[object & ~kShared].count);
    if (counts_[object] == 0) counts_[object] = slot(object, 8);
    return counts_[object];
  }
  constexpr u32 scalar_argument(u32 parameter) {
    u32& known = scalar_arguments_[parameter];
    if (known != 0) return known;
    const u32 bits = slot(parameter, 0);
    const Type t = k_->params[parameter].type;
    const u32 of = scalars_.type(t);
    switch (reg_of(t)) {
      case Reg::u64: return known = bits;
      case Reg::f64: return known = m_.early(of, Word::Bitcast, {bits});
      default: break;
    }
    const u32 low = m_.early(m_.u32_type(), Word::UConvert, {bits});
    if (reg_of(t) == Reg::f32) return known = m_.early(of, Word::Bitcast, {low});
    if (t == Type::boolean) return known = m_.early(of, Word::INotEqual, {low, m_.number(0)});
    return known = low;
  }

  constexpr u32 builtin(Builtin what) {
    u32& known = builtins_[u32(what)];
    if (known != 0) return known;
    const u32 of = m_.u32_type();
    const auto component = [&](BuiltIn of_what, u32 axis) {
      u32& triple = triples_[u32(of_what) - u32(BuiltIn::NumWorkgroups)];
      if (triple == 0) triple = m_.input(of_what, m_.vector(of, 3));
      return m_.early(of, Word::CompositeExtract, {triple, axis});
    };
    const auto single = [&](BuiltIn of_what) {
      if (of_what != BuiltIn::LocalInvocationIndex) m_.capability(Capability::GroupNonUniform);
      return m_.input(of_what, of);
    };
    switch (what) {
      case Builtin::local_x:
      case Builtin::local_y:
      case Builtin::local_z:
        return known = component(BuiltIn::LocalInvocationId, u32(what) - u32(Builtin::local_x));
      case Builtin::group_x:
      case Builtin::group_y:
      case Builtin::group_z:
        return known = component(BuiltIn::WorkgroupId, u32(what) - u32(Builtin::group_x));
      case Builtin::groups_x:
      case Builtin::groups_y:
      case Builtin::groups_z:
        return known = component(BuiltIn::NumWorkgroups, u32(what) - u32(Builtin::groups_x));
      case Builtin::subgroup_size: return known = single(BuiltIn::SubgroupSize);
      case Builtin::subgroup_lane: return known = single(BuiltIn::SubgroupLocalInvocationId);
      case Builtin::subgroup_index: return known = single(BuiltIn::SubgroupId);
      case Builtin::local_index: return known = single(BuiltIn::LocalInvocationIndex);
    }
    return 0;
  }

  // --- Memory ---

  // What an element is between a register and memory; what one of a shared array is kept as.
  constexpr u32 cell(Type t) { return t == Type::boolean ? m_.u32_type() : scalars_.type(t); }
  constexpr u32 kept(u32 array) {
    const Type t = k_->shared[array].type;
    return matrices_ && matrices_->reads(array) ? m_.small_integer(size_of(t) * 8) : cell(t);
  }

  constexpr u32 shared_pointer(const Inst& i, u32 offset) {
    u32 index = values_[i.b];
    if (offset) {
      const Type t = k_->insts[i.b].type;
      index = m_.op(scalars_.type(t), Word::IAdd, {index, scalars_.constant(t, offset)});
    }
    const u32 to = m_.pointer(Storage::Workgroup, kept(i.a & ~kShared));
    return m_.op(to, Word::AccessChain, {shared_[i.a & ~kShared], index});
  }
  constexpr u32 buffer_pointer(const Inst& i, u32 to) {
    const u32 of = m_.u64_type();
    u32 index = values_[i.b];
    if (size_of(k_->insts[i.b].type) < 8) index = m_.op(of, Word::UConvert, {index});
    if (size_of(i.type) > 1) index = m_.op(of, Word::IMul, {index, m_.constant(Reg::u64, size_of(i.type))});
    const u32 address = m_.op(of, Word::IAdd, {base(i.a), index});
    return m_.op(m_.pointer(Storage::PhysicalStorageBuffer, to), Word::ConvertUToPtr, {address});
  }
  constexpr u32 compose(const Inst& i) {
    const u32 of = m_.vector(scalars_.type(i.type), i.width);
    if (i.width == 2) return m_.op(of, Word::CompositeConstruct, {values_[i.a], values_[i.b]});
    return m_.op(of, Word::CompositeConstruct, {values_[i.a], values_[i.b], values_[i.c], values_[i.d]});
  }

  // Between the cell of a shared array or the widened element of a buffer and the register form.
  constexpr u32 from_word(Type t, u32 width, u32 value) {
    if (t != Type::boolean) return value;
    const u32 words = m_.vector(m_.u32_type(), width), truths = m_.vector(m_.bool_type(), width);
    return m_.op(truths, Word::INotEqual, {value, m_.null(words)});
  }
  constexpr u32 to_word(Type t, u32 value) {
    if (t != Type::boolean) return value;
    return m_.op(m_.u32_type(), Word::Select, {value, m_.number(1), m_.number(0)});
  }
  constexpr u32 element(const Inst& i, u32 vector, u32 index) {
    return i.width == 1 ? vector : m_.op(scalars_.type(i.type), Word::CompositeExtract, {vector, index});
  }

  constexpr u32 memory(const Inst& i) {
    if (i.a & kShared) return shared_memory(i);
    const u32 narrow = m_.vector(m_.stored(i.type), i.width), align = size_of(i.type) * i.width;
    const u32 words = m_.vector(cell(i.type), i.width);
    const u32 at = buffer_pointer(i, narrow);
    if (i.op == Op::load) {
      u32 value = m_.op(narrow, Word::Load, {at, kAligned | kNonPrivatePointer, align});
      if (narrow != words) value = m_.op(words, Word::UConvert, {value});
      return from_word(i.type, i.width, value);
    }
    u32 value = values_[i.c];
    if (i.type == Type::boolean && i.width > 1) {
      std::array<u32, 4> e{};
      for (u32 n = 0; n < i.width; ++n) e[n] = to_word(i.type, element(i, value, n));
      value = i.width == 2 ? m_.op(words, Word::CompositeConstruct, {e[0], e[1]})
                           : m_.op(words, Word::CompositeConstruct, {e[0], e[1], e[2], e[3]});
    } else {
      value = to_word(i.type, value);
    }
    if (narrow != words) value = m_.op(narrow, Word::UConvert, {value});
    m_.effect(Word::Store, {at, value, kAligned | kNonPrivatePointer, align});
    return 0;
  }
  constexpr u32 shared_memory(const Inst& i) {
    std::array<u32, 4> e{};
    const u32 narrow = kept(i.a & ~kShared), word = cell(i.type);
    for (u32 n = 0; n < i.width; ++n) {
      const u32 at = shared_pointer(i, n);
      if (i.op == Op::load) {
        u32 value = m_.op(narrow, Word::Load, {at, kNonPrivatePointer});
        if (narrow != word) value = m_.op(word, Word::UConvert, {value});
        e[n] = from_word(i.type, 1, value);
      } else {
        u32 value = to_word(i.type, element(i, values_[i.c], n));
        if (narrow != word) value = m_.op(narrow, Word::UConvert, {value});
        m_.effect(Word::Store, {at, value, kNonPrivatePointer});
      }
    }
    if (i.op == Op::store || i.width == 1) return e[0];
    const u32 of = m_.vector(scalars_.type(i.type), i.width);
    if (i.width == 2) return m_.op(of, Word::CompositeConstruct, {e[0], e[1]});
    return m_.op(of, Word::CompositeConstruct, {e[0], e[1], e[2], e[3]});
  }

  // --- Atomics ---

  constexpr u32 scope(Scope s) {
    switch (s) {
      case Scope::subgroup: return m_.number(3);
      case Scope::workgroup: return m_.number(2);
      default: return m_.number(1);  // Device: the widest that Vulkan has
    }
  }
  static constexpr u32 kMemories = kUniformMemory | kWorkgroupMemory;
  static constexpr u32 order_bits(Order o) {
    switch (o) {
      case Order::relaxed: return 0;
      case Order::acquire: return kAcquire | kMakeVisible | kMemories;
      case Order::release: return kRelease | kMakeAvailable | kMemories;
      case Order::acq_rel: return kAcquireRelease | kMakeAvailable | kMakeVisible | kMemories;
    }
    return 0;
  }
  static constexpr bool acquires(Order o) { return o == Order::acquire || o == Order::acq_rel; }
  static constexpr bool releases(Order o) { return o == Order::release || o == Order::acq_rel; }

  constexpr u32 atomic(const Inst& i) {
    const u32 of = scalars_.type(i.type), where = scope(i.scope);
    if (size_of(i.type) == 8) m_.capability(Capability::Int64Atomics);
    const u32 at = i.a & kShared ? shared_pointer(i, 0) : buffer_pointer(i, of);
    const u32 acquire = m_.number(acquires(i.order) ? order_bits(Order::acquire) : 0);
    switch (i.op) {
      case Op::atomic_load: return m_.op(of, Word::AtomicLoad, {at, where, acquire});
      case Op::atomic_store: {
        const u32 release = m_.number(releases(i.order) ? order_bits(Order::release) : 0);
        m_.effect(Word::AtomicStore, {at, where, release, values_[i.c]});
        return 0;
      }
      case Op::atomic_cas: {
        const u32 both = m_.number(order_bits(i.order));
        return m_.op(of, Word::AtomicCompareExchange, {at, where, both, acquire, values_[i.d], values_[i.c]});
      }
      default: break;
    }
    return m_.op(of, rmw_word(Rmw(i.mode), i.type),
                 {at, where, m_.number(order_bits(i.order)), values_[i.c]});
  }
  static constexpr Word rmw_word(Rmw how, Type t) {
    switch (how) {
      case Rmw::add: return Word::AtomicIAdd;
      case Rmw::min: return is_signed(t) ? Word::AtomicSMin : Word::AtomicUMin;
      case Rmw::max: return is_signed(t) ? Word::AtomicSMax : Word::AtomicUMax;
      case Rmw::bit_and: return Word::AtomicAnd;
      case Rmw::bit_or: return Word::AtomicOr;
      case Rmw::bit_xor: return Word::AtomicXor;
      case Rmw::exchange: return Word::AtomicExchange;
    }
    return Word::AtomicExchange;
  }

  // --- Workgroup and subgroup ---

  constexpr u32 collective(const Inst& i) {
    const u32 subgroup = scope(Scope::subgroup), truth = m_.bool_type();
    switch (i.op) {
      case Op::fence: {
        if (i.order == Order::relaxed) return 0;
        const u32 where = scope(i.scope);
        m_.effect(Word::MemoryBarrier, {where, m_.number(order_bits(i.order))});
        return 0;
      }
      case Op::barrier: barrier(); return 0;
      case Op::barrier_any: return barrier_any(values_[i.a]);
      case Op::subgroup_shuffle: return shuffle(i);
      case Op::subgroup_vote: {
        m_.capability(Capability::GroupNonUniformVote);
        const Word word = Vote(i.mode) == Vote::any ? Word::GroupNonUniformAny : Word::GroupNonUniformAll;
        return m_.op(truth, word, {subgroup, values_[i.a]});
      }
      case Op::subgroup_ballot: {
        const u32 bits = ballot(values_[i.a]), wide = m_.u64_type();
        const u32 low =
            m_.op(wide, Word::UConvert, {m_.op(m_.u32_type(), Word::CompositeExtract, {bits, 0})});
        const u32 high =
            m_.op(wide, Word::UConvert, {m_.op(m_.u32_type(), Word::CompositeExtract, {bits, 1})});
        return m_.op(wide, Word::BitwiseOr,
                     {low, m_.op(wide, Word::ShiftLeftLogical, {high, m_.number(32)})});
      }
      case Op::subgroup_reduce:
        m_.capability(Capability::GroupNonUniformArithmetic);
        return m_.op(scalars_.type(i.type), reduce_word(Rmw(i.mode), i.type), {subgroup, 0, values_[i.a]});
      default:
        m_.capability(Capability::GroupNonUniform);
        return m_.op(truth, Word::GroupNonUniformElect, {subgroup});
    }
  }
  static constexpr Word reduce_word(Rmw how, Type t) {
    switch (how) {
      case Rmw::min:
        if (is_float(t)) return Word::GroupNonUniformFMin;
        return is_signed(t) ? Word::GroupNonUniformSMin : Word::GroupNonUniformUMin;
      case Rmw::max:
        if (is_float(t)) return Word::GroupNonUniformFMax;
        return is_signed(t) ? Word::GroupNonUniformSMax : Word::GroupNonUniformUMax;
      case Rmw::bit_and: return Word::GroupNonUniformBitwiseAnd;
      case Rmw::bit_or: return Word::GroupNonUniformBitwiseOr;
      case Rmw::bit_xor: return Word::GroupNonUniformBitwiseXor;
      default: return is_float(t) ? Word::GroupNonUniformFAdd : Word::GroupNonUniformIAdd;
    }
  }

  constexpr void barrier() {
    const u32 group = scope(Scope::workgroup);
    m_.effect(Word::ControlBarrier, {group, group, m_.number(order_bits(Order::acq_rel))});
  }

  // Two shared words in turn and a round number that every lane counts for itself: who says true writes the
  // number of the round, so no word is ever reset. A word is written again two rounds later, which is after
  // the next round's barrier and so after everyone's read of it: one barrier a round is enough.
  constexpr void make_flags() {
    for (u32& flag : flags_) flag = m_.variable(Storage::Workgroup, m_.u32_type());
    round_ = m_.local(m_.u32_type(), true);
    const u32 group = scope(Scope::workgroup), relaxed = m_.number(0);
    for (const u32 flag : flags_) m_.early_effect(Word::AtomicStore, {flag, group, relaxed, relaxed});
    m_.early_effect(Word::ControlBarrier, {group, group, m_.number(order_bits(Order::acq_rel))});
  }
  constexpr u32 barrier_any(u32 said) {
    const u32 of = m_.u32_type(), truth = m_.bool_type(), relaxed = m_.number(0),
              group = scope(Scope::workgroup);
    const u32 before = m_.op(of, Word::Load, {round_}), round = m_.op(of, Word::IAdd, {before, m_.number(1)});
    m_.effect(Word::Store, {round_, round});
    const u32 parity = m_.op(of, Word::BitwiseAnd, {round, m_.number(1)});
    const u32 odd = m_.op(truth, Word::INotEqual, {parity, relaxed});
    // A pointer to Workgroup memory cannot be selected without variable pointers: two guarded stores instead.
    for (const u32 n : {0u, 1u}) {
      const u32 mine = n ? odd : m_.op(truth, Word::LogicalNot, {odd});
      const u32 then = m_.fresh(), merge = m_.fresh(), both = m_.op(truth, Word::LogicalAnd, {said, mine});
      m_.effect(Word::SelectionMerge, {merge, 0});
      m_.effect(Word::BranchConditional, {both, then, merge});
      m_.label(then);
      m_.effect(Word::AtomicStore, {flags_[n], group, relaxed, round});
      m_.effect(Word::Branch, {merge});
      m_.label(merge);
    }
    barrier();
    const u32 even_word = m_.op(of, Word::AtomicLoad, {flags_[0], group, relaxed});
    const u32 odd_word = m_.op(of, Word::AtomicLoad, {flags_[1], group, relaxed});
    return m_.op(truth, Word::IEqual, {m_.op(of, Word::Select, {odd, odd_word, even_word}), round});
  }

  constexpr u32 ballot(u32 truth) {
    m_.capability(Capability::GroupNonUniformBallot);
    const u32 four = m_.vector(m_.u32_type(), 4);
    return m_.op(four, Word::GroupNonUniformBallot, {scope(Scope::subgroup), truth});
  }

  // All four kinds through the plain shuffle, with the source worked out here: SPIR-V gives nothing certain
  // for an absent or inactive source, ir.hpp the lane's own value.
  constexpr u32 shuffle(const Inst& i) {
    m_.capability(Capability::GroupNonUniformShuffle);
    const u32 of = m_.u32_type(), truth = m_.bool_type(), b = values_[i.b], type = scalars_.type(i.type);
    const u32 lane = builtin(Builtin::subgroup_lane), size = builtin(Builtin::subgroup_size);
    u32 source = b;
    if (Shuffle(i.mode) == Shuffle::exclusive_or) source = m_.op(of, Word::BitwiseXor, {lane, b});
    if (Shuffle(i.mode) == Shuffle::up) source = m_.op(of, Word::ISub, {lane, b});
    if (Shuffle(i.mode) == Shuffle::down) source = m_.op(of, Word::IAdd, {lane, b});
    u32 there = m_.op(truth, Word::ULessThan, {source, size});  // also false where `up` went below zero
    if (Shuffle(i.mode) == Shuffle::down) {                     // lane + b may have wrapped
      there = m_.op(truth, Word::LogicalAnd, {there, m_.op(truth, Word::UGreaterThanEqual, {source, lane})});
    }
    const u32 safe = m_.op(of, Word::Select, {there, source, lane}), subgroup = scope(Scope::subgroup);
    const u32 active = ballot(m_.constant(Reg::boolean, 1));
    const u32 answers = m_.op(truth, Word::GroupNonUniformBallotBitExtract, {subgroup, active, safe});
    const u32 value = m_.op(type, Word::GroupNonUniformShuffle, {subgroup, values_[i.a], safe});
    return m_.op(type, Word::Select, {answers, value, values_[i.a]});
  }

  // --- Control ---

  constexpr u32 control(const Inst& i) {
    switch (i.op) {
      case Op::if_: begin_if(i); return 0;
      case Op::loop: begin_loop({Op::loop, 0, 0, 0}); return 0;
      case Op::for_: return begin_for(i);
      case Op::else_:
      case Op::continuing: {
        Region& r = regions_.back();
        go(i.op == Op::else_ ? r.merge : r.other);
        r.other_begun = true;
        come(r.other);
        return 0;
      }
      case Op::break_: go(loop().merge); break;
      case Op::continue_: go(loop().other); break;
      case Op::return_: m_.effect(Word::Return, {}); break;
      default: end_region(); return 0;
    }
    dead_ = true;
    return 0;
  }
  constexpr Region& loop() {
    u32 at = u32(regions_.size()) - 1;
    while (regions_[at].opener == Op::if_) --at;
    return regions_[at];
  }
  // Leaves the block for `label`, unless a jump has left it already; begins the block of `label`.
  constexpr void go(u32 label) {
    if (!dead_) m_.effect(Word::Branch, {label});
  }
  constexpr void come(u32 label) {
    m_.label(label);
    dead_ = false;
  }

  constexpr void begin_if(const Inst& i) {
    const u32 merge = m_.fresh(), other = m_.fresh(), then = m_.fresh();
    m_.effect(Word::SelectionMerge, {merge, 0});
    m_.effect(Word::BranchConditional, {values_[i.a], then, other});
    m_.label(then);
    regions_.push_back({Op::if_, merge, other, 0});
  }
  constexpr void begin_loop(Region r) {
    r.merge = m_.fresh();
    r.other = m_.fresh();
    r.header = m_.fresh();
    const u32 body = m_.fresh();
    m_.effect(Word::Branch, {r.header});
    m_.label(r.header);
    u32 go_on = 0;
    if (r.opener == Op::for_) go_on = m_.op(m_.bool_type(), Word::Load, {r.more});
    m_.effect(Word::LoopMerge, {r.merge, r.other, 0});
    if (r.opener == Op::for_) {
      m_.effect(Word::BranchConditional, {go_on, body, r.merge});
    } else {
      m_.effect(Word::Branch, {body});
    }
    m_.label(body);
    regions_.push_back(r);
  }
  // `more` says whether another round follows: begin < end at first, then end - counter > step as unsigned
  // numbers, which holds where counter + step would wrap.
  constexpr u32 begin_for(const Inst& i) {
    const u32 of = scalars_.type(i.type);
    Region r{Op::for_, 0, 0, 0, false, &i, m_.local(of, false), 0};
    r.more = m_.local(m_.bool_type(), false);
    m_.effect(Word::Store, {r.counter, values_[i.a]});
    m_.effect(Word::Store, {r.more, scalars_.compare(Op::lt, i.type, values_[i.a], values_[i.b])});
    begin_loop(r);
    return m_.op(of, Word::Load, {r.counter});
  }
  constexpr void end_region() {
    const Region r = regions_.back();
    regions_.pop_back();
    if (r.opener == Op::if_) {
      go(r.merge);
      if (!r.other_begun) {
        come(r.other);
        go(r.merge);
      }
      come(r.merge);
      return;
    }
    if (!r.other_begun) {
      go(r.other);
      come(r.other);
    }
    if (r.opener == Op::for_) {
      const Inst& i = *r.inst;
      const u32 of = scalars_.type(i.type), counter = m_.op(of, Word::Load, {r.counter});
      const u32 left = m_.op(of, Word::ISub, {values_[i.b], counter});
      m_.effect(Word::Store, {r.more, m_.op(m_.bool_type(), Word::UGreaterThan, {left, values_[i.c]})});
      m_.effect(Word::Store, {r.counter, m_.op(of, Word::IAdd, {counter, values_[i.c]})});
    }
    go(r.header);
    come(r.merge);
  }

  const View* k_;
  Module m_;
  Scalars scalars_;
  std::optional<Matrices> matrices_;
  std::vector<u32> values_, vars_, shared_;
  std::vector<u32> bases_, counts_, scalar_arguments_;  // of each parameter, 0 until used
  u32 block_ = 0;                                       // the argument block's address
  std::array<u32, 13> builtins_{};
  std::array<u32, 4> triples_{};
  std::array<u32, 2> flags_{};  // of barrier_any
  u32 round_ = 0;
  std::vector<Region> regions_;
  bool dead_ = false;
  u32 dead_depth_ = 0;
};

}  // namespace gpuio::kernel::spirv
