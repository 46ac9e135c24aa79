// The vocabulary of the page directory's protocol: words, orders, a lane's place in it, and what its steps
// ask of the memory they run on. lane.hpp has the lane's steps, service.hpp the host's. The same functions
// run on host threads, in the model checker and, traced, inside kernels.
//
// A memory policy M gives:
//  - M::Word, M::Bool: u64 and bool, or traced ones. Words take + - * & | ^ ~ << >> == != <, Bools & | !.
//    M::select(Bool, Word, Word); M::when(Bool, then, otherwise); m.bit_index(a Word with one bit set).
//  - M::Cell, M::Small: mutable words of a lane; Small holds at most 32 bits. M::Place: a Small that says
//    where the lane is. A step assigns it last, so that a policy may go on with the next step right there.
//  - m.writes(): may lanes write pages? If none does, no page is ever dirty, and the steps leave out what
//  only
//    dirty pages need. m.stages(): may the host answer with bytes in the mailbox's staging slot?
//    m.bypass_words(): 1 where no more than 8 bytes are asked for at once, else 2. m.byte(lane),
//    m.bytes(lane): the parts of lane.where, or the same made anew, where registers are dearer.
//  - The only visible operations: m.load(Field, index, Order, Scope), m.store, add, bit_or, bit_and (...
//  value
//    after the index) and cas (expected, desired). All but store answer the word before.
//  - Geometry: m.ways(), m.probes() = ways of all of a page's buckets, m.buckets(), m.mailboxes(); all but
//    buckets are powers of two. m.hash(page, multiplier): a bucket.
//  - m.expired(lane): must it leave now (time, budget, abort)? m.leave_status(lane): with which status.
//  - Hints, outside the protocol: m.cold(frame), is it a good victim? m.touch(frame): it was used.
//    m.rotate(turn): the next turn, a counter that spreads lanes over mailboxes and ways.
//  - m.copy_staged(mailbox, frame): copies a staged page into the frame.
//  - M::kBrings: may lanes bring pages themselves? m.bring(lane) then puts the page into its frame if the
//    bytes are at hand, and says whether they were.
//  - m.dispatch<0, kSteps>(at, f): calls f(std::integral_constant<u32, at>).
//  - M::kPlants, M::faulty(Fault): false; the checker plants bugs by them.
//
// Threading: a Lane belongs to one lane. Lifetime: the policy names memory that outlives it. Errors: as
// statuses.
#pragma once

#include <gpuio/device/layout.hpp>

