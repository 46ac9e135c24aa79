// Histograms and random numbers as code of the processor.

#include <atomic>
#include <cmath>

#include "ops/native.hpp"
#include "ops/native_forms.hpp"

namespace gpuio::ops {
namespace {

using namespace native;

constexpr std::uint32_t kTables = 4;        // of bytes: equal neighbours do not wait for each other
constexpr std::uint64_t kNear = 64 * 1024;  // as many counters at most are each thread's own

namespace histogram_slots {
enum Slot : std::uint32_t { kX, kCounts, kRows, kStride, kColumns, kBins };
}
struct Histogram {
  Dtype x, counts;

  GPUIO_INLINE Status run(const gpu::Workgroup& group) const {
    using namespace histogram_slots;
    const std::uint64_t bins = number(group, kBins), columns = number(group, kColumns);
    const bool bytes = x == Dtype::u8, near = bytes || bins <= kNear;
    const std::uint64_t table = bytes ? 256 * kTables : near ? bins : 0;
    auto* const local = static_cast<std::uint32_t*>(scratch().bytes(std::max<std::uint64_t>(table, 1) * 4));
    if (!local) return no_memory("the counters of a histogram");
    std::memset(local, 0, table * 4);
    constexpr std::uint64_t kPart = 16384, kBetween = 1 << 16;  // parts after which no counter overflows
    const std::uint64_t parts = (columns + kPart - 1) / kPart;
    const Share share = share_of(group, number(group, kRows) * parts);
    for (std::uint64_t item = share.begin; item < share.end; ++item) {
      const std::uint64_t begin = item % parts * kPart, count = std::min(kPart, columns - begin),
                          first = item / parts * number(group, kStride) + begin;
      if (bytes) count_bytes(pointer<const std::uint8_t>(group, kX) + first, count, local);
      else count_words(group, pointer<const std::uint32_t>(group, kX) + first, count, near ? local : nullptr);
      if (near && ((item - share.begin + 1) % kBetween == 0 || item + 1 == share.end)) flush(group, local);
    }
    return {};
  }

 private:
  GPUIO_INLINE static void count_bytes(const std::uint8_t* v, std::uint64_t count, std::uint32_t* local) {
    std::uint64_t i = 0;
    for (; i + kTables <= count; i += kTables)
      for (std::uint32_t t = 0; t < kTables; ++t) ++local[256 * t + v[i + t]];
    for (; i < count; ++i) ++local[v[i]];
  }
  GPUIO_INLINE void count_words(const gpu::Workgroup& group, const std::uint32_t* v, std::uint64_t count,
                                std::uint32_t* local) const {
    const std::uint64_t bins = number(group, histogram_slots::kBins);
    for (std::uint64_t i = 0; i < count; ++i) {
      if (v[i] >= bins) continue;
      if (local) ++local[v[i]];
      else add(group, v[i], 1);
    }
  }
  // Relaxed: whoever reads the counters waits for the launch.
  GPUIO_INLINE void add(const gpu::Workgroup& group, std::uint64_t bin, std::uint32_t n) const {
    using histogram_slots::kCounts;
    if (counts == Dtype::u64)
      std::atomic_ref(pointer<std::uint64_t>(group, kCounts)[bin]).fetch_add(n, std::memory_order_relaxed);
    else std::atomic_ref(pointer<std::uint32_t>(group, kCounts)[bin]).fetch_add(n, std::memory_order_relaxed);
  }
  GPUIO_INLINE void flush(const gpu::Workgroup& group, std::uint32_t* local) const {
    const std::uint64_t bins = number(group, histogram_slots::kBins);
    const bool bytes = x == Dtype::u8;
    const std::uint64_t each = bytes ? 256 : bins;
    for (std::uint64_t bin = 0; bin < std::min(bins, each); ++bin) {
      std::uint32_t n = 0;
      for (std::uint32_t t = 0; t < (bytes ? kTables : 1); ++t) n += local[each * t + bin];
      if (n) add(group, bin, n);
    }
    std::memset(local, 0, each * (bytes ? kTables : 1) * 4);
  }
};

namespace random_slots {
enum Slot : std::uint32_t { kY, kWords, kSeed, kOffset, kCount, kBlocks };
}
struct Random {
  Distribution distribution;
  Dtype y;

  static constexpr std::uint32_t kBlocksEach = kLine / 4;

