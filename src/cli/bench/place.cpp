#include "cli/bench/place.hpp"

#include <gpuio/gpuio_kernel.h>
#include <gpuio/kernel/small_floats.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

namespace gpuio::cli::bench {
namespace {

std::uint64_t size_of(gpuio_dtype_t dtype) {
  switch (dtype) {
    case GPUIO_DTYPE_F32:
    case GPUIO_DTYPE_I32:
    case GPUIO_DTYPE_U32: return 4;
    case GPUIO_DTYPE_F16:
    case GPUIO_DTYPE_BF16: return 2;
    default: return 1;
  }
}

// f(T()) with the type that memory holds; f16 as its bits.
template <class F>
void with_storage(gpuio_dtype_t dtype, const F& f) {
  switch (dtype) {
    case GPUIO_DTYPE_F32: return f(float{});
    case GPUIO_DTYPE_F16: return f(std::uint16_t{});
    case GPUIO_DTYPE_I8: return f(std::int8_t{});
    case GPUIO_DTYPE_I32: return f(std::int32_t{});
    case GPUIO_DTYPE_U32: return f(std::uint32_t{});
    default: return f(std::uint8_t{});
  }
}

}  // namespace

Status status_of(gpuio_error_t e) {
  return e == GPUIO_SUCCESS ? Status() : Status(static_cast<Code>(e), gpuio_last_error_message());
}
std::uint64_t count_of(const Shape& shape) {
  std::uint64_t n = 1;
  for (const std::uint64_t size : shape) n *= size;
  return n;
}
std::string text_of(const Shape& shape) { return fmt::format("{}", fmt::join(shape, " x ")); }
std::uint64_t bytes_of(const gpuio_tensor_t& t) {
  const Shape shape(t.shape, t.shape + t.rank);
  if (t.dtype != GPUIO_DTYPE_I4) return count_of(shape) * size_of(t.dtype);
  return count_of({shape.begin(), shape.end() - 1}) * ((shape.back() + 1) / 2);
}

Result<std::unique_ptr<Place>> Place::open(const std::string& device) {
  std::unique_ptr<Place> made(new Place);
  gpuio_config_t config = GPUIO_CONFIG_DEFAULT;
  config.log_level = GPUIO_LOG_WARN;
  int id = 0;
  Status s = status_of(gpuio_init(&made->context_, &config));
  if (s) s = status_of(gpuio_find_device(made->context_, device.c_str(), &id));
  if (s) s = status_of(gpuio_set_device(made->context_, id));
  if (s) s = status_of(gpuio_get_device_info(made->context_, id, &made->info_));
  if (!s) return fail(std::move(s));
  return made;
}
Place::~Place() {
  if (!context_) return;
  clear();
  gpuio_finalize(context_);
}
void Place::clear() {
  (void)wait();
  for (void* memory : memory_) gpuio_free(context_, memory);
  memory_.clear();
}

Result<gpuio_tensor_t> Place::raw(gpuio_dtype_t dtype, const Shape& shape,
                                  const std::vector<std::byte>& bytes) {
  gpuio_tensor_t t{};
  t.dtype = dtype;
  t.rank = static_cast<int>(shape.size());
  std::ranges::copy(shape, t.shape);
  Status s = status_of(gpuio_malloc_device(context_, bytes_of(t), &t.data));
  if (!s) return fail(std::move(s));
  memory_.push_back(t.data);
  if (bytes.empty()) s = status_of(gpuio_memset_async(context_, t.data, 0, bytes_of(t), nullptr));
  else s = status_of(gpuio_memcpy(context_, t.data, bytes.data(), bytes_of(t), nullptr));
  if (!s) return fail(std::move(s));
  return t;
}

Result<gpuio_tensor_t> Place::tensor(gpuio_dtype_t dtype, const Shape& shape, const Numbers& values) {
  std::vector<std::byte> bytes(values.size() * size_of(dtype));
  with_storage(dtype, [&]<class T>(T element) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (dtype == GPUIO_DTYPE_F16)
        element = static_cast<T>(kernel::f32_to_f16(static_cast<float>(values[i])));
      else element = static_cast<T>(values[i]);
      std::memcpy(bytes.data() + i * sizeof(T), &element, sizeof(T));
    }
  });
  return raw(dtype, shape, bytes);
}

Result<Numbers> Place::read(const gpuio_tensor_t& t) const {
  std::vector<std::byte> bytes(bytes_of(t));
  Status s = status_of(gpuio_memcpy(context_, bytes.data(), t.data, bytes.size(), nullptr));
  if (!s) return fail(std::move(s));
  Numbers values(bytes.size() / size_of(t.dtype));
  with_storage(t.dtype, [&]<class T>(T element) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
      values[i] = t.dtype == GPUIO_DTYPE_F16
                      ? static_cast<double>(kernel::f16_to_f32(static_cast<std::uint16_t>(element)))
                      : static_cast<double>(element);
    }
  });
  return values;
}

Numbers drawn(gpuio_dtype_t dtype, std::uint64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Numbers values(count);
  for (double& v : values) {
    switch (dtype) {
      case GPUIO_DTYPE_F32: v = static_cast<double>(normal(random)); break;
      case GPUIO_DTYPE_F16:
        v = static_cast<double>(kernel::f16_to_f32(kernel::f32_to_f16(normal(random))));
        break;
      case GPUIO_DTYPE_I8: v = static_cast<double>(static_cast<std::int8_t>(random())); break;
      case GPUIO_DTYPE_U8: v = static_cast<double>(static_cast<std::uint8_t>(random())); break;
      case GPUIO_DTYPE_I32: v = static_cast<double>(static_cast<std::int32_t>(random())); break;
      default: v = static_cast<double>(static_cast<std::uint32_t>(random()));
    }
  }
  return values;
}

Status beside_a_copy(Place& place, Case& c) {
  const std::uint64_t half = std::max<std::uint64_t>(static_cast<std::uint64_t>(c.work / 2), 1);
  auto from = place.raw(GPUIO_DTYPE_U8, {half}, {}), to = place.raw(GPUIO_DTYPE_U8, {half}, {});
  if (!from) return std::move(from).error();
  if (!to) return std::move(to).error();
  c.peer = "copy";
  c.peer_work = 2 * static_cast<double>(half);
  c.peer_run = [context = place.context(), to = to->data, from = from->data, half] {
    return gpuio_memcpy_async(context, to, from, half, nullptr);
  };
  return {};
}

Status within(const Numbers& got, const Numbers& want, const Numbers& bound) {
  if (got.size() != want.size())
    return error(Code::general, "{} elements where the host has {}", got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - want[i]) <= bound[i]))
      return error(Code::general, "element {}: {:.9g} where the host has {:.9g}, further than {:.3g}", i,
                   got[i], want[i], bound[i]);
  return {};
}

}  // namespace gpuio::cli::bench
