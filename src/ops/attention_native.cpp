// Attention as code of the processor: a tile of queries goes over its keys, kKeys at a time. Keys and values
// are widened to f32 and laid side by side for the product's innermost loops (matmul_micro.hpp); of few
// queries each key is read once, and products are plain ones.

#include <cmath>

#include "ops/attention.hpp"
#include "ops/matmul_micro.hpp"
#include "ops/native.hpp"

namespace gpuio::ops {
namespace {

using namespace native;
using namespace attention_slots;

constexpr float kNothing = -std::numeric_limits<float>::infinity();
constexpr std::uint32_t kKeys = kNativeKeys;
constexpr std::uint32_t kFew = 4;  // queries for which keys are not packed, and keys that these take at once
static_assert(kKeys % kFew == 0);

constexpr std::uint32_t up(std::uint32_t n, std::uint32_t to) { return (n + to - 1) / to * to; }

using Eight = float __attribute__((vector_size(32)));

// to[16 c + i] = from[i][c] for eight rows of eight.
GPUIO_INLINE void transpose(const float* const* from, std::uint32_t c, float* to) {
  Eight a[8], b[8];
  for (int i = 0; i < 8; ++i) std::memcpy(&a[i], from[i] + c, 32);
  for (int i = 0; i < 8; i += 2) {
    b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      a[i + j] = __builtin_shufflevector(b[i + j], b[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      a[i + j + 2] = __builtin_shufflevector(b[i + j], b[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; ++i) {
    b[i] = __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    b[i + 4] = __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
  for (int i = 0; i < 8; ++i) std::memcpy(to + 16 * i, &b[i], 32);
}

struct Strides {  // of batch, head and token
  std::uint64_t batch, head, token;
  Strides(const gpu::Workgroup& g, std::size_t slot)
      : batch(number(g, slot)), head(number(g, slot + 1)), token(number(g, slot + 2)) {}
  std::uint64_t at(std::uint64_t b, std::uint64_t h, std::uint64_t t) const {
    return b * batch + h * head + t * token;
  }
};

struct Row {
  std::uint32_t head, query;
  std::uint32_t visible;  // of the keys at hand, the first so many; of listed ones, that are masked, all
  float most;
  double sum;
};

// A workgroup's memory and arguments.
struct Tile {
  const AttentionSpec& spec;
  Micro micro;
  const gpu::Workgroup& group;
  Source q, k, v;
  Sink out;
  const Strides q_strides{group, kQStrides}, k_strides{group, kKStrides}, v_strides{group, kVStrides},
      out_strides{group, kOutStrides};
  const std::uint32_t tq = std::uint32_t(number(group, kTq)), tk = std::uint32_t(number(group, kTk)),
                      d = std::uint32_t(number(group, kD)),
                      heads = std::uint32_t(number(group, kSharedHeads)),
                      shared_by = std::uint32_t(number(group, kGroup)), columns = up(d, kMicroColumns);
  const float scale = real(group, kScale);
  // Which tile.
  std::uint32_t batch = 0, head = 0, block = 0, part = 0, keys = 0, rows = 0;
  Row* row = nullptr;
  const std::uint32_t* list = nullptr;
  float *of_q = nullptr, *sums = nullptr, *scores = nullptr, *panel_k = nullptr, *panel_v = nullptr,
        *lines = nullptr;

  GPUIO_INLINE bool reserve() {
    const std::size_t most = spec.rows();
    const std::size_t floats = (most * (d + columns + kKeys) + std::size_t{kKeys} * (d + columns) +
                                std::size_t{kMicroColumns} * columns + 15) /
                               16 * 16;
    auto* const memory = static_cast<std::byte*>(scratch().bytes(floats * 4 + most * sizeof(Row)));
    if (!memory) return false;
    sums = reinterpret_cast<float*>(memory);
    panel_v = sums + most * columns, lines = panel_v + std::size_t{kKeys} * columns;
    panel_k = lines + std::size_t{kMicroColumns} * columns, scores = panel_k + std::size_t{kKeys} * d;
    of_q = scores + most * kKeys;
    row = reinterpret_cast<Row*>(memory + floats * 4);
    return true;
  }

  GPUIO_INLINE void run() {
    const auto* const lengths = pointer<const std::uint32_t>(group, kLengths);
    keys = spec.lengths ? std::min(lengths[batch], tk) : tk;
    begin();
    std::uint32_t seen = keys;
    if (spec.sparse) {
      seen = std::uint32_t(number(group, kPicks));
      list = pointer<const std::uint32_t>(group, kIndices) +
             ((std::uint64_t{batch} * heads + head) * tq + block) * seen;
    } else if (spec.causal) {
      std::uint32_t last = 0;
      for (std::uint32_t r = 0; r < rows; ++r) last = std::max(last, row[r].query);
      seen = before(last);
    }
    const auto chunk = std::uint64_t(number(group, kChunk));
    const std::uint64_t from = part * chunk, stop = std::min<std::uint64_t>(seen, from + chunk);
    for (std::uint64_t at = from; at < stop; at += kKeys)
      take(std::uint32_t(at), std::uint32_t(std::min<std::uint64_t>(kKeys, stop - at)));
    if (spec.parts) store_part();
    else store();
  }

  // How many keys, from the first on, a query sees.
  GPUIO_INLINE std::uint32_t before(std::uint32_t query) const {
    if (!spec.causal) return keys;
    const std::uint64_t all = std::uint64_t{query} + 1 + keys;  // of which tq are before the first key
    return all > tq ? std::uint32_t(std::min<std::uint64_t>(keys, all - tq)) : 0;
  }

  GPUIO_INLINE void begin() {
    const std::uint64_t first = spec.sparse ? 0 : std::uint64_t{block} * spec.rows();
    const std::uint64_t all = spec.sparse ? shared_by : std::uint64_t{shared_by} * tq;
    rows = std::uint32_t(std::min<std::uint64_t>(spec.rows(), all - first));
    for (std::uint32_t r = 0; r < rows; ++r) {
      const std::uint64_t at = first + r;
      row[r] = {.head = head * shared_by + std::uint32_t(spec.sparse ? r : at / tq),
                .query = spec.sparse ? block : std::uint32_t(at % tq),
                .visible = 0,
                .most = kNothing,
                .sum = 0};
      q.widen(of_q + std::size_t{r} * d, q_strides.at(batch, row[r].head, row[r].query), d);
    }
    std::memset(sums, 0, std::size_t{rows} * columns * 4);
  }

  std::uint32_t key_at(std::uint32_t place) const { return list ? list[place] : place; }
  // A key that is listed may be none.
  bool there(std::uint32_t place) const { return !list || list[place] < keys; }

  // `count` keys from place `at` on.
  GPUIO_INLINE void take(std::uint32_t at, std::uint32_t count) {
    std::uint32_t low = rows, high = 0;  // the rows that see any
    for (std::uint32_t r = 0; r < rows; ++r) {
      const std::uint32_t seen = list ? at + count : before(row[r].query);
      row[r].visible = seen > at ? std::min(seen - at, count) : 0;
      if (row[r].visible) low = std::min(low, r), high = r + 1;
    }
    if (low >= high) return;
    if (high - low <= kFew) {
      score_few(low, high, at, count);
      for (std::uint32_t r = low; r < high; ++r) weigh(r, at, count);
      add_few(low, high, at, count);
      return;
    }
    pack_keys(at, count);
    for (std::uint32_t j = 0; j < count; j += kMicroColumns)
      for (std::uint32_t r = low; r < high; r += kMicroRows)
        micro(of_q + std::size_t{r} * d, d, 1, panel_k + std::size_t{j} * d,
              scores + std::size_t{r} * kKeys + j, kKeys, d, std::min(kMicroRows, high - r), true);
    pack_values(at, count);
    for (std::uint32_t r = low; r < high; ++r) weigh(r, at, count);
    for (std::uint32_t c = 0; c < columns; c += kMicroColumns)
      for (std::uint32_t r = low; r < high; r += kMicroRows)
        micro(scores + std::size_t{r} * kKeys, kKeys, 1, panel_v + std::size_t{c} * kKeys,
              sums + std::size_t{r} * columns + c, columns, count, std::min(kMicroRows, high - r), false);
  }

  // By sixteens: each element of the depth of sixteen keys side by side.
  GPUIO_INLINE void pack_keys(std::uint32_t at, std::uint32_t count) {
    for (std::uint32_t j = 0; j < count; j += kMicroColumns) {
      const float* from[kMicroColumns];
      for (std::uint32_t i = 0; i < kMicroColumns; ++i) {
        float* const line = lines + std::size_t{i} * columns;
        if (j + i < count && there(at + j + i)) {
          from[i] = k.floats(line, k_strides.at(batch, head, key_at(at + j + i)), d);
        } else {
          std::memset(line, 0, std::size_t{d} * 4);
          from[i] = line;
        }
      }
      float* const to = panel_k + std::size_t{j} * d;
      std::uint32_t c = 0;
      for (; c + 8 <= d; c += 8)
        for (std::uint32_t half = 0; half < 2; ++half)
          transpose(from + 8 * half, c, to + std::size_t{c} * kMicroColumns + 8 * half);
      for (; c < d; ++c)
        for (std::uint32_t i = 0; i < kMicroColumns; ++i) to[std::size_t{c} * kMicroColumns + i] = from[i][c];
    }
  }
  // By sixteen columns: those of each key side by side.
  GPUIO_INLINE void pack_values(std::uint32_t at, std::uint32_t count) {
    for (std::uint32_t j = 0; j < count; ++j) {
      std::memset(lines, 0, std::size_t{columns} * 4);
      if (there(at + j)) v.widen(lines, v_strides.at(batch, head, key_at(at + j)), d);
      for (std::uint32_t c = 0; c < columns; c += kMicroColumns)
        std::memcpy(panel_v + std::size_t{c} * kKeys + std::size_t{j} * kMicroColumns, lines + c,
                    kMicroColumns * 4);
    }
  }

  // Where the keys, or values, of `count` places from `at` on are as f32; zeros for those that are none.
  GPUIO_INLINE void find(const Source& of, const Strides& strides, std::uint32_t at, std::uint32_t count,
                         float* memory, const float** found) {
    const float* const zeros = static_cast<float*>(std::memset(lines, 0, std::size_t{d} * 4));
    if (!list && strides.token == d) {  // one behind the other: all at once
      const float* const all = of.floats(memory, strides.at(batch, head, at), count * d);
      for (std::uint32_t i = 0; i < kKeys; ++i) found[i] = i < count ? all + std::size_t{i} * d : zeros;
      return;
    }
    for (std::uint32_t i = 0; i < kKeys; ++i)
      found[i] = i < count && there(at + i)
                     ? of.floats(memory + std::size_t{i} * d, strides.at(batch, head, key_at(at + i)), d)
                     : zeros;
  }
  GPUIO_INLINE void score_few(std::uint32_t low, std::uint32_t high, std::uint32_t at, std::uint32_t count) {
    const float* all[kKeys];
    find(k, k_strides, at, count, panel_k, all);
    for (std::uint32_t j = 0; j < count; j += kFew) {
      const float* const* const key = all + j;
      for (std::uint32_t r = low; r < high; ++r) {
        const float* const query = of_q + std::size_t{r} * d;
        constexpr std::uint32_t kLanes = 8;
        float partial[kFew][kLanes] = {};
        std::uint32_t c = 0;
        for (; c + kLanes <= d; c += kLanes)
          for (std::uint32_t i = 0; i < kFew; ++i)
            for (std::uint32_t l = 0; l < kLanes; ++l) partial[i][l] += query[c + l] * key[i][c + l];
        for (; c < d; ++c)
          for (std::uint32_t i = 0; i < kFew; ++i) partial[i][0] += query[c] * key[i][c];
        for (std::uint32_t wide = kLanes / 2; wide > 0; wide /= 2)
          for (std::uint32_t i = 0; i < kFew; ++i)
            for (std::uint32_t l = 0; l < wide; ++l) partial[i][l] += partial[i][l + wide];
        for (std::uint32_t i = 0; i < kFew; ++i) scores[std::size_t{r} * kKeys + j + i] = partial[i][0];
      }
    }
  }
  GPUIO_INLINE void add_few(std::uint32_t low, std::uint32_t high, std::uint32_t at, std::uint32_t count) {
    const float* all[kKeys];
    find(v, v_strides, at, count, panel_v, all);
    for (std::uint32_t j = 0; j < count; j += kFew) {
      const float* const* const value = all + j;
      for (std::uint32_t r = low; r < high; ++r) {
        float* const sum = sums + std::size_t{r} * columns;
        float weight[kFew];
        for (std::uint32_t i = 0; i < kFew; ++i)
          weight[i] = j + i < count ? scores[std::size_t{r} * kKeys + j + i] : 0.0f;
        for (std::uint32_t c = 0; c < d; ++c)
          sum[c] += (weight[0] * value[0][c] + weight[1] * value[1][c]) +
                    (weight[2] * value[2][c] + weight[3] * value[3][c]);
      }
    }
  }

  // Scores become weights relative to the largest so far; what was summed relative to less follows.
  GPUIO_INLINE void weigh(std::uint32_t r, std::uint32_t at, std::uint32_t count) {
    float* const s = scores + std::size_t{r} * kKeys;
    Row& x = row[r];
    for (std::uint32_t j = 0; j < x.visible; ++j) s[j] *= scale;
    if (list)
      for (std::uint32_t j = 0; j < count; ++j)
        if (!there(at + j) || key_at(at + j) >= before(x.query)) s[j] = kNothing;
    for (std::uint32_t j = x.visible; j < count; ++j) s[j] = kNothing;
    const float now = largest_of(count, x.most, [&](std::uint64_t j) { return s[j]; });
    const float base = now == kNothing ? 0.0f : now, less = native::exp(x.most - base);
    for (std::uint32_t j = 0; j < count; ++j) s[j] = native::exp(s[j] - base);
    x.sum = x.sum * double(less) + sum_of(count, [&](std::uint64_t j) { return double(s[j]); });
    x.most = now;
    if (less == 1.0f) return;
    float* const sum = sums + std::size_t{r} * columns;
    for (std::uint32_t c = 0; c < columns; ++c) sum[c] *= less;
  }

  std::uint64_t nth(const Row& x) const {
    return (std::uint64_t{batch} * heads * shared_by + x.head) * tq + x.query;
  }
  GPUIO_INLINE void store() {
    for (std::uint32_t r = 0; r < rows; ++r) {
      const Row& x = row[r];
      float* const sum = sums + std::size_t{r} * columns;
      const float by = x.sum == 0 ? 0.0f : float(1 / x.sum);
      const std::uint64_t to = out_strides.at(batch, x.head, x.query);
      float* const y = out.room(lines, to);
      for (std::uint32_t c = 0; c < d; ++c) y[c] = sum[c] * by;
      out.put(y, to, d);
      if (spec.log_sum)
        pointer<float>(group, kLogSum)[nth(x)] =
            x.sum == 0 ? kNothing : float(double(x.most) + std::log(x.sum));
    }
  }
  GPUIO_INLINE void store_part() {
    for (std::uint32_t r = 0; r < rows; ++r) {
      const Row& x = row[r];
      float* const to =
          pointer<float>(group, kScratch) + (nth(x) * number(group, kParts) + part) * (d + kPartHead);
      to[0] = x.most, to[1] = float(x.sum);
      std::memcpy(to + kPartHead, sums + std::size_t{r} * columns, std::size_t{d} * 4);
    }
  }
};

struct Attend {
  AttentionSpec spec;
  Micro micro;

  GPUIO_INLINE Status run(const gpu::Workgroup& g) const {
    Tile tile{.spec = spec,
              .micro = micro,
              .group = g,
              .q = source(g, kQ, spec.type),
              .k = source(g, kK, spec.type),
              .v = source(g, kV, spec.type),
              .out = sink(g, kOut, spec.type)};
    if (!tile.reserve()) return no_memory("a tile of attention");
    const std::uint64_t parts = number(g, kParts), blocks = number(g, kBlocks);
    for (std::uint64_t i = g.group[0]; i < number(g, kTotal); i += g.groups[0]) {
      const std::uint64_t rest = i / parts;
      tile.part = std::uint32_t(i % parts), tile.block = std::uint32_t(rest % blocks);
      tile.head = std::uint32_t(rest / blocks % tile.heads);
      tile.batch = std::uint32_t(rest / blocks / tile.heads);
      tile.run();
    }
    return {};
  }
};

struct Merge {
  Dtype type;
  bool log_sum;

  GPUIO_INLINE Status run(const gpu::Workgroup& g) const {
    using namespace merge_slots;
    const auto heads = number(g, merge_slots::kHeads), tq = number(g, merge_slots::kTq),
               d = number(g, merge_slots::kD), parts = number(g, merge_slots::kParts), step = d + kPartHead;
    const Strides strides(g, merge_slots::kStrides);
    const Sink out = sink(g, merge_slots::kOut, type);
    float* const line = scratch().floats(d);
    if (!line) return no_memory("a row of attention");
    for (std::uint64_t row = g.group[0]; row < number(g, kRows); row += g.groups[0]) {
      const float* const from = pointer<const float>(g, kPart) + row * parts * step;
      float most = kNothing;
      for (std::uint64_t i = 0; i < parts; ++i) most = std::max(most, from[i * step]);
      const float base = most == kNothing ? 0.0f : most;
      double sum = 0;
      std::memset(line, 0, d * 4);
      for (std::uint64_t i = 0; i < parts; ++i) {
        const float* const part = from + i * step;
        const float weight = native::exp(part[0] - base);
        sum += double(weight) * double(part[1]);
        for (std::uint64_t c = 0; c < d; ++c) line[c] += weight * part[kPartHead + c];
      }
      const float by = sum == 0 ? 0.0f : float(1 / sum);
      const std::uint64_t to = strides.at(row / tq / heads, row / tq % heads, row % tq);
      float* const y = out.room(line, to);
      for (std::uint64_t c = 0; c < d; ++c) y[c] = line[c] * by;
      out.put(y, to, std::uint32_t(d));
      if (log_sum) pointer<float>(g, kLogs)[row] = sum == 0 ? kNothing : float(double(most) + std::log(sum));
    }
    return {};
  }
};

}  // namespace

AttentionSpec native_attention_spec(std::uint32_t d, std::uint64_t rows, std::uint64_t tiles_wanted) {
  // Large tiles use keys more often; smaller ones where there would be too few.
  std::uint32_t own = d > 128 ? 96 : 192;
  while (own > 48 && (rows + own - 1) / own < tiles_wanted) own /= 2;
  AttentionSpec s{};
  s.lane_rows = std::uint32_t(std::clamp<std::uint64_t>(rows, 1, own)), s.own = 1;
  s.keys = kKeys;
  return s;
}

gpu::Native native_attention(const AttentionSpec& spec) {
  return native::of(Attend{spec, micro_of_this_cpu()});
}
gpu::Native native_merge(Dtype type, bool log_sum) { return native::of(Merge{type, log_sum}); }

}  // namespace gpuio::ops
