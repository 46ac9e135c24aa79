#include "capi/stream.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "capi/context.hpp"

namespace gpuio::capi {
namespace {

constexpr std::size_t kTasksMax = 65536;
// The device's queue is for one thread at a time: who waits for it lets the others in this often.
constexpr std::uint64_t kSliceNs = 500'000;

Status ended() { return error(Code::canceled, "the stream is being ended with its context"); }

}  // namespace

Result<std::shared_ptr<Stream>> Stream::create(gpu::Device& device) {
  auto queue = device.stream();
  if (!queue) return fail(std::move(queue).error().wrap("making a stream"));
  return std::make_shared<Stream>(device, std::move(*queue));
}

// Who ends it has waited for its work, so that its thread is about to end.
Stream::~Stream() {
  {
    std::scoped_lock hold(mutex_);
    ending_ = true;
  }
  work_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool Stream::drain(const Limit& limit) {
  std::unique_lock lock(mutex_);
  ending_ = true;
  work_.notify_all();
  return !thread_.joinable() || progress_.wait_for(lock, limit.left(), [&] { return over_; });
}

Status Stream::enqueue(Operation operation) {
  std::scoped_lock hold(mutex_);
  if (ending_) return ended();
  if (at_rest()) {
    std::scoped_lock hold_queue(queue_mutex_);
    return operation(*queue_);
  }
  if (tasks_.size() >= kTasksMax)
    return error(Code::busy, "{} operations wait in the stream already; synchronize first", kTasksMax);
  tasks_.emplace_back(std::move(operation));
  ++given_;
  work_.notify_all();
  return {};
}

Status Stream::enqueue_task(Task task) {
  std::scoped_lock hold(mutex_);
  if (ending_) return ended();
  if (tasks_.size() >= kTasksMax)
    return error(Code::busy, "{} operations wait in the stream already; synchronize first", kTasksMax);
  if (!thread_.joinable()) {
    auto thread = Thread::start("gpuio-stream", [this](std::stop_token) { work(); });
    if (!thread) return std::move(thread).error().wrap("starting the stream's thread");
    thread_ = std::move(*thread);
  }
  tasks_.emplace_back(std::move(task));
  ++given_;
  work_.notify_all();
  return {};
}

void Stream::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return !tasks_.empty() || ending_; });
    if (tasks_.empty()) break;
    Status s;
    {
      // Gone before it counts as finished: it may hold the last reference to what holds this stream.
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      running_ = true;
      lock.unlock();
      s = run(task);
    }
    lock.lock();
    running_ = false;
    ++finished_;
    if (!s.ok() && error_.ok()) error_ = std::move(s);
    progress_.notify_all();
  }
  over_ = true;
  progress_.notify_all();
}

Status Stream::run(std::variant<Operation, Task>& task) {
  if (auto* operation = std::get_if<Operation>(&task)) {
    std::scoped_lock hold(queue_mutex_);
    return (*operation)(*queue_);
  }
  gpu::Point last;
  {
    std::scoped_lock hold(queue_mutex_);
    last = queue_->last();
  }
  // Without a limit, as it would break the order; whoever waits for this thread has one.
  Status before = wait_for(last, gpu::kForever);
  std::get<Task>(task)();  // also when the device has failed: whoever gave it waits for it
  return before;
}

Status Stream::synchronize(const Limit& limit) {
  {
    std::unique_lock lock(mutex_);
    const std::uint64_t given = given_;
    if (!progress_.wait_for(lock, limit.left(), [&] { return finished_ >= given; }))
      return limit.late(fmt::format("{} operations of the stream, the first of which waits for a request "
                                    "or its callback, have",
                                    given - finished_),
                        "cancel the request, or wait again");
  }
  gpu::Point last;
  {
    std::scoped_lock hold(queue_mutex_);
    last = queue_->last();
  }
  Status device = wait(last, limit);
  if (device.code() == Code::timeout) return device;
  std::scoped_lock hold(mutex_);
  Status first = std::exchange(error_, {});
  return first.ok() ? device : first;
}

Result<bool> Stream::idle() {
  std::scoped_lock hold(mutex_);
  if (!at_rest()) return false;
  std::scoped_lock hold_queue(queue_mutex_);
  return queue_->reached(queue_->last());
}

Status Stream::wait(gpu::Point point, const Limit& limit) {
  Status s = wait_for(point, limit.left_ns());
  if (s.code() != Code::timeout) return s;
  return limit.late("the stream's work on the device, a kernel or a copy, has", "wait again");
}

Status Stream::wait_for(gpu::Point point, std::uint64_t timeout_ns) {
  const SteadyClock clock;
  const Deadline deadline = Deadline::after(clock, timeout_ns);
  for (;;) {
    std::scoped_lock hold(queue_mutex_);
    const std::uint64_t left = deadline.remaining_ns(clock);
    Status s = queue_->wait(point, std::min(left, kSliceNs));
    if (s.code() != Code::timeout || left == 0) return s;
  }
}

Result<bool> Stream::reached(gpu::Point point) {
  std::scoped_lock hold(queue_mutex_);
  return queue_->reached(point);
}

