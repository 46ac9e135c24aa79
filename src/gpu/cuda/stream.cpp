#include "gpu/cuda/stream.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>

#include "base/platform/thread.hpp"
#include "gpu/cuda/tensor_map.hpp"

namespace gpuio::gpu::cuda {
namespace {

constexpr std::size_t kOpenMax = 512;  // half of what drivers queue before a launch blocks
constexpr std::size_t kStampsMax = 1024;
constexpr std::size_t kRingBytes = 4 << 20, kBounceBytes = 2 << 20;
constexpr std::uint32_t kGridMax = 65535;

std::uint64_t now_ns() {
  return std::uint64_t(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

// Between two looks: short waits spin, long ones leave the processor to others.
void pause(unsigned round) {
  if (round < 256) relax_cpu();
  else std::this_thread::sleep_for(std::chrono::microseconds(std::min(round / 16, 200u)));
}

Status check_range(std::string_view what, const Buffer& buffer, std::uint64_t offset, std::uint64_t size) {
  if (size <= buffer.size() && offset <= buffer.size() - size) return {};
  return error(Code::invalid_arg, "{}: {} bytes at {} of a buffer of {} bytes", what, size, offset,
               buffer.size());
}

}  // namespace

// --- Pieces -----------------------------------------------------------------------------------------------

CudaKernel::~CudaKernel() {
  if (module == nullptr) return;
  core->release([d = &core->driver(), m = module] { d->cuModuleUnload(m); });
}

std::byte* Ring::take(std::size_t bytes, Point until) {
  bytes = (bytes + 255) & ~std::size_t{255};
  if (pieces_.empty()) head_ = tail_ = 0;
  if (head_ >= tail_ && size_ - head_ < bytes && bytes < tail_) head_ = 0;  // wraps; never up to tail_
  const std::size_t end = head_ >= tail_ ? size_ + 1 : tail_;
  if (end - head_ <= bytes) return nullptr;
  std::byte* const piece = memory_ + head_;
  head_ += bytes;
  pieces_.push_back({head_, until});
  return piece;
}

void Ring::reached(Point point) {
  while (!pieces_.empty() && pieces_.front().until <= point) {
    tail_ = pieces_.front().end;
    pieces_.pop_front();
  }
}

// --- Life -------------------------------------------------------------------------------------------------

Result<std::unique_ptr<Stream>> CudaStream::create(std::shared_ptr<Core> core, Capability timestamps) {
  Current current(*core);
  if (!current.ok()) return fail(current.status());
  std::unique_ptr<CudaStream> stream(new CudaStream(core, std::move(timestamps)));
  const Driver& d = core->driver();
  void* memory = nullptr;
  if (Status s =
          core->check(d.cuMemHostAlloc(&memory, kRingBytes + kBounceBytes, kHostPortable), "cuMemHostAlloc");
      !s) {
    return fail(std::move(s).wrap("staging memory of a stream"));
  }
  stream->pinned_ = static_cast<std::byte*>(memory);
  stream->ring_.use(stream->pinned_, kRingBytes);
  stream->bounce_ = stream->pinned_ + kRingBytes;
  if (Status s = core->check(d.cuStreamCreate(&stream->stream_, kStreamNonBlocking), "cuStreamCreate"); !s) {
    stream->stream_ = nullptr;
    return fail(std::move(s));
  }
  return stream;
}

CudaStream::~CudaStream() {
  if (stream_ != nullptr && !drained()) {  // a kernel may go on using all of this for ever
    core_->lose(
        error(Code::timeout, "a stream did not end within {} ms", core_->drain_timeout_ns() / 1'000'000),
        true);
    if (!jobs_.empty()) new std::deque<Job>(std::move(jobs_));
    return;
  }
  for (std::size_t i = open_.size(); i > 0; --i) core_->work_ended();
  const Pushed context(*core_);  // of a lost device too
  for (const Open& o : open_) {
    if (!o.stamp) driver().cuEventDestroy(o.event);
  }
  for (const Stamp& stamp : stamps_) driver().cuEventDestroy(stamp.event);
  for (const CUevent event : spare_) driver().cuEventDestroy(event);
  if (stream_ != nullptr) driver().cuStreamDestroy(stream_);
  if (pinned_ != nullptr) core_->release([d = &driver(), memory = pinned_] { d->cuMemFreeHost(memory); });
}

// Waits for everything on the driver's stream, points or not; a lost device has nothing more to do.
bool CudaStream::drained() const {
  const Pushed context(*core_);
  const std::uint64_t from = now_ns();
  for (unsigned round = 0;; ++round) {
    if (core_->check(driver().cuStreamQuery(stream_), "cuStreamQuery").code() != Code::busy) return true;
    if (core_->stuck() || now_ns() - from >= core_->drain_timeout_ns()) return false;
    pause(round);
  }
}

// --- Points -----------------------------------------------------------------------------------------------

// Enqueues the parts of an operation, then the event that is its point. A first part that fails is refused;
// after that the driver's stream holds half an operation, and this one is of no more use.
template <class F>
Status CudaStream::operation(F&& parts, bool stamp) {
  if (!error_) return error_;
  const Current current(*core_);
  if (!current.ok()) return current.status();
  if (Status s = poll(); !s) return s;
  if (open_.size() >= kOpenMax) {
    return error(Code::busy, "{} operations of this stream are open: wait for some", open_.size());
  }
  CUevent event = nullptr;
  if (!stamp && !spare_.empty()) {
    event = spare_.back();
    spare_.pop_back();
  } else if (Status s =
                 core_->check(driver().cuEventCreate(&event, stamp ? kEventDefault : kEventDisableTiming),
                              "cuEventCreate");
             !s) {
    return s;
  }
  parts_ = 0;
  Status s = parts();
  if (s) s = part(driver().cuEventRecord(event, stream_), "cuEventRecord");
  if (!s) {
    driver().cuEventDestroy(event);
    if (parts_ > 0) error_ = s;
    return s;
  }
  open_.push_back({++last_, event, stamp});
  core_->work_began();
  return {};
}

Status CudaStream::part(int result, const char* what) {
  if (result == kSuccess) ++parts_;
  return core_->check(result, what);
}

// Takes note of what was reached. The context is current.
Status CudaStream::poll() const {
  while (!open_.empty()) {
    const int r = driver().cuEventQuery(open_.front().event);
    if (r == kNotReady) break;
    if (Status s = core_->check(r, "work on the device"); !s) return s;
    if (!open_.front().stamp) spare_.push_back(open_.front().event);
    reached_ = open_.front().point;
    open_.pop_front();
    core_->work_ended();
  }
  ring_.reached(reached_);
  while (!jobs_.empty() && jobs_.front().until <= reached_) jobs_.pop_front();
  return {};
}

Status CudaStream::known(Point point) const {
  if (Status s = core_->alive(); !s) return s;
  if (!error_) return error_;
  if (point <= last_) return {};
  return error(Code::invalid_arg, "point {} was not enqueued yet: the last is {}", point, last_);
}

Result<bool> CudaStream::reached(Point point) const {
  if (Status s = known(point); !s) return fail(std::move(s));
  if (point <= reached_) return true;
  const Current current(*core_);
  if (!current.ok()) return fail(current.status());
  if (Status s = poll(); !s) return fail(std::move(s));
  return point <= reached_;
}

Status CudaStream::wait(Point point, std::uint64_t timeout_ns) {
  const std::uint64_t from = now_ns();
  for (unsigned round = 0;; ++round) {
    const Result<bool> there = reached(point);
    if (!there) return there.error();
    if (*there) return {};
    if (now_ns() - from >= timeout_ns) {
      return error(Code::timeout, "point {} was not reached within {} us", point, timeout_ns / 1000);
    }
    pause(round);
  }
}

Status CudaStream::after(const Stream& other, Point point) {
  const auto& source = static_cast<const CudaStream&>(other);
  const Result<bool> there = source.reached(point);
  if (!there) {
    return error(there.error().code(), "after another stream: {}", there.error().message());
  }
  return operation([&] {
    if (*there || &source == this) return Status{};
    const auto at = std::ranges::find(source.open_, point, &Open::point);
    return part(driver().cuStreamWaitEvent(stream_, at->event, 0), "cuStreamWaitEvent");
  });
}

Result<Point> CudaStream::stamp() {
  if (!timestamps_.available) return fail(Code::unsupported, "stamp: {}", timestamps_.reason);
  if (Status s = operation([] { return Status{}; }, true); !s) return fail(std::move(s));
  stamps_.push_back({last_, open_.back().event});
  if (stamps_.size() > kStampsMax) {  // reached long ago: more stamps are kept than points are open
    driver().cuEventDestroy(stamps_.front().event);
    stamps_.pop_front();
  }
  return last_;
}

Result<double> CudaStream::elapsed_ms(Point from, Point to) {
  if (from > to) {
    Result<double> other_way = elapsed_ms(to, from);
    if (other_way) *other_way = -*other_way;
    return other_way;
  }
  CUevent events[2];
  const Point points[] = {from, to};
  for (int i = 0; i < 2; ++i) {
    const auto at = std::ranges::lower_bound(stamps_, points[i], {}, &Stamp::point);
    if (at == stamps_.end() || at->point != points[i]) {
      return fail(Code::invalid_arg, "elapsed_ms: point {} is no stamp, or older than the last {}", points[i],
                  kStampsMax);
    }
    events[i] = at->event;
  }
  const Result<bool> there = reached(to);
  if (!there) return fail(there.error());
  if (!*there) return fail(Code::busy, "elapsed_ms: point {} was not reached yet", to);
  if (from == to) return 0.0;
  const Current current(*core_);
  if (!current.ok()) return fail(current.status());
  float ms = 0;
  if (Status s = core_->check(driver().cuEventElapsedTime(&ms, events[0], events[1]), "cuEventElapsedTime");
      !s) {
    return fail(std::move(s));
  }
  return double(ms);
}

// --- Operations -------------------------------------------------------------------------------------------

template <class F>
Status CudaStream::launch(const CudaKernel& k, const Grid& grid, std::span<void*> parameters, F&& prepare) {
  const auto [x, y, z] = grid.groups;
  if (std::max({x, y, z}) > kGridMax) {
    return error(Code::invalid_arg, "launch of '{}': a grid of {}x{}x{} groups, at most {} each", k.name, x,
                 y, z, kGridMax);
  }
  return operation([&] {
    if (x == 0 || y == 0 || z == 0) return Status{};
    Status s = prepare();
    if (s)
      s = part(
          driver().cuLaunchKernel(k.function, x, y, z, k.block[0], k.block[1], k.block[2], k.shared_bytes,
                                  stream_, parameters.empty() ? nullptr : parameters.data(), nullptr),
          "cuLaunchKernel");
    return s ? s : std::move(s).wrap(fmt::format("launch of '{}'", k.name));
  });
}

Status CudaStream::launch(const Kernel& kernel, const Grid& grid, std::span<const Argument> arguments) {
  const auto& k = static_cast<const CudaKernel&>(kernel);
  if (arguments.size() != k.parameters || k.separate) {
    return error(Code::invalid_arg, "launch of '{}': {} arguments for {} {}parameters", k.name,
                 arguments.size(), k.parameters, k.separate ? "separate " : "");
  }
  // The block of all arguments is the kernel's parameter, and tensor maps are more; the driver copies them.
  std::array<CUtensorMap, kTensorsMax> maps;
  std::array<void*, 1 + kTensorsMax> parameters{const_cast<Argument*>(arguments.data())};
  for (std::size_t t = 0; t < k.tensors.size(); ++t) parameters[1 + t] = &maps[t];
  const std::size_t count = arguments.empty() ? 0 : 1 + k.tensors.size();
  return launch(k, grid, std::span(parameters).first(count), [&] {
    for (std::size_t t = 0; t < k.tensors.size(); ++t)
      if (Status s = encode(driver(), k.tensors[t], arguments, maps[t]); !s) return s;
    return Status{};
  });
}

Status CudaStream::launch_shader(const Kernel& kernel, const Grid& grid, const ShaderArguments& arguments) {
  const auto& k = static_cast<const CudaKernel&>(kernel);
  if (arguments.values.size() != k.parameters || !k.separate) {
    return error(Code::invalid_arg, "launch of '{}': {} values for {} {}parameters", k.name,
                 arguments.values.size(), k.parameters, k.separate ? "" : "block ");
  }
  std::vector<void*> parameters;  // of the first bytes of each value the driver copies what the entry takes
  for (const std::uint64_t& value : arguments.values)
    parameters.push_back(const_cast<std::uint64_t*>(&value));
  return launch(k, grid, parameters, [] { return Status{}; });
}

// Lives, with room for copies that do not move, until the point of the operation being enqueued.
CudaStream::Job& CudaStream::new_job(std::size_t copies) {
  Job& job = jobs_.emplace_back();
  job.until = last_ + 1;
  job.copies.reserve(copies);
  return job;
}

Status CudaStream::host_copy(Job& job, std::byte* to, const std::byte* from, std::size_t bytes) {
  job.copies.push_back({to, from, bytes});
  const auto run = [](void* data) {
    const auto& c = *static_cast<const HostCopy*>(data);
    std::memcpy(c.to, c.from, c.bytes);
  };
  return part(driver().cuLaunchHostFunc(stream_, run, &job.copies.back()), "cuLaunchHostFunc");
}

Status CudaStream::device_copy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return part(driver().cuMemcpyAsync(to, from, bytes, stream_), "cuMemcpyAsync");
}

Status CudaStream::copy(Buffer& to, std::uint64_t to_offset, const Buffer& from, std::uint64_t from_offset,
                        std::uint64_t size) {
  if (Status s = check_range("copy to", to, to_offset, size); !s) return s;
  if (Status s = check_range("copy from", from, from_offset, size); !s) return s;
  const CUdeviceptr target = to.address() + to_offset, source = from.address() + from_offset;
  if (target < source + size && source < target + size) {
    return error(Code::invalid_arg, "copy: {} bytes at {} overlap those at {} of the same buffer", size,
                 from_offset, to_offset);
  }
  return operation([&] {
    if (size == 0) return Status{};
    // The driver copies from host to host at once, waiting for the stream first.
    if (to.host() != nullptr && from.host() != nullptr) {
      return host_copy(new_job(1), to.host() + to_offset, from.host() + from_offset, size);
    }
    return device_copy(target, source, size);
  });
}

Status CudaStream::upload(Buffer& to, std::uint64_t offset, std::span<const std::byte> from) {
  if (Status s = check_range("upload", to, offset, from.size()); !s) return s;
  return operation([&]() -> Status {
    const std::size_t size = from.size();
    if (size == 0) return {};
    if (to.host() == nullptr && size <= kRingBytes / 4) {
      if (std::byte* const piece = ring_.take(size, last_ + 1); piece != nullptr) {
        std::memcpy(piece, from.data(), size);
        return device_copy(to.address() + offset, std::uintptr_t(piece), size);
      }
    }
    std::unique_ptr<std::byte[]> bytes(new (std::nothrow) std::byte[size]);
    if (bytes == nullptr) return error(Code::nomem, "upload: no memory to keep {} bytes in", size);
    std::memcpy(bytes.get(), from.data(), size);
    Job& job = new_job(size / kBounceBytes + 1);
    job.bytes = std::move(bytes);
    if (to.host() != nullptr) return host_copy(job, to.host() + offset, job.bytes.get(), size);
    for (std::size_t at = 0; at < size; at += kBounceBytes) {
      const std::size_t n = std::min(kBounceBytes, size - at);
      if (Status s = host_copy(job, bounce_, job.bytes.get() + at, n); !s) return s;
      if (Status s = device_copy(to.address() + offset + at, std::uintptr_t(bounce_), n); !s) return s;
    }
    return {};
  });
}

Status CudaStream::download(std::span<std::byte> to, const Buffer& from, std::uint64_t offset) {
  if (Status s = check_range("download", from, offset, to.size()); !s) return s;
  return operation([&]() -> Status {
    const std::size_t size = to.size();
    if (size == 0) return {};
    if (from.host() != nullptr) return host_copy(new_job(1), to.data(), from.host() + offset, size);
    Job& job = new_job(size / kBounceBytes + 1);
    for (std::size_t at = 0; at < size; at += kBounceBytes) {
      const std::size_t n = std::min(kBounceBytes, size - at);
      if (Status s = device_copy(std::uintptr_t(bounce_), from.address() + offset + at, n); !s) return s;
      if (Status s = host_copy(job, to.data() + at, bounce_, n); !s) return s;
    }
    return {};
  });
}

Status CudaStream::fill(Buffer& to, std::uint64_t offset, std::uint64_t size, std::uint8_t value) {
  if (Status s = check_range("fill", to, offset, size); !s) return s;
  return operation([&] {
    if (size == 0) return Status{};
    return part(driver().cuMemsetD8Async(to.address() + offset, value, size, stream_), "cuMemsetD8Async");
  });
}

}  // namespace gpuio::gpu::cuda
