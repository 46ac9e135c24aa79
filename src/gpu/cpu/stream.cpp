#include "gpu/cpu/stream.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <system_error>

#include "base/platform/thread.hpp"

namespace gpuio::gpu::cpu {
namespace {

constexpr std::size_t kPendingMax = 65536;
constexpr std::size_t kStampsMax = 1024;
constexpr std::uint32_t kGroupsMax = 65535;

std::uint64_t now_ns() {
  return std::uint64_t(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

// A year stands for ever: longer would overflow the clock.
std::chrono::nanoseconds bounded(std::uint64_t timeout_ns) {
  constexpr std::uint64_t kYear = 365ull * 24 * 3600 * 1'000'000'000;
  return std::chrono::nanoseconds(std::min(timeout_ns, kYear));
}

Status check_range(std::string_view what, const Buffer& buffer, std::uint64_t offset, std::uint64_t size) {
  if (offset <= buffer.size() && size <= buffer.size() - offset) return {};
  return error(Code::invalid_arg, "{}: {} bytes at offset {} reach past the buffer's {} bytes", what, size,
               offset, buffer.size());
}

std::byte* at(const Buffer& buffer, std::uint64_t offset) { return buffer.host() + offset; }

}  // namespace

Status Core::alive() const {
  if (!lost.load(std::memory_order_relaxed)) return {};
  return error(Code::device_lost, "the CPU device is lost: a kernel did not return in time; open it again");
}

void Core::lose() {
  // A host thread cannot be stopped from outside: leave it, with everything it uses.
  if (!lost.exchange(true, std::memory_order_relaxed)) pool.abandon();
}

void Core::keep(Pages pages) {
  std::scoped_lock hold(kept_lock_);
  kept_.push_back(std::move(pages));
}

Result<Point> Timeline::push(Task task) {
  std::unique_lock hold(lock_);
  if (!error_) return gpuio::fail(error_);
  if (tasks_.size() >= kPendingMax)
    return gpuio::fail(Code::busy, "{} operations wait in the stream already: wait for some first",
                       kPendingMax);
  tasks_.push_back(std::move(task));
  const Point point = ++last_;
  pushed_.store(point, std::memory_order_relaxed);
  hold.unlock();
  work_.notify_one();
  return point;
}

Point Timeline::last() const {
  std::scoped_lock hold(lock_);
  return last_;
}

Status Timeline::check(Point point) const {
  if (point <= last_) return {};
  return error(Code::invalid_arg, "point {} was not enqueued yet; the stream's last is {}", point, last_);
}

Result<bool> Timeline::reached(Point point) const {
  std::scoped_lock hold(lock_);
  if (!error_) return gpuio::fail(error_);
  if (Status s = check(point); !s) return gpuio::fail(std::move(s));
  return point <= reached_;
}

Status Timeline::wait(Point point, std::uint64_t timeout_ns) const {
  look_a_while([&] { return done_.load(std::memory_order_relaxed) >= point; }, timeout_ns);
  std::unique_lock hold(lock_);
  if (Status s = check(point); !s) return s;
  const bool done =
      progress_.wait_for(hold, bounded(timeout_ns), [&] { return point <= reached_ || !error_.ok(); });
  if (!error_) return error_;
  if (!done)
    return error(Code::timeout, "point {} not reached within {} ns; the stream is at {} of {}", point,
                 timeout_ns, reached_, last_);
  return {};
}

Result<std::uint64_t> Timeline::time_of(Point point) const {
  std::scoped_lock hold(lock_);
  if (!error_) return gpuio::fail(error_);
  if (Status s = check(point); !s) return gpuio::fail(std::move(s));
  if (point > reached_) return gpuio::fail(Code::busy, "stamp {} was not reached yet: wait for it", point);
  const auto found = std::ranges::lower_bound(stamps_, point, {}, &Stamp::point);
  if (found == stamps_.end() || found->point != point)
    return gpuio::fail(Code::invalid_arg, "point {} is no stamp, or not one of the last {}", point,
                       kStampsMax);
  return found->time_ns;
}

void Timeline::close() {
  std::scoped_lock hold(lock_);
  closing_ = true;
  pushed_.store(~Point{0}, std::memory_order_relaxed);
  work_.notify_one();
}

void Timeline::fail(Status status) {
  std::scoped_lock hold(lock_);
  if (error_.ok()) error_ = std::move(status);
  done_.store(~Point{0}, std::memory_order_relaxed);
  progress_.notify_all();
}

bool Timeline::wait_ended(std::uint64_t timeout_ns) const {
  std::unique_lock hold(lock_);
  return progress_.wait_for(hold, bounded(timeout_ns), [&] { return ended_; });
}

void Timeline::keep_time() {
  const std::uint64_t time_ns = now_ns();
  std::scoped_lock hold(lock_);
  if (stamps_.size() == kStampsMax) stamps_.pop_front();
  stamps_.push_back({reached_ + 1, time_ns});
}

void Timeline::work() {
  std::unique_lock hold(lock_);
  for (;;) {
    if (tasks_.empty() && !closing_) {
      const Point last = last_;
      hold.unlock();
      look_a_while([&] { return pushed_.load(std::memory_order_relaxed) != last; });
      hold.lock();
    }
    work_.wait(hold, [&] { return closing_ || !tasks_.empty(); });
    if (tasks_.empty()) break;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    if (error_.ok()) {
      hold.unlock();
      Status s = task();
      task = nullptr;  // frees what it holds before the point is reached
      hold.lock();
      if (!s && error_.ok()) error_ = std::move(s);
    }
    ++reached_;
    done_.store(error_.ok() ? reached_ : ~Point{0}, std::memory_order_relaxed);
    progress_.notify_all();
  }
  ended_ = true;
  progress_.notify_all();
}

Result<std::unique_ptr<Stream>> HostStream::create(std::shared_ptr<Core> core, Capability timestamps) {
  if (Status s = core->alive(); !s) return gpuio::fail(std::move(s));
  std::unique_ptr<HostStream> stream(new HostStream(std::move(core), std::move(timestamps)));
  try {
    stream->thread_ = std::thread([timeline = stream->timeline_] { timeline->work(); });
  } catch (const std::system_error& e) {
    return gpuio::fail(Code::nomem, "starting the stream's thread: {}", e.what());
  }
  return stream;
}

HostStream::~HostStream() {
  if (!thread_.joinable()) return;
  timeline_->close();
  if (timeline_->wait_ended(core_->alive() ? core_->drain_timeout_ns : 0)) {
    thread_.join();
    return;
  }
  core_->lose();
  timeline_->fail(core_->alive());
  thread_.detach();
}

Status HostStream::push(Timeline::Task task) {
  if (Status s = core_->alive(); !s) return s;
  auto point = timeline_->push(std::move(task));
  return point ? Status() : std::move(point.error());
}

Status HostStream::launch(const Kernel& kernel, const Grid& grid, std::span<const Argument> arguments) {
  const auto* const host = dynamic_cast<const HostKernel*>(&kernel);
  if (host == nullptr) return error(Code::invalid_arg, "launch: the kernel was loaded by another device");
  if (arguments.size() != host->parameters)
    return error(Code::invalid_arg, "launch of '{}': {} arguments for {} parameters", host->name,
                 arguments.size(), host->parameters);
  for (const std::uint32_t n : grid.groups)
    if (n > kGroupsMax)
      return error(Code::invalid_arg, "launch of '{}': {} groups in one dimension, at most {}", host->name, n,
                   kGroupsMax);
  auto launch = std::make_unique<Launch>();
  launch->name = host->name;
  launch->native = host->native;
  launch->shared_bytes = host->shared_bytes;
  launch->arguments.assign(arguments.begin(), arguments.end());
  launch->groups = grid.groups;
  return push([core = core_, launch = std::move(launch)] { return core->pool.run(*launch); });
}

Status HostStream::copy(Buffer& to, std::uint64_t to_offset, const Buffer& from, std::uint64_t from_offset,
                        std::uint64_t size) {
  if (Status s = check_range("copy to", to, to_offset, size); !s) return s;
  if (Status s = check_range("copy from", from, from_offset, size); !s) return s;
  std::byte* const target = at(to, to_offset);
  const std::byte* const source = at(from, from_offset);
  if (size > 0 && target < source + size && source < target + size)
    return error(Code::invalid_arg, "copy: the {} bytes at {} and at {} overlap; copy through another buffer",
                 size, from_offset, to_offset);
  return push([=] {
    if (size > 0) std::memcpy(target, source, size);
    return Status();
  });
}

Status HostStream::upload(Buffer& to, std::uint64_t offset, std::span<const std::byte> from) {
  if (Status s = check_range("upload", to, offset, from.size()); !s) return s;
  return push([target = at(to, offset), bytes = std::vector<std::byte>(from.begin(), from.end())] {
    if (!bytes.empty()) std::memcpy(target, bytes.data(), bytes.size());
    return Status();
  });
}

Status HostStream::download(std::span<std::byte> to, const Buffer& from, std::uint64_t offset) {
  if (Status s = check_range("download", from, offset, to.size()); !s) return s;
  return push([to, source = at(from, offset)] {
    if (!to.empty()) std::memcpy(to.data(), source, to.size());
    return Status();
  });
}

Status HostStream::fill(Buffer& to, std::uint64_t offset, std::uint64_t size, std::uint8_t value) {
  if (Status s = check_range("fill", to, offset, size); !s) return s;
  return push([target = at(to, offset), size, value] {
    if (size > 0) std::memset(target, value, size);
    return Status();
  });
}

Status HostStream::after(const Stream& other, Point point) {
  const auto* const host = dynamic_cast<const HostStream*>(&other);
  if (host == nullptr) return error(Code::invalid_arg, "after: the stream belongs to another device");
  if (point > host->last())
    return error(Code::invalid_arg, "after: point {} was not enqueued yet; the other stream's last is {}",
                 point, host->last());
  if (host == this) return push([] { return Status(); });  // ordered already
  // Enqueued before this wait, so it will be reached: streams cannot wait for each other in a circle.
  return push([timeline = host->timeline_, point] {
    return timeline->wait(point, kForever).wrap("after a stream that failed");
  });
}

Result<Point> HostStream::stamp() {
  if (!timestamps_.available) return gpuio::fail(Code::unsupported, "stamp: {}", timestamps_.reason);
  if (Status s = core_->alive(); !s) return gpuio::fail(std::move(s));
  return timeline_->push([timeline = timeline_.get()] {
    timeline->keep_time();
    return Status();
  });
}

Result<bool> HostStream::reached(Point point) const {
  if (Status s = core_->alive(); !s) return gpuio::fail(std::move(s));
  return timeline_->reached(point);
}

Status HostStream::wait(Point point, std::uint64_t timeout_ns) {
  if (Status s = core_->alive(); !s) return s;
  return timeline_->wait(point, timeout_ns);
}

Result<double> HostStream::elapsed_ms(Point from, Point to) {
  if (!timestamps_.available) return gpuio::fail(Code::unsupported, "elapsed_ms: {}", timestamps_.reason);
  auto begin = timeline_->time_of(from);
  if (!begin) return gpuio::fail(std::move(begin.error()));
  auto end = timeline_->time_of(to);
  if (!end) return gpuio::fail(std::move(end.error()));
  return double(std::int64_t(*end - *begin)) / 1e6;
}

}  // namespace gpuio::gpu::cpu
