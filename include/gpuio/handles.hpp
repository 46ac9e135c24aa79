// The C interface as C++ objects: what is made is freed, and what fails throws Error.
//
//   gpuio::Context ctx;                                           // or none: the standard context serves
//   gpuio::Array<float> table(ctx, "localio:///data/table.bin");  // nothing is read yet
//   float x = table[1'000'000'000];                               // reads one element
//
// Threading, blocking and errors are those of gpuio.h. Lifetime: whatever is made from a context keeps it, so
// the order in which objects end does not matter; destructors throw nothing. One whose work does not end in
// wait.limit_ms leaves it, with its memory, to the context. Objects are move-only, except Context, whose
// copies name the same one.
#pragma once

#include <gpuio/gpuio.h>
#include <gpuio/gpuio_kernel.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace gpuio {

class Error : public std::runtime_error {
 public:
  Error(gpuio_error_t code, const std::string& message) : std::runtime_error(message), code_(code) {}
  gpuio_error_t code() const noexcept { return code_; }

 private:
  gpuio_error_t code_;
};

namespace detail {
inline void check(gpuio_error_t code) {
  if (code != GPUIO_SUCCESS) throw Error(code, gpuio_last_error_message());
}

// What copies of a Context share; the C context ends with it.
struct ContextState {
  gpuio_context_t handle = nullptr;
  std::mutex mutex;
  std::map<const void*, gpuio_kernel_t> kernels;  // loaded so far, by where their IR lies (run.hpp)

  ~ContextState() { gpuio_finalize(handle); }  // takes the kernels with it; does nothing the second time
};
}  // namespace detail

class Context {
 public:
  Context() : Context(gpuio_config_t(GPUIO_CONFIG_DEFAULT)) {}
  explicit Context(const gpuio_config_t& config) : state_(std::make_shared<detail::ContextState>()) {
    detail::check(gpuio_init(&state_->handle, &config));
  }

  // The context of everything that names none: configured by file and environment only, made at its first
  // use, and there until the process ends.
  static Context& standard() {
    static Context* const context = new Context;  // its devices may be needed by what ends after main
    return *context;
  }

  gpuio_context_t get() const { return state_->handle; }
  detail::ContextState& state() const { return *state_; }
  // GPUs; the CPU device is -1 and not counted.
  int device_count() const {
    int count = 0;
    detail::check(gpuio_get_device_count(get(), &count));
    return count;
  }
  gpuio_device_info_t device_info(int id) const {
    gpuio_device_info_t info;
    detail::check(gpuio_get_device_info(get(), id, &info));
    return info;
  }
  // The device of what is made from now on.
  void set_device(int id) const { detail::check(gpuio_set_device(get(), id)); }
  gpuio_stats_t stats() const {
    gpuio_stats_t stats;
    detail::check(gpuio_get_stats(get(), &stats));
    return stats;
  }
  // Ends it now, and with CANCELED what is in flight; whatever was made from it is of no more use.
  void finalize() const { detail::check(gpuio_finalize(get())); }

 private:
  std::shared_ptr<detail::ContextState> state_;
};

