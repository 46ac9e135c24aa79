// The memory policy that turns the page directory's step functions (device/lane.hpp) into instructions: a
// Word is a value of the kernel, a lane's cell is a Var, when() is an if. What is known while tracing is
// folded.
//
// Threading: one Builder, one thread. Lifetime: the Builder outlives every Word. Errors: none.
#pragma once

#include <gpuio/device/lane.hpp>
#include <gpuio/kernel/builder.hpp>

#include <type_traits>

namespace gpuio::kernel::traced {

// A u64 of the kernel, or one known now.
struct Word {
  Builder* b = nullptr;
  u32 id = kNone;
  u64 known = 0;
  constexpr Word() = default;
  constexpr Word(u64 value) : known(value) {}  // NOLINT: constants mix with words
  constexpr Word(Builder& builder, u32 value) : b(&builder), id(value) {}
  constexpr u32 in(Builder& builder) const { return b ? id : builder.constant(Type::u64, known); }
};

struct Bool {
  Builder* b = nullptr;
  u32 id = kNone;
  bool known = false;
  constexpr Bool() = default;
  constexpr Bool(bool value) : known(value) {}  // NOLINT: as above
  constexpr Bool(Builder& builder, u32 value) : b(&builder), id(value) {}
};

constexpr Builder* either(const Word& x, const Word& y) { return x.b ? x.b : y.b; }

constexpr Word apply(Op op, const Word& x, const Word& y) {
  Builder& b = *either(x, y);
  return {b, b.binary(op, x.in(b), y.in(b))};
}
constexpr Bool test(Op op, const Word& x, const Word& y) {
  Builder& b = *either(x, y);
  return {b, b.compare(op, x.in(b), y.in(b))};
}
constexpr Word shift(Op op, const Word& x, const Word& y) {
  Builder& b = *either(x, y);
  const u32 count = y.b ? b.cast(Type::u32, y.id) : b.constant(Type::u32, y.known);
  return {b, b.binary(op, x.in(b), count)};
}
constexpr Word operator+(const Word& x, const Word& y) {
  if (!either(x, y)) return x.known + y.known;
  if (!y.b && y.known == 0) return x;
  return apply(Op::add, x, y);
}
constexpr Word operator-(const Word& x, const Word& y) {
  return either(x, y) ? apply(Op::sub, x, y) : Word(x.known - y.known);
}
constexpr Word operator*(const Word& x, const Word& y) {
  return either(x, y) ? apply(Op::mul, x, y) : Word(x.known * y.known);
}
constexpr Word operator&(const Word& x, const Word& y) {
  return either(x, y) ? apply(Op::bit_and, x, y) : Word(x.known & y.known);
}
constexpr Word operator|(const Word& x, const Word& y) {
  return either(x, y) ? apply(Op::bit_or, x, y) : Word(x.known | y.known);
}
constexpr Word operator~(const Word& x) {
  return x.b ? Word{*x.b, x.b->unary(Op::bit_not, x.id)} : Word(~x.known);
}
constexpr Word operator<<(const Word& x, const Word& y) {
  return either(x, y) ? shift(Op::shl, x, y) : Word(x.known << y.known);
}
constexpr Word operator>>(const Word& x, const Word& y) {
  return either(x, y) ? shift(Op::shr, x, y) : Word(x.known >> y.known);
}
constexpr Bool operator==(const Word& x, const Word& y) {
  return either(x, y) ? test(Op::eq, x, y) : Bool(x.known == y.known);
}
constexpr Bool operator!=(const Word& x, const Word& y) {
  return either(x, y) ? test(Op::ne, x, y) : Bool(x.known != y.known);
}
constexpr Bool operator<(const Word& x, const Word& y) {
  return either(x, y) ? test(Op::lt, x, y) : Bool(x.known < y.known);
}
constexpr Bool operator&(const Bool& x, const Bool& y) {
  if (!x.b) return x.known ? y : Bool(false);
  if (!y.b) return y.known ? x : Bool(false);
  return {*x.b, x.b->binary(Op::bit_and, x.id, y.id)};
}
constexpr Bool operator|(const Bool& x, const Bool& y) {
  if (!x.b) return x.known ? Bool(true) : y;
  if (!y.b) return y.known ? Bool(true) : x;
  return {*x.b, x.b->binary(Op::bit_or, x.id, y.id)};
}
constexpr Bool operator!(const Bool& x) {
  return x.b ? Bool{*x.b, x.b->unary(Op::bit_not, x.id)} : Bool(!x.known);
}

// A Var, or a place of a lane that is not bound yet.
struct Cell {
  Builder* b = nullptr;
  u32 var = kNone;
  constexpr Cell() = default;
  constexpr Cell(const Cell&) = default;
  constexpr void bind(Builder& builder) {
    b = &builder;
    var = builder.var(Type::u64);
  }
  constexpr Cell& operator=(const Word& w) {
    b->var_store(var, w.in(*b));
    return *this;
  }
  constexpr Cell& operator=(const Cell& c) { return *this = Word(c); }
  constexpr operator Word() const { return {*b, b->var_load(var)}; }  // NOLINT: reads like a word
};

// The objects of the kernel that hold the words of device/layout.hpp: parameters, appended to the kernel's
// own.
struct Objects {
  u32 directory = kNone;  // u64: DirectoryHeader, then Bucket[]
  u32 sides = kNone;      // u32: BucketSide[]
  u32 asks = kNone;       // u32: Requests
  u32 requests = kNone;   // u64: Requests again
  u32 answers = kNone;    // u64: Answers
  u32 frames = kNone;     // u64: the frames
  u32 staging = kNone;    // u64: a page a mailbox
  u32 buckets = kNone;    // scalars, u64
  u32 mailboxes = kNone;
  u32 budget = kNone;  // rounds that a lane goes before it leaves; all ones: for ever
};

class Directory {
 public:
  using Word = traced::Word;
  using Bool = traced::Bool;
  using Cell = traced::Cell;
  using Small = traced::Cell;
  static constexpr bool kPlants = false;
  static constexpr bool faulty(device::Fault) { return false; }

