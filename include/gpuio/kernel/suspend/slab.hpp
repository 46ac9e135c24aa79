// The suspend pass, third part: the code that reads and writes the slab. One object a generated kernel; it
// holds the ids of the values that every access to the slab needs, made once at the kernel's entry.
#pragma once

#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/suspend/layout.hpp>

namespace gpuio::kernel::suspend_detail {

// 32-bit words of a value in the slab.
constexpr u32 words_of(Type t) { return size_of(t) == 8 ? 2 : 1; }

class SlabCode {
 public:
  constexpr SlabCode(Builder& b, const SuspendLayout& layout) : b_(b), layout_(layout) {}

  // At the entry: which lane this is, and where its words are.
  constexpr void entry() {
    const std::array<u32, 3>& block = b_.program().block;
    const u32 x = b_.builtin(Builtin::group_x), y = b_.builtin(Builtin::group_y),
              z = b_.builtin(Builtin::group_z);
    const u32 nx = b_.builtin(Builtin::groups_x), ny = b_.builtin(Builtin::groups_y);
    const u32 nz = b_.builtin(Builtin::groups_z);
    const u32 lanes = number(block[0] * block[1] * block[2]);
    group_ = add(x, mul(nx, add(y, mul(ny, z))));
    local_ = b_.builtin(Builtin::local_index);
    lane_ = add(mul(group_, lanes), local_);
    lanes_ = mul(mul(nx, mul(ny, nz)), lanes);
    record_ = add(mul(lane_, number(SuspendLayout::kRecordWords)), number(SuspendLayout::kHeaderWords));
    values_ = add(add(mul(lanes_, number(SuspendLayout::kRecordWords)), number(SuspendLayout::kHeaderWords)),
                  lane_);
  }

  constexpr u32 number(u64 n) { return b_.constant(Type::u32, n); }
  constexpr u32 add(u32 a, u32 c) { return b_.binary(Op::add, a, c); }
  constexpr u32 mul(u32 a, u32 c) { return b_.binary(Op::mul, a, c); }

  // Fields of this lane's record.
  constexpr u32 read(u32 field) { return b_.load(layout_.slab_parameter, add(record_, number(field))); }
  constexpr void write(u32 field, u32 value) {
    b_.store(layout_.slab_parameter, add(record_, number(field)), value);
  }
  constexpr void write_wide(u32 field, u32 value) {
    const std::array<u32, 2> parts = to_words(value, Type::u64);
    write(field, parts[0]);
    write(field + 1, parts[1]);
  }

  // A saved value, at word `w` of the lane's.
  constexpr void save(u32 w, u32 value, Type t) {
    const std::array<u32, 2> parts = to_words(value, t);
    for (u32 i = 0; i < words_of(t); ++i) b_.store(layout_.slab_parameter, saved_at(w + i), parts[i]);
  }
  constexpr u32 restore(u32 w, Type t) {
    const u32 low = b_.load(layout_.slab_parameter, saved_at(w));
    return from_words(low, words_of(t) == 2 ? b_.load(layout_.slab_parameter, saved_at(w + 1)) : low, t);
  }
  constexpr u32 answer(Type t) {
    const u32 low = read(kRecordAnswer);
    return from_words(low, words_of(t) == 2 ? read(kRecordAnswer + 1) : low, t);
  }
  // One more lane that has to run again.
  constexpr void count_unfinished() {
    b_.atomic_rmw(Rmw::add, layout_.slab_parameter, number(kHeaderUnfinished), number(1), Order::relaxed,
                  Scope::device);
  }

  // Shared memory, by all lanes of the workgroup; word 0 of the group says that it is there.
  constexpr u32 parked() { return b_.load(layout_.slab_parameter, group_at()); }
  constexpr void save_shared() {
    b_.if_(b_.compare(Op::eq, local_, number(0)));
    b_.store(layout_.slab_parameter, group_at(), number(1));
    b_.end_if();
    each_shared(true);
  }
  constexpr void restore_shared() { each_shared(false); }

 private:
  constexpr u32 saved_at(u32 w) { return w == 0 ? values_ : add(values_, mul(lanes_, number(w))); }
  constexpr u32 group_at() {
    const u32 first = add(mul(lanes_, number(SuspendLayout::kRecordWords + layout_.lane_words)),
                          number(SuspendLayout::kHeaderWords));
    return add(first, mul(group_, number(layout_.group_words)));
  }

  constexpr void each_shared(bool save) {
    const u32 slab = layout_.slab_parameter, first = group_at();
    const u32 lanes = b_.program().block[0] * b_.program().block[1] * b_.program().block[2];
    u32 word = 1;
    for (u32 s = 0; s < b_.program().shared.size(); ++s) {
      const SharedArray array = b_.program().shared[s];
      const u32 each = words_of(array.type), object = kShared | s;
      const u32 i = b_.for_(local_, number(array.count), number(lanes));
      const u32 at = add(add(first, number(word)), each == 1 ? i : mul(i, number(each)));
      if (save) {
        const std::array<u32, 2> parts = to_words(b_.load(object, i), array.type);
        for (u32 w = 0; w < each; ++w) b_.store(slab, add(at, number(w)), parts[w]);
      } else {
        const u32 low = b_.load(slab, at);
        b_.store(object, i, from_words(low, each == 2 ? b_.load(slab, add(at, number(1))) : low, array.type));
      }
      b_.end_for();
      word += array.count * each;
    }
  }

  constexpr std::array<u32, 2> to_words(u32 value, Type t) {
    if (size_of(t) == 8) {
      const u32 bits = t == Type::u64 ? value : b_.bitcast(Type::u64, value);
      const u32 high = b_.binary(Op::shr, bits, number(32));
      return {b_.cast(Type::u32, bits), b_.cast(Type::u32, high)};
    }
    if (t == Type::u32) return {value, value};
    if (size_of(t) == 4) return {b_.bitcast(Type::u32, value), value};
    if (is_float(t)) value = b_.bitcast(Type::u16, value);
    return {b_.cast(Type::u32, value), value};
  }
  constexpr u32 from_words(u32 low, u32 high, Type t) {
    if (size_of(t) == 8) {
      const u32 upper = b_.binary(Op::shl, b_.cast(Type::u64, high), number(32));
      const u32 bits = b_.binary(Op::bit_or, upper, b_.cast(Type::u64, low));
      return t == Type::u64 ? bits : b_.bitcast(t, bits);
    }
    if (t == Type::u32) return low;
    if (size_of(t) == 4) return b_.bitcast(t, low);
    return is_float(t) ? b_.bitcast(t, b_.cast(Type::u16, low)) : b_.cast(t, low);
  }

  Builder& b_;
  const SuspendLayout& layout_;
  u32 group_ = kNone, local_ = kNone, lane_ = kNone, lanes_ = kNone, record_ = kNone, values_ = kNone;
};

}  // namespace gpuio::kernel::suspend_detail
