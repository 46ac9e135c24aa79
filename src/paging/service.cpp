#include "paging/service.hpp"

#include <sched.h>

#include <algorithm>
#include <cstring>

namespace gpuio::paging {

namespace {
constexpr std::uint64_t kNapNs = 20'000, kLongNapNs = 1'000'000;
}

using device::Field;
using device::Order;
using device::Scope;

Service::Service(Cache& cache, const Space& space, const ServiceOptions& options, Copier* copier)
    : cache_(cache),
      space_(space),
      finder_(space),
      copier_(copier),
      options_(options),
      words_(cache.words()),
      pager_(space, options.depth),
      asks_(*cache.words().requests, cache.mailboxes()),
      slots_(cache.mailboxes()),
      reads_(cache.mailboxes()),
      seen_ns_(cache.mailboxes()),
      counters_(cache.mailboxes()),
      scratch_(kScratchPages * cache.page_bytes()) {
  for (std::uint32_t i = 0; i < kScratchPages; ++i)
    scratch_idle_.push_back(scratch_.data() + i * cache.page_bytes());
  for (std::uint32_t m = 0; m < cache.mailboxes(); ++m) {
    reads_[m].user = &slots_[m];
    // What an earlier service on this cache has seen; sequence numbers count on for ever.
    slots_[m].ask = words_.load(Field::ask, m, Order::relaxed, Scope::system);
    asks_.saw(m, slots_[m].ask);
  }
}

Result<std::unique_ptr<Service>> Service::start(Cache& cache, const Space& space,
                                                const ServiceOptions& options, Copier* copier) {
  auto service = std::unique_ptr<Service>(new Service(cache, space, options, copier));
  std::atomic<std::uint32_t> ready{0};
  auto thread = Thread::start("gpuio-service", [s = service.get(), &ready](std::stop_token stop) {
    s->priority_ = set_this_thread_priority(s->options_.priority);
    ready.store(1, std::memory_order_release);
    wake_one(ready);
    s->run(stop);
  });
  if (!thread) return fail(std::move(thread).error());
  service->thread_ = std::move(*thread);
  // Pairs with the store above: priority_ is written before anybody reads it.
  while (ready.load(std::memory_order_acquire) == 0) wait_on_word(ready, 0, 100'000'000);
  return service;
}

Service::~Service() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  running_.fetch_add(1, std::memory_order_release);  // wakes it; it looks at the stop first
  wake_one(running_);
  thread_.join();
}

void Service::begin() {
  device::Answers& answers = *cache_.words().answers;
  if (running_.load(std::memory_order_relaxed) == 0) {
    pages_.reset();
    failures_.reset();
    latency_ns_.reset();
  }
  std::atomic_ref(answers.abort).store(0, std::memory_order_relaxed);
  aborted_.store(0, std::memory_order_relaxed);
  ending_.store(0, std::memory_order_relaxed);
  running_.fetch_add(1, std::memory_order_release);  // pairs with the acquire in run
  wake_one(running_);
}

void Service::abort(Code code) {
  device::Answers& answers = *cache_.words().answers;
  std::atomic_ref(answers.abort).store(std::uint64_t(-int(code)), std::memory_order_release);
  aborted_.store(int(code), std::memory_order_release);  // pairs with the acquire in run
}

bool Service::bring(std::uint64_t page, std::uint64_t frame) {
  const std::uint64_t start = clock_.now_ns();
  const auto range = space_.find(page);
  if (!range || frame >= cache_.frames()) return false;
  if (!read_at_hand(*range, page, {cache_.frame(std::uint32_t(frame)), cache_.page_bytes()})) return false;
  const std::uint64_t latency_ns = clock_.now_ns() - start;
  pages_.add();
  latency_ns_.record(latency_ns);
  if (ArrayCounters* const counters = range->counters) {
    counters->misses.add();
    counters->brought.add();
    counters->latency_ns.record(latency_ns);
  }
  return true;
}

