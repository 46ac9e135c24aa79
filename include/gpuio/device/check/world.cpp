#include <gpuio/device/check/model.hpp>

#include <algorithm>

namespace gpuio::device::check {
namespace {

constexpr u8 kOtherLife = 15;

void clear_lane(Actor& a) {
  const u8 turn = a.lane.turn;
  std::memset(static_cast<void*>(&a.lane), 0, sizeof a.lane);
  a.lane.turn = turn;
}

class World {
 public:
  World(const Config& c, const State& s, Moves& m) : c_(c), s_(s), moves_(m) {}

  bool local(u32 i) const;
  void lane(u32 i);
  void drains(u32 i);
  void host();
  void end();

 private:
  struct Copy {
    State s;
    explicit Copy(const State& from) { std::memcpy(static_cast<void*>(&s), &from, sizeof s); }
  };
  void emit(State&, u32 actor);
  void tidy(State&) const;
  void rank_sequences(State&, u32 box) const;
  void forget_lives(State&) const;
  void begin(u32 i);
  void end_use(State&, u32 i) const;
  void access(u32 i);
  void run_step(u32 i);
  template <class Then>
  void load_word(u32 i, u32 actor, u32 f, u8 life, u32 x, Then then);
  void check(State&, u8 v, u32 page, u32 floor) const;
  bool put(State&, u32 i, u32 f) const;
  void start(State&, u32 i, u32 page, bool bypass) const;
  void deliver(State&, u32 box, Slot&) const;

