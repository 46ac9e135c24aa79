#include <gpuio/device/check/model.hpp>

namespace gpuio::device::check {
namespace {

void reach_payload(State& s, Actor& a) {
  if (!a.pending) return;
  s.what[a.pending - 1] = a.pending_what;
  a.pending = 0;
  a.pending_what = 0;
}

}  // namespace

// Before a frame's content changes: everybody else may go on seeing what it held.
void remember(const Config& c, State& s, u32 f, u32 except) {
  if (!c.stale) return;
  for (u32 u = 0; u < c.lanes; ++u) {
    Actor& a = s.actor[u];
    if (u == except || (a.stale_of >> f & 1)) continue;
    a.stale_of |= u8(1 << f);
    std::memcpy(a.stale[f], s.data[f], kLanesMax);
  }
}

const char* describe(Error e) {
  switch (e) {
    case kOk: return "ok";
    case kWrongPage: return "bytes of another page read";
    case kStale: return "stale value read";
    case kGarbageRead: return "garbage read";
    case kDeadRead: return "read through a dead translation";
    case kDeadWrite: return "write through a dead translation";
    case kTwoValid: return "a page valid in two ways";
    case kLostWrite: return "lost write";
    case kPinLeak: return "pin or lock left over";
    case kBoxLeak: return "mailbox left over";
    case kWayLeak: return "way busy with nobody to finish it";
    case kForeignDma: return "transfer into a frame that is no longer the request's";
    case kForeignWriteBack: return "foreign bytes written back";
    case kPinCount: return "pin count below zero";
    case kDeadlock: return "deadlock";
    case kLivelock: return "no way to the end";
    case kFairCycle: return "a fair run that never ends";
  }
  return "?";
}

// ---- Memory.
void Model::before(Order o, Scope scope) {
  if (self == kLanesMax || o == Order::relaxed || o == Order::acquire) return;
  Actor& a = s.actor[self];
  if (!drained(a)) blocked = true;
  if (scope == Scope::system) reach_payload(s, a);
}

void Model::after(Order o) {
  if (self == kLanesMax || (o != Order::acquire && o != Order::acq_rel)) return;
  Actor& a = s.actor[self];
  a.stale_of = 0;
  std::memset(a.stale, 0, sizeof a.stale);
}

u64 Model::read(Field f, u64 i) const {
  switch (f) {
    case Field::tag: return s.tag[dense(config, i)];
    case Field::request: {
      const u8 r = s.request[dense(config, i)];
      return r & 0x80 ? kRequestFailed | (r & 0x7f) : r;
    }
    case Field::lock: return s.lock[i];
    case Field::lease: return s.lease | ~((u64{1} << config.boxes) - 1);
    case Field::control: return s.control[i];
    case Field::ask: return s.ask[i];
    case Field::what: return s.what[i];
    case Field::answer: return s.answer[i];
    case Field::bytes: return i & 1 ? 0 : s.bytes[i / 2];
  }
  return 0;
}

void Model::write(Field f, u64 i, u64 v) {
  switch (f) {
    case Field::tag: {
      const u32 d = dense(config, i);
      if (state_of(v) == kClaim && state_of(s.tag[d]) != kClaim) {
        remember(config, s, d, kLanesMax);
        std::memset(s.data[d], kGarbage, kLanesMax);
        ++s.life[d];
      }
      s.tag[d] = v;
      return;
    }
    case Field::request: s.request[dense(config, i)] = u8(v & kRequestFailed ? 0x80 | (v & 0x7f) : v); return;
    case Field::lock: s.lock[i] = u8(v); return;
    case Field::lease: s.lease = u8(v & ((1 << config.boxes) - 1)); return;
    case Field::control:
      if (control_state(v) == kPosted && control_operation(v) != kOpBypass)
        s.box_life[i] = s.life[dense(config, control_frame(v))];
      s.control[i] = v;
      return;
    case Field::ask: s.ask[i] = v; return;
    case Field::what: s.what[i] = v; return;
    case Field::answer: s.answer[i] = v; return;
    case Field::bytes:
      if (!(i & 1)) s.bytes[i / 2] = v;
      return;
  }
}

u64 Model::load(Field f, u64 i, Order o, Scope) {
  const u64 v = read(f, i);
  after(o);
  return v;
}

void Model::store(Field f, u64 i, u64 v, Order o, Scope scope) {
  before(o, scope);
  if (f == Field::what) {
    Actor& a = s.actor[self];
    if (a.pending && a.pending != i + 1) reach_payload(s, a);
    a.pending = u8(i + 1);
    a.pending_what = v;
    return;
  }
  write(f, i, v);
}

u64 Model::change(Field f, u64 i, Order o, Scope scope, auto change_word) {
  before(o, scope);
  const u64 old = read(f, i);
  const u64 now = change_word(old);
  if (now != old) write(f, i, now);
  after(o);
  return old;
}
u64 Model::add(Field f, u64 i, u64 v, Order o, Scope c) {
  return change(f, i, o, c, [v](u64 w) { return w + v; });
}
u64 Model::bit_or(Field f, u64 i, u64 v, Order o, Scope c) {
  return change(f, i, o, c, [v](u64 w) { return w | v; });
}
u64 Model::bit_and(Field f, u64 i, u64 v, Order o, Scope c) {
  return change(f, i, o, c, [v](u64 w) { return w & v; });
}
u64 Model::cas(Field f, u64 i, u64 expected, u64 desired, Order o, Scope c) {
  return change(f, i, o, c, [=](u64 w) { return w == expected ? desired : w; });
}

void Model::copy(u64 frame, const u8* page) {
  const u32 f = dense(config, frame);
  if (self == kLanesMax) {
    std::memcpy(s.data[f], page, kLanesMax);
    return;
  }
  Actor& a = s.actor[self];
  if (a.buffer[0].kind) {
    blocked = true;
    return;
  }
  Buffered& b = a.buffer[0];
  b.kind = 2;
  b.frame = u8(f);
  b.life = s.life[f];
  std::memcpy(b.value, page, kLanesMax);
}

void Model::copy_staged(u64 box, u64 frame) { copy(frame, s.service[box].payload); }

bool Model::bring(const Lane<Model>& l) {
  if (!config.brings || !choose()) return false;
  u8 page[kLanesMax];
  for (u32 x = 0; x < kLanesMax; ++x) page[x] = value_of(u32(l.page), s.backing[l.page][x]);
  copy(l.frame, page);
  return true;
}

std::string show(const Config& c, const State& before, const State& after, u32 actor) {
  static constexpr const char* kNames[] = {
      "probe",         "pin",          "undo",           "mark dirty",   "unpin",
      "lease",         "lease: take",  "ticket",         "lock",         "probe again",
      "claim",         "unlock",       "flush: probe",   "clean: load",  "clean",
      "write request", "begin fill",   "post control",   "post what",    "post ask",
      "say",           "wait",         "read hint",      "read control", "read answer",
      "win",           "copy",         "publish status", "publish",      "redirty",
      "unpin frame",   "free control", "free lease",     "turn",         "bypass wait",
      "read status",   "drop failed",  "drop",           "orphan",       "bypass low",
      "bypass high",   "pinned",       "bypassed",       "failed",       "left",
      "done"};
  std::string text = actor < kLanesMax ? "lane " + std::to_string(actor) + ": "
                     : actor < kHost   ? "memory of lane " + std::to_string(actor - kDrain)
                     : actor == kHost  ? "host"
                                       : "end";
  if (actor < kLanesMax) {
    const Actor &a = before.actor[actor], &b = after.actor[actor];
    text += a.phase == kRunning ? kNames[a.lane.at] : "between";
    text += std::string(" -> ") + (b.phase == kRunning ? kNames[b.lane.at] : "between");
    text += " page " + std::to_string(b.page) + " frame " + std::to_string(b.lane.frame);
  }
  for (u32 f = 0; f < c.buckets * c.ways; ++f) {
    const u64 t = after.tag[f];
    static constexpr const char* kStates[] = {"free", "claim", "fill", "valid"};
    text += std::string(" | ") + kStates[state_of(t)] + " p" + std::to_string(page_of(t)) + " pins " +
            std::to_string(pins_of(t)) + (dirty_of(t) ? " dirty" : "");
  }
  return text;
}

}  // namespace gpuio::device::check
