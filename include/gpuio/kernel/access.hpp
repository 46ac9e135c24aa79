// What an on-demand load does on a device: the page directory's steps (device/lane.hpp), traced into the
// kernel.
//
//   DirectoryAccess access{{.page_shift = 16}};
//   Lowered l = lower_access(kernel, access);       // waits: no on-demand operation is left
//   l.program runs with the parameters of l.hidden appended to the kernel's own, in their order
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

#include <gpuio/kernel/traced.hpp>

#include <utility>
#include <vector>

namespace gpuio::kernel {

struct AccessOptions {
  u32 page_shift = 16;   // log2 of the bytes of a page; >= 4
  u32 out_of_range = 1;  // status of an index past the end
  u32 timed_out = 2;     // status of a lane whose budget is spent, where it does not suspend
};

// Parameters appended by the lowering. `frames_as` is the frames once more, by element type; `first_page` a
// u64 scalar by on-demand parameter.
struct HiddenParameters {
  traced::Objects objects;
  std::vector<std::pair<Type, u32>> frames_as{};
  std::vector<std::pair<u32, u32>> first_page{};
};

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
    o.asks = b.param(ParamKind::inout, Type::u32);
    o.requests = b.param(ParamKind::inout, Type::u64);
    o.answers = b.param(ParamKind::inout, Type::u64);
    o.frames = b.param(ParamKind::inout, Type::u64);
    o.staging = b.param(ParamKind::in, Type::u64);
    o.buckets = b.param(ParamKind::scalar, Type::u64);
    o.mailboxes = b.param(ParamKind::scalar, Type::u64);
    o.budget = b.param(ParamKind::scalar, Type::u64);
    for (u32 p = 0; p < own; ++p) {
      const Param param = b.program().params[p];
      if (param.kind != ParamKind::on_demand) continue;
      b.program().params[p].kind = ParamKind::in;  // of which only the length is used
      hidden_.first_page.push_back({p, b.param(ParamKind::scalar, Type::u64)});
      if (find(hidden_.frames_as, param.type) == kNone) {
        hidden_.frames_as.push_back({param.type, b.param(ParamKind::inout, param.type)});
      }
    }
    device::Lane<traced::Directory>& l = lane_;
    for (traced::Cell* c :
         {&l.at,      &l.may_bypass, &l.begin,   &l.k,    &l.frame,  &l.spare,   &l.stale,     &l.held,
          &l.mailbox, &l.operation,  &l.next,    &l.turn, &l.status, &l.primary, &l.secondary, &l.page,
          &l.where,   &l.word,       &l.control, &l.low,  &l.high,   &rounds_,   &aborted_}) {
      c->bind(b);
    }
  }

  // The element, if it is to be had within the budget.
  constexpr Try load(Builder& b, u32 object, u32 index) {
    using device::At;
    using traced::Word;
    const Type type = b.object_type(object);
    const u32 value = b.var(type), status = b.var(Type::u32), ok = b.var(Type::boolean);
    const Element e = element(b, object, index);
    b.var_store(value, b.constant(type, 0));
    b.var_store(status, b.constant(Type::u32, options_.out_of_range));
    b.var_store(ok, b.constant(Type::boolean, 1));
    b.if_(b.compare(Op::lt, e.index, b.length(object)));
    b.var_store(status, b.constant(Type::u32, 0));
    traced::Directory m(b, hidden_.objects, options_.page_shift, rounds_, aborted_);
    device::Lane<traced::Directory>& l = lane_;
    rounds_ = Word(0);
    l.turn = Word(b, b.cast(Type::u64, b.builtin(Builtin::local_index))) +
             Word(b, b.cast(Type::u64, b.builtin(Builtin::group_x))) * Word(7);
    const u64 size = u64{size_of(type)} << 32;
    device::begin_access(m, l, Word(b, e.page), Word(1), Word(b, e.byte) | Word(size));
    run(b, m);
    traced::Directory::when(
        Word(l.at) == Word(At::pinned),
        [&] {
          const u32 frames = find(hidden_.frames_as, type);
          const u32 shift = options_.page_shift - log2_of(size_of(type));
          const Word at = (Word(l.frame) << Word(shift)) + (Word(b, e.byte) >> Word(log2_of(size_of(type))));
          b.var_store(value, b.load(frames, at.in(b)));
          device::release(m, l, false);
          device::steps::run<At::unpin>(m, l);
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
    const Element e = element(b, object, index);
    slab.write_wide(offsetof(device::LaneRecord, page) / 4, e.page);
    slab.write(offsetof(device::LaneRecord, byte) / 4, b.cast(Type::u32, e.byte));
    slab.write(offsetof(device::LaneRecord, bytes) / 4,
               b.constant(Type::u32, size_of(b.object_type(object))));
  }

  constexpr void prefetch(Builder&, u32, u32) {}

  constexpr const AccessOptions& options() const { return options_; }

 private:
  struct Element {
    u32 index, page, byte;  // u64; the byte in the page
  };
  static constexpr u32 log2_of(u32 n) { return n <= 1 ? 0 : 1 + log2_of(n / 2); }
  template <class Key>
  static constexpr u32 find(const std::vector<std::pair<Key, u32>>& list, Key key) {
    for (const auto& [k, v] : list) {
      if (k == key) return v;
    }
    return kNone;
  }

  constexpr Element element(Builder& b, u32 object, u32 index) {
    const u32 wide = b.type(index) == Type::u64 ? index : b.cast(Type::u64, index);
    const auto number = [&](Type t, u64 n) { return b.constant(t, n); };
    const u32 size_shift = log2_of(size_of(b.object_type(object)));
    const u32 byte = b.binary(Op::shl, wide, number(Type::u32, size_shift));
    const u32 first = b.argument(find(hidden_.first_page, object));
    const u32 page =
        b.binary(Op::add, first, b.binary(Op::shr, byte, number(Type::u32, options_.page_shift)));
    const u64 mask = (u64{1} << options_.page_shift) - 1;
    return {wide, page, b.binary(Op::bit_and, byte, number(Type::u64, mask))};
  }

  // The hit inline; then, for whoever missed, all of the machine.
  constexpr void run(Builder& b, traced::Directory& m) {
    using device::At;
    using traced::Word;
    device::Lane<traced::Directory>& l = lane_;
    b.loop();
    traced::Directory::when(
        Word(l.at) == Word(At::probe), [&] { device::steps::run<At::probe>(m, l); },
        [&] {
          traced::Directory::when(
              Word(l.at) == Word(At::pin), [&] { device::steps::run<At::pin>(m, l); }, [&] { b.break_(); });
        });
    b.end_loop();
    b.if_((Word(l.at) < Word(At::pinned)).id);
    b.loop();
    traced::Directory::when(Word(l.at) < Word(At::pinned), [&] { device::step(m, l); }, [&] { b.break_(); });
    b.end_loop();
    b.end_if();
  }

  // Failed: the request's status. Left: the abort word's; or the budget is spent, and the lane may suspend.
  constexpr void fail(Builder& b, u32 status, u32 ok) {
    using traced::Word;
    device::Lane<traced::Directory>& l = lane_;
    traced::Directory::when(
        Word(l.status) != Word(0), [&] { b.var_store(status, b.cast(Type::u32, Word(l.status).in(b))); },
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
  device::Lane<traced::Directory> lane_{};
  traced::Cell rounds_{}, aborted_{};
};

// Without suspending: every on-demand load becomes the code of `access`, which waits within its budget. The
// lane's sticky status becomes a Var.
constexpr Program lower_access(View kernel, DirectoryAccess& access) {
  Program p{.name = kernel.name, .block = kernel.block};
  p.params.assign(kernel.params.begin(), kernel.params.end());
  p.shared.assign(kernel.shared.begin(), kernel.shared.end());
  p.vars.assign(kernel.vars.begin(), kernel.vars.end());
  Builder b(p);
  access.declare(b);
  const u32 sticky = b.var(Type::u32);
  std::vector<u32> now(kernel.insts.size(), kNone), status(kernel.insts.size(), kNone);
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
    }
  }
  return p;
}

}  // namespace gpuio::kernel
