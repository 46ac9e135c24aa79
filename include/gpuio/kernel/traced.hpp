// The memory policy that turns the page directory's step functions (device/lane.hpp) into instructions: a
// Word is a value of the kernel, a lane's cell is a Var, when() is an if. What is known while tracing is
// folded, what fits into 32 bits is kept in 32 bits, and a step that only one other leads to is written right
// there: what remains for a kernel to decide at run time is where several ways meet.
//
// Threading: one Builder, one thread. Lifetime: the Builder outlives every Word. Errors: none.
#pragma once

#include <gpuio/device/lane.hpp>
#include <gpuio/kernel/traced_word.hpp>

namespace gpuio::kernel::traced {

// A Var; unbound, a word that is known whenever it is written.
struct Cell {
  Builder* b = nullptr;
  u32 var = kNone;
  u64 known = 0;
  constexpr Cell() = default;
  constexpr Cell(const Cell&) = default;
  constexpr void bind(Builder& builder, Type type) {
    b = &builder;
    var = builder.var(type);
  }
  constexpr void share(const Cell& cell) {
    b = cell.b;
    var = cell.var;
  }
  constexpr Cell& operator=(const Word& w) {
    if (!b) known = w.known;
    else b->var_store(var, b->program().vars[var] == Type::u32 ? w.low(*b) : w.in(*b));
    return *this;
  }
  constexpr Cell& operator=(const Cell& c) { return *this = Word(c); }
  constexpr operator Word() const {  // NOLINT: reads like a word
    return b ? Word{*b, b->var_load(var)} : Word(known);
  }
};

// The places that one step alone leads to. access.hpp, which steps the others, holds the lists together.
inline constexpr u32 kFollowing[] = {
    device::At::undo,          device::At::lease_take, device::At::ticket,      device::At::claim_way,
    device::At::write_request, device::At::begin_fill, device::At::post_what,   device::At::post_ask,
    device::At::read_answer,   device::At::win,        device::At::drop_failed, device::At::bypass_low,
    device::At::orphan};
template <std::size_t N>
constexpr bool contains(const u32 (&places)[N], u32 at) {
  for (const u32 place : places) {
    if (place == at) return true;
  }
  return false;
}

class Directory;

// Where a lane is. A place that one step alone leads to is no value of the kernel: its code goes there.
struct Place {
  Directory* machine = nullptr;
  Cell cell{};
  constexpr Place& operator=(const Word& to);
  constexpr operator Word() const { return cell; }  // NOLINT: reads like a word
};

// The objects of the kernel that hold the words of device/layout.hpp: parameters, appended to the kernel's
// own.
struct Objects {
  u32 directory = kNone;  // u64: DirectoryHeader, then Bucket[]
  u32 sides = kNone;      // u32: BucketSide[]
  u32 requests = kNone;   // u64: Requests
  u32 answers = kNone;    // u64: Answers
  u32 frames = kNone;     // u64: the frames; only where pages are staged
  u32 staging = kNone;    // u64: a page a mailbox; likewise
  u32 buckets = kNone;    // scalars, u32
  u32 mailboxes = kNone;
  u32 budget = kNone;  // rounds that a lane goes before it leaves; all ones: for ever
};

class Directory {
 public:
  using Word = traced::Word;
  using Bool = traced::Bool;
  using Cell = traced::Cell;
  using Small = traced::Cell;
  using Place = traced::Place;
  using Lane = device::Lane<Directory>;
  static constexpr bool kPlants = false;
  static constexpr bool kBrings = false;
  static constexpr bool faulty(device::Fault) { return false; }

