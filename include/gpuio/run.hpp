// Launching kernels: run(context, kernel, groups, arguments...) blocks until every lane has ended;
// launch(...) gives it to a stream.
//
//   gpuio::Array<std::uint8_t> file("/data/a.bin");
//   gpuio::Memory<std::uint32_t> counts(256);
//   gpuio::Report report = gpuio::run(histogram, 64, file, counts, file.size());
//
// Arguments are held to the kernel's parameters while compiling: In, Out and InOut take a Memory<T>, or a
// std::span<T> of memory that kernels can use (of structures too: aggregate.hpp); OnDemand takes an Array<T>;
// Val takes a number: any integer for an integer (checked to fit), float for f32, float or double for f64. A
// kernel is loaded once a context. Threading: any. Errors: Error, with what gpuio_kernel_run says.
#pragma once

#include <gpuio/handles.hpp>
#include <gpuio/kernel/frozen.hpp>
#include <gpuio/kernel/serialize.hpp>

#include <array>
#include <bit>
#include <chrono>
#include <concepts>

namespace gpuio {

struct RunOptions {
  gpuio_miss_t miss = GPUIO_MISS_AUTO;
  std::chrono::microseconds timeout{0};  // 0: no limit
  bool allow_failures = false;           // the kernel looks at the status of its accesses
  const Stream* stream = nullptr;        // after what it was given; null: the default stream
};

struct Report : gpuio_launch_report_t {
  // "waited" or "yielded", or "launched" without on-demand arrays.
  std::string way() const {
    return miss == GPUIO_MISS_WAIT ? "waited" : miss == GPUIO_MISS_YIELD ? "yielded" : "launched";
  }
};

namespace detail {

using kernel::Param;
using kernel::ParamKind;
using kernel::Type;

// A type of C++ as one of kernels: char and long long too.
template <class T>
constexpr Type type_of() {
  using U = std::remove_cv_t<T>;
  if constexpr (kernel::kTypeOf<U> != Type::none) return kernel::kTypeOf<U>;
  else if constexpr (kernel::Structured<U>) return kernel::kTypeOf<typename kernel::detail::Layout<U>::Unit>;
  else if constexpr (std::same_as<U, std::byte>) return Type::u8;
  else if constexpr (!std::integral<U>) return Type::none;
  else if constexpr (sizeof(U) == 1) return std::is_signed_v<U> ? Type::i8 : Type::u8;
  else if constexpr (sizeof(U) == 2) return std::is_signed_v<U> ? Type::i16 : Type::u16;
  else if constexpr (sizeof(U) == 4) return std::is_signed_v<U> ? Type::i32 : Type::u32;
  else return std::is_signed_v<U> ? Type::i64 : Type::u64;
}

template <class A>
inline constexpr bool kIsMemory = false;
template <class T>
inline constexpr bool kIsMemory<Memory<T>> = true;
template <class T>
inline constexpr bool kIsMemory<std::span<T>> = true;
template <class A>
inline constexpr bool kIsArray = false;
template <class T>
inline constexpr bool kIsArray<Array<T>> = true;

// Does an argument of type A, without reference, suit the parameter? Kind first, then element.
template <class A>
constexpr bool suits_kind(const Param& p) {
  using V = std::remove_cv_t<A>;
  switch (p.kind) {
    case ParamKind::on_demand: return kIsArray<V>;
    case ParamKind::scalar: return type_of<V>() != Type::none;
    default: return kIsMemory<V>;
  }
}
template <class A>
constexpr bool suits_element(const Param& p) {
  using V = std::remove_cv_t<A>;
  if constexpr (kIsArray<V>) {
    return type_of<typename V::element_type>() == p.type;
  } else if constexpr (kIsMemory<V>) {
    using T = typename V::element_type;
    return type_of<T>() == p.type && (p.kind == ParamKind::in || !std::is_const_v<T>);
  } else {
    const Type t = type_of<V>();
    const bool integers = kernel::is_integer(t) && kernel::is_integer(p.type);
    return t == p.type || integers || (t == Type::f32 && p.type == Type::f64);
  }
}

// Instantiated for each argument, so that the compiler prints which.
template <std::size_t Argument, bool Kind, bool Element>
struct argument_error {
  static_assert(Kind,
                "this argument is of another kind than the kernel's parameter: In, Out and InOut take a "
                "Memory or span, OnDemand takes an Array, Val takes a number");
  static_assert(Element, "the elements of this argument are not those of the kernel's parameter");
  static constexpr bool ok = true;
};
template <class K, std::size_t I, class A>
constexpr bool check_argument() {
  constexpr Param p = K::view().params[I];
  constexpr bool kind = suits_kind<A>(p);
  return argument_error < I, kind, !kind || suits_element<A>(p) > ::ok;
}

template <Type To, class V>
std::uint64_t scalar_bits(std::size_t index, V v) {
  if constexpr (kernel::is_integer(To) && !std::same_as<V, bool>) {
    constexpr std::uint32_t width = 8 * kernel::size_of(To);
    bool fits;
    if constexpr (kernel::is_signed(To)) {
      constexpr std::int64_t most = std::int64_t((std::uint64_t{1} << (width - 1)) - 1);
      fits = std::in_range<std::int64_t>(v) && std::int64_t(v) <= most && std::int64_t(v) >= -most - 1;
    } else {
      fits = std::in_range<std::uint64_t>(v) && std::uint64_t(v) <= ~std::uint64_t{0} >> (64 - width);
    }
    if (!fits)
      throw Error(GPUIO_ERROR_INVALID_ARG, "argument " + std::to_string(index) + ": " + std::to_string(v) +
                                               " does not fit the kernel's integer of " +
                                               std::to_string(width) + " bits");
    return std::uint64_t(v) & (~std::uint64_t{0} >> (64 - width));
  } else if constexpr (To == Type::f64) {
    return std::bit_cast<std::uint64_t>(double(v));
  } else {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &v, sizeof v);  // little-endian hosts, as all that we support
    return bits;
  }
}

template <class K, std::size_t I, class A>
gpuio_argument_t argument_of(A& a) {
  using V = std::remove_cv_t<A>;
  constexpr Param p = K::view().params[I];
  gpuio_argument_t out{};
  out.element_size = kernel::size_of(p.type);
  if constexpr (kIsArray<V>) {
    out.kind = GPUIO_ARG_PROXY;
    out.proxy = a.get();
  } else if constexpr (kIsMemory<V>) {
    out.kind = GPUIO_ARG_MEMORY;
    out.memory = const_cast<void*>(static_cast<const void*>(a.data()));
    out.count = a.size() * (sizeof(typename V::element_type) / kernel::size_of(p.type));  // structures: units
  } else {
    out.kind = GPUIO_ARG_SCALAR;
    out.bits = scalar_bits<p.type>(I, a);
  }
  return out;
}

template <class K>
constexpr bool has_arrays() {
  for (const Param& p : K::view().params)
    if (p.kind == ParamKind::on_demand) return true;
  return false;
}

// The context's own copy of the kernel, loaded when first asked for.
template <class K>
gpuio_kernel_t loaded(const Context& context) {
  ContextState& state = context.state();
  std::scoped_lock hold(state.mutex);
  gpuio_kernel_t& entry = state.kernels[&K::frozen()];
  if (!entry) {
    const auto ir = kernel::serialize(K::view());
    check(gpuio_kernel_load(state.handle, ir.data(), ir.size(), &entry));
  }
  return entry;
}

// The arguments as the C interface takes them, held to the kernel's parameters while compiling.
template <class K, class... A>
auto arguments_of(A&... arguments) {
  static_assert(sizeof...(A) == K::view().params.size(), "the kernel has another number of parameters");
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    static_assert((true && ... && check_argument<K, I, A>()));
    return std::array<gpuio_argument_t, sizeof...(A)>{argument_of<K, I>(arguments)...};
  }(std::index_sequence_for<A...>{});
}

