#include "capi/event.hpp"

#include "capi/context.hpp"

namespace gpuio::capi {

Status Event::record(const std::shared_ptr<Stream>& stream) {
  std::uint64_t version;
  {
    std::scoped_lock hold(mutex_);
    version = ++version_;
    stream_ = stream;
    passed_ = false;
    failed_ = {};
  }
  Status given = stream->enqueue([self = shared_from_this(), version](gpu::Stream& queue) {
    auto point = queue.stamp();
    // Without time stamps it is still a point to wait for.
    if (!point && point.error().code() == Code::unsupported) point = queue.last();
    std::scoped_lock hold(self->mutex_);
    if (self->version_ != version) return Status();  // recorded again meanwhile
    self->passed_ = true;
    if (point) self->point_ = *point;
    else self->failed_ = point.error();
    self->came_.notify_all();
    return self->failed_;
  });
  std::scoped_lock hold(mutex_);
  if (!given.ok() && version_ == version && !passed_) {  // it will never come
    passed_ = true;
    failed_ = given;
    came_.notify_all();
  }
  return given;
}

Result<Event::Recorded> Event::recorded(const Limit* limit) {
  std::unique_lock lock(mutex_);
  if (!stream_)
    return fail(Code::invalid_arg, "the event was never recorded; give it to gpuio_event_record first");
  if (!limit && !passed_) return fail(Code::busy, "the stream has not come to the event yet; synchronize it");
  if (limit && !came_.wait_for(lock, limit->left(), [&] { return passed_; }))
    return fail(limit->late("what was in the stream before the event, a request or its callback, has",
                            "cancel the request, or wait again"));
  if (!failed_) return fail(failed_);
  return Recorded{stream_, point_};
}

Status Event::synchronize(const Limit& limit) {
  auto at = recorded(&limit);
  return at ? at->stream->wait(at->point, limit) : std::move(at).error();
}

Result<bool> Event::complete() {
  auto at = recorded(nullptr);
  if (!at && at.error().code() == Code::busy) return false;
  if (!at) return fail(std::move(at).error());
  return at->stream->reached(at->point);
}

Result<double> Event::elapsed_ms(Event& start, Event& end) {
  auto from = start.recorded(nullptr), to = end.recorded(nullptr);
  if (!from) return fail(std::move(from).error());
  if (!to) return fail(std::move(to).error());
  if (from->stream != to->stream)
    return fail(Code::unsupported, "the events were recorded in two streams; record both in one to measure");
  return from->stream->elapsed_ms(from->point, to->point);
}

}  // namespace gpuio::capi

using namespace gpuio;
using namespace gpuio::capi;

extern "C" {

gpuio_error_t gpuio_event_create(gpuio_context_t ctx, gpuio_event_t* event) {
  return call("gpuio_event_create", ctx, Outputs(event), [&](Context& c) {
    *event = c.events.add(std::make_shared<Event>());
    return Status();
  });
}

gpuio_error_t gpuio_event_destroy(gpuio_context_t ctx, gpuio_event_t event) {
  return call("gpuio_event_destroy", ctx, [&](Context& c) {
    if (!event) return Status();
    auto taken = c.events.remove(event);
    return taken ? Status() : std::move(taken).error();
  });
}

gpuio_error_t gpuio_event_record(gpuio_context_t ctx, gpuio_event_t event, gpuio_stream_t stream) {
  return call("gpuio_event_record", ctx, [&](Context& c) {
    auto found = c.events.find(event);
    if (!found) return std::move(found).error();
    auto in = c.stream_of(stream);
    return in ? (*found)->record(*in) : std::move(in).error();
  });
}

gpuio_error_t gpuio_event_synchronize(gpuio_context_t ctx, gpuio_event_t event) {
  return call("gpuio_event_synchronize", ctx, [&](Context& c) {
    auto found = c.events.find(event);
    if (!found) return std::move(found).error();
    if (Status s = c.may_block(); !s) return s;
    return (*found)->synchronize(c.limit());
  });
}

gpuio_error_t gpuio_event_query(gpuio_context_t ctx, gpuio_event_t event, bool* complete) {
  return call("gpuio_event_query", ctx, Outputs(complete), [&](Context& c) {
    auto found = c.events.find(event);
    if (!found) return std::move(found).error();
    auto done = (*found)->complete();
    if (!done) return std::move(done).error();
    *complete = *done;
    return Status();
  });
}

gpuio_error_t gpuio_event_elapsed_time(gpuio_context_t ctx, gpuio_event_t start, gpuio_event_t end,
                                       float* ms) {
  return call("gpuio_event_elapsed_time", ctx, Outputs(ms), [&](Context& c) {
    auto from = c.events.find(start), to = c.events.find(end);
    if (!from) return std::move(from).error();
    if (!to) return std::move(to).error();
    auto elapsed = Event::elapsed_ms(**from, **to);
    if (!elapsed) return std::move(elapsed).error();
    *ms = static_cast<float>(*elapsed);
    return Status();
  });
}

}  // extern "C"
