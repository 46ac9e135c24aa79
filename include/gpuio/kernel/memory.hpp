// What a kernel indexes: buffers In<T> Out<T> InOut<T>, arrays of the workgroup Shared<T, N>, and arrays
// whose bytes may live anywhere, OnDemand<T>.
//
// An index is u32 or u64, in elements. Reading is at once: `auto v = tile[i];` holds the value that was
// there, and only `tile[i] = w` writes. A second template argument declares the element count, which the
// verifier then holds literal and bounded indices to. Past the end is a mistake of the kernel.
//
// Handles are small and copyable; they live as long as the trace; one thread.
#pragma once

#include <gpuio/kernel/values.hpp>

namespace gpuio::kernel {

// What GPUIO_STRUCT makes of S (aggregate.hpp).
template <class S>
struct StructMembers;
template <class S>
concept Structured = requires { sizeof(StructMembers<S>); };
template <class T>
concept BufferElement = Storable<T> || Structured<T>;

// An index as it is passed: u32, u64, or a literal; and the caller's line.
class Index {
 public:
  template <class T>
  constexpr Index(const Expr<T>& e, u32 line = __builtin_LINE())
      : value_(&e.tracer(), e.wide_id()), line_(line) {
    static_assert(std::same_as<promote_t<T>, u32> || std::same_as<T, u64>, "an index is u32 or u64");
  }
  template <Literal L>
  constexpr Index(L v, u32 line = __builtin_LINE()) : literal_(u64(v)), is_literal_(true), line_(line) {
    static_assert(std::integral<L> && !std::same_as<L, bool>, "an index is u32 or u64");
    exact_ = std::in_range<u64>(v);
  }
  constexpr u32 get(Tracer& t) const {
    t.at(line_);
    if (!is_literal_) {
      if (value_.tracer != &t) t.fail(Err::value_of_other_kernel, line_);
      return value_.id;
    }
    if (!exact_) t.fail(Err::literal_not_exact, line_);
    return t.build.constant(literal_ > 0xffffffff ? Type::u64 : Type::u32, literal_);
  }
  constexpr u32 line() const { return line_; }

 private:
  struct Id {
    Tracer* tracer = nullptr;
    u32 id = kNone;
    constexpr Id() = default;
    constexpr Id(Tracer* t, u32 i) : tracer(t), id(i) {}
  } value_;
  u64 literal_ = 0;
  bool is_literal_ = false, exact_ = true;
  u32 line_ = 0;
};

// 2 or 4 neighbouring elements, loaded or stored at once.
template <class T, u32 W>
class Vec {
 public:
  constexpr Vec(Tracer* t, u32 id) : tracer_(t), id_(id) {}
  constexpr Val<T> operator[](u32 element) const {
    if (element >= W) tracer_->fail(Err::index_out_of_range, tracer_->build.line, element, W);
    return {tracer_, tracer_->build.extract(id_, element < W ? element : 0)};
  }
  constexpr u32 id() const { return id_; }
  constexpr Tracer& tracer() const { return *tracer_; }

 private:
  Tracer* tracer_;
  u32 id_;
};
template <class T>
constexpr Vec<T, 2> vec(const Expr<T>& a, std::type_identity_t<Arg<T>> b) {
  Tracer& t = a.tracer();
  const u32 x = a.id();
  const u32 y = b.get(t);
  return {&t, t.build.compose(x, y)};
}
template <class T>
constexpr Vec<T, 4> vec(const Expr<T>& a, std::type_identity_t<Arg<T>> b, std::type_identity_t<Arg<T>> c,
                        std::type_identity_t<Arg<T>> d) {
  Tracer& t = a.tracer();
  const u32 x = a.id();
  const u32 y = b.get(t);
  const u32 z = c.get(t);
  const u32 w = d.get(t);
  return {&t, t.build.compose(x, y, z, w)};
}

// What all arrays have: the trace and the object's number.
class Object {
 public:
  constexpr Object(Tracer* t, u32 object) : tracer_(t), object_(object) {}
  constexpr u32 object() const { return object_; }
  constexpr Tracer& tracer() const { return *tracer_; }

