// What an on-demand load does on a device: the page directory's steps (device/lane.hpp), traced into the
// kernel.
//
//   DirectoryAccess access({.page_shift = 16});
//   Program p = lower_access(kernel, access);       // waits: no on-demand operation is left
//   p runs with the parameters of access.hidden() appended to the kernel's own, in their order
//
// The hit is written where the load is: eight tags, pin, load, unpin. What a miss does is one loop behind it
// with each step of the protocol in it once; a lane's place decides which of them it takes in a turn.
//
// The same object is what the suspend pass takes: load() says whether the element was there, request() writes
// what the lane needs into its record.
//
// An on-demand parameter becomes a buffer of which only the number of elements is used; its pages begin at
// the hidden scalar `first_page`. An index past the end yields zero and AccessOptions::out_of_range. Elements
// are powers of two of bytes.
//
// Threading, lifetime: as Builder. Errors: as statuses of the lane.
#pragma once

#include <gpuio/kernel/lower.hpp>
#include <gpuio/kernel/traced.hpp>
#include <gpuio/kernel/ways.hpp>

#include <utility>
#include <vector>

namespace gpuio::kernel {

struct AccessOptions {
  u32 page_shift = 16;   // log2 of the bytes of a page; >= 4
  u32 out_of_range = 1;  // status of an index past the end
  u32 timed_out = 2;     // status of a lane whose budget is spent, where it does not suspend
  bool staged = false;   // the host may leave pages in staging slots for the lanes to copy
};

// Parameters appended by the lowering. `frames_as` is the frames once more, by element type; `first_page` a
// u64 scalar by on-demand parameter.
struct HiddenParameters {
  traced::Objects objects;
  std::vector<std::pair<Type, u32>> frames_as{};
  std::vector<std::pair<u32, u32>> first_page{};
};

namespace detail {

// Where a lane may be while it waits for a page, in an order in which the steps mostly follow each other:
// until it has asked, and from then on. At::pin comes before both.
inline constexpr u32 kAsking[] = {device::At::probe,       device::At::lease,  device::At::lock,
                                  device::At::probe_again, device::At::unlock, device::At::post_control};
inline constexpr u32 kAsked[] = {
    device::At::wait,           device::At::read_status, device::At::read_hint, device::At::read_control,
    device::At::publish_status, device::At::copy,        device::At::publish,   device::At::bypass_wait,
    device::At::free_control,   device::At::free_lease,  device::At::turn,      device::At::drop};
// Where it is not: letting go of a page is traced where that is done, the others are of writes, of bytes that
// a lane of the host brings, and of more bytes than an element has.
inline constexpr u32 kNotWaiting[] = {
    device::At::mark_dirty, device::At::unpin,       device::At::flush_probe,
    device::At::clean_load, device::At::clean,       device::At::say,
    device::At::redirty,    device::At::unpin_frame, device::At::bypass_high};

// A lane that comes to a place that nothing steps would stay there for ever.
constexpr bool each_place_is_in_one_list() {
  for (u32 at = 0; at < device::kSteps; ++at) {
    const int lists = (at == device::At::pin) + traced::contains(kAsking, at) + traced::contains(kAsked, at) +
                      traced::contains(kNotWaiting, at) + traced::contains(traced::kFollowing, at);
    if (lists != 1 || (traced::contains(kAsking, at) && at >= device::At::wait)) return false;
  }
  return true;
}
static_assert(
    each_place_is_in_one_list(),
    "each place of the protocol is stepped, follows one other, or is not for waiting: one of the three");

}  // namespace detail

class DirectoryAccess {
 public:
  struct Try {
    u32 ok = kNone, value = kNone, status = kNone;
  };

  constexpr explicit DirectoryAccess(const AccessOptions& options) : options_(options) {}
  constexpr const HiddenParameters& hidden() const { return hidden_; }

