// Rows moved, numbers of fewer bits, counting and drawing, beside a copy of as many bytes.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "cli/bench/place.hpp"

namespace gpuio::cli::bench {
namespace {

constexpr auto kF32 = GPUIO_DTYPE_F32;

Numbers shuffled(std::uint64_t n) {
  Numbers all(n);
  std::iota(all.begin(), all.end(), 0.0);
  std::mt19937 random(3);
  std::ranges::shuffle(all, random);
  return all;
}

Result<Case> rows_moved(Place& place, std::uint64_t rows, std::uint64_t n, bool gather) {
  const auto x = std::make_shared<const Numbers>(drawn(kF32, rows * n, 1));
  const auto which = std::make_shared<const Numbers>(shuffled(rows));
  auto on_x = place.tensor(kF32, {rows, n}, *x), on_y = place.tensor(kF32, {rows, n}),
       indices = place.tensor(GPUIO_DTYPE_U32, {rows}, *which);
  for (auto* t : {&on_x, &on_y, &indices})
    if (!*t) return fail(t->error());
  Case c;
  c.work = 2 * static_cast<double>(bytes_of(*on_x)) + static_cast<double>(bytes_of(*indices));
  c.run = [ctx = place.context(), x = *on_x, y = *on_y, i = *indices, gather] {
    return gather ? gpuio_gather_rows(ctx, &x, &i, &y, nullptr)
                  : gpuio_scatter_rows(ctx, &x, &i, &y, nullptr);
  };
  c.check = [&place, x, which, y = *on_y, rows, n, gather] {
    auto got = place.read(y);
    if (!got) return std::move(got).error();
    Numbers want(rows * n);
    for (std::uint64_t r = 0; r < rows; ++r) {
      const auto other = static_cast<std::uint64_t>((*which)[r]);
      const std::uint64_t from = gather ? other : r, to = gather ? r : other;
      std::copy_n(x->begin() + static_cast<std::ptrdiff_t>(from * n), n,
                  want.begin() + static_cast<std::ptrdiff_t>(to * n));
    }
    return within(*got, want, Numbers(want.size(), 0.0));
  };
  if (Status s = beside_a_copy(place, c); !s) return fail(std::move(s));
  return c;
}

Result<Case> quantize(Place& place, std::uint64_t rows, std::uint64_t n) {
  const auto x = std::make_shared<const Numbers>(drawn(kF32, rows * n, 1));
  auto on_x = place.tensor(kF32, {rows, n}, *x), q = place.tensor(GPUIO_DTYPE_I8, {rows, n}),
       scales = place.tensor(kF32, {rows});
  for (auto* t : {&on_x, &q, &scales})
    if (!*t) return fail(t->error());
  Case c;
  c.work = static_cast<double>(bytes_of(*on_x) + bytes_of(*q) + bytes_of(*scales));
  c.run = [ctx = place.context(), x = *on_x, q = *q, s = *scales] {
    return gpuio_quantize(ctx, &x, GPUIO_SCALE_ROW, &q, &s, nullptr);
  };
  c.check = [&place, x, q = *q, s = *scales, rows, n]() -> Status {
    auto got = place.read(q), by = place.read(s);
    if (!got) return std::move(got).error();
    if (!by) return std::move(by).error();
    Numbers back, bound, largest, near;
    for (std::uint64_t r = 0; r < rows; ++r) {
      const double* row = x->data() + r * n;
      double most = 0;
      for (std::uint64_t i = 0; i < n; ++i) {
        most = std::max(most, std::abs(row[i]));
        back.push_back((*got)[r * n + i] * (*by)[r]);
        bound.push_back((*by)[r] * (0.5 + 1e-4));  // to the nearest, of a quotient that is rounded itself
      }
      largest.push_back(most / 127);
      near.push_back(0x1p-22 * most / 127);
    }
    if (Status status = within(*by, largest, near); !status) return std::move(status).wrap("scales");
    return within(back, *x, bound);
  };
  if (Status s = beside_a_copy(place, c); !s) return fail(std::move(s));
  return c;
}

Result<Case> dequantize(Place& place, std::uint64_t rows, std::uint64_t n) {
  const auto q = std::make_shared<const Numbers>(drawn(GPUIO_DTYPE_I8, rows * n, 1));
  const auto scales = std::make_shared<const Numbers>(drawn(kF32, rows, 2));
  auto on_q = place.tensor(GPUIO_DTYPE_I8, {rows, n}, *q), by = place.tensor(kF32, {rows}, *scales),
       on_x = place.tensor(kF32, {rows, n});
  for (auto* t : {&on_q, &by, &on_x})
    if (!*t) return fail(t->error());
  Case c;
  c.work = static_cast<double>(bytes_of(*on_q) + bytes_of(*by) + bytes_of(*on_x));
  c.run = [ctx = place.context(), q = *on_q, s = *by, x = *on_x] {
    return gpuio_dequantize(ctx, &q, &s, GPUIO_SCALE_ROW, &x, nullptr);
  };
  c.check = [&place, q, scales, x = *on_x, n] {
    auto got = place.read(x);
    if (!got) return std::move(got).error();
    Numbers want(q->size());
    for (std::size_t i = 0; i < want.size(); ++i)
      want[i] = static_cast<double>(static_cast<float>((*q)[i]) * static_cast<float>((*scales)[i / n]));
    return within(*got, want, Numbers(want.size(), 0.0));
  };
  if (Status s = beside_a_copy(place, c); !s) return fail(std::move(s));
  return c;
}

Result<Case> histogram(Place& place, std::uint64_t count) {
  const auto x = std::make_shared<const Numbers>(drawn(GPUIO_DTYPE_U8, count, 1));
  auto on_x = place.tensor(GPUIO_DTYPE_U8, {count}, *x), counts = place.tensor(GPUIO_DTYPE_U32, {256});
  if (!on_x) return fail(on_x.error());
  if (!counts) return fail(counts.error());
  Case c;
  c.work = static_cast<double>(count);
  c.run = [ctx = place.context(), x = *on_x, to = *counts] { return gpuio_histogram(ctx, &x, &to, nullptr); };
  c.check = [&place, x, to = *counts] {
    auto got = place.read(to);
    if (!got) return std::move(got).error();
    Numbers want(256);
    for (const double v : *x) ++want[static_cast<std::size_t>(v)];
    return within(*got, want, Numbers(256, 0.0));
  };
  if (Status s = beside_a_copy(place, c); !s) return fail(std::move(s));
  return c;
}

// Philox 4x32 with ten rounds.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
    c = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ key[0], static_cast<std::uint32_t>(b),
         static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return c;
}

Result<Case> random(Place& place, std::uint64_t count) {
  constexpr std::uint32_t kSeed = 7;
  auto y = place.tensor(kF32, {count});
  if (!y) return fail(y.error());
  Case c;
  c.work = static_cast<double>(bytes_of(*y));
  c.run = [ctx = place.context(), y = *y] {
    return gpuio_random(ctx, GPUIO_RANDOM_UNIFORM, kSeed, 0, &y, nullptr);
  };
  c.check = [&place, y = *y, count] {
    auto got = place.read(y);
    if (!got) return std::move(got).error();
    Numbers want(count);
    for (std::uint64_t i = 0; i < count; ++i)
      want[i] = (philox({static_cast<std::uint32_t>(i / 4), 0, 0, 0}, {kSeed, 0})[i % 4] >> 8) * 0x1p-24;
    return within(*got, want, Numbers(count, 0.0));
  };
  if (Status s = beside_a_copy(place, c); !s) return fail(std::move(s));
  return c;
}

}  // namespace

void add_moves(std::vector<Entry>& all, Size size) {
  const std::uint64_t rows = size == Size::tiny ? 3 : size == Size::small ? 256 : 16384;
  const std::uint64_t n = size == Size::tiny ? 70 : size == Size::small ? 1024 : 4096;
  const auto add = [&](const char* name, const char* type, auto make) {
    all.push_back(
        {name, fmt::format("{} {} x {}", type, rows, n), [=](Place& place) { return make(place, rows, n); }});
  };
  add("gather_rows", "f32",
      [](Place& p, auto height, auto width) { return rows_moved(p, height, width, true); });
  add("scatter_rows", "f32",
      [](Place& p, auto height, auto width) { return rows_moved(p, height, width, false); });
  add("quantize", "f32 to i8", [](Place& p, auto height, auto width) { return quantize(p, height, width); });
  add("dequantize", "i8 to f32",
      [](Place& p, auto height, auto width) { return dequantize(p, height, width); });
  const std::uint64_t count = rows * n;
  all.push_back({"histogram", fmt::format("u8 {}", count), [=](Place& p) { return histogram(p, count); }});
  all.push_back({"random", fmt::format("uniform f32 {}", count), [=](Place& p) { return random(p, count); }});
}

}  // namespace gpuio::cli::bench
