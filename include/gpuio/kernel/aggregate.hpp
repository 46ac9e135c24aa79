// Aggregates of values: arrays of Vars, and structures that a buffer's elements are.
//
//   auto a = k.array<f32, 8>();                  // eight Vars, zero
//   for (u32 j = 0; j < 8; ++j) a[j] += x[j];    // a native index: nothing but the Var
//   out[i] = a.at(n);                            // a traced index: a chain of selects
//   a.set(n, 1.0f);
//
//   struct Particle { float x, y; std::uint32_t id; };
//   GPUIO_STRUCT(Particle, x, y, id)             // outside of any namespace
//   kernel<"move", 64>([](Ctx k, InOut<Particle> ps) {
//     auto p = ps[k.global_id()];
//     p.set(&Particle::x, p[&Particle::x] + 1.0f);     // one member: its bytes only
//     auto whole = k.var(p.load());                    // all of them
//     whole.set(&Particle::id, 7u);
//     p.store(whole.get());
//   });
//
// Arrays: at() and set() cost 2N and 3N instructions; past the end at() is zero and set() does nothing. For
// more than a few dozen elements shared memory is the place.
//
// Structures: standard layout, members that kernels know as elements (no arrays, no structures). To the IR
// such a buffer is of unsigned integers as large as the smallest member; a larger member is read and written
// as a vector of them. Its length() counts structures. [] reads at once, set() writes. Writing a member
// leaves its neighbours alone, so lanes may write different members of one element. Handles live as long as
// the trace; one thread.
#pragma once

#include <gpuio/kernel/memory.hpp>

namespace gpuio::kernel {

// --- Arrays ---------------------------------------------------------------------------------------------

template <Storable T, u32 N>
class LocalArray {
 public:
  static_assert(N > 0, "an array has elements");
  constexpr LocalArray(Tracer& t, Arg<T> fill) : LocalArray(t, fill.get(t), std::make_index_sequence<N>()) {}
  LocalArray(const LocalArray&) = delete;
  static constexpr u32 size() { return N; }

  constexpr Var<T>& operator[](u32 i) {
    if (i < N) return elements_[i];
    Tracer& t = elements_[0].tracer();
    t.fail(Err::index_out_of_range, t.build.line, i, N);
    return elements_[0];
  }
  template <class U>
  void operator[](const Expr<U>&) = delete;  // a traced index: at(i) reads, set(i, v) writes

  constexpr Val<T> at(Arg<u32> i) const {
    Tracer& t = elements_[0].tracer();
    const u32 index = i.get(t);
    u32 r = t.build.constant(kTypeOf<T>, 0);
    for (u32 n = 0; n < N; ++n) {
      const u32 here = t.build.compare(Op::eq, index, t.build.constant(Type::u32, n));
      r = t.build.select(here, elements_[n].id(), r);
    }
    return {&t, r};
  }
  constexpr void set(Arg<u32> i, Arg<T> v) {
    Tracer& t = elements_[0].tracer();
    const u32 index = i.get(t), value = v.get(t);
    for (u32 n = 0; n < N; ++n) {
      const u32 here = t.build.compare(Op::eq, index, t.build.constant(Type::u32, n));
      elements_[n] = Val<T>(&t, t.build.select(here, value, elements_[n].id()));
    }
  }