  constexpr void declare(Builder& b) {
    traced::Objects& o = hidden_.objects;
    const u32 own = u32(b.program().params.size());
    o.directory = b.param(ParamKind::inout, Type::u64);
    o.sides = b.param(ParamKind::inout, Type::u32);
    o.requests = b.param(ParamKind::inout, Type::u64);
    o.answers = b.param(ParamKind::inout, Type::u64);
    if (options_.staged) {
      o.frames = b.param(ParamKind::inout, Type::u64);
      o.staging = b.param(ParamKind::in, Type::u64);
    }
    o.buckets = b.param(ParamKind::scalar, Type::u32);
    o.mailboxes = b.param(ParamKind::scalar, Type::u32);
    o.budget = b.param(ParamKind::scalar, Type::u32);
    for (u32 p = 0; p < own; ++p) {
      const Param param = b.program().params[p];
      if (param.kind != ParamKind::on_demand) continue;
      b.program().params[p].kind = ParamKind::in;  // of which only the length is used
      hidden_.first_page.push_back({p, b.param(ParamKind::scalar, Type::u64)});
      if (find(hidden_.frames_as, param.type) == kNone) {
        hidden_.frames_as.push_back({param.type, b.param(ParamKind::inout, param.type)});
      }
    }
    // may_bypass, begin, stale and high stay unbound: here they never vary, or nobody asks.
    Lane& l = lane_;
    for (traced::Cell* c : {&l.at.cell, &l.k, &l.frame, &l.spare, &l.held, &l.mailbox, &l.operation, &l.next,
                            &l.turn, &l.status, &l.primary, &l.secondary, &rounds_})
      c->bind(b, Type::u32);
    for (traced::Cell* c : {&l.page, &l.word, &l.control}) c->bind(b, Type::u64);
    leaving_ = b.var(Type::boolean);
    l.low.share(l.word);  // bytes come when the lane needs no word any more
  }

  // The element, if it is to be had within the budget.
  constexpr Try load(Builder& b, u32 object, u32 index) {
    using device::At;
    using traced::Word;
    const Type type = b.object_type(object);
    const u32 value = b.var(type), status = b.var(Type::u32), ok = b.var(Type::boolean);
    const ways::Location at = locate(b, object, index);
    b.var_store(value, b.constant(type, 0));
    b.var_store(status, b.constant(Type::u32, options_.out_of_range));
    b.var_store(ok, b.constant(Type::boolean, 1));
    b.if_(at.inside);
    b.var_store(status, b.constant(Type::u32, 0));
    Lane& l = lane_;
    traced::Directory m(b, hidden_.objects, options_.page_shift, l, rounds_, Word(b, at.element),
                        size_of(type));
    l.turn = Word(b, b.builtin(Builtin::local_index)) + Word(b, b.builtin(Builtin::group_x)) * Word(7);
    rounds_ = Word(0);
    device::begin_access(m, l, Word(b, at.page), Word(1), Word(0));
    look(b, at.page);
    wait(b, m);
    traced::Directory::when(
        Word(l.at) == Word(At::pinned),
        [&] {
          const u32 from = ways::in_frame(b, type, Word(l.frame).low(b), at.element, options_.page_shift);
          b.var_store(value, b.load(find(hidden_.frames_as, type), from));
          device::release(m, l, false);
          m.trace(At::unpin);
        },
        [&] {
          traced::Directory::when(
              Word(l.at) == Word(At::bypassed),
              [&] { b.var_store(value, from_bits(b, Word(l.low).in(b), type)); },
              [&] { fail(b, status, ok); });
        });
    b.end_if();
    return {b.var_load(ok), b.var_load(value), b.var_load(status)};
  }

  // What a lane needs, into its record of the slab. Slab: what the suspend pass hands out.
  template <class Slab>
  constexpr void request(Builder& b, Slab& slab, u32 object, u32 index) {
    const ways::Location at = locate(b, object, index);
    const u32 size = b.constant(Type::u32, size_of(b.object_type(object)));
    slab.write_wide(offsetof(device::LaneRecord, page) / 4, at.page);
    slab.write(offsetof(device::LaneRecord, byte) / 4, b.binary(Op::mul, at.element, size));
    slab.write(offsetof(device::LaneRecord, bytes) / 4, size);
  }