  constexpr Directory(Builder& b, const Objects& objects, u32 page_shift, Cell& rounds, Cell& aborted)
      : b_(b), o_(objects), page_shift_(page_shift), rounds_(rounds), aborted_(aborted) {
    buckets_ = {b_, b_.argument(o_.buckets)};
    mailboxes_ = {b_, b_.argument(o_.mailboxes)};
  }

  static constexpr u32 ways() { return device::kWays; }
  static constexpr u32 probes() { return 2 * device::kWays; }
  constexpr Word buckets() const { return buckets_; }
  constexpr Word mailboxes() const { return mailboxes_; }
  constexpr Word hash(Word page, u64 multiplier) const {
    return device::hash_bucket<Word>(page, multiplier, buckets_);
  }
  static constexpr Word select(Bool c, Word x, Word y) {
    if (!c.b) return c.known ? x : y;
    return {*c.b, c.b->select(c.id, x.in(*c.b), y.in(*c.b))};
  }
  template <class Then, class Otherwise>
  static constexpr void when(Bool c, Then then, Otherwise otherwise) {
    if (!c.b) {
      if (c.known) {
        then();
      } else {
        otherwise();
      }
      return;
    }
    Builder& b = *c.b;
    b.if_(c.id);
    then();
    b.else_();
    const std::size_t before = b.program().insts.size();
    otherwise();
    if (b.program().insts.size() == before) b.program().insts.pop_back();
    b.end_if();
  }
  constexpr Word bit_index(Word bit) const {
    const u32 zeros = b_.unary(Op::count_leading_zeros, bit.in(b_));
    return Word(63) - Word(b_, b_.cast(Type::u64, zeros));
  }
  template <u32 at, u32 end, class F>
  static constexpr void dispatch(Word where, F f) {
    if constexpr (end - at == 1) {
      f(std::integral_constant<u32, at>{});
    } else {
      constexpr u32 middle = at + (end - at) / 2;
      when(
          where < Word(middle), [&] { dispatch<at, middle>(where, f); },
          [&] { dispatch<middle, end>(where, f); });
    }
  }

  constexpr Bool expired(const device::Lane<Directory>&) {
    b_.pause();
    const u32 at = b_.constant(Type::u64, device::kAbortWord);
    aborted_ = Word(b_, b_.atomic_load(o_.answers, at, Order::relaxed, Scope::system));
    rounds_ = Word(rounds_) + 1;
    const Bool over = Word(b_, b_.argument(o_.budget)) < Word(rounds_);
    return (Word(aborted_) != Word(0)) | over;
  }
  // The abort word's status, else 0: the caller knows what it makes of a budget that is spent.
  constexpr Word leave_status(const device::Lane<Directory>&) { return aborted_; }

