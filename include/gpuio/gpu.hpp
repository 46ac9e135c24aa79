// Gpu: a device, buffers on it, kernels from files, launches. What a student needs and no more; the same from
// Python is gpu_runtime.
//
//   gpuio::Gpu gpu;                                    // or "cpu", "vulkan", "cuda", "vulkan:1"
//   auto kernel = gpu.load_spirv("matmul.spv");        // gpuio's own, or what any compiler made
//   auto a = gpu.buffer(data_a), b = gpu.buffer(data_b);
//   auto c = gpu.buffer<float>(n * n);
//   gpu.dispatch(kernel, {32, 32}, a, b, c);           // buffers and numbers, in the kernel's order
//   std::vector<float> result = c.read<float>();       // waits for what was dispatched
//
// gpuio_kernel.h says which file runs where and in which order arguments come. A number is converted to what
// the kernel takes, and refused where that would change it; an integer of a std::uint64_t above 2^63 goes as
// its bits. Threading: any, but work of several threads in one stream takes its order from who comes first.
// Lifetime: whatever comes from a Gpu keeps its device; buffers must outlive the dispatches that use them
// (wait first). Errors: Error, of what is refused at once; what fails on the device comes from the next wait.
#pragma once

#include <gpuio/handles.hpp>

#include <array>
#include <bit>
#include <chrono>
#include <concepts>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <thread>
#include <vector>

namespace gpuio {

// Waits that end: TIMEOUT when it is not done by then, and it goes on.
using Timeout = std::optional<std::chrono::microseconds>;  // none: no limit

namespace detail {
// Asks until it says yes: often at first, as most waits are short.
template <class F>
void wait_until(F&& done, std::chrono::microseconds timeout, const char* what) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (unsigned turn = 0; !done(); ++turn) {
    if (std::chrono::steady_clock::now() >= end)
      throw Error(GPUIO_ERROR_TIMEOUT, std::string(what) + ": not done after " +
                                           std::to_string(timeout.count()) + " us; it goes on");
    if (turn < 64) std::this_thread::yield();
    else std::this_thread::sleep_for(std::chrono::microseconds(turn < 256 ? 20 : 200));
  }
}
}  // namespace detail

// Bytes on the device. Undefined at first.
class GpuBuffer : public detail::Owned<void*, gpuio_free> {
 public:
  GpuBuffer(const Context& context, std::size_t bytes) : Owned(context), bytes_(bytes) {
    if (bytes == 0) throw Error(GPUIO_ERROR_INVALID_ARG, "a buffer has at least one byte");
    detail::check(gpuio_malloc_device(ctx(), bytes, out()));
  }
  std::size_t bytes() const { return bytes_; }

  // Each blocks until the default stream has come to it. `offset` in bytes.
  template <class T>
  void write(std::span<const T> from, std::size_t offset = 0) {
    in_range(from.size_bytes(), offset);
    if (!from.empty())
      detail::check(gpuio_memcpy(ctx(), at(offset), from.data(), from.size_bytes(), nullptr));
  }
  template <class T>
  void write(const std::vector<T>& from, std::size_t offset = 0) {
    write(std::span<const T>(from), offset);
  }
  template <class T>
  void read(std::span<T> to, std::size_t offset = 0) const {
    in_range(to.size_bytes(), offset);
    if (!to.empty()) detail::check(gpuio_memcpy(ctx(), to.data(), at(offset), to.size_bytes(), nullptr));
  }
  // All of it, as many whole elements as fit.
  template <class T>
  std::vector<T> read() const {
    std::vector<T> all(bytes_ / sizeof(T));
    read(std::span<T>(all));
    return all;
  }
  // In the order of the default stream; does not block.
  void fill(std::uint8_t value) { detail::check(gpuio_memset_async(ctx(), get(), value, bytes_, nullptr)); }

 private:
  void* at(std::size_t offset) const { return static_cast<std::byte*>(get()) + offset; }
  void in_range(std::size_t size, std::size_t offset) const {
    if (offset > bytes_ || size > bytes_ - offset)
      throw Error(GPUIO_ERROR_INVALID_ARG, std::to_string(size) + " bytes at " + std::to_string(offset) +
                                               " of a buffer of " + std::to_string(bytes_));
  }
  std::size_t bytes_;
};

struct KernelOptions {
  std::string entry{};  // empty: the only one
  struct Constant {
    template <std::integral T>
    Constant(std::uint32_t i, T v) : value{i, GPUIO_ARG_INTEGER, std::uint64_t(std::int64_t(v)), nullptr} {}
    template <std::floating_point T>
    Constant(std::uint32_t i, T v)
        : value{i, GPUIO_ARG_REAL, std::bit_cast<std::uint64_t>(double(v)), nullptr} {}
    template <class T>
      requires std::is_arithmetic_v<T>
    Constant(std::string n, T v) : Constant(0u, v) {
      name = std::move(n);
    }
    gpuio_constant_t value;
    std::string name{};  // empty: by id
  };
  std::vector<Constant> constants{};            // specialization constants, by name or id
  std::array<std::uint32_t, 3> block{0, 0, 0};  // lanes, of PTX that does not say and of ADead-BIB code
};

