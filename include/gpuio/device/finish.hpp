// Steps of a lane that waits: finish whatever is answered, take a bypass's bytes, leave. See lane.hpp.
//
// Threading, lifetime, errors: as lane.hpp.
#pragma once

#include <gpuio/device/hit.hpp>

namespace gpuio::device {
namespace steps {

// ---- Wait for one's own fill. The claim pin becomes the access pin.
template <class M>
constexpr void wait(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W f = W(l.held) - 1;
  const Order order = M::faulty(Fault::wait_relaxed) ? Order::relaxed : Order::acquire;
  const W t = m.load(Field::tag, f, order, Scope::device);
  const W page = W(l.page);
  l.frame = f;
  M::when(
      holds<M>(t, page, kValid),
      [&] {
        l.word = t;
        l.held = W(0);
        m.touch(f);
        l.at = W(At::pinned);
      },
      [&] { l.at = M::select(holds<M>(t, page, kFill), W(At::read_hint), W(At::read_status)); });
}

template <class M>
constexpr void read_status(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W r = m.load(Field::request, W(l.frame), Order::relaxed, Scope::device);
  l.status = r & ~u64{kRequestFailed};
  l.at = W(At::drop_failed);
}

template <class M>
constexpr void drop_failed(M& m, Lane<M>& l) {
  using W = typename M::Word;
  m.add(Field::tag, W(l.frame), W(0 - kPin), Order::relaxed, Scope::device);
  l.held = W(0);
  l.at = W(At::failed);
}

// ---- Finish an answered mailbox, whoever posted it.

// Is it the answer to the request in the control word in hand?
template <class M>
constexpr typename M::Bool answers(typename M::Word answer, const Lane<M>& l) {
  using W = typename M::Word;
  return ((answer ^ (W(l.control) >> kSequenceShift)) & 0xffffffff) == W(0);
}

template <class M>
constexpr void read_hint(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W r = m.load(Field::request, W(l.frame), Order::relaxed, Scope::device);
  M::when((r & u64{kRequestFailed}) != W(0), [&] { l.at = W(At::turn); },
          [&] {
            if constexpr (M::kPlants) {
              if (M::faulty(Fault::only_poster_finishes) && (l.held == 0 || l.mailbox != r)) {
                l.at = W(At::turn);
                return;
              }
            }
            l.mailbox = r;
            l.at = W(At::read_control);
          });
}

template <class M>
constexpr void read_control(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W c = m.load(Field::control, W(l.mailbox), Order::relaxed, Scope::device);
  const W state = c & 3;
  const typename M::Bool bypass = ((c >> kOperationShift) & 3) == W(kOpBypass);
  const typename M::Bool posted = (state == W(kPosted)) & (!bypass | M::faulty(Fault::bypass_not_told_apart));
  const typename M::Bool orphan = (state == W(kOrphan)) & !M::faulty(Fault::orphan_unreaped);
  M::when(
      posted | orphan,
      [&] {
        l.control = c;
        l.at = W(At::read_answer);
      },
      [&] { l.at = W(At::turn); });
}

template <class M>
constexpr void read_answer(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W a = m.load(Field::answer, W(l.mailbox), Order::acquire, Scope::system);
  const typename M::Bool answered = answers<M>(a, l);
  const typename M::Bool unasked = M::faulty(Fault::win_ignores_sequence) & (a != W(0));
  M::when(
      answered | unasked,
      [&] {
        l.word = a;
        l.at = W(At::win);
      },
      [&] {
        l.control = W(0);
        l.at = W(At::turn);
      });
}

template <class M>
constexpr void win(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W c = W(l.control);
  W old = c;
  if (M::faulty(Fault::win_by_store)) {
    m.store(Field::control, W(l.mailbox), c | 3, Order::relaxed, Scope::device);
  } else {
    old = m.cas(Field::control, W(l.mailbox), c, c | 3, Order::acquire, Scope::device);
  }
  M::when(
      old == c,
      [&] {
        const W failed = (W(l.word) >> kAnswerStatusShift) & 0x7fffffff;
        const typename M::Bool good = failed == W(0);
        const W operation = (c >> kOperationShift) & 3;
        W staged = W(At::publish);
        if (m.stages()) staged = M::select((W(l.word) & kStaged) != W(0), W(At::copy), staged);
        const W fill = M::select(good, staged, W(At::publish_status));
        W other = W(At::free_control);
        if (m.writes()) {
          W dirty = W(M::faulty(Fault::unpinned_before_dirty) ? At::unpin_frame : At::redirty);
          if (M::faulty(Fault::failed_write_back_clean)) dirty = W(At::unpin_frame);
          const W back = M::select(good, W(At::unpin_frame), dirty);
          other = M::select(operation == W(kOpWriteBack), back, other);
        }
        l.word = W(0);
        l.status = failed;
        l.operation = W(0);
        l.frame = (c >> kFrameShift) & kFrameMask;
        l.next = W(At::turn);
        l.at = M::select(operation == W(kOpFill), fill, other);
      },
      [&] {
        l.word = W(0);
        l.control = W(0);
        l.at = W(At::turn);
      });
}

template <class M>
constexpr void copy(M& m, Lane<M>& l) {
  using W = typename M::Word;
  m.copy_staged(W(l.mailbox), W(l.frame));
  l.at = W(At::publish);
}

// Where the claimer looks why its fill failed; its pin keeps the way, and so this word, from being used
// again.
template <class M>
constexpr void publish_status(M& m, Lane<M>& l) {
  using W = typename M::Word;
  m.store(Field::request, W(l.frame), W(l.status) | u64{kRequestFailed}, Order::relaxed, Scope::device);
  l.at = W(At::publish);
}

template <class M>
constexpr void publish(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const u64 to_valid = u64{kValid - kFill} << kStateShift, to_free = 0 - (u64{kFill - kFree} << kStateShift);
  const Order order = M::faulty(Fault::publish_relaxed) ? Order::relaxed : Order::release;
  const W change = M::select(W(l.status) == W(0), W(to_valid), W(to_free));
  if (M::faulty(Fault::finish_by_store)) {
    const W t = m.load(Field::tag, W(l.frame), Order::relaxed, Scope::device);
    m.store(Field::tag, W(l.frame), ((t + change) & ~kPins) | kPin, order, Scope::device);
  } else {
    m.add(Field::tag, W(l.frame), change, order, Scope::device);
  }
  l.status = W(0);
  l.at = W(At::free_control);
}

template <class M>
constexpr void redirty(M& m, Lane<M>& l) {
  using W = typename M::Word;
  m.bit_or(Field::tag, W(l.frame), W(kDirty), Order::relaxed, Scope::device);
  l.status = W(0);
  l.at = W(M::faulty(Fault::unpinned_before_dirty) ? At::free_control : At::unpin_frame);
}

template <class M>
constexpr void unpin_frame(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const bool pinned = !M::faulty(Fault::write_back_unpinned);
  m.add(Field::tag, W(l.frame), W(pinned ? 0 - kPin : 0), Order::release, Scope::device);
  l.at = W(At::free_control);
  if (M::faulty(Fault::unpinned_before_dirty))
    l.at = M::select(W(l.status) != W(0), W(At::redirty), W(At::free_control));
  else l.status = W(0);
}

// First the control word, then the lease: whoever leases the mailbox next reads it idle.
template <class M>
constexpr void free_control(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W idle = W(l.control) & ~((u64{1} << kSequenceShift) - 1);
  m.store(Field::control, W(l.mailbox), idle, Order::relaxed, Scope::device);
  l.at = W(At::free_lease);
}

// Then either the caller's outcome or round again.
template <class M>
constexpr void free_lease(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W bit = W(1) << (W(l.mailbox) & 63);
  m.bit_and(Field::lease, W(l.mailbox) >> 6, ~bit, Order::release, Scope::device);
  const W next = W(l.next);
  l.control = W(0);
  l.next = W(0);
  l.at = next;
}

// ---- The end of a round: leave, bypass, or go round again.
template <class M>
constexpr void turn(M& m, Lane<M>& l) {
  using W = typename M::Word;
  M::when(
      m.expired(l),
      [&] {
        l.status = m.leave_status(l);
        l.operation = W(0);
        l.at = M::select(W(l.held) != W(0), W(At::drop), W(At::left));
      },
      [&] {
        const W again = M::select(W(l.held) != W(0), W(At::wait), W(l.begin));
        l.spare = W(0);
        if (m.writes()) l.stale = M::select(W(l.begin) == W(At::flush_probe), W(l.stale), W(0));
        l.at = M::select(W(l.operation) == W(kOpBypass), W(At::lease), again);
      });
}

template <class M>
constexpr void drop(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W f = W(l.held) - 1;
  if (!M::faulty(Fault::claim_pin_kept)) m.add(Field::tag, f, W(0 - kPin), Order::relaxed, Scope::device);
  if constexpr (M::kPlants) {
    if (M::faulty(Fault::leave_frees_way) &&
        holds<M>(m.load(Field::tag, f, Order::relaxed, Scope::device), l.page, kFill)) {
      m.add(Field::tag, f, W(0 - (u64{kFill} << kStateShift)), Order::relaxed, Scope::device);
    }
    if (M::faulty(Fault::leave_frees_mailbox)) {
      const W box = m.load(Field::request, f, Order::relaxed, Scope::device);
      const W c = m.load(Field::control, box, Order::relaxed, Scope::device);
      if (control_state(c) == kPosted && control_frame(c) == f) {
        m.store(Field::control, box, c >> kSequenceShift << kSequenceShift, Order::relaxed, Scope::device);
        m.bit_and(Field::lease, 0, ~(u64{1} << box), Order::relaxed, Scope::device);
      }
    }
  }
  l.held = W(0);
  l.at = W(At::left);
}

// ---- Bypass.
template <class M>
constexpr void bypass_wait(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W a = m.load(Field::answer, W(l.mailbox), Order::acquire, Scope::system);
  M::when(
      answers<M>(a, l),
      [&] {
        l.status = (a >> kAnswerStatusShift) & 0x7fffffff;
        l.next = M::select(W(l.status) == W(0), W(At::bypassed), W(At::failed));
        l.at = W(At::bypass_low);
      },
      [&] { M::when(m.expired(l), [&] { l.at = W(At::orphan); }, [] {}); });
}

template <class M>
constexpr void bypass_low(M& m, Lane<M>& l) {
  using W = typename M::Word;
  l.low = m.load(Field::bytes, W(l.mailbox) * 2, Order::relaxed, Scope::system);
  l.at = W(m.bypass_words() == 1 ? At::free_control : At::bypass_high);
}

template <class M>
constexpr void bypass_high(M& m, Lane<M>& l) {
  using W = typename M::Word;
  l.high = m.load(Field::bytes, W(l.mailbox) * 2 + 1, Order::relaxed, Scope::system);
  l.at = W(At::free_control);
}

template <class M>
constexpr void orphan(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W abandoned = (W(l.control) & ~u64{3}) | kOrphan;
  m.store(Field::control, W(l.mailbox), abandoned, Order::release, Scope::device);
  l.status = m.leave_status(l);
  l.control = W(0);
  l.at = W(At::left);
}

}  // namespace steps
}  // namespace gpuio::device