  GPUIO_INLINE Status run(const gpu::Workgroup& group) const {
    using namespace random_slots;
    float* const line = scratch().floats(3 * kLine);
    if (!line) return no_memory("a line of random numbers");
    auto* const words = reinterpret_cast<std::uint32_t*>(line + kLine);
    const std::uint64_t offset = number(group, kOffset), count = number(group, kCount), skipped = offset & 3;
    const Sink to = sink(group, kY, y);
    const Share share = share_of(group, number(group, kBlocks));
    for (std::uint64_t i = share.begin; i < share.end; i += kBlocksEach) {
      const auto blocks = std::uint32_t(std::min<std::uint64_t>(kBlocksEach, share.end - i));
      draw((offset >> 2) + i, number(group, kSeed), blocks, words + kLine, words);
      // The first block may begin before the first element, the last end behind the last.
      const std::uint64_t skip = i == 0 ? skipped : 0, at = 4 * i + skip - skipped;
      const auto wanted =
          std::uint32_t(std::min<std::uint64_t>(4 * std::uint64_t{blocks} - skip, count - at));
      if (distribution == Distribution::bits) {
        std::memcpy(pointer<std::uint32_t>(group, kWords) + at, words + skip, std::size_t{wanted} * 4);
        continue;
      }
      if (distribution == Distribution::uniform) uniform(words, line, 4 * blocks);
      else normal(words, line, 4 * blocks);
      if (y == Dtype::f32) std::memcpy(to.room(line, at), line + skip, std::size_t{wanted} * 4);
      else to.put(line + skip, at, wanted);
    }
    return {};
  }

 private:
  // Philox 4x32-10 of `blocks` counters: word by word, then side by side.
  GPUIO_INLINE static void draw(std::uint64_t first, std::uint64_t seed, std::uint32_t blocks,
                                std::uint32_t* apart, std::uint32_t* words) {
    for (std::uint32_t i = 0; i < blocks; ++i) {
      const std::uint64_t counter = (first + i) & (~std::uint64_t{0} >> 2);
      std::uint32_t c0 = std::uint32_t(counter), c1 = std::uint32_t(counter >> 32), c2 = 0, c3 = 0,
                    k0 = std::uint32_t(seed), k1 = std::uint32_t(seed >> 32);
      for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t{c0} * 0xD2511F53u, b = std::uint64_t{c2} * 0xCD9E8D57u;
        c0 = std::uint32_t(b >> 32) ^ c1 ^ k0, c1 = std::uint32_t(b);
        c2 = std::uint32_t(a >> 32) ^ c3 ^ k1, c3 = std::uint32_t(a);
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
      }
      apart[i] = c0, apart[kBlocksEach + i] = c1;
      apart[2 * kBlocksEach + i] = c2, apart[3 * kBlocksEach + i] = c3;
    }
    for (std::uint32_t i = 0; i < blocks; ++i)
      for (std::uint32_t w = 0; w < 4; ++w) words[4 * i + w] = apart[w * kBlocksEach + i];
  }
  GPUIO_INLINE void uniform(const std::uint32_t* words, float* to, std::uint32_t count) const {
    // Down to the type: those below f16's normal numbers have no such bits.
    const std::uint32_t kept = y == Dtype::f16 ? 0xffffe000u : y == Dtype::bf16 ? 0xffff0000u : 0xffffffffu;
    for (std::uint32_t i = 0; i < count; ++i) {
      const float v = float(std::int32_t(words[i] >> 8)) * 0x1p-24f;
      to[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & kept);
    }
  }
  // Two uniform numbers make two normal ones; the first is none of 0.
  GPUIO_INLINE static void normal(const std::uint32_t* words, float* to, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; i += 2) {
      const float radius = std::sqrt(-2.0f * std::log(float((words[i] >> 8) + 1) * 0x1p-24f));
      const float angle = (float(words[i + 1] >> 8) * 0x1p-24f - 0.5f) * 0x1.921fb6p+2f;
      to[i] = radius * std::cos(angle), to[i + 1] = radius * std::sin(angle);
    }
  }
};

}  // namespace

gpu::Native native_histogram(Dtype x, Dtype counts) { return native::of(Histogram{x, counts}); }
gpu::Native native_random(Distribution distribution, Dtype y) { return native::of(Random{distribution, y}); }

}  // namespace gpuio::ops