 private:
  template <std::size_t... I>
  constexpr LocalArray(Tracer& t, u32 fill, std::index_sequence<I...>) : elements_{make(t, fill, I)...} {}
  static constexpr Var<T> make(Tracer& t, u32 fill, std::size_t) {
    const u32 var = t.build.var(kTypeOf<T>);
    t.build.var_store(var, fill);
    return {&t, var};
  }
  std::array<Var<T>, N> elements_;
};

// --- Structures -----------------------------------------------------------------------------------------

namespace detail {
template <class S, class T, class U>
constexpr void pick(T S::* wanted, U S::* member, u32 value, u32& found) {
  if constexpr (std::same_as<T, U>)
    if (wanted == member) found = value;
}
template <u32 Bytes>
using UnsignedOf =
    std::conditional_t<Bytes == 1, u8,
                       std::conditional_t<Bytes == 2, u16, std::conditional_t<Bytes == 4, u32, u64>>>;

// A member's bits as an unsigned integer of its size, and back.
template <class T>
constexpr u32 to_unsigned(Builder& b, u32 v) {
  constexpr Type to = kTypeOf<UnsignedOf<sizeof(T)>>;
  if constexpr (std::same_as<T, bool>) return b.cast(to, v);
  else return kTypeOf<T> == to ? v : b.bitcast(to, v);
}
template <class T>
constexpr u32 from_unsigned(Builder& b, u32 v) {
  if constexpr (std::same_as<T, bool>) return b.cast(Type::boolean, v);
  else return kTypeOf<T> == kTypeOf<UnsignedOf<sizeof(T)>> ? v : b.bitcast(kTypeOf<T>, v);
}
}  // namespace detail

// GPUIO_STRUCT says of S: StructMembers<S>::each(f) calls f(member, offset in bytes).
namespace detail {
template <Structured S>
struct Layout {
  static_assert(std::is_standard_layout_v<S> && std::is_trivially_copyable_v<S>,
                "a structure of a buffer is plain bytes");
  static constexpr u32 count() {
    u32 n = 0;
    StructMembers<S>::each([&](auto, u32) { ++n; });
    return n;
  }
  static constexpr u32 unit() {
    u32 least = 8;
    StructMembers<S>::each([&]<class T>(T S::*, u32) {
      static_assert(Storable<T>,
                    "a member is a number, a boolean or a small float: no arrays, no structures");
      if (sizeof(T) < least) least = sizeof(T);
    });
    return least;
  }
  using Unit = UnsignedOf<unit()>;
  static constexpr u32 kStride = sizeof(S) / sizeof(Unit);
  static_assert(sizeof(S) % sizeof(Unit) == 0);
  // Its number among the members, or its offset.
  template <class T>
  static constexpr u32 number(T S::* member) {
    u32 found = kNone, n = 0;
    StructMembers<S>::each([&](auto m, u32) { pick(member, m, n++, found); });
    return found;
  }
};

// One member of element `index` (in units), read or written as vectors of units.
template <class T, class Unit>
constexpr u32 load_member(Builder& b, u32 object, u32 index) {
  constexpr u32 pieces = sizeof(T) / sizeof(Unit), width = pieces > 4 ? 4 : pieces;
  if constexpr (pieces == 1) {
    return from_unsigned<T>(b, b.load(object, index));
  } else {
    constexpr Type wide = sizeof(T) == 8 ? Type::u64 : Type::u32;
    const Type of_index = b.type(index);
    u32 bits = kNone;
    for (u32 p = 0; p < pieces; p += width) {
      const u32 at = p == 0 ? index : b.binary(Op::add, index, b.constant(of_index, p));
      const u32 v = b.load(object, at, u8(width));
      for (u32 e = 0; e < width; ++e) {
        u32 piece = b.cast(wide, b.extract(v, e));
        if (p + e) piece = b.binary(Op::shl, piece, b.constant(Type::u32, (p + e) * 8 * sizeof(Unit)));
        bits = bits == kNone ? piece : b.binary(Op::bit_or, bits, piece);
      }
    }
    constexpr Type exact = kTypeOf<UnsignedOf<sizeof(T)>>;
    return from_unsigned<T>(b, exact == wide ? bits : b.cast(exact, bits));
  }
}
template <class T, class Unit>
constexpr void store_member(Builder& b, u32 object, u32 index, u32 value) {
  constexpr u32 pieces = sizeof(T) / sizeof(Unit), width = pieces > 4 ? 4 : pieces;
  u32 bits = to_unsigned<T>(b, value);
  if constexpr (pieces == 1) {
    b.store(object, index, bits);
  } else {
    const Type of_index = b.type(index);
    if (sizeof(T) < 4) bits = b.cast(Type::u32, bits);  // which shifts take
    for (u32 p = 0; p < pieces; p += width) {
      std::array<u32, 4> v{};
      for (u32 e = 0; e < width; ++e) {
        const u32 by = b.constant(Type::u32, (p + e) * 8 * sizeof(Unit));
        v[e] = b.cast(kTypeOf<Unit>, p + e ? b.binary(Op::shr, bits, by) : bits);
      }
      const u32 at = p == 0 ? index : b.binary(Op::add, index, b.constant(of_index, p));
      b.store(object, at, width == 2 ? b.compose(v[0], v[1]) : b.compose(v[0], v[1], v[2], v[3]));
    }
  }
}
}  // namespace detail

// A structure as a value: its members' values.
template <Structured S>
class Struct {
 public:
  constexpr explicit Struct(Tracer& t) : tracer_(&t) {}
  template <class T>
  constexpr Val<T> operator[](T S::* member) const {
    return {tracer_, ids_[detail::Layout<S>::number(member)]};
  }
  constexpr Tracer& tracer() const { return *tracer_; }

