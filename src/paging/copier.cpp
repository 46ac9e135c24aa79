#include "paging/copier.hpp"

#include "base/clock.hpp"

namespace gpuio::paging {

Result<std::unique_ptr<Copier>> Copier::start(gpu::Device& device, Cache& cache, std::uint64_t deadline_ns) {
  auto copier = std::unique_ptr<Copier>(new Copier(cache, deadline_ns));
  auto stream = device.stream();
  if (!stream) return fail(std::move(stream).error().wrap("the copier's stream"));
  copier->stream_ = std::move(*stream);
  auto thread = Thread::start("gpuio-copier", [c = copier.get()](std::stop_token stop) { c->run(stop); });
  if (!thread) return fail(std::move(thread).error());
  copier->thread_ = std::move(*thread);
  return copier;
}

Copier::~Copier() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  submits_.fetch_add(1, std::memory_order_release);  // wakes it; it looks at the stop first
  wake_one(submits_);
  thread_.join();
}

void Copier::submit(std::span<const Copy> copies) {
  if (copies.empty()) return;
  pending_.fetch_add(std::uint32_t(copies.size()), std::memory_order_relaxed);
  {
    const std::scoped_lock guard(lock_);
    submitted_.insert(submitted_.end(), copies.begin(), copies.end());
  }
  submits_.fetch_add(1, std::memory_order_release);  // pairs with the acquire in run
  wake_one(submits_);
}

std::span<const Copy> Copier::poll() {
  delivered_.clear();
  // Pairs with the release in hand_out; most looks end here, without the lock.
  if (done_count_.load(std::memory_order_acquire) == 0) return {};
  const std::scoped_lock guard(lock_);
  delivered_.swap(done_);
  done_count_.store(0, std::memory_order_relaxed);
  pending_.fetch_sub(std::uint32_t(delivered_.size()), std::memory_order_release);  // pairs with pending()
  return delivered_;
}

void Copier::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    const std::uint32_t seen = submits_.load(std::memory_order_acquire);
    std::vector<Copy> copies;
    {
      const std::scoped_lock guard(lock_);
      copies.swap(submitted_);
    }
    if (!copies.empty()) begin(std::move(copies));
    else if (!under_way_.empty()) {
      // Looking at a point also makes a driver send out what it has queued.
      if (!deliver()) relax_cpu();
    } else {
      wait_on_word(submits_, seen, 100'000'000);
    }
  }
}

// A stream takes only so many operations at once; what it cannot take waits for some to land.
void Copier::begin(std::vector<Copy> copies) {
  const std::uint64_t now_ns = SteadyClock().now_ns();
  Batch batch{.point = 0, .started_ns = now_ns, .copies = {}};
  for (const Copy& copy : copies) {
    Status s;
    while ((s = cache_.fill(*stream_, copy.frame, copy.staging)).code() == Code::busy &&
           SteadyClock().now_ns() - now_ns < deadline_ns_)
      deliver();
    if (!s) {
      hand_out({copy}, s);
      continue;
    }
    batch.point = stream_->last();
    batch.copies.push_back(copy);
  }
  if (!batch.copies.empty()) under_way_.push_back(std::move(batch));
}

bool Copier::deliver() {
  if (under_way_.empty()) return false;
  Batch& first = under_way_.front();
  const Result<bool> landed = stream_->reached(first.point);
  Status status;
  if (!landed) status = landed.error();
  else if (!*landed) {
    if (SteadyClock().now_ns() - first.started_ns < deadline_ns_) return false;
    status = error(Code::timeout, "a copy into the page cache did not land within {} ms beside a kernel",
                   deadline_ns_ / 1'000'000);
    stuck_.store(true, std::memory_order_release);  // pairs with stuck()
  }
  hand_out(std::move(first.copies), status);
  under_way_.pop_front();
  return true;
}

void Copier::hand_out(std::vector<Copy> copies, const Status& status) {
  const std::scoped_lock guard(lock_);
  if (!status) last_error_ = status.message();
  for (Copy& copy : copies) {
    copy.code = status.code();
    done_.push_back(copy);
  }
  done_count_.store(std::uint32_t(done_.size()),
                    std::memory_order_release);  // pairs with the acquire in poll
}

}  // namespace gpuio::paging
