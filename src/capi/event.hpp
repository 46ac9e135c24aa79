// An event: a point in a stream, to wait for and to measure from. Threading: any. It keeps its stream alive.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "capi/stream.hpp"

namespace gpuio::capi {

class Event : public std::enable_shared_from_this<Event> {
 public:
  Status record(const std::shared_ptr<Stream>& stream);
  Status synchronize(const Limit& limit);
  Result<bool> complete();
  static Result<double> elapsed_ms(Event& start, Event& end);

 private:
  struct Recorded {
    std::shared_ptr<Stream> stream;
    gpu::Point point = 0;
  };
  Result<Recorded> recorded(const Limit* limit);  // null: does not block

  std::mutex mutex_;
  std::condition_variable came_;
  std::shared_ptr<Stream> stream_;  // where it was recorded last
  std::uint64_t version_ = 0;       // of the latest record
  bool passed_ = false;             // the device has been given it
  gpu::Point point_ = 0;
  Status failed_;
};

}  // namespace gpuio::capi
