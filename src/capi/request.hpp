// A request: one transfer that a client made, with what it told us to call and to remember.
//
// Submitted, it is moved by the context's thread (io/transfer_service.hpp), which calls back. It goes through
// SUBMITTED and IN_PROGRESS to an end, may be submitted again after that, also from its own callback. Whoever
// waits is released after the callback has returned, so that what the callback uses may be freed then.
// Threading: any. Lifetime: the context outlives it; in flight it keeps its regions, and they their memory.
#pragma once

#include <gpuio/gpuio.h>

#include <condition_variable>
#include <memory>
#include <mutex>

#include "capi/limit.hpp"
#include "capi/region.hpp"
#include "capi/stream.hpp"
#include "io/transfer.hpp"

namespace gpuio::capi {

class Context;

class Request final : public io::Transfer, public std::enable_shared_from_this<Request> {
 public:
  static Result<std::shared_ptr<Request>> create(Context& context, const gpuio_request_params_t& params);
  Request(Context& context, const gpuio_request_params_t& params) : context_(context), params_(params) {}

  void set_handle(gpuio_request_t handle) { handle_ = handle; }
  Status submit();
  Status wait(std::uint64_t timeout_us);
  Status cancel();
  // Cancels it if need be, and waits until nothing touches it; after TIMEOUT it is as before, but cancelled.
  Status end(const Limit& limit);

  gpuio_request_status_t status();
  Result<gpuio_request_result_t> result();
  gpuio_progress_t progress();
  void set_progress_callback(gpuio_progress_callback_t callback, void* user_data);
  Status set_deadline(std::uint64_t deadline_us);
  Status modify(int priority, std::uint64_t rate_bytes_per_s);

 private:
  void on_start() override;
  void on_progress() override;
  void on_finish() override;

  bool flying() const { return flight_ != ended_; }
  Status prepare();
  Status give_to_stream(std::uint64_t flight);
  Status give_beside();
  void begin();
  void finish(const Status& outcome, bool moved);
  bool ended(std::uint64_t flight) const { return released_ >= flight || flight_ < flight; }
  gpuio_progress_t progress_now();

  Context& context_;
  gpuio_request_params_t params_;  // but for the regions, which are these:
  std::shared_ptr<Region> src_, dst_;
  std::shared_ptr<Stream> stream_;  // in whose order it goes; null: in none
  gpuio_request_t handle_ = nullptr;

  std::mutex mutex_;  // over all that follows
  std::condition_variable released_cv_;
  gpuio_request_status_t status_ = GPUIO_STATUS_PENDING;
  std::uint64_t flight_ = 0, ended_ = 0,
                released_ = 0;  // flights begun; ended; and those who waited for told
  Status outcome_;              // of the latest that ended
  bool ending_ = false;         // being destroyed
  bool cancelled_ = false;      // asked for, in this flight
  bool given_ = false;          // to the thread that moves it, in this flight
  std::uint64_t submitted_ns_ = 0, beside_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t deadline_us_ = 0, rate_ = 0;
  gpuio_progress_callback_t on_progress_ = nullptr;
  void* progress_data_ = nullptr;
};

}  // namespace gpuio::capi