namespace gpuio::device {

// g++ 12 takes scoped enumerators for shadowing.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
enum class Order : u8 { relaxed, acquire, release, acq_rel };
enum class Scope : u8 { subgroup, workgroup, device, system };
enum class Field : u8 { tag, request, lock, lease, control, ask, what, answer, bytes };

// The rules of the protocol, each removable, so that the checker can show that it finds the removal.
enum class Fault : u8 {
  none,
  pin_not_checked,          // the word before the pin is not looked at
  vain_pin_kept,            // a pin that hit another page is not taken back
  unpin_relaxed,            // the unpin does not release
  pin_relaxed,              // the pin does not acquire
  claim_ignores_pins,       // a pinned page is evicted
  claim_ignores_dirty,      // a dirty page is evicted
  finish_by_store,          // VALID is stored, not added: pins are overwritten
  clean_ignores_pins,       // dirty is cleared while somebody writes
  dirty_after_unpin,        // the writer marks the page when it has let go of it
  write_back_unpinned,      // the page may be evicted while it is written back
  failed_write_back_clean,  // a page whose write-back failed stays clean
  unpinned_before_dirty,    // ... or is unpinned first
  no_lock,                  // claims of one page are not serialised
  no_second_probe,          // the ways are not looked at again under the lock
  unlock_before_claim,      // the lock does not span the claim
  no_claim_pin,             // a filled page may be evicted before its claimer has used it
  claim_pin_kept,           // a lane that leaves keeps its pin
  win_by_store,             // FINISHING is stored, not compare-swapped
  bypass_not_told_apart,    // anybody finishes a bypass
  only_poster_finishes,     // answers wait for the lane that asked
  no_help_for_mailboxes,    // a lane out of mailboxes does not finish answered ones
  leave_frees_way,          // a lane that leaves after posting frees the way
  leave_frees_mailbox,      // ... or the mailbox
  bypassed_write,           // writes bypass too
  bypass_valid,             // a page that is in a way is bypassed
  answer_before_bytes,      // the host answers, then fills the frame
  no_sweep,                 // the host does not finish mailboxes at the kernel's end
  publish_relaxed,          // a staged copy is published without release
  wait_relaxed,             // the claimer sees VALID without acquire
  ask_relaxed,              // the request is published before its payload
  say_relaxed,              // a lane's own answer is published before the bytes that it brought
  win_ignores_sequence,     // any answer counts
  orphan_unreaped,          // abandoned bypass mailboxes are nobody's
  count_,
};
#pragma GCC diagnostic pop

// Where a lane is. Each place does at most one visible operation and moves on; from At::pinned on it is the
// caller's turn.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
struct At {
  enum Place : u8 {
    // Hit: look at the ways, pin the one that holds the page.
    probe,
    pin,
    undo,
    // Let go.
    mark_dirty,
    unpin,
    // Lease a mailbox.
    lease,
    lease_take,
    ticket,
    // Claim a way.
    lock,
    probe_again,
    claim_way,
    unlock,
    // Start a write-back.
    flush_probe,
    clean_load,
    clean,
    // Post.
    write_request,
    begin_fill,
    post_control,
    post_what,
    post_ask,
    say,
    // Wait for one's own fill; finish anybody's answer.
    wait,
    read_hint,
    read_control,
    read_answer,
    win,
    copy,
    publish_status,
    publish,
    redirty,
    unpin_frame,
    free_control,
    free_lease,
    // The only places where a lane may leave.
    turn,
    bypass_wait,
    read_status,
    drop_failed,
    drop,
    orphan,
    bypass_low,
    bypass_high,
    // Outcomes.
    pinned,    // the page is in `frame`, which stays until release(); `word` is the tag before
    bypassed,  // the bytes asked for are in low and high
    failed,    // status says why; nothing is held
    left,      // gave up, status says why; nothing is held
    done,      // after release() or a flush
  };
};
#pragma GCC diagnostic pop
inline constexpr u32 kSteps = At::pinned;

template <class M>
struct Lane {
  using Small = typename M::Small;
  using Cell = typename M::Cell;
  typename M::Place at{};  // At
  Small may_bypass{};      // 1: a read that, when no way is to be had, takes up to 16 bytes from the answer
  Small begin{};           // At::probe, or At::flush_probe
  Small k{};               // way being looked at
  Small frame{};
  Small spare{};  // frame + 1 of a way that may be claimed
  Small stale{};  // frame + 1 of a way to be written back
  Small held{};   // frame + 1 of the way that this lane has claimed and holds its first pin of
  Small mailbox{};
  Small operation{};  // kOpFill ...
  Small next{};       // where to go when the mailbox is free again
  Small turn{};       // set it to something of the lane's own at first
  Small status{};
  Small primary{}, secondary{};  // the page's buckets
  Cell page{};
  Cell where{};        // of a bypass: the byte in the page 32 | bytes 32, from the bottom
  Cell word{};         // the tag, answer or lease bit in hand
  Cell control{};      // of the mailbox in hand
  Cell low{}, high{};  // what a bypass brought
};

// ---- Starting and ending.

// Begin an access to `page`. May it bypass, then `where` tells the bytes that it wants (Lane::where).
template <class M, class Word>
constexpr void begin_access(M& m, Lane<M>& l, Word page, Word may_bypass, Word where) {
  using W = typename M::Word;
  l.page = page;
  l.may_bypass = may_bypass;
  l.where = where;
  const W a = m.hash(W(page), kHashPrimary), b = m.hash(W(page), kHashSecondary);
  l.primary = a;
  const W beside = M::select(a + 1 == W(m.buckets()), W(0), a + 1);
  l.secondary = M::select(b == a, beside, b);
  l.begin = W(At::probe);
  l.at = W(At::probe);
  l.k = W(0);
  l.spare = W(0);
  l.stale = W(0);
  l.held = W(0);
  l.operation = W(0);
  l.status = W(0);
}

// Begin to write frame `frame` back, if it is dirty and nobody has it pinned.
template <class M, class Word>
constexpr void begin_flush(M&, Lane<M>& l, Word frame) {
  using W = typename M::Word;
  l.begin = W(At::flush_probe);
  l.at = W(At::flush_probe);
  l.stale = W(frame) + 1;
  l.held = W(0);
  l.operation = W(0);
  l.may_bypass = W(0);
  l.status = W(0);
}

// At At::pinned: end the access. After a write, `wrote` is true and the stores have been issued.
template <class M>
constexpr void release(M&, Lane<M>& l, bool wrote) {
  using W = typename M::Word;
  if (!wrote) {
    l.at = W(At::unpin);
  } else if (M::faulty(Fault::dirty_after_unpin)) {
    l.next = W(At::mark_dirty);
    l.at = W(At::unpin);
  } else {
    l.at = M::select((W(l.word) & kDirty) == W(0), W(At::mark_dirty), W(At::unpin));
  }
}

}  // namespace gpuio::device