Status Service::end(std::uint64_t timeout_ns) {
  const std::uint64_t start = clock_.now_ns();
  // The kernel posted before it ended, so one whole sweep from now sees all that it asked.
  const std::uint64_t sweeps = sweeps_.load(std::memory_order_acquire);
  ending_.store(1, std::memory_order_release);  // nobody waits for a long nap
  wake_one(ending_);
  while (sweeps_.load(std::memory_order_acquire) < sweeps + 2 ||
         outstanding_.load(std::memory_order_acquire) != 0 ||
         (copier_ != nullptr && copier_->pending() != 0)) {
    if (clock_.now_ns() - start > timeout_ns)
      return error(Code::timeout, "{} requests of the kernel were not answered within {} ms",
                   outstanding_.load(std::memory_order_relaxed), timeout_ns / 1'000'000);
    ::sched_yield();
  }
  if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1)
    device::finish_mailboxes(words_, cache_.mailboxes());
  return {};
}

void Service::run(std::stop_token stop) {
  std::uint64_t idle_since = 0, turns = 0;
  device::Answers& answers = *cache_.words().answers;
  while (!stop.stop_requested()) {
    if (running_.load(std::memory_order_acquire) == 0) {
      wait_on_word(running_, 0, 100'000'000);
      // No spin before the first request: it would take a processor from lanes that are about to start.
      idle_since = clock_.now_ns() - options_.spin_ns;
      continue;
    }
    if (const int code = aborted_.load(std::memory_order_acquire)) give_up(Code(code));
    const bool swept = sweep(), delivered = deliver(), landed = land();  // all, whatever the first says
    const bool progress = swept || delivered || landed;
    // Lanes that wait keep reading the word beside it: not at every turn.
    if (++turns % 1024 == 0) std::atomic_ref(answers.heartbeat).store(turns, std::memory_order_relaxed);
    if (progress) idle_since = 0;
    else idle(idle_since = idle_since ? idle_since : clock_.now_ns());
  }
}

