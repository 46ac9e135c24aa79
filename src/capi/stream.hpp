// A stream: work on one device in the order in which it was given, requests among it.
//
// Device operations go straight to the device's own queue. Once a request is given, a thread of the stream's
// own takes over: it starts the request when what was before it has been done, and hands on what comes after
// when the request has ended. Requests of the default stream go beside it, in no order, and are waited for
// with it. Threading: any. Lifetime: the device outlives it; ending it waits for the work in it. Errors: what
// fails on the way is answered by the next synchronize.
//
//   auto stream = *Stream::create(*device);
//   stream->enqueue([&](gpu::Stream& q) { return q.fill(buffer, 0, 64, 1); });
//   Status s = stream->synchronize(context.limit());
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <variant>

#include "base/platform/thread.hpp"
#include "capi/limit.hpp"
#include "gpu/device.hpp"
#include "ops/plan.hpp"
#include "paging/arrays.hpp"

namespace gpuio::capi {

class Stream {
 public:
  using Operation = std::move_only_function<Status(gpu::Stream&)>;  // gives the device something to do
  using Task = std::move_only_function<void()>;                     // returns when it is done

  static Result<std::shared_ptr<Stream>> create(gpu::Device& device);
  explicit Stream(gpu::Device& device, std::unique_ptr<gpu::Stream> queue)
      : device_(device), queue_(std::move(queue)) {}
  ~Stream();

  gpu::Device& device() const { return device_; }
  ops::Workspace& workspace() { return workspace_; }
  Status enqueue(Operation operation);
  Status enqueue_task(Task task);
  // Does the operation, and waits until the device has done it, or patience ends: then it goes on.
  Status through(Operation operation, const paging::Patience& patience);
  // All that was given so far; blocks. The first error since the last synchronize, or TIMEOUT.
  Status synchronize(const Limit& limit);
  Result<bool> idle();

  Status wait(gpu::Point point, const Limit& limit);
  Result<bool> reached(gpu::Point point);
  Result<double> elapsed_ms(gpu::Point from, gpu::Point to);
  // Ends the stream's own thread, when what was given is done. Nothing may be given afterwards. False when
  // that takes longer than the limit; then it may be called again.
  bool drain(const Limit& limit);

 private:
  void work();
  Status wait_for(gpu::Point point, std::uint64_t timeout_ns);
  bool at_rest() const { return tasks_.empty() && !running_; }
  Status run(std::variant<Operation, Task>& task);

  gpu::Device& device_;
  ops::Workspace workspace_;  // of the queue's work, so it goes after it
  std::mutex queue_mutex_;    // after mutex_ where both are held
  std::unique_ptr<gpu::Stream> queue_;

  std::mutex mutex_;  // over all that follows
  std::condition_variable work_, progress_;
  std::deque<std::variant<Operation, Task>> tasks_;
  bool running_ = false, ending_ = false, over_ = false;  // over_: the thread has nothing to do any more
  std::uint64_t given_ = 0, finished_ = 0;                // of tasks_, since the beginning
  Status error_;
  Thread thread_;  // from the first task on
};

// Work in no order that can be waited for: the requests of the default stream. Any thread.
class Beside {
 public:
  std::uint64_t begin();  // a number for its end
  void end(std::uint64_t number);
  bool wait(const Limit& limit);  // for all that has begun so far; false when that takes longer
  bool empty();

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::uint64_t numbers_ = 0;
  std::set<std::uint64_t> numbers_open_;
};

}  // namespace gpuio::capi