namespace detail {
// A handle and the context that it belongs to.
template <class H, gpuio_error_t (*Destroy)(gpuio_context_t, H)>
class Owned {
 public:
  explicit Owned(Context context) : context_(std::move(context)) {}
  Owned(Owned&& other) noexcept : context_(other.context_), handle_(std::exchange(other.handle_, H{})) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(context_, other.context_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() {
    if (handle_) Destroy(context_.get(), handle_);
  }
  H get() const { return handle_; }
  const Context& context() const { return context_; }

 protected:
  gpuio_context_t ctx() const { return context_.get(); }
  H* out() { return &handle_; }

 private:
  Context context_;
  H handle_{};
};
}  // namespace detail

// Workgroups in each direction, 1 to 65535.
struct Groups {
  constexpr Groups(std::uint32_t x, std::uint32_t y = 1, std::uint32_t z = 1) : count{x, y, z} {}
  std::uint32_t count[3];
};

class Stream : public detail::Owned<gpuio_stream_t, gpuio_stream_destroy> {
 public:
  explicit Stream(const Context& context = Context::standard(),
                  gpuio_stream_priority_t priority = GPUIO_STREAM_DEFAULT)
      : Owned(context) {
    detail::check(gpuio_stream_create(ctx(), out(), priority));
  }
  void synchronize() const { detail::check(gpuio_stream_synchronize(ctx(), get())); }
  bool idle() const {
    bool idle = false;
    detail::check(gpuio_stream_query(ctx(), get(), &idle));
    return idle;
  }
};

class Event : public detail::Owned<gpuio_event_t, gpuio_event_destroy> {
 public:
  explicit Event(const Context& context = Context::standard()) : Owned(context) {
    detail::check(gpuio_event_create(ctx(), out()));
  }
  bool complete() const {
    bool complete = false;
    detail::check(gpuio_event_query(ctx(), get(), &complete));
    return complete;
  }
  void record(const Stream& stream) const { detail::check(gpuio_event_record(ctx(), get(), stream.get())); }
  void synchronize() const { detail::check(gpuio_event_synchronize(ctx(), get())); }
  float elapsed_ms_since(const Event& start) const {
    float ms = 0;
    detail::check(gpuio_event_elapsed_time(ctx(), start.get(), get(), &ms));
    return ms;
  }
};

// Where memory lies: host memory; host memory that kernels reach too; a device's; one address for both.
enum class Place { host, pinned, device, unified };

// `count` elements. Zeros at first, but undefined in Place::device, which the CPU does not index: upload and
// download.
template <class T>
class Memory : public detail::Owned<void*, gpuio_free> {
  static_assert(std::is_trivially_copyable_v<T>, "memory holds plain values");

 public:
  using element_type = T;

  explicit Memory(std::size_t count, Place place = Place::pinned)
      : Memory(Context::standard(), count, place) {}
  Memory(const Context& context, std::size_t count, Place place = Place::pinned)
      : Owned(context), count_(count), place_(place) {
    if (count > SIZE_MAX / sizeof(T)) throw Error(GPUIO_ERROR_NOMEM, "more elements than can be addressed");
    constexpr decltype(&gpuio_malloc) kAllocate[] = {gpuio_malloc, gpuio_malloc_pinned, gpuio_malloc_device,
                                                     gpuio_malloc_unified};
    detail::check(kAllocate[static_cast<std::size_t>(place)](ctx(), bytes(), out()));
    if (place != Place::device && count) std::memset(this->get(), 0, bytes());
  }

  std::size_t size() const { return count_; }
  std::size_t bytes() const { return count_ * sizeof(T); }
  Place place() const { return place_; }
  T* data() const { return static_cast<T*>(this->get()); }
  std::span<T> span() const { return {data(), count_}; }
  T* begin() const { return data(); }
  T* end() const { return data() + count_; }
  T& operator[](std::size_t i) const { return data()[i]; }

  // Blocks until the bytes are there. As many elements as the span has, at most as many as there are.
  void upload(std::span<const T> from) { copy(data(), from.data(), from.size()); }
  void download(std::span<T> to) const { copy(to.data(), data(), to.size()); }

 private:
  void copy(T* to, const T* from, std::size_t count) const {
    if (count > count_)
      throw Error(GPUIO_ERROR_INVALID_ARG, "a copy of " + std::to_string(count) +
                                               " elements with memory of " + std::to_string(count_));
    if (count) detail::check(gpuio_memcpy(ctx(), to, from, count * sizeof(T), nullptr));
  }