  constexpr void prefetch(Builder&, u32, u32) {}

  // Whether an access of this lane has failed while the host aborts the kernel: boolean.
  constexpr u32 told_to_leave(Builder& b) const { return b.var_load(leaving_); }

  constexpr const AccessOptions& options() const { return options_; }

 private:
  using Lane = device::Lane<traced::Directory>;

  template <class Key>
  static constexpr u32 find(const std::vector<std::pair<Key, u32>>& list, Key key) {
    for (const auto& [k, v] : list) {
      if (k == key) return v;
    }
    return kNone;
  }

  constexpr ways::Location locate(Builder& b, u32 object, u32 index) {
    const u32 first_page = b.argument(find(hidden_.first_page, object));
    return ways::locate(b, object, index, first_page, options_.page_shift);
  }

  // Straight to the pin if a way holds the page, whatever else its tag says.
  constexpr void look(Builder& b, u32 page) {
    using device::At;
    using traced::Word;
    const u32 wanted = ways::valid_tag(b, page), mask = b.constant(Type::u64, device::kPage | device::kState);
    const auto tags = [&](u32 first) {
      std::array<u32, device::kWays> tag{};
      for (u32 w = 0; w < device::kWays; ++w) {
        const u32 at = b.binary(Op::add, first, b.constant(Type::u32, w));
        const u32 word = b.atomic_load(hidden_.objects.directory, at, Order::relaxed, Scope::device);
        tag[w] = b.binary(Op::bit_and, word, mask);
      }
      return tag;
    };
    Lane& l = lane_;
    const auto none = [&] { return Word(l.frame) == Word(ways::kNoFrame); };
    l.frame = Word(b, ways::find(b, Word(l.primary).low(b), wanted, tags));
    traced::Directory::when(
        none(), [&] { l.frame = Word(b, ways::find(b, Word(l.secondary).low(b), wanted, tags)); }, [] {});
    l.at = traced::Directory::select(none(), Word(At::probe), Word(At::pin));
  }

  // The steps of the protocol, until the lane has an outcome. In an order in which most of them follow each
  // other, so that a turn of the loop is a round of the protocol.
  constexpr void wait(Builder& b, traced::Directory& m) {
    using device::At;
    using traced::Word;
    Lane& l = lane_;
    const auto step = [&](u32 at) {
      b.if_((Word(l.at) == Word(at)).id);
      m.trace(at);
      b.end_if();
    };
    // A step that looks at one way a time.
    const auto steps = [&](u32 at) {
      b.loop();
      traced::Directory::when(Word(l.at) == Word(at), [&] { m.trace(at); }, [&] { b.break_(); });
      b.end_loop();
    };
    b.loop();
    step(At::pin);
    traced::Directory::when(Word(At::pinned - 1) < Word(l.at), [&] { b.break_(); }, [] {});
    b.if_((Word(l.at) < Word(At::wait)).id);
    for (const u32 at : detail::kAsking) {
      if (at == At::probe || at == At::probe_again) steps(at);
      else step(at);
    }
    b.end_if();
    for (const u32 at : detail::kAsked) {
      if (at != At::copy || m.stages()) step(at);
    }
    b.end_loop();
  }

  // Failed: the request's status. Left: the abort word's; or the budget is spent, and the lane may suspend.
  constexpr void fail(Builder& b, u32 status, u32 ok) {
    using traced::Word;
    Lane& l = lane_;
    traced::Directory::when(
        Word(l.status) != Word(0),
        [&] {
          b.var_store(status, Word(l.status).low(b));
          // An abort reaches the lane as an answer or in its own word, whichever it sees first.
          const u32 at = b.constant(Type::u64, device::kAbortWord);
          const u32 word = b.atomic_load(hidden_.objects.answers, at, Order::relaxed, Scope::system);
          b.var_store(leaving_, b.compare(Op::ne, word, b.constant(Type::u64, 0)));
        },
        [&] {
          b.var_store(status, b.constant(Type::u32, options_.timed_out));
          b.var_store(ok, b.constant(Type::boolean, 0));
        });
  }