  constexpr Bool cold(Word frame) {
    const u32 at = side(frame, 4).in(b_);
    const Bool unused{b_, b_.compare(Op::eq, b_.atomic_load(o_.sides, at, Order::relaxed, Scope::device),
                                     b_.constant(Type::u32, 0))};
    when(unused, [] {}, [&] { b_.atomic_store(o_.sides, at, number(0), Order::relaxed, Scope::device); });
    return unused;
  }
  constexpr void touch(Word frame) {
    const u32 at = side(frame, 4).in(b_);
    const u32 used = b_.atomic_load(o_.sides, at, Order::relaxed, Scope::device);
    when(
        Bool(b_, b_.compare(Op::eq, used, number(0))),
        [&] { b_.atomic_store(o_.sides, at, number(1), Order::relaxed, Scope::device); }, [] {});
  }
  constexpr Word rotate(Word turn) const { return turn + 1; }
  constexpr void copy_staged(Word mailbox, Word frame) {
    const u32 shift = page_shift_ - 3;
    const Word from = mailbox << shift, to = frame << shift;
    const u32 i = b_.for_(b_.constant(Type::u64, 0), b_.constant(Type::u64, u64{1} << shift),
                          b_.constant(Type::u64, 1));
    const u32 word = b_.load(o_.staging, (from + Word(b_, i)).in(b_));
    b_.store(o_.frames, (to + Word(b_, i)).in(b_), word);
    b_.end_for();
  }

  constexpr Word load(device::Field f, Word i, device::Order o, device::Scope s) {
    const Place p = place(f, i);
    return wide(b_.atomic_load(p.object, p.index, Order(o), Scope(s)));
  }
  constexpr void store(device::Field f, Word i, Word v, device::Order o, device::Scope s) {
    const Place p = place(f, i);
    b_.atomic_store(p.object, p.index, narrow(p.object, v), Order(o), Scope(s));
  }
  constexpr Word add(device::Field f, Word i, Word v, device::Order o, device::Scope s) {
    return change(Rmw::add, f, i, v, o, s);
  }
  constexpr Word bit_or(device::Field f, Word i, Word v, device::Order o, device::Scope s) {
    return change(Rmw::bit_or, f, i, v, o, s);
  }
  constexpr Word bit_and(device::Field f, Word i, Word v, device::Order o, device::Scope s) {
    return change(Rmw::bit_and, f, i, v, o, s);
  }
  constexpr Word cas(device::Field f, Word i, Word expected, Word desired, device::Order o, device::Scope s) {
    const Place p = place(f, i);
    const u32 e = narrow(p.object, expected), d = narrow(p.object, desired);
    return wide(b_.atomic_cas(p.object, p.index, e, d, Order(o), Scope(s)));
  }

 private:
  struct Place {
    u32 object, index;
  };
  static_assert(u8(Order::acq_rel) == u8(device::Order::acq_rel) &&
                u8(Scope::system) == u8(device::Scope::system));

  constexpr u32 number(u64 n) { return b_.constant(Type::u32, n); }
  // Word `field` + way of a frame's BucketSide.
  constexpr Word side(Word frame, u32 field) {
    constexpr u32 words = sizeof(device::BucketSide) / 4;
    return (frame >> 2) * Word(words) + (frame & Word(3)) + Word(field);
  }
  constexpr Place place(device::Field f, Word i) {
    using device::Field;
    constexpr u64 requests = offsetof(device::Requests, request) / 8;
    constexpr u64 side_words = sizeof(device::BucketSide) / 4, lock = offsetof(device::BucketSide, lock) / 4;
    switch (f) {
      case Field::tag: return {o_.directory, (i + Word(device::kTagWord)).in(b_)};
      case Field::control: return {o_.directory, (i + Word(device::kControlWord)).in(b_)};
      case Field::lease: return {o_.directory, i.in(b_)};
      case Field::request: return {o_.sides, side(i, 0).in(b_)};
      case Field::lock: return {o_.sides, (i * Word(side_words) + Word(lock)).in(b_)};
      case Field::ask: return {o_.asks, i.in(b_)};
      case Field::what: return {o_.requests, (i * Word(2) + Word(requests)).in(b_)};
      case Field::where: return {o_.requests, (i * Word(2) + Word(requests + 1)).in(b_)};
      case Field::answer: return {o_.answers, i.in(b_)};
      case Field::bytes: return {o_.answers, (i + Word(device::kBytesWord)).in(b_)};
    }
    return {kNone, kNone};
  }
  constexpr Word wide(u32 value) {
    return {b_, b_.type(value) == Type::u64 ? value : b_.cast(Type::u64, value)};
  }
  constexpr u32 narrow(u32 object, Word v) {
    if (b_.object_type(object) == Type::u64) return v.in(b_);
    return v.b ? b_.cast(Type::u32, v.id) : number(v.known & 0xffffffff);
  }
  constexpr Word change(Rmw what, device::Field f, Word i, Word v, device::Order o, device::Scope s) {
    const Place p = place(f, i);
    return wide(b_.atomic_rmw(what, p.object, p.index, narrow(p.object, v), Order(o), Scope(s)));
  }

  Builder& b_;
  const Objects& o_;
  u32 page_shift_;
  Cell& rounds_;
  Cell& aborted_;
  Word buckets_, mailboxes_;
};

}  // namespace gpuio::kernel::traced
