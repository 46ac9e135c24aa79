#include "io/transfer_service.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.hpp"

namespace gpuio::io {
namespace {

// While operations are in flight the thread sleeps in their queue, which a new command cannot end: so it
// looks this often.
constexpr std::uint64_t kLookNs = 100'000;
constexpr std::uint64_t kYearNs = 365ull * 86400 * 1'000'000'000;
constexpr std::uint64_t kRestNs = 3'600'000'000'000;  // with nothing to do: an hour is as good as for ever

}  // namespace

Result<std::unique_ptr<TransferService>> TransferService::start(const TransferOptions& options) {
  std::unique_ptr<TransferService> service(new TransferService(options));
  auto thread = Thread::start("gpuio-transfer", [s = service.get()](std::stop_token) { s->run(); });
  if (!thread) return fail(std::move(thread).error().wrap("starting the thread that moves transfers"));
  service->thread_ = std::move(*thread);
  return service;
}

// Nothing may touch what it has given to the engines once it is gone: so without a limit.
TransferService::~TransferService() {
  (void)stop(0);
  if (thread_.joinable()) thread_.join();
}

bool TransferService::stop(std::uint64_t timeout_ns) {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  given_.notify_one();
  return ended_.wait_for(lock, std::chrono::nanoseconds(std::min(timeout_ns, kYearNs)),
                         [&] { return over_; });
}

Status TransferService::submit(std::shared_ptr<Transfer> transfer) {
  if (Status s = Transfers::check(*transfer); !s) return s;
  {
    std::scoped_lock hold(mutex_);
    if (stopping_) return error(Code::canceled, "what moves transfers is being ended");
    if (const std::size_t kept = inbox_.size() + transfers_.size(); kept >= capacity_)
      return error(Code::busy, "{} transfers are in flight, as many as can be; wait for one", kept);
    inbox_.push_back({.verb = Verb::submit, .transfer = std::move(transfer)});
  }
  given_.notify_one();
  return {};
}

void TransferService::cancel(std::shared_ptr<Transfer> transfer) {
  give({.verb = Verb::cancel, .transfer = std::move(transfer)});
}

void TransferService::modify(std::shared_ptr<Transfer> transfer, std::int32_t priority,
                             std::uint64_t rate_bytes_per_second) {
  give({.verb = Verb::modify,
        .transfer = std::move(transfer),
        .priority = priority,
        .rate = rate_bytes_per_second});
}

void TransferService::give(Command command) {
  {
    std::scoped_lock hold(mutex_);
    if (stopping_) return;  // everything is being cancelled
    inbox_.push_back(std::move(command));
  }
  given_.notify_one();
}

void TransferService::run() {
  thread_id_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  for (;;) {
    const bool stopping = take_commands();
    if (stopping) transfers_.cancel_all();
    const bool moved = transfers_.poll();
    if (stopping && transfers_.idle()) break;
    if (!moved) rest(stopping);
  }
  std::scoped_lock hold(mutex_);
  over_ = true;
  ended_.notify_all();
}

// Whether it is time to end.
bool TransferService::take_commands() {
  std::scoped_lock hold(mutex_);
  for (Command& c : inbox_) {
    switch (c.verb) {
      case Verb::submit:
        // Refused only for what submit above has looked at already.
        if (Status s = transfers_.submit(c.transfer); !s)
          log(LogLevel::error, "a transfer was lost: {}", s.message());
        break;
      case Verb::cancel: transfers_.cancel(*c.transfer); break;
      case Verb::modify: transfers_.modify(*c.transfer, c.priority, c.rate); break;
    }
  }
  inbox_.clear();
  return stopping_;
}

void TransferService::rest(bool stopping) {
  const std::uint64_t now = clock_.now_ns(), due = transfers_.due_ns();
  const std::uint64_t left = due > now ? std::min(due - now, kRestNs) : 0;
  if (transfers_.in_flight()) return transfers_.wait(std::min(left, kLookNs));
  std::unique_lock lock(mutex_);
  given_.wait_for(lock, std::chrono::nanoseconds(left),
                  [&] { return !inbox_.empty() || stopping_ != stopping; });
}

}  // namespace gpuio::io