  static constexpr u32 from_bits(Builder& b, u32 bits, Type type) {
    if (type == Type::u64) return bits;
    if (size_of(type) == 8) return b.bitcast(type, bits);
    if (size_of(type) == 4) {
      const u32 word = b.cast(Type::u32, bits);
      return type == Type::u32 ? word : b.bitcast(type, word);
    }
    if (!is_float(type)) return b.cast(type, b.cast(Type::u32, bits));
    return b.bitcast(type, b.cast(Type::u16, bits));
  }

  AccessOptions options_;
  HiddenParameters hidden_{};
  Lane lane_{};
  traced::Cell rounds_{};
  u32 leaving_ = kNone;  // Var
};

namespace detail {

// The loops that a lane may leave on its own, by opening instruction: they hold accesses, and nothing in them
// waits for other lanes.
constexpr std::vector<bool> leavable_loops(const View& kernel) {
  struct Region {
    u32 open = 0;
    bool accesses = false, collective = false;
  };
  std::vector<bool> leavable(kernel.insts.size());
  std::vector<Region> around;
  for (u32 id = 0; id < kernel.insts.size(); ++id) {
    const Op op = kernel.insts[id].op;
    if (opens_region(op)) around.push_back({id});
    if (around.empty()) continue;
    Region& r = around.back();
    r.accesses = r.accesses || op == Op::ondemand_load;
    r.collective = r.collective || (op >= Op::barrier && op <= Op::subgroup_elect) || is_matrix(op);
    if (!closes_region(op)) continue;
    const Region inner = r;
    around.pop_back();
    const bool loop = kernel.insts[inner.open].op != Op::if_;
    leavable[inner.open] = loop && inner.accesses && !inner.collective;
    if (around.empty()) continue;
    around.back().accesses = around.back().accesses || inner.accesses;
    around.back().collective = around.back().collective || inner.collective;
  }
  return leavable;
}

}  // namespace detail

// Without suspending: every on-demand load becomes the code of `access`, which waits within its budget. The
// lane's sticky status becomes a Var. A lane that an abort has sent on leaves its loops at their next turn,
// so that an aborted kernel ends soon whatever is left of its data.
constexpr Program lower_access(View kernel, DirectoryAccess& access) {
  Program p = declarations_of(kernel);
  Builder b(p);
  access.declare(b);
  const u32 sticky = b.var(Type::u32);
  std::vector<u32> now(kernel.insts.size(), kNone), status(kernel.insts.size(), kNone);
  const std::vector<bool> leavable = detail::leavable_loops(kernel);
  for (u32 id = 0; id < kernel.insts.size(); ++id) {
    Inst i = kernel.insts[id];
    b.line = i.line;
    const u32 operands = value_operands(i);
    u32* const fields[] = {&i.a, &i.b, &i.c, &i.d};
    if (i.op == Op::ondemand_status) {
      now[id] = status[i.a];
      continue;
    }
    for (u32 k = 0; k < 4; ++k) {
      if (operands >> k & 1) *fields[k] = now[*fields[k]];
    }
    if (i.op == Op::ondemand_load) {
      const DirectoryAccess::Try got = access.load(b, i.a, i.b);
      now[id] = got.value;
      status[id] = got.status;
      const u32 first = b.var_load(sticky);
      const u32 none = b.compare(Op::eq, first, b.constant(Type::u32, 0));
      b.var_store(sticky, b.select(none, got.status, first));
    } else if (i.op == Op::lane_status) {
      now[id] = b.var_load(sticky);
    } else if (i.op != Op::ondemand_prefetch) {
      now[id] = b.append(i);
      if (!leavable[id]) continue;
      b.if_(access.told_to_leave(b));
      b.break_();
      b.end_if();
    }
  }
  return p;
}

}  // namespace gpuio::kernel
