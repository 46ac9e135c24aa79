#include "ops/native.hpp"

#include "base/platform/per_thread.hpp"

#ifdef GPUIO_WIDE
#include <immintrin.h>
#endif

namespace gpuio::ops::native {
namespace {

using kernel::F8;
using std::bit_cast;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

// As those of kernel/small_floats.hpp, without branches, so that they become vectors.
GPUIO_INLINE float of_f16(uint16_t h) {
  const float finite = bit_cast<float>(uint32_t(h & 0x7fffu) << 13) * 0x1p112f;
  const uint32_t special = 0x7f800000u | uint32_t(h & 0x3ffu) << 13;
  const uint32_t size = (h & 0x7c00u) == 0x7c00u ? special : bit_cast<uint32_t>(finite);
  return bit_cast<float>(size | uint32_t(h & 0x8000u) << 16);
}
GPUIO_INLINE float of_bf16(uint16_t h) { return bit_cast<float>(uint32_t{h} << 16); }
template <F8 Format>
constexpr std::array<float, 256> kF8 = [] {
  std::array<float, 256> all{};
  for (unsigned i = 0; i < 256; ++i) all[i] = kernel::f8_to_f32(Format, uint8_t(i));
  return all;
}();

GPUIO_INLINE uint16_t to_bf16(float v) {
  const uint32_t bits = bit_cast<uint32_t>(v), rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
  return uint16_t((bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : rounded);
}
// A number of these bits below `largest`, or what that says.
template <F8 Format>
GPUIO_INLINE uint32_t rounded(uint32_t size) {
  constexpr uint32_t kDrop = Format.drop();
  const uint32_t moved = size - Format.rebias();
  const uint32_t normal = (moved + ((1u << (kDrop - 1)) - 1) + (moved >> kDrop & 1)) >> kDrop;
  const uint32_t small =
      bit_cast<uint32_t>(bit_cast<float>(size) + bit_cast<float>(Format.magic())) - Format.magic();
  return size < Format.normal() ? small : normal;
}
GPUIO_INLINE uint16_t to_f16(float v) {
  constexpr F8 kF16{10, 15, 0x477ff000u};  // from there on infinities
  const uint32_t bits = bit_cast<uint32_t>(v), size = bits & 0x7fffffffu;
  const uint32_t finite = size >= kF16.largest ? 0x7c00u : rounded<kF16>(size);
  return uint16_t((size > 0x7f800000u ? 0x7e00u : finite) | (bits >> 16 & 0x8000u));
}
template <F8 Format>
GPUIO_INLINE uint8_t to_f8(float v) {
  const uint32_t bits = bit_cast<uint32_t>(v), size = bits & 0x7fffffffu;
  const uint32_t finite = rounded<Format>(size < Format.largest ? size : Format.largest);
  return uint8_t(size > 0x7f800000u ? 0x7fu : finite | (bits >> 24 & 0x80u));
}

// By pointers to T, and those that nobody else has: memcpy of each element, or loads that the stores might
// change, do not become vectors.
template <class T, class Of>
GPUIO_INLINE void widen_each(const std::byte* base, uint64_t at, uint32_t count, float* to, const Of& of) {
  const T* __restrict from = reinterpret_cast<const T*>(base) + at;
  float* __restrict out = to;
  for (uint32_t i = 0; i < count; ++i) out[i] = of(from[i]);
}
template <class To>
GPUIO_INLINE void narrow_each(std::byte* base, uint64_t at, uint32_t count, const float* from, const To& to) {
  auto* __restrict out = reinterpret_cast<decltype(to(0.0f))*>(base) + at;
  const float* __restrict in = from;
  for (uint32_t i = 0; i < count; ++i) out[i] = to(in[i]);
}

// Two to a byte, the low half first.
GPUIO_INLINE void widen_i4(const std::byte* base, uint64_t at, uint32_t count, float* to) {
  const auto number = [](uint32_t nibble) { return float(std::int32_t(nibble ^ 8) - 8); };
  const auto* from = reinterpret_cast<const uint8_t*>(base) + at / 2;
  if (at % 2 && count > 0) *to++ = number(*from++ >> 4), --count;
  const uint8_t* __restrict in = from;
  float* __restrict out = to;
  for (uint32_t i = 0; i < count / 2; ++i)
    out[2 * i] = number(in[i] & 15), out[2 * i + 1] = number(in[i] >> 4);
  if (count % 2) out[count - 1] = number(in[count / 2] & 15);
}
GPUIO_INLINE void widen_any(Dtype type, const std::byte* base, uint64_t at, uint32_t count, float* to) {
  switch (type) {
    case Dtype::f16: return widen_each<uint16_t>(base, at, count, to, [](uint16_t v) { return of_f16(v); });
    case Dtype::bf16: return widen_each<uint16_t>(base, at, count, to, [](uint16_t v) { return of_bf16(v); });
    case Dtype::f8e4m3:
      return widen_each<uint8_t>(base, at, count, to, [](uint8_t v) { return kF8<kernel::kE4m3>[v]; });
    case Dtype::f8e5m2:
      return widen_each<uint8_t>(base, at, count, to, [](uint8_t v) { return kF8<kernel::kE5m2>[v]; });
    case Dtype::i8:
      return widen_each<std::int8_t>(base, at, count, to, [](std::int8_t v) { return float(v); });
    case Dtype::i4: return widen_i4(base, at, count, to);
    default: std::memcpy(to, base + at * 4, std::size_t{count} * 4);
  }
}
GPUIO_INLINE void narrow_any(Dtype type, std::byte* base, uint64_t at, uint32_t count, const float* from) {
  switch (type) {
    case Dtype::f16: return narrow_each(base, at, count, from, [](float v) { return to_f16(v); });
    case Dtype::bf16: return narrow_each(base, at, count, from, [](float v) { return to_bf16(v); });
    case Dtype::f8e4m3:
      return narrow_each(base, at, count, from, [](float v) { return to_f8<kernel::kE4m3>(v); });
    case Dtype::f8e5m2:
      return narrow_each(base, at, count, from, [](float v) { return to_f8<kernel::kE5m2>(v); });
    default: std::memcpy(base + at * 4, from, std::size_t{count} * 4);
  }
}

void widen_plain(Dtype type, const std::byte* base, uint64_t at, uint32_t count, float* to) {
  widen_any(type, base, at, count, to);
}
void narrow_plain(Dtype type, std::byte* base, uint64_t at, uint32_t count, const float* from) {
  narrow_any(type, base, at, count, from);
}
#ifdef GPUIO_WIDE
// Of f16 the processor has instructions.
GPUIO_WIDE void widen_wide(Dtype type, const std::byte* base, uint64_t at, uint32_t count, float* to) {
  uint32_t done = 0;
  if (type == Dtype::f16)
    for (; done + 8 <= count; done += 8)
      _mm256_storeu_ps(
          to + done,
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(base + (at + done) * 2))));
  widen_any(type, base, at + done, count - done, to + done);
}
GPUIO_WIDE void narrow_wide(Dtype type, std::byte* base, uint64_t at, uint32_t count, const float* from) {
  uint32_t done = 0;
  if (type == Dtype::f16)
    for (; done + 8 <= count; done += 8)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(base + (at + done) * 2),
                       _mm256_cvtps_ph(_mm256_loadu_ps(from + done), _MM_FROUND_TO_NEAREST_INT));
  narrow_any(type, base, at + done, count - done, from + done);
}
#endif

struct Own : Scratch {};  // per_thread needs a name of its own

}  // namespace

Scratch& scratch() { return per_thread<Own>(); }

Status no_memory(std::string_view of_what) {
  return error(Code::nomem, "no memory for {} on a thread of the CPU device", of_what);
}

const Conversions& conversions() {
  static constexpr Conversions kPlain{&widen_plain, &narrow_plain};
#ifdef GPUIO_WIDE
  static constexpr Conversions kWide{&widen_wide, &narrow_wide};
  static const bool is_wide = wide();
  if (is_wide) return kWide;
#endif
  return kPlain;
}

}  // namespace gpuio::ops::native
