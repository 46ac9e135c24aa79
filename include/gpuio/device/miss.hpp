// Steps of a lane whose page is in no way: lease a mailbox, claim a way or start a write-back, post. See
// lane.hpp.
//
// Threading, lifetime, errors: as lane.hpp.
#pragma once

#include <gpuio/device/hit.hpp>

namespace gpuio::device {
namespace steps {

// ---- Lease a mailbox: a bit of the bitmap, from where this lane's turn points.
template <class M>
constexpr void lease(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W at = (W(l.turn) * 33) & (m.mailboxes() - 1);
  const W bits = m.load(Field::lease, at >> 6, Order::relaxed, Scope::device);
  const W free = ~bits;
  const W later = free & (W(~u64{0}) << (at & 63));
  const W pick = M::select(later != W(0), later, free);
  l.mailbox = at;
  M::when(
      free != W(0),
      [&] {
        l.word = pick & (W(0) - pick);
        l.at = W(At::lease_take);
      },
      [&] {
        // The pool is out: an answered mailbox that nobody has finished may be the reason.
        l.turn = m.rotate(W(l.turn));
        l.operation = W(0);
        const bool helps =
            !M::faulty(Fault::no_help_for_mailboxes) && !M::faulty(Fault::only_poster_finishes);
        l.at = W(helps ? At::read_control : At::turn);
      });
}

template <class M>
constexpr void lease_take(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W bit = W(l.word);
  const W at = W(l.mailbox) >> 6;
  const W old = m.bit_or(Field::lease, at, bit, Order::acquire, Scope::device);
  l.word = W(0);
  M::when((old & bit) == W(0),
          [&] {
            l.mailbox = at * 64 + m.bit_index(bit);
            l.at = W(At::ticket);
          },
          [&] { l.at = W(At::lease); });
}

// The mailbox's next sequence number. Only whoever leases it changes the word.
template <class M>
constexpr void ticket(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W old = m.load(Field::control, W(l.mailbox), Order::relaxed, Scope::device);
  l.control = ((old >> kSequenceShift) + 1) << kSequenceShift;
  const W claim = W(M::faulty(Fault::no_lock) ? At::probe_again : At::lock);
  l.spare = W(0);
  W other = W(At::post_control);
  if (m.writes())
    other = M::select(W(l.operation) == W(kOpWriteBack), W(At::clean_load), W(At::post_control));
  l.at = M::select(W(l.operation) == W(kOpFill), claim, other);
}

// ---- Claim a way. The lock of the page's primary bucket makes claims of one page follow each other, and is
// held over the second look at all its ways and the claim.
template <class M>
constexpr void lock(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W old = m.cas(Field::lock, W(l.primary), W(0), W(1), Order::acquire, Scope::device);
  M::when(old == W(0), [&] { l.at = W(At::probe_again); }, [&] { give_back<M>(l); });
}

template <class M>
constexpr void probe_again(M& m, Lane<M>& l) {
  using W = typename M::Word;
  // From where this lane's turn points, so that lanes do not all want the same way.
  const W f = way<M>(m, l, (W(l.k) + W(l.turn)) & (m.probes() - 1));
  const W t = m.load(Field::tag, f, Order::relaxed, Scope::device);
  const W unlock = W(M::faulty(Fault::no_lock) ? At::free_lease : At::unlock);
  if (M::faulty(Fault::no_lock)) l.next = W(At::turn);
  const W free = W(u64{kFree} << kStateShift);
  const typename M::Bool there = holds_any<M>(t, W(l.page));
  const auto seen_all = [&] {
    l.k = W(0);
    if (M::faulty(Fault::unlock_before_claim)) l.at = W(At::unlock);
    else M::when(W(l.spare) != W(0), [&] { l.at = W(At::claim_way); }, [&] { l.at = unlock; });
  };
  M::when(
      there & !M::faulty(Fault::no_second_probe),
      [&] {
        l.k = W(0);
        l.spare = W(0);
        l.at = unlock;
      },
      [&] {
        // A free way, else the first cold one, else the first.
        const typename M::Bool none = W(l.spare) == W(0);
        const typename M::Bool had_page = (W(l.word) & kState) != free;
        M::when(
            claimable(m, t),
            [&] {
              M::when(
                  none | (had_page & (((t & kState) == free) | m.cold(f))),
                  [&] {
                    l.spare = f + 1;
                    l.word = t;
                  },
                  [] {});
            },
            [] {});
        M::when(W(l.k) + 1 == W(m.probes()), seen_all, [&] { l.k = W(l.k) + 1; });
      });
}

template <class M>
constexpr void claim_way(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W f = W(l.spare) - 1;
  const bool pins = !M::faulty(Fault::no_claim_pin);
  const W pinned = tag_as<M>(W(l.page), kClaim) + (pins ? kPin : 0);
  // A claim that ignores pins keeps those that are there, as the finish does.
  const W kept = M::faulty(Fault::claim_ignores_pins) ? W(l.word) & kPins : W(0);
  const W old = m.cas(Field::tag, f, W(l.word), pinned + kept, Order::acq_rel, Scope::device);
  M::when(
      old == W(l.word),
      [&] {
        l.frame = f;
        if (pins) l.held = f + 1;
      },
      [&] { l.spare = W(0); });
  l.word = W(0);
  l.at = W(At::unlock);
  if constexpr (M::kPlants) {
    if (M::faulty(Fault::no_lock) || M::faulty(Fault::unlock_before_claim)) {
      if (l.spare != 0) {
        l.at = W(At::write_request);
      } else {
        give_back<M>(l);
      }
    }
  }
}

template <class M>
constexpr void unlock(M& m, Lane<M>& l) {
  using W = typename M::Word;
  m.store(Field::lock, W(l.primary), W(0), Order::release, Scope::device);
  M::when(W(l.spare) != W(0), [&] { l.at = W(At::write_request); }, [&] { give_back<M>(l); });
  if constexpr (M::kPlants) {
    if (M::faulty(Fault::unlock_before_claim) && l.spare != 0) l.at = W(At::claim_way);
  }
}

// ---- Start a write-back: clean, with a pin of its own, in one compare-swap. The page stays readable and
// writable.
template <class M>
constexpr void flush_probe(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W t = m.load(Field::tag, W(l.stale) - 1, Order::relaxed, Scope::device);
  l.operation = W(kOpWriteBack);
  l.at = M::select(cleanable<M>(t), W(At::lease), W(At::done));
}

template <class M>
constexpr void clean_load(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W t = m.load(Field::tag, W(l.stale) - 1, Order::relaxed, Scope::device);
  M::when(
      cleanable<M>(t),
      [&] {
        l.word = t;
        l.at = W(At::clean);
      },
      [&] { give_back<M>(l); });
}

template <class M>
constexpr void clean(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W f = W(l.stale) - 1;
  const W cleaned = (W(l.word) & ~kDirty) + (M::faulty(Fault::write_back_unpinned) ? 0 : kPin);
  const W old = m.cas(Field::tag, f, W(l.word), cleaned, Order::acq_rel, Scope::device);
  M::when(
      old == W(l.word),
      [&] {
        l.frame = f;
        l.at = W(At::write_request);
      },
      [&] {
        l.word = W(0);
        give_back<M>(l);
      });
}

// ---- Post.
template <class M>
constexpr void write_request(M& m, Lane<M>& l) {
  using W = typename M::Word;
  m.store(Field::request, W(l.frame), W(l.mailbox), Order::relaxed, Scope::device);
  if (m.writes()) l.at = M::select(W(l.operation) == W(kOpFill), W(At::begin_fill), W(At::post_control));
  else l.at = W(At::begin_fill);
}

template <class M>
constexpr void begin_fill(M& m, Lane<M>& l) {
  using W = typename M::Word;
  m.add(Field::tag, W(l.frame), W(u64{kFill - kClaim} << kStateShift), Order::relaxed, Scope::device);
  l.at = W(At::post_control);
}

// From here on anybody may finish it, once it is answered.
template <class M>
constexpr void post_control(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W frame = M::select(W(l.operation) == W(kOpBypass), m.byte(l), W(l.frame));
  l.control = W(l.control) | frame << kFrameShift | W(l.operation) << kOperationShift | W(kPosted);
  m.store(Field::control, W(l.mailbox), W(l.control), Order::release, Scope::device);
  l.at = W(At::post_what);
}

template <class M>
constexpr void post_what(M& m, Lane<M>& l) {
  using W = typename M::Word;
  if constexpr (M::kBrings) {
    if (l.operation == kOpFill && m.bring(l)) {
      l.word = W(0);
      l.at = At::say;
      return;
    }
  }
  W page = W(l.page);
  if (m.writes())
    page = M::select(W(l.operation) == W(kOpWriteBack), (W(l.word) & kPage) >> kPageShift, page);
  const W bytes = M::select(W(l.operation) == W(kOpBypass), m.bytes(l), W(0));
  const W what = page | bytes << kRequestBytesShift | W(u64{1} << kRequestPagesShift);
  m.store(Field::what, W(l.mailbox), what, Order::relaxed, Scope::system);
  l.word = W(0);
  l.at = W(At::post_ask);
}

// What is wanted lies with whoever takes the request from here.
template <class M>
constexpr void posted(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W operation = W(l.operation);
  const W fill = W(M::faulty(Fault::no_claim_pin) ? At::turn : At::wait);
  l.operation = W(0);
  l.spare = W(0);
  if (m.writes()) {
    const W after = M::select(W(l.begin) == W(At::flush_probe), W(At::done), W(At::turn));
    M::when(operation == W(kOpBypass), [] {}, [&] { l.control = W(0); });
    l.at = M::select(operation == W(kOpFill), fill,
                     M::select(operation == W(kOpBypass), W(At::bypass_wait), after));
  } else {
    // A fill's control word is read again by whoever finishes it.
    l.at = M::select(operation == W(kOpFill), fill, W(At::bypass_wait));
  }
}

template <class M>
constexpr void post_ask(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const Order order = M::faulty(Fault::ask_relaxed) ? Order::relaxed : Order::release;
  m.store(Field::ask, W(l.mailbox), W(l.control), order, Scope::system);
  posted<M>(m, l);
}

// The host was not asked and will not answer: the lane that brought the page does, and whoever comes by
// finishes it.
template <class M>
constexpr void say(M& m, Lane<M>& l) {
  if constexpr (M::kBrings) {
    const Order order = M::faulty(Fault::say_relaxed) ? Order::relaxed : Order::release;
    m.store(Field::answer, l.mailbox, make_answer(control_sequence(l.control), 0), order, Scope::device);
    posted<M>(m, l);
  }
}

}  // namespace steps
}  // namespace gpuio::device
