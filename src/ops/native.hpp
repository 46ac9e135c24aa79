// Operations as code of the processor: what the CPU device runs instead of interpreting their kernels.
//
// A native form takes the arguments of its kernel in the same slots and does a workgroup's share of the work,
// in f32 and f64, whatever the elements' type. It is a struct of what it is specialised for (types, flags)
// whose `run` is compiled twice, for any processor and for wide vectors; load() keeps the one that this
// processor takes. Its sums have an order that follows from their length alone: the same bits wherever a
// tensor lies. Where the device's native_code is masked, kernels are interpreted instead.
//
// Threading: any; scratch is each thread's. Errors: NOMEM. Exceptions: none.
//
//   struct Softmax {
//     Dtype x, y;
//     GPUIO_INLINE Status run(const gpu::Workgroup& group) const { ... }
//   };
//   kernels.get(variant, "softmax", block, body, [&] { return native::of(Softmax{x.type, y.type}); });
#pragma once

#include <bit>
#include <cstring>
#include <memory>
#include <new>

#include "ops/kernels.hpp"

// What is compiled for each kind of vectors has to become part of who calls it.
#define GPUIO_INLINE [[gnu::always_inline]] inline

namespace gpuio::ops::native {

// --- Which code

// Not on Windows, where g++ leaves wide vectors on the stack unaligned.
#if defined(__x86_64__) && !defined(_WIN32)
#define GPUIO_WIDE [[gnu::target("avx2,fma,f16c")]]
inline bool wide() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
#endif

template <class Op>
struct Compiled {
  [[gnu::flatten]] static Status plain(const gpu::Workgroup& group) {
    return static_cast<const Op*>(group.data)->run(group);
  }
#ifdef GPUIO_WIDE
  GPUIO_WIDE [[gnu::flatten]] static Status wide(const gpu::Workgroup& group) {
    return static_cast<const Op*>(group.data)->run(group);
  }
#endif
};
template <class Op>
gpu::Native of(const Op& op) {
  gpu::Native made{.run = &Compiled<Op>::plain, .data = std::make_shared<const Op>(op)};
#ifdef GPUIO_WIDE
  if (wide()) made.run = &Compiled<Op>::wide;
#endif
  return made;
}

// --- Shares of the work

struct Share {
  std::uint64_t begin, end;
};
// A workgroup's of so many items: neighbours.
inline Share share_of(const gpu::Workgroup& group, std::uint64_t items) {
  const std::uint64_t groups = group.groups[0], i = group.group[0];
  const std::uint64_t each = items / groups, more = items % groups;
  const std::uint64_t begin = each * i + std::min(i, more);
  return {begin, begin + each + (i < more)};
}

// --- Arguments

inline std::uint64_t number(const gpu::Workgroup& group, std::size_t slot) {
  return group.arguments[slot].value;
}
inline float real(const gpu::Workgroup& group, std::size_t slot) {
  return std::bit_cast<float>(std::uint32_t(number(group, slot)));
}
template <class T>
T* pointer(const gpu::Workgroup& group, std::size_t slot) {
  return reinterpret_cast<T*>(number(group, slot));
}

// --- Memory of this thread, which grows to the most that it was asked for

class Scratch {
 public:
  static constexpr std::size_t kAlignment = 64;
  // Undefined; null where there is none.
  void* bytes(std::size_t size) {
    if (size > size_) {
      memory_.reset(::operator new(size, std::align_val_t{kAlignment}, std::nothrow));
      size_ = memory_ ? size : 0;
    }
    return memory_.get();
  }
  float* floats(std::size_t count) { return static_cast<float*>(bytes(count * 4)); }