Status Stream::through(Operation operation, const paging::Patience& patience) {
  struct Done {
    std::atomic<bool> given{false};  // releases what follows
    gpu::Point point = 0;
    Status status;
  };
  const auto done = std::make_shared<Done>();
  const std::uint64_t start_ns = SteadyClock().now_ns();
  Status s = enqueue([done, operation = std::move(operation)](gpu::Stream& queue) mutable {
    done->status = operation(queue);
    done->point = queue.last();
    Status answer = done->status;
    done->given.store(true, std::memory_order_release);
    return answer;
  });
  if (!s) return s;
  for (unsigned turn = 0;; ++turn) {
    if (done->given.load(std::memory_order_acquire)) {
      if (!done->status) return done->status;
      auto is = reached(done->point);
      if (!is) return std::move(is).error();
      if (*is) return {};
    }
    if (patience.cancel && patience.cancel->load(std::memory_order_relaxed))
      return error(Code::canceled, "cancelled; what was launched goes on until the stream is synchronized");
    if (SteadyClock().now_ns() - start_ns >= patience.timeout_ns)
      return error(Code::timeout, "not finished after {} ms; what was launched goes on",
                   patience.timeout_ns / 1'000'000);
    // At first often, as most launches are short.
    if (turn < 64) std::this_thread::yield();
    else std::this_thread::sleep_for(std::chrono::microseconds(turn < 256 ? 20 : 200));
  }
}

Result<double> Stream::elapsed_ms(gpu::Point from, gpu::Point to) {
  std::scoped_lock hold(queue_mutex_);
  return queue_->elapsed_ms(from, to);
}

std::uint64_t Beside::begin() {
  std::scoped_lock hold(mutex_);
  numbers_open_.insert(++numbers_);
  return numbers_;
}

void Beside::end(std::uint64_t number) {
  std::scoped_lock hold(mutex_);
  numbers_open_.erase(number);
  ended_.notify_all();
}

bool Beside::wait(const Limit& limit) {
  std::unique_lock lock(mutex_);
  const std::uint64_t begun = numbers_;
  return ended_.wait_for(lock, limit.left(),
                         [&] { return numbers_open_.empty() || *numbers_open_.begin() > begun; });
}

bool Beside::empty() {
  std::scoped_lock hold(mutex_);
  return numbers_open_.empty();
}

Result<std::shared_ptr<Stream>> Context::stream_of(gpuio_stream_t handle) {
  if (handle) return streams.find(handle);
  // Who has not asked for a device need not wait until drivers have been looked at.
  const int id = devices.found() ? devices.current() : Devices::kCpu;
  auto device = devices.open(id);
  if (!device) return fail(std::move(device).error());
  std::scoped_lock hold(default_streams_mutex_);
  auto& stream = default_streams_[id];
  if (!stream) {
    auto made = Stream::create(**device);
    if (!made) return fail(std::move(made).error());
    stream = std::move(*made);
  }
  return stream;
}

std::vector<std::shared_ptr<Stream>> Context::default_streams() {
  std::scoped_lock hold(default_streams_mutex_);
  std::vector<std::shared_ptr<Stream>> all;
  for (const auto& [id, stream] : default_streams_) all.push_back(stream);
  return all;
}

namespace {

Status synchronize(Context& c, gpuio_stream_t stream) {
  if (Status s = c.may_block(); !s) return s;
  const Limit limit = c.limit();
  if (stream) {
    auto found = c.streams.find(stream);
    return found ? (*found)->synchronize(limit) : std::move(found).error();
  }
  if (!c.beside.wait(limit))
    return limit.late("a request without a stream, or its callback, has", "cancel it, or wait again");
  Status first;
  for (const auto& each : c.default_streams())
    if (Status s = each->synchronize(limit); first.ok()) first = std::move(s);
  return first;
}

Result<bool> idle(Context& c, gpuio_stream_t stream) {
  if (stream) {
    auto found = c.streams.find(stream);
    return found ? (*found)->idle() : fail(std::move(found).error());
  }
  if (!c.beside.empty()) return false;
  for (const auto& each : c.default_streams())
    if (auto is = each->idle(); !is || !*is) return is;
  return true;
}

}  // namespace
}  // namespace gpuio::capi

using namespace gpuio;
using namespace gpuio::capi;

extern "C" {

gpuio_error_t gpuio_stream_create(gpuio_context_t ctx, gpuio_stream_t* stream,
                                  gpuio_stream_priority_t priority) {
  return call("gpuio_stream_create", ctx, Outputs(stream), [&](Context& c) {
    if (priority < GPUIO_STREAM_DEFAULT || priority > GPUIO_STREAM_LOW_PRIORITY)
      return error(Code::invalid_arg,
                   "priority {}: give one of GPUIO_STREAM_DEFAULT, HIGH_PRIORITY, LOW_PRIORITY",
                   int(priority));
    auto device = c.devices.open(c.devices.current());
    if (!device) return std::move(device).error();
    auto made = Stream::create(**device);
    if (!made) return std::move(made).error();
    *stream = c.streams.add(std::move(*made));
    return Status();
  });
}

gpuio_error_t gpuio_stream_destroy(gpuio_context_t ctx, gpuio_stream_t stream) {
  return call("gpuio_stream_destroy", ctx, [&](Context& c) {
    if (!stream) return Status();
    if (Status s = c.may_block(); !s) return s;
    auto found = c.streams.find(stream);
    if (!found) return std::move(found).error();
    // Its errors were for whoever asked before.
    if (Status s = (*found)->synchronize(c.limit()); s.code() == Code::timeout) return s;
    auto taken = c.streams.remove(stream);
    return taken ? Status() : std::move(taken).error();
  });
}

gpuio_error_t gpuio_stream_synchronize(gpuio_context_t ctx, gpuio_stream_t stream) {
  return call("gpuio_stream_synchronize", ctx, [&](Context& c) { return synchronize(c, stream); });
}

gpuio_error_t gpuio_stream_query(gpuio_context_t ctx, gpuio_stream_t stream, bool* idle) {
  return call("gpuio_stream_query", ctx, Outputs(idle), [&](Context& c) {
    auto is = gpuio::capi::idle(c, stream);
    if (!is) return std::move(is).error();
    *idle = *is;
    return Status();
  });
}

}  // extern "C"