  const Config& c_;
  const State& s_;
  Moves& moves_;
};

void World::check(State& n, u8 v, u32 page, u32 floor) const {
  if (n.error) return;
  if (v == kGarbage) {
    n.error = kGarbageRead;
  } else if (v / 16 != page) {
    n.error = kWrongPage;
  } else if ((v & 15u) < floor) {
    n.error = kStale;
  }
}

// Sequence numbers of a mailbox are only compared, and counted on from the largest: their ranks do.
void World::rank_sequences(State& n, u32 m) const {
  u32 all[4 + kLanesMax] = {control_sequence(n.control[m]), control_sequence(n.ask[m]),
                            answer_sequence(n.answer[m]), n.service[m].sequence};
  u32 count = 4;
  const auto holds_control = [&](u32 i) {
    return n.actor[i].lane.control != 0 && n.actor[i].lane.mailbox == m;
  };
  for (u32 i = 0; i < c_.lanes; ++i) {
    if (holds_control(i)) all[count++] = control_sequence(n.actor[i].lane.control);
  }
  const auto rank = [&](u32 sequence) {
    u32 below = 0;
    for (u32 a = 0; a < count; ++a) {
      bool first = true;
      for (u32 b = 0; b < a; ++b) first &= all[b] != all[a];
      below += first && all[a] < sequence;
    }
    return below;
  };
  const auto ranked = [&](u64 control) {
    return u64{rank(control_sequence(control))} << kSequenceShift | u32(control);
  };
  n.control[m] = ranked(n.control[m]);
  n.ask[m] = ranked(n.ask[m]);
  n.answer[m] = n.answer[m] >> kAnswerStatusShift << kAnswerStatusShift | rank(answer_sequence(n.answer[m]));
  n.service[m].sequence = rank(n.service[m].sequence);
  for (u32 i = 0; i < c_.lanes; ++i) {
    if (holds_control(i)) n.actor[i].lane.control = ranked(n.actor[i].lane.control);
  }
}

// What nobody will look at again is made equal, so that it does not split states.
void World::tidy(State& n) const {
  for (u32 i = 0; i < c_.lanes; ++i) {
    Lane<Model>& l = n.actor[i].lane;
    if (l.at == At::probe && !l.held) {
      if (Model::planted != Fault::only_poster_finishes) l.mailbox = 0;
      if (l.k == 0) l.frame = 0;
    }
    if (l.at == At::unpin || l.at == At::undo) l.word = 0;
    if (l.at == At::win) l.word = l.word >> kAnswerStatusShift << kAnswerStatusShift;
  }
  for (u32 m = 0; m < c_.boxes; ++m) {
    Service& v = n.service[m];
    rank_sequences(n, m);
    const bool quiet = !v.working && !v.late && control_sequence(n.ask[m]) == v.sequence;
    if (quiet) n.what[m] = 0, n.ask[m] = u64{v.sequence} << kSequenceShift;
    if (control_state(n.control[m]) == kIdle && quiet) {
      n.answer[m] = answer_sequence(n.answer[m]);
      n.bytes[m] = 0;
      n.box_life[m] = 0;
      v.operation = v.page = v.frame = v.life = 0;
      std::memset(v.payload, 0, kLanesMax);
    }
  }
  forget_lives(n);
  if (c_.stale) return;
  for (u32 f = 0; f < c_.buckets * c_.ways; ++f) {
    if (state_of(n.tag[f]) == kFree) std::memset(n.data[f], kGarbage, kLanesMax);
  }
}

// Lives are only compared: a frame's is made 0, and so is that of whoever knows it in this life; others get
// one that no frame will have.
void World::forget_lives(State& n) const {
  const auto seen_from = [&](u8 life, u32 f) { return life == n.life[f] ? u8{0} : kOtherLife; };
  for (u32 i = 0; i < c_.lanes; ++i) {
    Actor& a = n.actor[i];
    a.life = a.phase == kRunning && a.lane.at == At::pinned ? seen_from(a.life, dense(c_, a.lane.frame)) : 0;
    for (Buffered& b : a.buffer) {
      if (b.kind) b.life = seen_from(b.life, b.frame);
    }
    if (a.late) a.late_life = seen_from(a.late_life, a.late_frame);
  }
  for (u32 m = 0; m < c_.boxes; ++m) {
    Service& v = n.service[m];
    if (v.working || v.late) v.life = seen_from(v.life, v.frame);
    if (control_state(n.control[m]) != kIdle && control_operation(n.control[m]) != kOpBypass) {
      n.box_life[m] = seen_from(n.box_life[m], dense(c_, control_frame(n.control[m])));
    }
  }
  std::memset(n.life, 0, sizeof n.life);
}

void World::emit(State& n, u32 actor) {
  const u32 frames = c_.buckets * c_.ways;
  for (u32 a = 0; a < frames && !n.error; ++a) {
    if (pins_of(n.tag[a]) > 40) n.error = kPinCount;
    for (u32 b = a + 1; b < frames; ++b) {
      if (state_of(n.tag[a]) == kValid && state_of(n.tag[b]) == kValid &&
          page_of(n.tag[a]) == page_of(n.tag[b])) {
        n.error = kTwoValid;
      }
    }
  }
  tidy(n);
  moves_.emit(n, actor);
}

bool World::local(u32 i) const {
  const Actor& a = s_.actor[i];
  if (a.phase == kIdlePhase) return !c_.ordered && !c_.loops;
  if (a.phase == kExit) return drained(a);
  if (a.phase != kRunning) return false;
  switch (a.lane.at) {
    case At::ticket:
    case At::bypass_low:
    case At::bypass_high: return true;
    case At::post_what: return !c_.brings || a.lane.operation != kOpFill;
    case At::done:
    case At::bypassed:
    case At::failed:
    case At::left: return !c_.ordered && !a.outer;
    default: return false;
  }
}

void World::start(State& n, u32 i, u32 page, bool bypass) const {
  Actor& a = n.actor[i];
  clear_lane(a);
  Model m{c_, n, i};
  u64 where = 0;
  if (a.use == kWrite) where = u64{1} << 16 | i << 8 | u64(a.seen[page][i] + 1);
  begin_access(m, a.lane, u64{page}, u64{bypass}, where);
  a.page = u8(page);
}

void World::begin(u32 i) {
  const Actor& a = s_.actor[i];
  if (a.uses == 0) {
    Copy n(s_);
    n.s.actor[i].phase = kExit;
    return emit(n.s, i);
  }
  for (u32 acquired = 0; acquired <= (c_.ordered ? 1u : 0u); ++acquired) {
    if (acquired && a.late) continue;
    for (u32 use = 1; use <= kFlush; use *= 2) {
      const u32 targets = use == kFlush ? c_.buckets * c_.ways : use == kBarrier ? 1 : c_.pages;
      for (u32 p = 0; p < targets && (c_.may[i] & use); ++p) {
        Copy n(s_);
        Actor& b = n.s.actor[i];
        const bool again = c_.loops && i == 0 && s_.actor[1].phase != kEnded;
        if (!again) --b.uses;
        b.phase = kRunning;
        b.use = u8(use);
        if (acquired) {
          b.stale_of = 0;
          std::memset(b.stale, 0, sizeof b.stale);
          for (u32 q = 0; q < kPagesMax; ++q) {
            for (u32 x = 0; x < kLanesMax; ++x) b.seen[q][x] = std::max(b.seen[q][x], s_.published[q][x]);
          }
        }
        if (use == kFlush) {
          clear_lane(b);
          Model m{c_, n.s, i};
          begin_flush(m, b.lane, u64{p / c_.ways * kWays + p % c_.ways});
        } else {
          const bool past = use == kRead || (use == kWrite && Model::faulty(Fault::bypassed_write));
          start(n.s, i, p, c_.bypass && past);
        }
        emit(n.s, i);
      }
    }
  }
}

void World::end_use(State& n, u32 i) const {
  Actor& a = n.actor[i];
  if (a.outer) n.tag[a.outer - 1] -= kPin;
  clear_lane(a);
  a.phase = kIdlePhase;
  a.use = a.page = a.part = a.outer = a.life = 0;
}

template <class Then>
void World::load_word(u32 i, u32 actor, u32 f, u8 life, u32 x, Then then) {
  const Actor& a = s_.actor[i];
  for (u32 k = 2; k-- > 0;) {
    if (x == i && a.buffer[k].kind == 1 && a.buffer[k].frame == f) {
      Copy n(s_);
      then(n.s, a.buffer[k].value[0]);
      return emit(n.s, actor);
    }
  }
  if (c_.stale && (a.stale_of >> f & 1)) {
    Copy n(s_);
    then(n.s, a.stale[f][x]);
    emit(n.s, actor);
  }
  Copy n(s_);
  if (s_.life[f] != life || state_of(s_.tag[f]) != kValid) n.s.error = kDeadRead;
  then(n.s, s_.data[f][x]);
  emit(n.s, actor);
}

// A store to the lane's own word of its page: into the buffer.
bool World::put(State& n, u32 i, u32 f) const {
  Actor& a = n.actor[i];
  if (a.buffer[0].kind && a.buffer[1].kind) return false;
  Buffered& b = a.buffer[a.buffer[0].kind ? 1 : 0];
  b.kind = 1;
  b.frame = u8(f);
  b.life = a.life;
  b.value[0] = value_of(a.page, ++a.seen[a.page][i]);
  if (a.stale_of >> f & 1) a.stale[f][i] = b.value[0];
  return true;
}

void World::access(u32 i) {
  const Actor& a = s_.actor[i];
  const u32 f = dense(c_, a.lane.frame);
  const auto let_go = [this, i](State& n, bool wrote) {
    Model m{c_, n, i};
    release(m, n.actor[i].lane, wrote);
  };
  if (a.use == kNested && a.part == 0) {
    Copy n(s_);
    n.s.actor[i].outer = u8(f + 1);
    n.s.actor[i].part = 1;
    start(n.s, i, (a.page + 1u) % c_.pages, c_.bypass);
    return emit(n.s, i);
  }
  if (a.use == kBarrier) {
    for (u32 u = 0; u < c_.lanes; ++u) {
      if (u != i && s_.actor[u].phase != kEnded) return;
    }
    Copy n(s_);
    let_go(n.s, false);
    return emit(n.s, i);
  }
  if (a.use == kWrite || (a.use == kSpan && a.part == 1)) {
    Copy n(s_);
    if (!put(n.s, i, f)) return;
    if (a.use == kSpan) {
      n.s.actor[i].part = 2;
    } else {
      let_go(n.s, true);
    }
    return emit(n.s, i);
  }
  for (u32 x = 0; x < c_.lanes; ++x) {
    if (a.use == kSpan && x != (i + a.part / 2) % c_.lanes) continue;
    const auto go_on = [&](State& n) {
      if (a.use == kSpan && a.part == 0) {
        n.actor[i].part = 1;
      } else {
        let_go(n, a.use == kSpan);
      }
    };
    const u8 floor = a.seen[a.page][x];
    if (c_.late && !a.late) {
      Copy n(s_);
      Actor& b = n.s.actor[i];
      b.late = 1;
      b.late_frame = u8(f);
      b.late_life = a.life;
      b.late_page = a.page;
      b.late_word = u8(x);
      b.late_floor = floor;
      go_on(n.s);
      emit(n.s, i);
    }
    load_word(i, i, f, a.life, x, [&](State& n, u8 v) {
      check(n, v, a.page, floor);
      go_on(n);
    });
  }
}

void World::run_step(u32 i) {
  u32 asked = 0;
  for (u32 choices = 0; choices < 1u << asked || choices == 0; ++choices) {
    Copy n(s_);
    Model m{c_, n.s, i, choices};
    Lane<Model>& l = n.s.actor[i].lane;
    step(m, l);
    asked = std::max(asked, m.chosen);
    if (m.blocked) continue;
    if (l.at == At::pinned) n.s.actor[i].life = n.s.life[dense(c_, l.frame)];
    emit(n.s, i);
  }
}

void World::lane(u32 i) {
  const Actor& a = s_.actor[i];
  if (a.phase == kIdlePhase) return begin(i);
  if (a.phase == kExit) {
    if (!drained(a)) return;
    Copy n(s_);
    n.s.actor[i].phase = kEnded;
    return emit(n.s, i);
  }
  if (a.phase == kEnded) return;
  if (a.lane.at < At::pinned) return run_step(i);
  if (a.lane.at == At::pinned) return access(i);
  Copy n(s_);
  Actor& b = n.s.actor[i];
  if (a.lane.at == At::bypassed && a.use == kWrite) ++b.seen[a.page][i];
  if (a.lane.at == At::bypassed && a.use != kWrite) {
    for (u32 x = 0; x < c_.lanes; ++x) check(n.s, u8(a.lane.low >> 8 * x), a.page, a.seen[a.page][x]);
  }
  if (a.lane.at == At::left && c_.parks) {
    Copy back(s_);
    if (a.use == kFlush) {
      const u64 frame = a.lane.stale - 1u;
      Model m{c_, back.s, i};
      clear_lane(back.s.actor[i]);
      begin_flush(m, back.s.actor[i].lane, frame);
    } else {
      start(back.s, i, a.page, a.lane.may_bypass);
    }
    emit(back.s, i);
  }
  const bool wrote = a.lane.at == At::done && (a.use == kWrite || a.use == kSpan);
  end_use(n.s, i);
  emit(n.s, i);
  if (c_.ordered && wrote && drained(a)) {
    for (u32 q = 0; q < kPagesMax; ++q) {
      for (u32 x = 0; x < kLanesMax; ++x) n.s.published[q][x] = std::max(n.s.published[q][x], a.seen[q][x]);
    }
    emit(n.s, i);
  }
}

void World::drains(u32 i) {
  const Actor& a = s_.actor[i];
  for (u32 k = 0; k < 2; ++k) {
    const Buffered b = a.buffer[k];
    if (!b.kind || (k == 1 && b.frame == a.buffer[0].frame)) continue;
    Copy n(s_);
    Actor& t = n.s.actor[i];
    if (s_.life[b.frame] != b.life || state_of(s_.tag[b.frame]) != (b.kind == 1 ? kValid : kFill)) {
      n.s.error = kDeadWrite;
    } else {
      remember(c_, n.s, b.frame, i);
      if (b.kind == 1) {
        n.s.data[b.frame][i] = b.value[0];
        if (t.stale_of >> b.frame & 1) t.stale[b.frame][i] = b.value[0];
      } else {
        std::memcpy(n.s.data[b.frame], b.value, kLanesMax);
      }
    }
    if (k == 0) t.buffer[0] = t.buffer[1];
    t.buffer[1] = Buffered{};
    emit(n.s, kDrain + i);
  }
  if (a.late) {
    load_word(i, kDrain + i, a.late_frame, a.late_life, a.late_word, [&](State& n, u8 v) {
      check(n, v, a.late_page, a.late_floor);
      Actor& t = n.actor[i];
      t.late = t.late_frame = t.late_life = t.late_page = t.late_word = t.late_floor = 0;
    });
  }
}

// ---- The service, by the product's own steps; and the end of the kernel.
void World::deliver(State& n, u32 box, Slot& slot) const {
  Service& v = n.service[box];
  const u32 f = v.frame;
  if (v.operation == kOpFill && !c_.staged) {
    const u64 t = n.tag[f];
    if (state_of(t) != kFill || page_of(t) != v.page || n.life[f] != v.life) {
      n.error = kForeignDma;
    } else if (Model::faulty(Fault::answer_before_bytes)) {
      v.late = 1;
    } else {
      remember(c_, n, f, kLanesMax);
      std::memcpy(n.data[f], v.payload, kLanesMax);
    }
  } else if (v.operation == kOpWriteBack) {
    for (u32 x = 0; x < c_.lanes; ++x) {
      if (v.payload[x] == kGarbage || v.payload[x] / 16 != v.page) {
        n.error = kForeignWriteBack;
      } else {
        n.backing[v.page][x] = v.payload[x] & 15;
      }
    }
  } else if (v.operation == kOpBypass) {
    for (u32 x = 0; x < c_.lanes; ++x) slot.low |= u64{v.payload[x]} << 8 * x;
  }
  answer(slot, 0, v.operation == kOpFill && c_.staged);
}

void World::host() {
  for (u32 box = 0; box < c_.boxes; ++box) {
    const Service& v = s_.service[box];
    if (v.late) {
      Copy n(s_);
      std::memcpy(n.s.data[v.frame], v.payload, kLanesMax);
      n.s.service[box].late = 0;
      emit(n.s, kHost);
    }
    Slot slot{.ask = u64{v.sequence} << kSequenceShift};
    if (!v.working) {
      if (control_sequence(s_.ask[box]) == v.sequence) continue;
      Copy n(s_);
      Model m{c_, n.s, kLanesMax};
      while (slot.at != kWork) serve(m, slot, box);
      Service& w = n.s.service[box];
      w.sequence = control_sequence(slot.ask);
      if (s_.failures < c_.failures) {
        Copy failed(n.s);
        Model fm{c_, failed.s, kLanesMax};
        Slot bad = slot;
        ++failed.s.failures;
        answer(bad, 5, false);
        while (bad.at != kLook) serve(fm, bad, box);
        emit(failed.s, kHost);
      }
      w.working = 1;
      w.operation = u8(control_operation(slot.ask));
      w.page = u8(request_page(slot.what));
      if (w.operation == 0 || w.operation > kOpBypass || w.page >= c_.pages) {
        n.s.error = kGarbageRead;
        emit(n.s, kHost);
        continue;
      }
      const u32 where = control_frame(slot.ask);
      const bool writes = w.operation == kOpBypass && Model::faulty(Fault::bypassed_write) && where;
      if (w.operation != kOpBypass) w.frame = u8(dense(c_, where));
      w.life = s_.box_life[box];
      for (u32 x = 0; x < c_.lanes; ++x) {
        const bool own = writes && (where >> 8 & 0xff) == x;
        if (own) n.s.backing[w.page][x] = u8(where & 15);
        w.payload[x] =
            w.operation == kOpWriteBack ? n.s.data[w.frame][x] : value_of(w.page, n.s.backing[w.page][x]);
      }
      emit(n.s, kHost);
      continue;
    }
    Copy n(s_);
    slot.at = kWork;
    slot.ask |= u64{v.operation} << kOperationShift;
    deliver(n.s, box, slot);
    Model m{c_, n.s, kLanesMax};
    while (slot.at != kLook) serve(m, slot, box);
    n.s.service[box].working = 0;
    emit(n.s, kHost);
  }
}

void World::end() {
  for (u32 i = 0; i < c_.lanes; ++i) {
    if (s_.actor[i].phase != kEnded) return;
  }
  for (u32 b = 0; b < c_.boxes; ++b) {
    const Service& v = s_.service[b];
    if (v.working || v.late || control_sequence(s_.ask[b]) != v.sequence) return;
  }
  Copy n(s_);
  State& t = n.s;
  t.ended = 1;
  for (u32 b = 0; b < c_.boxes; ++b) {
    const u32 state = control_state(t.control[b]);
    const bool leased = t.lease >> b & 1;
    if (leased ? state != kPosted && state != kOrphan : state != kIdle) t.error = kBoxLeak;
  }
  Model m{c_, t, kLanesMax};
  if (!Model::faulty(Fault::no_sweep)) finish_mailboxes(m, c_.boxes);
  if (t.lease && !t.error) t.error = kBoxLeak;
  for (u32 f = 0; f < c_.buckets * c_.ways && !t.error; ++f) {
    if (pins_of(t.tag[f])) t.error = kPinLeak;
    if (state_of(t.tag[f]) == kClaim || state_of(t.tag[f]) == kFill) t.error = kWayLeak;
    if (state_of(t.tag[f]) != kValid || !dirty_of(t.tag[f])) continue;
    for (u32 x = 0; x < c_.lanes; ++x) {
      const u8 v = t.data[f][x];
      if (v == kGarbage || v / 16 != page_of(t.tag[f])) t.error = kForeignWriteBack;
      t.backing[page_of(t.tag[f])][x] = v & 15;
    }
  }
  if (!t.error && (t.lock[0] || t.lock[1])) t.error = kPinLeak;
  for (u32 p = 0; p < c_.pages && !t.error; ++p) {
    for (u32 x = 0; x < c_.lanes; ++x) {
      if (t.backing[p][x] != t.actor[x].seen[p][x]) t.error = kLostWrite;
    }
  }
  emit(t, kEnd);
}

}  // namespace

void initial(const Config& c, State& s) {
  std::memset(static_cast<void*>(&s), 0, sizeof s);
  std::memset(s.data, kGarbage, sizeof s.data);
  for (u32 i = 0; i < kLanesMax; ++i) {
    s.actor[i].phase = i < c.lanes ? kIdlePhase : kEnded;
    s.actor[i].uses = u8(c.uses[i]);
    s.actor[i].lane.turn = u8(i & (std::max(c.boxes, c.buckets * c.ways) - 1));
  }
}

void successors(const Config& c, const State& s, Moves& moves) {
  World world(c, s, moves);
  moves.alone = false;
  if (s.ended || s.error) return;
  for (u32 i = 0; i < c.lanes; ++i) {
    if (!world.local(i)) continue;
    moves.alone = true;
    return world.lane(i);
  }
  for (u32 i = 0; i < c.lanes; ++i) {
    world.lane(i);
    world.drains(i);
  }
  world.host();
  world.end();
}

}  // namespace gpuio::device::check