 protected:
  Tracer* tracer_;
  u32 object_;
};

namespace detail {
template <class T, u32 W>
inline constexpr bool kVector = (W == 2 || W == 4) && !std::same_as<T, bool> && sizeof(T) * W <= 16;

// The arrays' operations, in pieces; each array takes those it allows.
template <class Array, class T>
struct Loads {
  template <u32 W>
  constexpr Vec<T, W> vec(Index i) const {
    static_assert(kVector<T, W>, "2 or 4 elements, at most 16 bytes");
    auto& a = static_cast<const Array&>(*this);
    const u32 index = i.get(a.tracer());
    return {&a.tracer(), a.tracer().build.load(a.object(), index, u8(W))};
  }
};
template <class Array, class T>
struct Stores {
  // Elements i, i + 1, …; i is a multiple of the width.
  template <u32 W>
  constexpr void store(Index i, Vec<T, W> v) const {
    static_assert(kVector<T, W>, "2 or 4 elements, at most 16 bytes");
    auto& a = static_cast<const Array&>(*this);
    const u32 index = i.get(a.tracer());
    a.tracer().build.store(a.object(), index, v.id());
  }
};
// Each gives the value before. Relaxed and device-wide unless said otherwise.
template <class Array, class T>
struct Atomics {
#define GPUIO_ATOMIC(NAME, RMW)                                                                       \
  constexpr Val<T> NAME(Index i, Arg<T> v, Order order = Order::relaxed, Scope scope = Array::kScope) \
      const {                                                                                         \
    return rmw(Rmw::RMW, i, v, order, scope);                                                         \
  }
  GPUIO_ATOMIC(atomic_add, add)
  GPUIO_ATOMIC(atomic_min, min)
  GPUIO_ATOMIC(atomic_max, max)
  GPUIO_ATOMIC(atomic_and, bit_and)
  GPUIO_ATOMIC(atomic_or, bit_or)
  GPUIO_ATOMIC(atomic_xor, bit_xor)
  GPUIO_ATOMIC(atomic_exchange, exchange)
#undef GPUIO_ATOMIC
  // Writes desired where expected is found.
  constexpr Val<T> atomic_cas(Index i, Arg<T> expected, Arg<T> desired, Order order = Order::relaxed,
                              Scope scope = Array::kScope) const {
    Tracer& t = self().tracer();
    const u32 index = i.get(t);
    const u32 e = expected.get(t);
    const u32 d = desired.get(t);
    return {&t, t.build.atomic_cas(self().object(), index, e, d, order, scope)};
  }
  constexpr Val<T> atomic_load(Index i, Order order = Order::relaxed, Scope scope = Array::kScope) const {
    Tracer& t = self().tracer();
    const u32 index = i.get(t);
    return {&t, t.build.atomic_load(self().object(), index, order, scope)};
  }
  constexpr void atomic_store(Index i, Arg<T> v, Order order = Order::relaxed,
                              Scope scope = Array::kScope) const {
    Tracer& t = self().tracer();
    const u32 index = i.get(t);
    const u32 value = v.get(t);
    t.build.atomic_store(self().object(), index, value, order, scope);
  }

 private:
  static_assert(IntegerNumber<T>, "atomics are on u32, i32, u64 and i64");
  constexpr const Array& self() const { return static_cast<const Array&>(*this); }
  constexpr Val<T> rmw(Rmw what, Index i, Arg<T> v, Order order, Scope scope) const {
    Tracer& t = self().tracer();
    const u32 index = i.get(t);
    const u32 value = v.get(t);
    return {&t, t.build.atomic_rmw(what, self().object(), index, value, order, scope)};
  }
};
struct None {};
template <class Array, class T>
using AtomicsIf = std::conditional_t<IntegerNumber<T>, Atomics<Array, T>, None>;
}  // namespace detail

// An element that is read and written. As a value: what was there when it was named. `tile[i] = v` takes that
// read back.
template <class T>
class Element : public Val<T> {
 public:
  constexpr Element(Tracer& t, u32 object, u32 index)
      : Val<T>(&t, t.build.load(object, index)), object_(object), index_(index), line_(t.build.line) {}
  Element(const Element&) = delete;

  constexpr void operator=(Arg<T> v) && {
    this->tracer_->discard(this->id_);
    store(v);
  }
  constexpr void operator=(const Element& v) && {
    this->tracer_->discard(this->id_);
    store(Arg<T>(v, line_));
  }
#define GPUIO_UPDATE(OP, B, KIND)           \
  constexpr void operator OP##=(Arg<B> b)&& \
    requires KIND                           \
  {                                         \
    store(Arg<T>(*this OP b, line_));       \
  }
  GPUIO_UPDATE(+, T, Number<T> || PackedPair<T>)
  GPUIO_UPDATE(-, T, Number<T> || PackedPair<T>)
  GPUIO_UPDATE(*, T, Number<T> || PackedPair<T>)
  GPUIO_UPDATE(/, T, Number<T>)
  GPUIO_UPDATE(%, T, IntegerNumber<T>)
  GPUIO_UPDATE(&, T, std::integral<T>)
  GPUIO_UPDATE(|, T, std::integral<T>)
  GPUIO_UPDATE(^, T, std::integral<T>)
  GPUIO_UPDATE(<<, u32, IntegerNumber<T>)
  GPUIO_UPDATE(>>, u32, IntegerNumber<T>)
#undef GPUIO_UPDATE

