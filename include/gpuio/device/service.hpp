// The host's half of the protocol: take a posted request, answer it, and clean up when a kernel has ended.
// serve() is one step of one mailbox; the caller does the input or output between kWork and answer(). Plain
// host code: H is a memory policy whose Word is u64.
//
//   Slot slot{};                                   // one a mailbox, kept for ever: it knows what was served
//   serve(h, slot, mailbox);                       // ... until slot.at == kWork
//   ... fill the frame, write it back, or put the bytes into slot.low and slot.high ...
//   answer(slot, status, staged);
//   serve(h, slot, mailbox);                       // ... until slot.at == kLook
//
// Threading: a slot belongs to one thread at a time. Errors: in the answer.
#pragma once

#include <gpuio/device/protocol.hpp>

namespace gpuio::device {

enum ServeAt : u8 { kLook, kTakeWhat, kWork, kSayLow, kSayHigh, kSay };

struct Slot {
  u8 at = kLook;
  u64 ask = 0;  // of the last request seen
  u64 what = 0;
  u64 low = 0, high = 0;  // of a bypass
  u64 reply = 0;
};

// The request is copied out before anybody acts on it: what the device writes later changes nothing.
template <class H>
void serve(H& h, Slot& s, u64 mailbox) {
  switch (s.at) {
    case kLook: {
      // Pairs with the lane's release at At::post_ask.
      const u64 asked = h.load(Field::ask, mailbox, Order::acquire, Scope::system);
      if (control_sequence(asked) == control_sequence(s.ask)) return;
      s.ask = asked;
      s.at = kTakeWhat;
      return;
    }
    case kTakeWhat:
      s.what = h.load(Field::what, mailbox, Order::relaxed, Scope::system);
      s.at = kWork;
      return;
    case kSayLow:
      h.store(Field::bytes, mailbox * 2, s.low, Order::relaxed, Scope::system);
      s.at = kSayHigh;
      return;
    case kSayHigh:
      h.store(Field::bytes, mailbox * 2 + 1, s.high, Order::relaxed, Scope::system);
      s.at = kSay;
      return;
    case kSay:
      // Releases the bytes in the frame, the staging slot or the answer. Pairs with At::read_answer and
      // At::bypass_wait.
      h.store(Field::answer, mailbox, s.reply, Order::release, Scope::system);
      s = Slot{.ask = s.ask};
      return;
    default: return;
  }
}

// At kWork, when the bytes have landed or it has failed.
inline void answer(Slot& s, u32 status, bool staged) {
  s.reply = make_answer(control_sequence(s.ask), status) | (staged ? kStaged : 0);
  s.at = control_operation(s.ask) == kOpBypass && status == 0 ? kSayLow : kSay;
}

// When the last kernel on the directory has ended and every request has been answered: finish the mailboxes
// that no lane came back for. Copy: copy_staged(mailbox, frame).
template <class H>
void finish_mailboxes(H& h, u32 mailboxes) {
  constexpr Order relaxed = Order::relaxed;
  for (u64 m = 0; m < mailboxes; ++m) {
    const u64 c = h.load(Field::control, m, relaxed, Scope::device);
    const u64 a = h.load(Field::answer, m, Order::acquire, Scope::system);
    const bool good = answer_sequence(a) == control_sequence(c) && answer_status(a) == 0;
    const u64 f = control_frame(c);
    if (control_state(c) != kIdle && control_operation(c) == kOpFill) {
      // A lane that was killed while it finished may have published the page already.
      if (state_of(h.load(Field::tag, f, relaxed, Scope::device)) == kFill) {
        if (good && (a & kStaged)) h.copy_staged(m, f);
        const u64 to = good ? u64{kValid} << kStateShift : u64{kFree} << kStateShift;
        h.add(Field::tag, f, to - (u64{kFill} << kStateShift), relaxed, Scope::device);
      }
    } else if (control_state(c) != kIdle && control_operation(c) == kOpWriteBack) {
      // Dirty once too often is harmless, once too seldom is a lost write.
      if (!good || control_state(c) == kFinishing) h.bit_or(Field::tag, f, kDirty, relaxed, Scope::device);
      if (control_state(c) == kPosted) h.add(Field::tag, f, 0 - kPin, relaxed, Scope::device);
    }
    h.store(Field::control, m, u64{control_sequence(c)} << kSequenceShift, relaxed, Scope::device);
    h.bit_and(Field::lease, m >> 6, ~(u64{1} << (m & 63)), relaxed, Scope::device);
  }
}

// After finish_mailboxes(), when warps may have been killed: no pins, no locks, no half-made claims.
template <class H>
void clear_killed(H& h, u32 frames, u32 buckets) {
  constexpr Order relaxed = Order::relaxed;
  for (u64 f = 0; f < frames; ++f) {
    u64 t = h.load(Field::tag, f, relaxed, Scope::device);
    if (t == kAbsentWay) continue;
    t &= ~kPins;
    if (state_of(t) == kClaim || state_of(t) == kFill) t = 0;
    h.store(Field::tag, f, t, relaxed, Scope::device);
  }
  for (u64 b = 0; b < buckets; ++b) h.store(Field::lock, b, 0, relaxed, Scope::device);
}

}  // namespace gpuio::device
