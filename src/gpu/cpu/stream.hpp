// A stream of the CPU device: a queue of operations and the thread that runs them in order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "gpu/cpu/memory.hpp"
#include "gpu/cpu/pool.hpp"
#include "gpu/device.hpp"

namespace gpuio::gpu::cpu {

// What the streams of a device share and keep alive: they may outlast it when a kernel never returns.
struct Core {
  Core(Pool p, std::uint64_t drain) : pool(std::move(p)), drain_timeout_ns(drain) {}
  Pool pool;
  const std::uint64_t drain_timeout_ns;
  std::atomic<bool> lost{false};  // never goes back; relaxed: it guards no other data
  Status alive() const;
  void lose();
  // Memory that a kernel which was left behind may use: released with this, which that kernel holds.
  void keep(Pages pages);

 private:
  std::mutex kept_lock_;
  std::vector<Pages> kept_;
};

struct HostKernel final : Kernel {
  std::string name;
  Native native;
  std::uint32_t shared_bytes = 0, parameters = 0;
};

// How far a stream has got. Shared by its owner, its thread and the streams that wait for it.
class Timeline {
 public:
  using Task = std::move_only_function<Status()>;

  // For the owner.
  Result<Point> push(Task task);
  Point last() const;
  Result<bool> reached(Point point) const;
  Status wait(Point point, std::uint64_t timeout_ns) const;
  Result<std::uint64_t> time_of(Point point) const;
  void close();
  void fail(Status status);
  bool wait_ended(std::uint64_t timeout_ns) const;

  // For the thread.
  void work();
  void keep_time();  // of the operation that runs now

 private:
  struct Stamp {
    Point point;
    std::uint64_t time_ns;
  };
  Status check(Point point) const;

  mutable std::mutex lock_;
  std::condition_variable work_;              // something to do, or the end
  mutable std::condition_variable progress_;  // reached_, error_ or ended_ changed
  std::deque<Task> tasks_;
  Point last_ = 0, reached_ = 0;
  Status error_;
  // Written under the lock, looked at without it by who is about to sleep: hints, so relaxed.
  std::atomic<Point> pushed_{0};  // last_; ~0 when closing
  std::atomic<Point> done_{0};    // reached_; ~0 after an error
  std::deque<Stamp> stamps_;
  bool closing_ = false, ended_ = false;
};

class HostStream final : public Stream {
 public:
  static Result<std::unique_ptr<Stream>> create(std::shared_ptr<Core> core, Capability timestamps);
  ~HostStream() override;

  Status launch(const Kernel& kernel, const Grid& grid, std::span<const Argument> arguments) override;
  Status copy(Buffer& to, std::uint64_t to_offset, const Buffer& from, std::uint64_t from_offset,
              std::uint64_t size) override;
  Status upload(Buffer& to, std::uint64_t offset, std::span<const std::byte> from) override;
  Status download(std::span<std::byte> to, const Buffer& from, std::uint64_t offset) override;
  Status fill(Buffer& to, std::uint64_t offset, std::uint64_t size, std::uint8_t value) override;
  Status after(const Stream& other, Point point) override;
  Result<Point> stamp() override;
  Point last() const override { return timeline_->last(); }
  Result<bool> reached(Point point) const override;
  Status wait(Point point, std::uint64_t timeout_ns) override;
  Result<double> elapsed_ms(Point from, Point to) override;

 private:
  HostStream(std::shared_ptr<Core> core, Capability timestamps)
      : core_(std::move(core)), timestamps_(std::move(timestamps)), timeline_(std::make_shared<Timeline>()) {}
  Status push(Timeline::Task task);

  std::shared_ptr<Core> core_;
  Capability timestamps_;
  std::shared_ptr<Timeline> timeline_;
  std::thread thread_;
};

}  // namespace gpuio::gpu::cpu