 private:
  template <Structured>
  friend class StructVar;
  template <Structured, bool, bool>
  friend class StructElement;
  Tracer* tracer_;
  std::array<u32, detail::Layout<S>::count()> ids_{};
};

// One that changes: a Var for each member.
template <Structured S>
class StructVar {
 public:
  constexpr explicit StructVar(const Struct<S>& init) : tracer_(&init.tracer()) {
    u32 n = 0;
    StructMembers<S>::each([&]<class T>(T S::*, u32) { vars_[n++] = tracer_->build.var(kTypeOf<T>); });
    *this = init;
  }
  StructVar(const StructVar&) = delete;
  constexpr void operator=(const Struct<S>& v) {
    for (u32 n = 0; n < vars_.size(); ++n) tracer_->build.var_store(vars_[n], v.ids_[n]);
  }
  template <class T>
  constexpr Val<T> operator[](T S::* member) const {
    return {tracer_, tracer_->build.var_load(vars_[detail::Layout<S>::number(member)])};
  }
  template <class T>
  constexpr void set(T S::* member, std::type_identity_t<Arg<T>> v) {
    tracer_->build.var_store(vars_[detail::Layout<S>::number(member)], v.get(*tracer_));
  }
  constexpr Struct<S> get() const {
    Struct<S> r(*tracer_);
    for (u32 n = 0; n < vars_.size(); ++n) r.ids_[n] = tracer_->build.var_load(vars_[n]);
    return r;
  }

 private:
  Tracer* tracer_;
  std::array<u32, detail::Layout<S>::count()> vars_{};
};

// One element of a buffer.
template <Structured S, bool Read, bool Write>
class StructElement {
  using Layout = detail::Layout<S>;
  using Unit = typename Layout::Unit;

 public:
  constexpr StructElement(Tracer& t, u32 object, u32 index) : tracer_(&t), object_(object), base_(index) {}

  template <class T>
  constexpr Val<T> operator[](T S::* member) const
    requires Read
  {
    Builder& b = tracer_->build;
    return {tracer_, detail::load_member<T, Unit>(b, object_, at(offset_of(member)))};
  }
  constexpr Struct<S> load(u32 line = __builtin_LINE()) const
    requires Read
  {
    tracer_->at(line);
    Struct<S> r(*tracer_);
    u32 n = 0;
    StructMembers<S>::each([&]<class T>(T S::*, u32 offset) {
      r.ids_[n++] = detail::load_member<T, Unit>(tracer_->build, object_, at(offset));
    });
    return r;
  }
  template <class T>
  constexpr void set(T S::* member, std::type_identity_t<Arg<T>> v) const
    requires Write
  {
    const u32 value = v.get(*tracer_);
    detail::store_member<T, Unit>(tracer_->build, object_, at(offset_of(member)), value);
  }
  constexpr void store(const Struct<S>& v, u32 line = __builtin_LINE()) const
    requires Write
  {
    tracer_->at(line);
    u32 n = 0;
    StructMembers<S>::each([&]<class T>(T S::*, u32 offset) {
      detail::store_member<T, Unit>(tracer_->build, object_, at(offset), v.ids_[n++]);
    });
  }