 private:
  constexpr void store(Arg<T> v) {
    const u32 value = v.get(*this->tracer_);
    this->tracer_->at(line_);
    this->tracer_->build.store(object_, index_, value);
  }
  u32 object_, index_, line_;
};

// An element that is only written.
template <class T>
class Target {
 public:
  constexpr Target(Tracer& t, u32 object, u32 index)
      : tracer_(&t), object_(object), index_(index), line_(t.build.line) {}
  Target(const Target&) = delete;
  constexpr void operator=(Arg<T> v) && {
    const u32 value = v.get(*tracer_);
    tracer_->at(line_);
    tracer_->build.store(object_, index_, value);
  }

 private:
  Tracer* tracer_;
  u32 object_, index_, line_;
};

// Buffers: parameters of the kernel. Count 0: known at launch.
template <BufferElement T, u64 Count = 0>
class In : public Object, public detail::Loads<In<T, Count>, T> {
 public:
  using Object::Object;
  static constexpr Param kParam{ParamKind::in, kTypeOf<T>, Count};
  constexpr const Val<T> operator[](Index i) const {
    const u32 index = i.get(*tracer_);
    return {tracer_, tracer_->build.load(object_, index)};
  }
  constexpr Val<u64> length() const { return {tracer_, tracer_->build.length(object_)}; }
};

template <BufferElement T, u64 Count = 0>
class Out : public Object, public detail::Stores<Out<T, Count>, T> {
 public:
  using Object::Object;
  static constexpr Param kParam{ParamKind::out, kTypeOf<T>, Count};
  constexpr Target<T> operator[](Index i) const {
    const u32 index = i.get(*tracer_);
    return {*tracer_, object_, index};
  }
  constexpr Val<u64> length() const { return {tracer_, tracer_->build.length(object_)}; }
};

template <BufferElement T, u64 Count = 0>
class InOut : public Object,
              public detail::Loads<InOut<T, Count>, T>,
              public detail::Stores<InOut<T, Count>, T>,
              public detail::AtomicsIf<InOut<T, Count>, T> {
 public:
  using Object::Object;
  static constexpr Param kParam{ParamKind::inout, kTypeOf<T>, Count};
  static constexpr Scope kScope = Scope::device;
  constexpr Element<T> operator[](Index i) const {
    const u32 index = i.get(*tracer_);
    return {*tracer_, object_, index};
  }
  constexpr Val<u64> length() const { return {tracer_, tracer_->build.length(object_)}; }
};

// One copy a workgroup, undefined at entry. Made by Ctx::shared.
template <Storable T, u32 N>
class Shared : public Object,
               public detail::Loads<Shared<T, N>, T>,
               public detail::Stores<Shared<T, N>, T>,
               public detail::AtomicsIf<Shared<T, N>, T> {
 public:
  using Object::Object;
  static constexpr Scope kScope = Scope::workgroup;
  static constexpr u32 size() { return N; }
  constexpr Element<T> operator[](Index i) const {
    const u32 index = i.get(*tracer_);
    return {*tracer_, object_, index};
  }
};

// An array whose bytes live wherever its URI says. a[i] is the element, or zero if it could not be had; a
// failure stays in the lane's sticky status (Ctx::lane_status).
template <Storable T, u64 Count = 0>
class OnDemand : public Object {
 public:
  struct Loaded {
    Val<T> value;     // zero when it failed
    Val<u32> status;  // 0, or the failure as a positive code
  };
  using Object::Object;
  static constexpr Param kParam{ParamKind::on_demand, kTypeOf<T>, Count};
  constexpr const Val<T> operator[](Index i) const {
    const u32 index = i.get(*tracer_);
    return {tracer_, tracer_->build.ondemand_load(object_, index)};
  }
  constexpr Loaded load(Index i) const {
    const u32 index = i.get(*tracer_);
    const u32 value = tracer_->build.ondemand_load(object_, index);
    const u32 status = tracer_->build.ondemand_status(value);
    return {{tracer_, value}, {tracer_, status}};
  }
  // A hint: the element will be read soon. Never fails.
  constexpr void prefetch(Index i) const {
    const u32 index = i.get(*tracer_);
    tracer_->build.ondemand_prefetch(object_, index);
  }
  constexpr Val<u64> length() const { return {tracer_, tracer_->build.length(object_)}; }
};

}  // namespace gpuio::kernel