// Without work: spin for a while, then let others run; a nap only when there is nothing under way either. A
// nap lasts an eighth of the time without work: whoever asks waits an eighth longer at most, and the services
// of many processes, at real-time priority, leave the processors to the lanes that they wait for.
void Service::idle(std::uint64_t idle_since) {
  const std::uint64_t idle_ns = clock_.now_ns() - idle_since;
  if (idle_ns < options_.spin_ns) return;
  if (pager_.pending()) return pager_.wait(50'000);
  if (ending_.load(std::memory_order_relaxed)) {
    // end() waits for two sweeps, and may need this very processor to go on.
    if (++sweeps_to_end_ > 2) wait_on_word(ending_, 1, kNapNs);
    return;
  }
  sweeps_to_end_ = 0;
  // A real-time thread that only yields would starve the very lanes it waits for.
  if (idle_ns < 20 * options_.spin_ns && !priority_.ok()) ::sched_yield();
  else wait_on_word(ending_, 0, std::clamp(idle_ns / 8, kNapNs, kLongNapNs));
}

bool Service::sweep() {
  batch_.clear();
  asks_.each_new([this](std::uint32_t mailbox) { look(mailbox); });
  for (std::size_t i = deferred_.size(); i-- > 0 && !scratch_idle_.empty();) {
    const std::uint32_t m = deferred_[i];
    deferred_.erase(deferred_.begin() + std::ptrdiff_t(i));
    take(m);
  }
  if (!batch_.empty()) pager_.submit(batch_);
  // Release: who sees the count sees `outstanding_` with this sweep's requests in it.
  sweeps_.store(sweeps_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  return !batch_.empty();
}

// Takes what the mailbox asks for, if that is new.
void Service::look(std::uint32_t mailbox) {
  device::Slot& slot = slots_[mailbox];
  if (slot.at != device::kLook) return;
  device::serve(words_, slot, mailbox);
  if (slot.at != device::kTakeWhat) return;
  device::serve(words_, slot, mailbox);
  asks_.saw(mailbox, slot.ask);
  outstanding_.fetch_add(1, std::memory_order_relaxed);
  seen_ns_[mailbox] = clock_.now_ns();
  counters_[mailbox] = finder_.counters(device::request_page(slot.what));
  if (counters_[mailbox]) counters_[mailbox]->misses.add();
  take(mailbox);
}

// Whatever is being brought, and whatever waits to be, gets this answer; what is asked later is seen by the
// next turn.
void Service::give_up(Code code) {
  pager_.abandon();
  deferred_.clear();
  scratch_idle_.clear();
  for (std::uint32_t i = 0; i < kScratchPages; ++i)
    scratch_idle_.push_back(scratch_.data() + i * cache_.page_bytes());
  for (std::uint32_t m = 0; m < cache_.mailboxes(); ++m)
    if (slots_[m].at == device::kWork) reply(m, code);
}

void Service::take(std::uint32_t mailbox) {
  device::Slot& slot = slots_[mailbox];
  PageRead& read = reads_[mailbox];
  read.page = device::request_page(slot.what);
  const std::uint32_t frame = device::control_frame(slot.ask);
  switch (device::control_operation(slot.ask)) {
    case device::kOpFill:
      if (frame >= cache_.frames()) return reply(mailbox, Code::invalid_address);
      read.to = cache_.local() ? cache_.staging(mailbox) : cache_.frame(frame);
      break;
    case device::kOpBypass:
      if (scratch_idle_.empty()) return deferred_.push_back(mailbox);
      read.to = scratch_idle_.back();
      scratch_idle_.pop_back();
      break;
    default: return reply(mailbox, Code::unsupported);  // arrays are read-only
  }
  batch_.push_back(&read);
}

// Answers what the copier has done. Whoever was answered before, by give_up, has another sequence number by
// now or no work.
bool Service::land() {
  if (copier_ == nullptr) return false;
  const auto done = copier_->poll();
  for (const Copy& copy : done) {
    device::Slot& slot = slots_[copy.staging];
    if (slot.at == device::kWork && device::control_sequence(slot.ask) == copy.user)
      reply(copy.staging, copy.code);
  }
  return !done.empty();
}

bool Service::deliver() {
  copies_.clear();
  std::array<PageRead*, 64> done;
  const std::uint32_t n = pager_.poll(done);
  for (std::uint32_t i = 0; i < n; ++i) {
    PageRead& read = *done[i];
    device::Slot& slot = *static_cast<device::Slot*>(read.user);
    if (device::control_operation(slot.ask) == device::kOpBypass) {
      const std::uint64_t at = device::control_frame(slot.ask), bytes = device::request_bytes(slot.what);
      Code code = read.code;
      if (bytes > device::kBypassBytesMax || at + bytes > cache_.page_bytes()) code = Code::invalid_address;
      std::uint64_t words[2] = {};
      if (code == Code::ok) std::memcpy(words, read.to + at, bytes);
      slot.low = words[0];
      slot.high = words[1];
      scratch_idle_.push_back(read.to);
      reply(std::uint32_t(&slot - slots_.data()), code);
    } else if (copier_ != nullptr && read.code == Code::ok) {
      copies_.push_back({.frame = device::control_frame(slot.ask),
                         .staging = std::uint32_t(&slot - slots_.data()),
                         .user = device::control_sequence(slot.ask)});
    } else {
      reply(std::uint32_t(&slot - slots_.data()), read.code);
    }
  }
  if (copier_ != nullptr) copier_->submit(copies_);
  return n > 0;
}

void Service::reply(std::uint32_t mailbox, Code code) {
  device::Slot& slot = slots_[mailbox];
  code == Code::ok ? pages_.add() : failures_.add();
  if (code != Code::ok) last_failure_.store(int(code), std::memory_order_relaxed);
  const std::uint64_t latency_ns = clock_.now_ns() - seen_ns_[mailbox];
  latency_ns_.record(latency_ns);
  if (ArrayCounters* counters = counters_[mailbox]) {
    counters->latency_ns.record(latency_ns);
    if (code != Code::ok) counters->failures.add();
    else if (device::control_operation(slot.ask) == device::kOpFill) counters->brought.add();
  }
  device::answer(slot, std::uint32_t(-int(code)), false);
  while (slot.at != device::kLook) device::serve(words_, slot, mailbox);
  outstanding_.fetch_sub(1, std::memory_order_release);  // pairs with the acquire in end
}

}  // namespace gpuio::paging