 private:
  template <class T>
  static constexpr u32 offset_of(T S::* member) {
    u32 found = kNone;
    StructMembers<S>::each([&](auto m, u32 offset) { detail::pick(member, m, offset, found); });
    return found;
  }
  constexpr u32 at(u32 offset) const {
    Builder& b = tracer_->build;
    if (offset == 0) return base_;
    return b.binary(Op::add, base_, b.constant(b.type(base_), offset / sizeof(Unit)));
  }
  Tracer* tracer_;
  u32 object_, base_;  // of its first unit
};

namespace detail {
// A buffer of structures: In, Out and InOut of one.
template <Structured S, u64 Count, ParamKind Kind>
class StructBuffer : public Object {
  using Unit = typename Layout<S>::Unit;
  static constexpr u32 kStride = Layout<S>::kStride;

 public:
  using Object::Object;
  static constexpr Param kParam{Kind, kTypeOf<Unit>, Count* kStride};
  constexpr StructElement<S, Kind != ParamKind::out, Kind != ParamKind::in> operator[](Index i) const {
    Builder& b = tracer_->build;
    u32 index = i.get(*tracer_);
    // A count that is known at launch may take more units than a u32 counts.
    const bool narrow = Count != 0 && Count * kStride <= 0xffffffff;
    if (b.type(index) == Type::u32 && !narrow && kStride > 1) index = b.cast(Type::u64, index);
    if (kStride > 1) index = b.binary(Op::mul, index, b.constant(b.type(index), kStride));
    return {*tracer_, object_, index};
  }
  constexpr Val<u64> length() const {
    return Val<u64>(tracer_, tracer_->build.length(object_)) / u64{kStride};
  }
};
}  // namespace detail

template <Structured S, u64 Count>
class In<S, Count> : public detail::StructBuffer<S, Count, ParamKind::in> {
  using detail::StructBuffer<S, Count, ParamKind::in>::StructBuffer;
};
template <Structured S, u64 Count>
class Out<S, Count> : public detail::StructBuffer<S, Count, ParamKind::out> {
  using detail::StructBuffer<S, Count, ParamKind::out>::StructBuffer;
};
template <Structured S, u64 Count>
class InOut<S, Count> : public detail::StructBuffer<S, Count, ParamKind::inout> {
  using detail::StructBuffer<S, Count, ParamKind::inout>::StructBuffer;
};

}  // namespace gpuio::kernel

// Applies GPUIO_STRUCT_MEMBER_ to up to 256 names.
#define GPUIO_STRUCT_PARENS_ ()
#define GPUIO_STRUCT_EXPAND_(...) \
  GPUIO_STRUCT_EXPAND3_(GPUIO_STRUCT_EXPAND3_(GPUIO_STRUCT_EXPAND3_(__VA_ARGS__)))
#define GPUIO_STRUCT_EXPAND3_(...) \
  GPUIO_STRUCT_EXPAND2_(GPUIO_STRUCT_EXPAND2_(GPUIO_STRUCT_EXPAND2_(__VA_ARGS__)))
#define GPUIO_STRUCT_EXPAND2_(...) \
  GPUIO_STRUCT_EXPAND1_(GPUIO_STRUCT_EXPAND1_(GPUIO_STRUCT_EXPAND1_(__VA_ARGS__)))
#define GPUIO_STRUCT_EXPAND1_(...) __VA_ARGS__
#define GPUIO_STRUCT_EACH_(S, NAME, ...)                \
  f(&S::NAME, ::gpuio::kernel::u32(offsetof(S, NAME))); \
  __VA_OPT__(GPUIO_STRUCT_AGAIN_ GPUIO_STRUCT_PARENS_(S, __VA_ARGS__))
#define GPUIO_STRUCT_AGAIN_() GPUIO_STRUCT_EACH_
// Makes S an element of buffers. Every member is named, or is padding to kernels.
#define GPUIO_STRUCT(S, ...)                                   \
  template <>                                                  \
  struct gpuio::kernel::StructMembers<S> {                     \
    template <class F>                                         \
    static constexpr void each(F f) {                          \
      GPUIO_STRUCT_EXPAND_(GPUIO_STRUCT_EACH_(S, __VA_ARGS__)) \
    }                                                          \
  };