 private:
  struct Free {
    void operator()(void* p) const { ::operator delete(p, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<void, Free> memory_;
  std::size_t size_ = 0;
};
Scratch& scratch();
[[gnu::cold]] Status no_memory(std::string_view of_what);

// --- Elements as f32

inline constexpr std::uint32_t kLine = 4096;  // elements that are taken at a time: they stay near

// `count` neighbours from element `at` on; to f16, bf16 and 8-bit floats rounded to nearest even.
struct Conversions {
  void (*widen)(Dtype type, const std::byte* base, std::uint64_t at, std::uint32_t count, float* to);
  void (*narrow)(Dtype type, std::byte* base, std::uint64_t at, std::uint32_t count, const float* from);
};
const Conversions& conversions();  // of this processor

struct Source {  // f32, f16, bf16, 8-bit floats, i8, i4
  Dtype type;
  const std::byte* base;
  void widen(float* to, std::uint64_t at, std::uint32_t count) const {
    if (type == Dtype::f32) std::memcpy(to, base + at * 4, std::size_t{count} * 4);
    else conversions().widen(type, base, at, count, to);
  }
  // Where they lie, or widened to `line`.
  const float* floats(float* line, std::uint64_t at, std::uint32_t count) const {
    if (type == Dtype::f32) return reinterpret_cast<const float*>(base) + at;
    conversions().widen(type, base, at, count, line);
    return line;
  }
};
struct Sink {  // f32, f16, bf16, 8-bit floats
  Dtype type;
  std::byte* base;
  // Where to put f32s: in place, or `line`, which put() then narrows.
  float* room(float* line, std::uint64_t at) const {
    return type == Dtype::f32 ? reinterpret_cast<float*>(base) + at : line;
  }
  void put(const float* line, std::uint64_t at, std::uint32_t count) const {
    if (type != Dtype::f32) conversions().narrow(type, base, at, count, line);
  }
};
inline Source source(const gpu::Workgroup& group, std::size_t slot, Dtype type) {
  return {type, pointer<const std::byte>(group, slot)};
}
inline Sink sink(const gpu::Workgroup& group, std::size_t slot, Dtype type) {
  return {type, pointer<std::byte>(group, slot)};
}

// --- Loops

// f(column, count) for each line of a row.
template <class F>
GPUIO_INLINE void for_lines(std::uint32_t columns, const F& f) {
  for (std::uint32_t j = 0; j < columns;) {
    const std::uint32_t count = std::min(kLine, columns - j);
    f(j, count);
    j += count;
  }
}
// take(0) op ... op take(n - 1) from `start`, in Lanes partial results, which become vectors.
template <class T, std::uint32_t Lanes = 128 / sizeof(T), class Take, class Op>
GPUIO_INLINE T fold(std::uint64_t n, T start, const Take& take, const Op& op) {
  T part[Lanes];
  for (std::uint32_t l = 0; l < Lanes; ++l) part[l] = start;
  std::uint64_t i = 0;
  for (; i + Lanes <= n; i += Lanes)
    for (std::uint32_t l = 0; l < Lanes; ++l) part[l] = op(part[l], take(i + l));
  for (std::uint32_t l = 0; i + l < n; ++l) part[l] = op(part[l], take(i + l));
  for (std::uint32_t wide = Lanes / 2; wide > 0; wide /= 2)
    for (std::uint32_t l = 0; l < wide; ++l) part[l] = op(part[l], part[l + wide]);
  return part[0];
}
template <class Take>
GPUIO_INLINE double sum_of(std::uint64_t n, const Take& take) {
  return fold<double>(n, 0.0, take, [](double a, double b) { return a + b; });
}
// Passes over NaNs.
template <class Take>
GPUIO_INLINE float largest_of(std::uint64_t n, float start, const Take& take) {
  return fold<float>(n, start, take, [](float a, float b) { return b > a ? b : a; });
}

// --- Functions that become vectors

// e^x within a unit of the last place, also where the result has no normal number; of a NaN one.
GPUIO_INLINE float exp(float x) {
  // 2^n e^r with |r| <= log(2) / 2; adding 1.5 * 2^23 rounds to whole numbers.
  constexpr float kWhole = 0x1.8p23f, kHigh = 0x1.62e4p-1f, kLow = 0x1.7f7d1cp-20f;
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float t = x * 0x1.715476p0f + kWhole, n = t - kWhole;
  const float r = (x - n * kHigh) - n * kLow;
  // (e^r - 1 - r) / r^2, fitted to the least largest error of e^r (Remez), then rounded.
  float p = 0x1.9f0898p-13f;
  p = p * r + 0x1.6d8d06p-10f;
  p = p * r + 0x1.11127p-7f;
  p = p * r + 0x1.55548ep-5f;
  p = p * r + 0x1.555554p-3f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  // In two factors: 2^-150 is no f32.
  const std::int32_t whole = std::bit_cast<std::int32_t>(t) - std::bit_cast<std::int32_t>(kWhole);
  const std::int32_t half = whole >> 1;
  const auto power = [](std::int32_t e) { return std::bit_cast<float>(std::uint32_t(e + 127) << 23); };
  return p * power(half) * power(whole - half);
}

}  // namespace gpuio::ops::native