  std::size_t count_;
  Place place_;
};

// Something opened: a file, a drive, memory.
class Handle : public detail::Owned<gpuio_handle_t, gpuio_close> {
 public:
  explicit Handle(const std::string& uri, std::uint32_t flags = GPUIO_OPEN_READ)
      : Handle(Context::standard(), uri, flags) {}
  Handle(const Context& context, const std::string& uri, std::uint32_t flags = GPUIO_OPEN_READ)
      : Owned(context) {
    detail::check(gpuio_open(ctx(), uri.c_str(), flags, out()));
  }
  gpuio_handle_info_t info() const {
    gpuio_handle_info_t info;
    detail::check(gpuio_handle_info(ctx(), get(), &info));
    return info;
  }
  // A range of it for requests; ends with the handle.
  gpuio_memory_region_t region(std::uint64_t offset, std::size_t length,
                               gpuio_mem_access_t access = GPUIO_MEM_READ) const {
    gpuio_memory_region_t region;
    detail::check(gpuio_handle_region(ctx(), get(), offset, length, access, &region));
    return region;
  }
};

// One transfer, which the regions in its parameters describe.
class Request : public detail::Owned<gpuio_request_t, gpuio_request_destroy> {
 public:
  Request(const Context& context, const gpuio_request_params_t& parameters) : Owned(context) {
    detail::check(gpuio_request_create(ctx(), &parameters, out()));
  }
  void submit() const { detail::check(gpuio_request_submit(ctx(), get())); }
  void wait(std::uint64_t timeout_us = UINT64_MAX) const {
    detail::check(gpuio_request_wait(ctx(), get(), timeout_us));
  }
  void cancel() const { detail::check(gpuio_request_cancel(ctx(), get())); }
  gpuio_request_result_t result() const {
    gpuio_request_result_t result;
    detail::check(gpuio_request_get_result(ctx(), get(), &result));
    return result;
  }
};

// What a URI names, as an array of elements of 1, 2, 4 or 8 bytes that fills on demand. Kernels index it as
// OnDemand<T>; the CPU reads elements through the same cache.
template <class T>
class Array : public detail::Owned<gpuio_proxy_t, gpuio_proxy_destroy> {
  static_assert(std::is_trivially_copyable_v<T> &&
                    (sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8),
                "elements are plain values of 1, 2, 4 or 8 bytes");

 public:
  using element_type = T;

  // `size` in elements; 0: all that is there, where an element that ends past it is padded with zeros.
  explicit Array(const std::string& uri, std::size_t size = 0) : Array(Context::standard(), uri, size) {}
  Array(const Context& context, const std::string& uri, std::size_t size = 0) : Owned(context) {
    if (size > SIZE_MAX / sizeof(T))
      throw Error(GPUIO_ERROR_INVALID_ARG, "more elements than can be addressed");
    detail::check(gpuio_proxy_create(ctx(), uri.c_str(), size * sizeof(T), out()));
    bytes_ = stats().size;
  }

  std::uint64_t size() const { return (bytes_ - 1) / sizeof(T) + 1; }
  std::uint64_t bytes() const { return bytes_; }

  // Reads one element. Blocks; INVALID_ADDRESS past the end.
  T operator[](std::uint64_t i) const {
    T value;
    read(i, {&value, 1});
    return value;
  }
  void read(std::uint64_t start, std::span<T> to) const {
    const std::uint64_t offset = byte_of(start);
    std::uint64_t n = to.size_bytes();
    if (n && start + to.size() == size()) {  // the last element may be padded
      n = bytes_ - offset;
      std::memset(to.data(), 0, to.size_bytes());
    }
    detail::check(gpuio_proxy_read(ctx(), get(), offset, to.data(), n));
  }
  // Brings elements into the cache ahead of their use. Blocks until they are there.
  void prefetch(std::uint64_t start, std::uint64_t count) const {
    const std::uint64_t offset = byte_of(start);
    const std::uint64_t n = start + count == size() ? bytes_ - offset : byte_of(count);
    detail::check(gpuio_proxy_prefetch(ctx(), get(), offset, n, nullptr));
  }
  // Blocks until what was written is durable; arrays are read-only so far.
  void synchronize() const { detail::check(gpuio_proxy_flush(ctx(), get())); }

  // All of it as plain memory for kernels, until unmapped; UNSUPPORTED when it does not fit the cache.
  std::span<const T> map() const {
    void* memory = nullptr;
    detail::check(gpuio_proxy_map(ctx(), get(), &memory));
    return {static_cast<const T*>(memory), size()};
  }
  void unmap() const { detail::check(gpuio_proxy_unmap(ctx(), get())); }

  gpuio_proxy_stats_t stats() const {
    gpuio_proxy_stats_t stats;
    detail::check(gpuio_proxy_get_stats(ctx(), get(), &stats));
    return stats;
  }

 private:
  static std::uint64_t byte_of(std::uint64_t element) {
    if (element > UINT64_MAX / sizeof(T))
      throw Error(GPUIO_ERROR_INVALID_ADDRESS, "element " + std::to_string(element) + " is past every array");
    return element * sizeof(T);
  }

  std::uint64_t bytes_ = 0;
};

template <class T>
using GPUIOArray = Array<T>;

}  // namespace gpuio

using gpuio::GPUIOArray;