// A kernel, ready on its device.
class GpuKernel : public detail::Owned<gpuio_kernel_t, gpuio_kernel_destroy> {
 public:
  GpuKernel(const Context& context, std::shared_ptr<const std::vector<std::byte>> bytes,
            gpuio_kernel_format_t format, const KernelOptions& options)
      : Owned(context), bytes_(std::move(bytes)), format_(format), options_(options) {
    std::vector<gpuio_constant_t> constants;
    for (const auto& c : options.constants) {
      constants.push_back(c.value);
      if (!c.name.empty()) constants.back().name = c.name.c_str();
    }
    const gpuio_kernel_options_t given{format,
                                       options.entry.empty() ? nullptr : options.entry.c_str(),
                                       constants.data(),
                                       static_cast<int>(constants.size()),
                                       {options.block[0], options.block[1], options.block[2]}};
    detail::check(gpuio_kernel_load_format(ctx(), bytes_->data(), bytes_->size(), &given, out()));
    detail::check(gpuio_kernel_get_info(ctx(), get(), &info_));
  }
  const gpuio_kernel_info_t& info() const { return info_; }
  gpuio_kernel_parameter_t parameter(int index) const {
    gpuio_kernel_parameter_t parameter;
    detail::check(gpuio_kernel_get_parameter(ctx(), get(), index, &parameter));
    return parameter;
  }
  // The same with other specialization constants.
  GpuKernel specialize(const std::vector<KernelOptions::Constant>& constants) const {
    KernelOptions options = options_;
    options.constants = constants;
    return {context(), bytes_, format_, options};
  }

 private:
  std::shared_ptr<const std::vector<std::byte>> bytes_;
  gpuio_kernel_format_t format_;
  KernelOptions options_;
  gpuio_kernel_info_t info_{};
};

// A point in a stream: reached when all that was given before is done.
class Fence {
 public:
  Fence(const Context& context, gpuio_stream_t stream) : event_(context) {
    detail::check(gpuio_event_record(context.get(), event_.get(), stream));
  }
  bool done() const { return event_.complete(); }
  void wait(Timeout timeout = {}) const {
    if (timeout) detail::wait_until([&] { return done(); }, *timeout, "fence");
    event_.synchronize();
  }

 private:
  Event event_;
};

class Gpu {
 public:
  // "auto" is CUDA before Vulkan before the CPU; emulated GPUs have to be named.
  explicit Gpu(const std::string& device = "auto") : Gpu(Context(), device) {}
  // The device becomes the context's current one, and must stay it.
  Gpu(const Context& context, const std::string& device) : context_(context) {
    int id = 0;
    detail::check(gpuio_find_device(context_.get(), device.c_str(), &id));
    context_.set_device(id);
    info_ = context_.device_info(id);
  }

  const Context& context() const { return context_; }
  const gpuio_device_info_t& info() const { return info_; }
  std::string name() const { return info_.name; }

  template <class T>
  GpuBuffer buffer(std::span<const T> data) const {
    GpuBuffer made(context_, data.size_bytes());
    made.write(data);
    return made;
  }
  template <class T>
  GpuBuffer buffer(const std::vector<T>& data) const {
    return buffer(std::span<const T>(data));
  }
  template <class T>
  GpuBuffer buffer(std::size_t count) const {
    if (count > SIZE_MAX / sizeof(T)) throw Error(GPUIO_ERROR_NOMEM, "more elements than can be addressed");
    return GpuBuffer(context_, count * sizeof(T));
  }

  // From a file or from bytes, which are copied. NOT_FOUND for a file that is not there.
  GpuKernel load_spirv(const std::string& path, const KernelOptions& o = {}) const {
    return load(bytes_of(path), GPUIO_FORMAT_SPIRV, o);
  }
  GpuKernel load_spirv(std::span<const std::byte> bytes, const KernelOptions& o = {}) const {
    return load(copy(bytes), GPUIO_FORMAT_SPIRV, o);
  }
  GpuKernel load_ptx(const std::string& path, const KernelOptions& o = {}) const {
    return load(bytes_of(path), GPUIO_FORMAT_PTX, o);
  }
  GpuKernel load_ptx(std::span<const std::byte> bytes, const KernelOptions& o = {}) const {
    return load(copy(bytes), GPUIO_FORMAT_PTX, o);
  }
  GpuKernel load_adead(const std::string& path, const KernelOptions& o = {}) const {
    return load(bytes_of(path), GPUIO_FORMAT_ADEAD, o);
  }
  GpuKernel load_adead(std::span<const std::byte> bytes, const KernelOptions& o = {}) const {
    return load(copy(bytes), GPUIO_FORMAT_ADEAD, o);
  }
  // gpuio's own, as kernel::serialize and `gpuio kernel export` write it.
  GpuKernel load_ir(const std::string& path, const KernelOptions& o = {}) const {
    return load(bytes_of(path), GPUIO_FORMAT_IR, o);
  }
  GpuKernel load_ir(std::span<const std::byte> bytes, const KernelOptions& o = {}) const {
    return load(copy(bytes), GPUIO_FORMAT_IR, o);
  }
  // A kernel as it is dispatched, with specialization constants of its own.
  GpuKernel create_pipeline(const GpuKernel& kernel,
                            const std::vector<KernelOptions::Constant>& constants = {}) const {
    return kernel.specialize(constants);
  }

