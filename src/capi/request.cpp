#include "capi/request.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

#include "capi/context.hpp"

namespace gpuio::capi {
namespace {

const char* name_of(gpuio_request_type_t type) {
  switch (type) {
    case GPUIO_REQ_SCATTER: return "scattering requests (GPUIO_REQ_SCATTER)";
    case GPUIO_REQ_GATHER: return "gathering requests (GPUIO_REQ_GATHER)";
    case GPUIO_REQ_ATOMIC_CMP_SWAP: return "atomic requests (GPUIO_REQ_ATOMIC_CMP_SWAP)";
    case GPUIO_REQ_ATOMIC_FETCH_ADD: return "atomic requests (GPUIO_REQ_ATOMIC_FETCH_ADD)";
    case GPUIO_REQ_BATCH: return "batches (GPUIO_REQ_BATCH)";
    default: return nullptr;
  }
}

// One side: the region that the client's struct names, and that the range lies in it.
Result<std::shared_ptr<Region>> side(Context& c, const char* which, const gpuio_memory_region_t* named,
                                     std::uint64_t offset, std::uint64_t length, std::uint32_t access) {
  if (!named) return fail(Code::invalid_arg, "{} is NULL; name a region", which);
  if (!named->registered) return fail(Code::invalid_arg, "{} is not registered", which);
  auto region = c.regions.find(named->handle);
  if (!region) return fail(std::move(region).error().wrap(which));
  const Region& r = **region;
  if (offset > r.length || length > r.length - offset)
    return fail(Code::invalid_arg, "{}: {} bytes at {} of a region of {}", which, length, offset, r.length);
  if (!(r.access & access))
    return fail(Code::permission, "{} was registered for access {}; it needs {}", which, r.access, access);
  if (!r.handle && !r.memory)
    return fail(Code::unsupported,
                "{}: the CPU does not reach this memory of a GPU; go through memory of "
                "gpuio_malloc_pinned and gpuio_memcpy",
                which);
  return region;
}

io::Place place(const Region& region, std::uint64_t offset) {
  if (region.handle)
    return {.engine = region.handle->opened.engine,
            .target = region.handle->opened.target.get(),
            .offset = region.offset + offset};
  return {.memory = region.memory + offset};
}

}  // namespace

Result<std::shared_ptr<Request>> Request::create(Context& c, const gpuio_request_params_t& params) {
  if (const char* name = name_of(params.type)) return fail(not_built(name));
  if (params.type < GPUIO_REQ_READ || params.type > GPUIO_REQ_COPY)
    return fail(Code::invalid_arg, "type {}: give one of gpuio_request_type_t", int(params.type));
  if (params.priority < 0) return fail(Code::invalid_arg, "priority {}: 0 is the highest", params.priority);
  auto src = side(c, "src", params.src, params.src_offset, params.length, GPUIO_MEM_READ);
  if (!src) return fail(std::move(src).error());
  auto dst = side(c, "dst", params.dst, params.dst_offset, params.length, GPUIO_MEM_WRITE);
  if (!dst) return fail(std::move(dst).error());
  const bool from_handle = (*src)->handle != nullptr, to_handle = (*dst)->handle != nullptr;
  if (params.type == GPUIO_REQ_READ && (!from_handle || to_handle))
    return fail(Code::invalid_arg, "a READ goes from a region of a handle to memory; use COPY for others");
  if (params.type == GPUIO_REQ_WRITE && (from_handle || !to_handle))
    return fail(Code::invalid_arg, "a WRITE goes from memory to a region of a handle; use COPY for others");
  auto request = std::make_shared<Request>(c, params);
  if (params.stream) {
    auto stream = c.streams.find(params.stream);
    if (!stream) return fail(std::move(stream).error());
    request->stream_ = std::move(*stream);
  }
  request->from = place(**src, params.src_offset);
  request->to = place(**dst, params.dst_offset);
  request->length = params.length;
  request->priority = params.priority;
  if (Status s = io::Transfers::check(*request); !s) return fail(std::move(s));
  request->src_ = std::move(*src);
  request->dst_ = std::move(*dst);
  return request;
}

Status Request::prepare() {
  if (ending_) return error(Code::invalid_arg, "the request is being destroyed");
  if (flying()) return error(Code::busy, "the request is in flight already; wait for it");
  if (!src_->begin_use()) return error(Code::invalid_arg, "src was unregistered, or its handle closed");
  if (!dst_->begin_use()) {
    src_->end_use();
    return error(Code::invalid_arg, "dst was unregistered, or its handle closed");
  }
  return {};
}

Status Request::submit() {
  if (!params_.async)
    if (Status s = context_.may_block(); !s) return s;
  std::uint64_t flight;
  gpuio_request_status_t before;
  {
    std::scoped_lock hold(mutex_);
    if (Status s = prepare(); !s) return s;
    before = std::exchange(status_, GPUIO_STATUS_SUBMITTED);
    flight = ++flight_;
    cancelled_ = given_ = false;
    bytes_ = 0;
    submitted_ns_ = context_.clock.now_ns();
    // The transfer's own fields are nobody's while it is not in flight.
    timeout_ns =
        params_.timeout_us > std::numeric_limits<std::uint64_t>::max() / 1000 ? 0 : params_.timeout_us * 1000;
    deadline_ns = deadline_us_ * 1000;
    rate_bytes_per_second = rate_;
    priority = params_.priority;
    schedule = context_.schedule();
    retry = context_.retry();
  }
  context_.stats.begin();
  if (Status s = params_.stream ? give_to_stream(flight) : give_beside(); !s) {
    src_->end_use();
    dst_->end_use();
    context_.stats.forget();
    std::scoped_lock hold(mutex_);
    status_ = before;
    --flight_;
    released_cv_.notify_all();  // who waits for this flight already
    return s;
  }
  return params_.async ? Status() : wait(std::numeric_limits<std::uint64_t>::max());
}

Status Request::give_to_stream(std::uint64_t flight) {
  return stream_->enqueue_task([self = shared_from_this(), flight] {
    self->begin();
    std::unique_lock lock(self->mutex_);
    // Without a limit, as what comes after it must; whoever waits for the stream has one.
    self->released_cv_.wait(lock, [&] { return self->ended(flight); });
  });
}

Status Request::give_beside() {
  const std::uint64_t beside = context_.beside.begin();
  {
    std::scoped_lock hold(mutex_);
    beside_ = beside;
    given_ = true;
  }
  Status s = context_.transfers->submit(shared_from_this());
  if (!s) context_.beside.end(beside);
  return s;
}

// On the stream's thread, when its turn has come.
void Request::begin() {
  Status s;
  {
    std::scoped_lock hold(mutex_);
    const std::uint64_t waited = context_.clock.now_ns() - submitted_ns_;
    if (cancelled_) s = error(Code::canceled, "canceled before its stream came to it");
    else if (timeout_ns && waited >= timeout_ns)
      s = error(Code::timeout, "its stream had not come to it after {} us", params_.timeout_us);
    else if (timeout_ns) timeout_ns -= waited;
    priority = params_.priority;
    rate_bytes_per_second = rate_;
    given_ = s.ok();
  }
  if (s.ok()) s = context_.transfers->submit(shared_from_this());
  if (!s.ok()) finish(s, false);
}

void Request::on_start() {
  std::scoped_lock hold(mutex_);
  status_ = GPUIO_STATUS_IN_PROGRESS;
}

void Request::on_progress() {
  std::unique_lock lock(mutex_);
  const auto callback = on_progress_;
  if (!callback) return;
  void* const data = progress_data_;
  const gpuio_progress_t now = progress_now();
  lock.unlock();
  const CallbackScope scope(context_);
  callback(&now, data);
}

void Request::on_finish() { finish(outcome(), true); }

void Request::finish(const Status& outcome, bool moved) {
  const auto code = static_cast<gpuio_error_t>(outcome.code());
  const std::uint64_t bytes = moved ? bytes_done() : 0;
  context_.stats.end({.error = code,
                      .read = from.target ? bytes : 0,
                      .written = to.target ? bytes : 0,
                      .latency_ns = context_.clock.now_ns() - submitted_ns_});
  src_->end_use();
  dst_->end_use();
  std::uint64_t flight, beside;
  gpuio_progress_callback_t watcher;
  void* watcher_data;
  gpuio_progress_t last;
  {
    std::scoped_lock hold(mutex_);
    status_ = outcome.ok()                       ? GPUIO_STATUS_COMPLETED
              : outcome.code() == Code::canceled ? GPUIO_STATUS_CANCELLED
                                                 : GPUIO_STATUS_ERROR;
    outcome_ = outcome;
    bytes_ = bytes;
    flight = ended_ = flight_;
    beside = std::exchange(beside_, 0);
    watcher = on_progress_;
    watcher_data = progress_data_;
    last = progress_now();
  }
  // From here on it may be submitted again, by the callback above all.
  {
    const CallbackScope scope(context_);
    if (watcher) watcher(&last, watcher_data);
    if (params_.callback) params_.callback(handle_, code, params_.user_data);
  }
  if (beside) context_.beside.end(beside);
  std::scoped_lock hold(mutex_);
  released_ = flight;
  released_cv_.notify_all();
}

Status Request::wait(std::uint64_t timeout_us) {
  constexpr std::uint64_t kYearUs = 365ull * 86400 * 1'000'000;
  std::unique_lock lock(mutex_);
  if (flight_ == 0) return error(Code::invalid_arg, "the request was not submitted");
  const std::uint64_t flight = flight_;
  if (context_.in_callback()) {
    // Waiting here would wait for oneself: look only.
    if (!flying()) return outcome_;
    return timeout_us ? context_.may_block() : error(Code::timeout, "the request is not complete yet");
  }
  const auto done = [&] { return ended(flight); };
  if (timeout_us == std::numeric_limits<std::uint64_t>::max()) released_cv_.wait(lock, done);
  else if (!released_cv_.wait_for(lock, std::chrono::microseconds(std::min(timeout_us, kYearUs)), done))
    return error(Code::timeout, "the request is not complete after {} us, {} of {} bytes done; it goes on",
                 timeout_us, bytes_done(), length);
  return outcome_;
}

Status Request::cancel() {
  {
    std::scoped_lock hold(mutex_);
    if (flight_ == 0) return error(Code::invalid_arg, "the request was not submitted");
    if (!flying()) return {};
    cancelled_ = true;
    if (!given_) return {};
  }
  context_.transfers->cancel(shared_from_this());
  return {};
}

Status Request::end(const Limit& limit) {
  std::unique_lock lock(mutex_);
  if (released_ != flight_ && context_.in_callback())
    return error(Code::busy, "the request is in flight or calling back; destroy it outside of callbacks");
  ending_ = true;
  while (released_ != flight_) {
    const std::uint64_t flight = flight_;
    lock.unlock();
    (void)cancel();
    lock.lock();
    if (!released_cv_.wait_for(lock, limit.left(), [&] { return ended(flight); })) {
      ending_ = false;
      return limit.late("the request was cancelled, but it or its callback has",
                        "keep its memory, and destroy it again");
    }
  }
  return {};
}

gpuio_request_status_t Request::status() {
  std::scoped_lock hold(mutex_);
  return status_;
}

Result<gpuio_request_result_t> Request::result() {
  std::scoped_lock hold(mutex_);
  if (flight_ == 0) return fail(Code::invalid_arg, "the request was not submitted");
  if (flying()) return fail(Code::busy, "the request is in flight; wait for it");
  return gpuio_request_result_t{
      .bytes = bytes_, .error = static_cast<gpuio_error_t>(outcome_.code()), .old_value = 0};
}

gpuio_progress_t Request::progress_now() {
  gpuio_progress_t p = {};
  p.status = status_;
  p.bytes_total = length;
  if (flight_ == 0) return p;
  const bool ended = !flying();
  p.error = ended ? static_cast<gpuio_error_t>(outcome_.code()) : GPUIO_SUCCESS;
  // Before it was given on, the counts are those of the flight before.
  p.bytes_completed = ended ? bytes_ : given_ && status_ == GPUIO_STATUS_IN_PROGRESS ? bytes_done() : 0;
  p.bytes_transferred = ended || p.bytes_completed ? bytes_moved() : 0;
  if (length) p.progress_percent = static_cast<float>(100.0 * double(p.bytes_completed) / double(length));
  else if (status_ == GPUIO_STATUS_COMPLETED) p.progress_percent = 100;
  if (!ended && p.bytes_completed) {
    const double spent_ms = double(context_.clock.now_ns() - submitted_ns_) / 1e6;
    p.eta_ms =
        static_cast<std::uint64_t>(spent_ms * double(length - p.bytes_completed) / double(p.bytes_completed));
  }
  return p;
}

gpuio_progress_t Request::progress() {
  std::scoped_lock hold(mutex_);
  return progress_now();
}

void Request::set_progress_callback(gpuio_progress_callback_t callback, void* user_data) {
  std::scoped_lock hold(mutex_);
  on_progress_ = callback;
  progress_data_ = user_data;
}

Status Request::set_deadline(std::uint64_t deadline_us) {
  std::scoped_lock hold(mutex_);
  if (flying()) return error(Code::busy, "the request is in flight; set its deadline before it is submitted");
  if (deadline_us > std::numeric_limits<std::uint64_t>::max() / 1000)
    return error(Code::invalid_arg, "a deadline of {} us; 0 means none", deadline_us);
  deadline_us_ = deadline_us;
  return {};
}

Status Request::modify(int new_priority, std::uint64_t rate_bytes_per_s) {
  if (new_priority < 0) return error(Code::invalid_arg, "priority {}: 0 is the highest", new_priority);
  {
    std::scoped_lock hold(mutex_);
    params_.priority = new_priority;
    rate_ = rate_bytes_per_s;
    if (!flying() || !given_) return {};  // it will begin with them
  }
  context_.transfers->modify(shared_from_this(), new_priority, rate_bytes_per_s);
  return {};
}

}  // namespace gpuio::capi