template <class K>
concept FrozenKernel = requires {
  K::frozen();
  K::view();
};

}  // namespace detail

// Blocks until every lane has ended. When accesses failed it throws, though the kernel ran to its end, unless
// the options allow it.
template <detail::FrozenKernel K, class... A>
Report run(const Context& context, const RunOptions& options, K, Groups groups, A&&... arguments) {
  const auto list = detail::arguments_of<K>(arguments...);
  const gpuio_launch_options_t given{options.miss, static_cast<std::uint64_t>(options.timeout.count()),
                                     options.allow_failures};
  Report report{};
  detail::check(gpuio_kernel_run(context.get(), detail::loaded<K>(context), groups.count, list.data(),
                                 static_cast<int>(list.size()),
                                 options.stream ? options.stream->get() : nullptr, &given, &report));
  return report;
}
template <detail::FrozenKernel K, class... A>
Report run(const Context& context, K kernel, Groups groups, A&&... arguments) {
  return run(context, RunOptions{}, kernel, groups, arguments...);
}
// In the standard context, which the arguments must belong to.
template <detail::FrozenKernel K, class... A>
Report run(K kernel, Groups groups, A&&... arguments) {
  return run(Context::standard(), RunOptions{}, kernel, groups, arguments...);
}

// Gives the kernel to the stream and returns; what it uses must stay until the stream is synchronized. Not
// for kernels with on-demand arrays, which the host has to answer.
template <detail::FrozenKernel K, class... A>
void launch(const Stream& stream, K, Groups groups, A&&... arguments) {
  static_assert(!detail::has_arrays<K>(), "a kernel with on-demand arrays is run(), not launched");
  const auto list = detail::arguments_of<K>(arguments...);
  const Context& context = stream.context();
  detail::check(gpuio_kernel_launch(context.get(), detail::loaded<K>(context), groups.count, list.data(),
                                    static_cast<int>(list.size()), stream.get()));
}

// From another thread: runs of this kernel in the context end with CANCELED.
template <detail::FrozenKernel K>
void cancel(const Context& context, K) {
  detail::check(gpuio_kernel_cancel(context.get(), detail::loaded<K>(context)));
}

}  // namespace gpuio
