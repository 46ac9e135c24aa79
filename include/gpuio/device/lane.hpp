// What a lane does, one visible operation a step: find the page and pin it, or claim a way, ask the host,
// wait, finish whatever mailbox is answered, bypass, leave. protocol.hpp has the vocabulary, layout.hpp the
// diagram, check/ explores these very steps.
//
//   Lane<M> lane;
//   begin_access(m, lane, page, u64{0}, u64{0});
//   while (lane.at < At::pinned) step(m, lane);
//   if (lane.at == At::pinned) {
//     ... read frame lane.frame ...
//     release(m, lane, false);
//     while (lane.at < At::pinned) step(m, lane);
//   }
//
// Rules that hold whoever runs this:
//  - No lane waits for a lock: it tries, and goes round. A lane leaves only at At::turn and At::bypass_wait,
//    where it holds neither lock nor unposted mailbox; it drops its claim pin and leaves a posted mailbox to
//    whoever comes by.
//  - Nothing stays pinned over a barrier, a wait for others, or a second access.
//  - The word before a pin decides whether the pin counts. A pinned page is not evicted, a dirty one not
//    dropped.
//  - A request has one answer: the host's if it was asked, else that of the lane that posted it.
//  - Whoever wins the compare-swap from posted to finishing alone changes the tag, then frees the mailbox.
//
// Threading, errors: as protocol.hpp.
#pragma once

#include <gpuio/device/finish.hpp>
#include <gpuio/device/miss.hpp>

namespace gpuio::device {
namespace steps {

template <u32 at, class M>
constexpr void run(M& m, Lane<M>& l) {
  if constexpr (at == At::probe) probe<M>(m, l);
  else if constexpr (at == At::pin) pin<M>(m, l);
  else if constexpr (at == At::undo) undo<M>(m, l);
  else if constexpr (at == At::mark_dirty) mark_dirty<M>(m, l);
  else if constexpr (at == At::unpin) unpin<M>(m, l);
  else if constexpr (at == At::lease) lease<M>(m, l);
  else if constexpr (at == At::lease_take) lease_take<M>(m, l);
  else if constexpr (at == At::ticket) ticket<M>(m, l);
  else if constexpr (at == At::lock) lock<M>(m, l);
  else if constexpr (at == At::probe_again) probe_again<M>(m, l);
  else if constexpr (at == At::claim_way) claim_way<M>(m, l);
  else if constexpr (at == At::unlock) unlock<M>(m, l);
  else if constexpr (at == At::flush_probe) flush_probe<M>(m, l);
  else if constexpr (at == At::clean_load) clean_load<M>(m, l);
  else if constexpr (at == At::clean) clean<M>(m, l);
  else if constexpr (at == At::write_request) write_request<M>(m, l);
  else if constexpr (at == At::begin_fill) begin_fill<M>(m, l);
  else if constexpr (at == At::post_control) post_control<M>(m, l);
  else if constexpr (at == At::post_what) post_what<M>(m, l);
  else if constexpr (at == At::post_ask) post_ask<M>(m, l);
  else if constexpr (at == At::say) say<M>(m, l);
  else if constexpr (at == At::wait) wait<M>(m, l);
  else if constexpr (at == At::read_hint) read_hint<M>(m, l);
  else if constexpr (at == At::read_control) read_control<M>(m, l);
  else if constexpr (at == At::read_answer) read_answer<M>(m, l);
  else if constexpr (at == At::win) win<M>(m, l);
  else if constexpr (at == At::copy) copy<M>(m, l);
  else if constexpr (at == At::publish_status) publish_status<M>(m, l);
  else if constexpr (at == At::publish) publish<M>(m, l);
  else if constexpr (at == At::redirty) redirty<M>(m, l);
  else if constexpr (at == At::unpin_frame) unpin_frame<M>(m, l);
  else if constexpr (at == At::free_control) free_control<M>(m, l);
  else if constexpr (at == At::free_lease) free_lease<M>(m, l);
  else if constexpr (at == At::turn) turn<M>(m, l);
  else if constexpr (at == At::bypass_wait) bypass_wait<M>(m, l);
  else if constexpr (at == At::read_status) read_status<M>(m, l);
  else if constexpr (at == At::drop_failed) drop_failed<M>(m, l);
  else if constexpr (at == At::drop) drop<M>(m, l);
  else if constexpr (at == At::orphan) orphan<M>(m, l);
  else if constexpr (at == At::bypass_low) bypass_low<M>(m, l);
  else if constexpr (at == At::bypass_high) bypass_high<M>(m, l);
}

}  // namespace steps

// One step: at most one visible operation.
template <class M>
constexpr void step(M& m, Lane<M>& l) {
  m.template dispatch<0, kSteps>(typename M::Word(l.at), [&](auto at) { steps::run<at>(m, l); });
}

}  // namespace gpuio::device
