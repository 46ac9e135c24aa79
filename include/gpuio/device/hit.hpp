// Steps of a lane whose page is in a way: look at the ways, pin, let go; and what tags say. See lane.hpp.
//
// Threading, lifetime, errors: as lane.hpp.
#pragma once

#include <gpuio/device/protocol.hpp>

namespace gpuio::device {
namespace steps {

// ---- What a tag says.
template <class M>
constexpr typename M::Word tag_as(typename M::Word page, u32 state) {
  return make_tag<typename M::Word>(page, state);
}
template <class M>
constexpr typename M::Bool holds(typename M::Word tag, typename M::Word page, u32 state) {
  return (tag & (kPage | kState)) == tag_as<M>(page, state);
}
// The page is in this way, or on its way into it.
template <class M>
constexpr typename M::Bool holds_any(typename M::Word tag, typename M::Word page) {
  using W = typename M::Word;
  return ((tag & kPage) == (page << kPageShift)) & ((tag & kState) != W(u64{kFree} << kStateShift));
}
// FREE, or VALID and clean; nobody has it pinned: it may become a claim.
template <class M>
constexpr typename M::Bool claimable(const M& m, typename M::Word tag) {
  using W = typename M::Word;
  const W free_state = W(u64{kFree} << kStateShift), valid_state = W(u64{kValid} << kStateShift);
  u64 must_be_zero = kDirty | kPins;
  if (M::faulty(Fault::claim_ignores_pins)) must_be_zero &= ~kPins;
  if (M::faulty(Fault::claim_ignores_dirty)) must_be_zero &= ~kDirty;
  const W state = tag & kState;
  if (!m.writes())
    return ((state == free_state) | (state == valid_state)) & ((tag & must_be_zero & kPins) == W(0));
  const typename M::Bool free = (state == free_state) & ((tag & kPins) == W(0));
  const typename M::Bool clean = (state == valid_state) & ((tag & must_be_zero) == W(0));
  return free | clean;
}
// VALID, dirty, nobody has it pinned: it may be written back.
template <class M>
constexpr typename M::Bool cleanable(typename M::Word tag) {
  using W = typename M::Word;
  const u64 looked_at = M::faulty(Fault::clean_ignores_pins) ? kState | kDirty : kState | kDirty | kPins;
  return (tag & looked_at) == W(u64{kValid} << kStateShift | kDirty);
}

template <class M>
constexpr typename M::Word way(M& m, Lane<M>& l, typename M::Word k) {
  using W = typename M::Word;
  const typename M::Bool first = k < W(m.ways());
  const W bucket = M::select(first, W(l.primary), W(l.secondary));
  return bucket * kWays + M::select(first, k, k - W(m.ways()));
}

// ---- Hit.
template <class M>
constexpr void give_back(Lane<M>& l) {
  using W = typename M::Word;
  l.next = W(At::turn);
  l.operation = W(0);
  l.at = W(At::free_lease);
}

// All ways seen, none holds the page: claim, write back, or make do without a way.
template <class M>
constexpr void decide(M& m, Lane<M>& l) {
  using W = typename M::Word;
  l.k = W(0);
  M::when(
      W(l.spare) != W(0),
      [&] {
        l.operation = W(kOpFill);
        l.at = W(At::lease);
      },
      [&] {
        M::when(
            m.writes() ? W(l.stale) != W(0) : typename M::Bool(false),
            [&] {
              l.operation = W(kOpWriteBack);
              l.at = W(At::lease);
            },
            [&] {
              // Every way is pinned or busy. One of them may be answered; else a read goes past the cache.
              l.operation = M::select(W(l.may_bypass) != W(0), W(kOpBypass), W(0));
              l.frame = way<M>(m, l, W(l.turn) & (m.probes() - 1));
              l.turn = m.rotate(W(l.turn));
              l.at = W(At::read_hint);
            });
      });
}

template <class M>
constexpr void probe(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const W f = way<M>(m, l, W(l.k));
  const W t = m.load(Field::tag, f, Order::relaxed, Scope::device);
  l.frame = f;
  const typename M::Bool there = holds_any<M>(t, W(l.page));
  M::when(
      there,
      [&] {
        l.k = W(0);
        l.spare = W(0);
        l.stale = W(0);
        l.operation = W(0);
        const typename M::Bool valid = (t & kState) == W(u64{kValid} << kStateShift);
        if constexpr (M::kPlants) {
          if (valid && M::faulty(Fault::bypass_valid) && l.may_bypass != 0 && m.choose()) {
            l.operation = W(kOpBypass);
            l.at = W(At::lease);
            return;
          }
        }
        l.at = M::select(valid, W(At::pin), W(At::read_hint));
      },
      [&] {
        M::when(claimable(m, t), [&] { l.spare = f + 1; }, [] {});
        if (m.writes()) M::when(cleanable<M>(t), [&] { l.stale = f + 1; }, [] {});
        M::when(W(l.k) + 1 == W(m.probes()), [&] { decide<M>(m, l); }, [&] { l.k = W(l.k) + 1; });
      });
}

template <class M>
constexpr void pin(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const Order order = M::faulty(Fault::pin_relaxed) ? Order::relaxed : Order::acquire;
  const W old = m.add(Field::tag, W(l.frame), W(kPin), order, Scope::device);
  const typename M::Bool hit = holds<M>(old, W(l.page), kValid);
  M::when(
      M::faulty(Fault::pin_not_checked) ? typename M::Bool(true) : hit,
      [&] {
        l.word = old;
        m.touch(W(l.frame));
        l.at = W(At::pinned);
      },
      [&] { l.at = W(M::faulty(Fault::vain_pin_kept) ? At::probe : At::undo); });
}

template <class M>
constexpr void undo(M& m, Lane<M>& l) {
  using W = typename M::Word;
  m.add(Field::tag, W(l.frame), W(0 - kPin), Order::relaxed, Scope::device);
  l.at = W(At::probe);
}

// ---- Let go. The release orders this lane's loads and stores of the page before anybody's claim of the way.
template <class M>
constexpr void mark_dirty(M& m, Lane<M>& l) {
  using W = typename M::Word;
  m.bit_or(Field::tag, W(l.frame), W(kDirty), Order::relaxed, Scope::device);
  l.at = W(M::faulty(Fault::dirty_after_unpin) ? At::done : At::unpin);
}

template <class M>
constexpr void unpin(M& m, Lane<M>& l) {
  using W = typename M::Word;
  const Order order = M::faulty(Fault::unpin_relaxed) ? Order::relaxed : Order::release;
  m.add(Field::tag, W(l.frame), W(0 - kPin), order, Scope::device);
  l.at = W(At::done);
  if (M::faulty(Fault::dirty_after_unpin))
    l.at = M::select(W(l.next) == W(At::mark_dirty), W(At::mark_dirty), W(At::done));
}

}  // namespace steps
}  // namespace gpuio::device