  // In the default stream, or in one of this Gpu's; returns before it has run. Arguments are GpuBuffers,
  // Memory<T> that kernels reach, and numbers.
  template <class... A>
  void dispatch(const GpuKernel& kernel, Groups groups, const A&... arguments) const {
    launch(nullptr, kernel, groups, arguments...);
  }
  template <class... A>
  void dispatch(const Stream& stream, const GpuKernel& kernel, Groups groups, const A&... arguments) const {
    launch(stream.get(), kernel, groups, arguments...);
  }

  // Until all that was given to the default stream, and to those of stream() that live, is done. Answers the
  // first error among it. TIMEOUT: it goes on.
  void wait(Timeout timeout = {}) const {
    std::vector<std::shared_ptr<Stream>> streams;
    {
      const std::scoped_lock hold(streams_->mutex);
      for (const auto& known : streams_->all)
        if (auto stream = known.lock()) streams.push_back(std::move(stream));
    }
    const auto idle = [&](gpuio_stream_t stream) {
      bool answer = false;
      detail::check(gpuio_stream_query(context_.get(), stream, &answer));
      return answer;
    };
    if (timeout)
      detail::wait_until(
          [&] {
            for (const auto& s : streams)
              if (!idle(s->get())) return false;
            return idle(nullptr);
          },
          *timeout, "wait");
    for (const auto& s : streams) s->synchronize();
    detail::check(gpuio_stream_synchronize(context_.get(), nullptr));
  }
  Fence fence() const { return Fence(context_, nullptr); }
  Fence fence(const Stream& stream) const { return Fence(context_, stream.get()); }
  Event event() const { return Event(context_); }
  std::shared_ptr<Stream> stream() const {
    auto made = std::make_shared<Stream>(context_);
    const std::scoped_lock hold(streams_->mutex);
    std::erase_if(streams_->all, [](const auto& known) { return known.expired(); });
    streams_->all.push_back(made);
    return made;
  }

 private:
  struct Streams {
    std::mutex mutex;
    std::vector<std::weak_ptr<Stream>> all;
  };
  using Bytes = std::shared_ptr<const std::vector<std::byte>>;

  GpuKernel load(Bytes bytes, gpuio_kernel_format_t format, const KernelOptions& options) const {
    return GpuKernel(context_, std::move(bytes), format, options);
  }
  static Bytes copy(std::span<const std::byte> bytes) {
    return std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
  }
  static Bytes bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error(GPUIO_ERROR_NOT_FOUND, path + ": no such file, or it cannot be read");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return copy(std::as_bytes(std::span(text)));
  }

  template <class A>
  static gpuio_argument_t argument_of(const A& a) {
    gpuio_argument_t out{};
    if constexpr (std::same_as<A, GpuBuffer>) {
      out.kind = GPUIO_ARG_BYTES;
      out.memory = a.get();
      out.count = a.bytes();
    } else if constexpr (requires {
                           typename A::element_type;
                           a.data();
                           a.size();
                         }) {
      out.kind = GPUIO_ARG_MEMORY;
      out.memory = const_cast<void*>(static_cast<const void*>(a.data()));
      out.count = a.size();
      out.element_size = sizeof(typename A::element_type);
    } else if constexpr (std::floating_point<A>) {
      out.kind = GPUIO_ARG_REAL;
      out.bits = std::bit_cast<std::uint64_t>(double(a));
    } else {
      static_assert(std::integral<A>, "an argument is a GpuBuffer, a Memory or a number");
      const bool raw = std::is_unsigned_v<A> && std::uint64_t(a) >> 63 != 0;
      out.kind = raw ? GPUIO_ARG_SCALAR : GPUIO_ARG_INTEGER;
      out.bits = raw ? std::uint64_t(a) : std::uint64_t(std::int64_t(a));
    }
    return out;
  }
  template <class... A>
  void launch(gpuio_stream_t stream, const GpuKernel& kernel, Groups groups, const A&... arguments) const {
    std::array<gpuio_argument_t, sizeof...(A)> list{argument_of(arguments)...};
    detail::check(gpuio_kernel_launch(context_.get(), kernel.get(), groups.count, list.data(),
                                      static_cast<int>(list.size()), stream));
  }

  Context context_;
  gpuio_device_info_t info_{};
  std::shared_ptr<Streams> streams_ = std::make_shared<Streams>();
};

}  // namespace gpuio
