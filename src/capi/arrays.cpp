#include "capi/arrays.hpp"

#include "base/clock.hpp"

namespace gpuio::capi {

Result<std::shared_ptr<DeviceArrays>> DeviceArrays::create(int id, gpu::Device& device,
                                                           const Config& config) {
  auto made = std::shared_ptr<DeviceArrays>(new DeviceArrays(id, device, config.cache_size));
  auto arrays = paging::Arrays::create(
      device, {.cache = {.cache_bytes = config.cache_size, .page_bytes = config.page_size},
               .service = {.depth = static_cast<std::uint32_t>(config.queue_depth),
                           .spin_ns = static_cast<std::uint64_t>(config.spin_us) * 1000,
                           .priority = config.service_priority}});
  if (!arrays) return fail(std::move(arrays).error().wrap("the page cache"));
  made->arrays_ = std::move(*arrays);
  return made;
}

Result<DeviceArrays::Use> DeviceArrays::use(const paging::Patience& patience) {
  const std::uint64_t start_ns = SteadyClock().now_ns();
  std::unique_lock lock(mutex_, std::defer_lock);
  // By the system's clock: waiting by the steady one is a lock that g++ 12's ThreadSanitizer does not know
  // of. A clock that is set back makes one turn longer, no more.
  const auto soon = [] { return std::chrono::system_clock::now() + std::chrono::milliseconds(5); };
  while (!lock.try_lock_until(soon())) {
    if (patience.cancel && patience.cancel->load(std::memory_order_relaxed))
      return fail(Code::canceled, "cancelled while another kernel or access used the device's page cache");
    if (SteadyClock().now_ns() - start_ns >= patience.timeout_ns)
      return fail(Code::timeout, "another kernel or access used the device's page cache for {} ms",
                  patience.timeout_ns / 1'000'000);
  }
  return Use(*arrays_, std::move(lock));
}

Result<std::shared_ptr<DeviceArrays>> ContextArrays::of(Devices& devices, int id, const Config& config) {
  auto device = devices.open(id);
  if (!device) return fail(std::move(device).error());
  std::scoped_lock hold(mutex_);
  auto& entry = by_device_[id];
  if (!entry) {
    auto made = DeviceArrays::create(id, **device, config);
    if (!made) return fail(std::move(made).error());
    entry = std::move(*made);
  }
  return entry;
}

std::pair<std::uint64_t, std::uint64_t> Proxy::window_range() {
  std::scoped_lock lock(mutex_);
  if (!window_) return {0, 0};
  return {window_->address(), window_->size()};
}
void Proxy::set_window(std::unique_ptr<gpu::Buffer> window) {
  std::scoped_lock lock(mutex_);
  window_ = std::move(window);
}
bool Proxy::hold() {
  std::scoped_lock lock(mutex_);
  if (closed_) return false;
  ++held_;
  return true;
}
void Proxy::release() {
  std::scoped_lock lock(mutex_);
  --held_;
}
bool Proxy::close() {
  std::scoped_lock lock(mutex_);
  if (held_ > 0) return false;
  closed_ = true;
  return true;
}

}  // namespace gpuio::capi