  // The lane's cells belong to the caller, who binds them; `lane` goes through this machine from now on.
  // `element` of `bytes` bytes is what is wanted of the page.
  constexpr Directory(Builder& b, const Objects& objects, u32 page_shift, Lane& lane, Cell& rounds,
                      Word element, u32 bytes)
      : b_(b),
        o_(objects),
        page_shift_(page_shift),
        lane_(lane),
        rounds_(rounds),
        element_(element),
        bytes_(bytes) {
    lane.at.machine = this;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  static constexpr u32 ways() { return device::kWays; }
  static constexpr u32 probes() { return 2 * device::kWays; }
  static constexpr bool writes() { return false; }
  static constexpr u32 bypass_words() { return 1; }  // an element
  constexpr Word byte(const Lane&) const { return element_ * Word(bytes_); }
  constexpr Word bytes(const Lane&) const { return Word(bytes_); }
  constexpr bool stages() const { return o_.staging != kNone; }
  constexpr Word buckets() const { return {b_, b_.argument(o_.buckets)}; }
  constexpr Word mailboxes() const { return {b_, b_.argument(o_.mailboxes)}; }
  constexpr Word hash(Word page, u64 multiplier) const { return bucket(page, multiplier, buckets()); }
  static constexpr Word select(Bool c, Word x, Word y) {
    if (!c.b) return c.known ? x : y;
    Builder& b = *c.b;
    if (x.fits() && y.fits()) return {b, b.select(c.id, x.low(b), y.low(b))};
    return {b, b.select(c.id, x.in(b), y.in(b))};
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
    return Word(63) - Word(b_, b_.unary(Op::count_leading_zeros, bit.in(b_)));
  }
  // The code of one step, and of those that it alone leads to.
  constexpr void trace(u32 at) { trace<0>(at); }
  static constexpr bool follows_one(u32 at) { return contains(kFollowing, at); }

  constexpr Bool expired(const Lane&) {
    b_.pause();
    const u32 at = b_.constant(Type::u64, device::kAbortWord);
    aborted_ = Word(b_, b_.atomic_load(o_.answers, at, Order::relaxed, Scope::system));
    rounds_ = Word(rounds_) + 1;
    const Bool over = Word(b_, b_.argument(o_.budget)) < Word(rounds_);
    return (aborted_ != Word(0)) | over;
  }
  // The abort word's status, else 0: the caller knows what it makes of a budget that is spent. Asked for
  // where expired() has just said so.
  constexpr Word leave_status(const Lane&) { return aborted_; }

  constexpr Bool cold(Word frame) {
    const u32 at = side(frame, 4).low(b_);
    const Bool unused{b_, b_.compare(Op::eq, b_.atomic_load(o_.sides, at, Order::relaxed, Scope::device),
                                     b_.constant(Type::u32, 0))};
    when(unused, [] {}, [&] { b_.atomic_store(o_.sides, at, number(0), Order::relaxed, Scope::device); });
    return unused;
  }
  constexpr void touch(Word frame) {
    const u32 at = side(frame, 4).low(b_);
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
    const Element p = element(f, i);
    return {b_, b_.atomic_load(p.object, p.index, Order(o), Scope(s))};
  }
  constexpr void store(device::Field f, Word i, Word v, device::Order o, device::Scope s) {
    const Element p = element(f, i);
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
    const Element p = element(f, i);
    const u32 e = narrow(p.object, expected), d = narrow(p.object, desired);
    return {b_, b_.atomic_cas(p.object, p.index, e, d, Order(o), Scope(s))};
  }

 private:
  struct Element {
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
  constexpr Element element(device::Field f, Word i) {
    using device::Field;
    constexpr u64 side_words = sizeof(device::BucketSide) / 4, lock = offsetof(device::BucketSide, lock) / 4;
    switch (f) {
      case Field::tag: return {o_.directory, index(i + Word(device::kTagWord))};
      case Field::control: return {o_.directory, index(i + Word(device::kControlWord))};
      case Field::lease: return {o_.directory, index(i)};
      case Field::request: return {o_.sides, index(side(i, 0))};
      case Field::lock: return {o_.sides, index(i * Word(side_words) + Word(lock))};
      case Field::what: return {o_.requests, index(i * Word(2))};
      case Field::ask: return {o_.requests, index(i * Word(2) + Word(1))};
      case Field::answer: return {o_.answers, index(i)};
      case Field::bytes: return {o_.answers, index(i + Word(device::kBytesWord))};
    }
    return {kNone, kNone};
  }
  constexpr u32 narrow(u32 object, Word v) {
    return b_.object_type(object) == Type::u64 ? v.in(b_) : v.low(b_);
  }
  // What counts words of memory, which a u32 can.
  constexpr u32 index(Word i) { return i.low(b_); }
  constexpr Word change(Rmw what, device::Field f, Word i, Word v, device::Order o, device::Scope s) {
    const Element p = element(f, i);
    return {b_, b_.atomic_rmw(what, p.object, p.index, narrow(p.object, v), Order(o), Scope(s))};
  }

  template <u32 at>
  constexpr void trace(u32 wanted) {
    if constexpr (at < device::kSteps) {
      if (at == wanted) device::steps::run<at>(*this, lane_);
      else trace<at + 1>(wanted);
    }
  }

  Builder& b_;
  const Objects& o_;
  u32 page_shift_;
  Lane& lane_;
  Cell& rounds_;
  Word element_;
  u32 bytes_;
  Word aborted_{};
};

constexpr Place& Place::operator=(const Word& to) {
  if (!to.b && Directory::follows_one(u32(to.known))) machine->trace(u32(to.known));
  else cell = to;
  return *this;
}

}  // namespace gpuio::kernel::traced
