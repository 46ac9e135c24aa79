// Operations on rows: softmax, norms, reductions, scans and selections, beside a copy of as many bytes.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "cli/bench/place.hpp"

namespace gpuio::cli::bench {
namespace {

constexpr double kS = 0x1p-24;
constexpr double kEpsilon = 1e-5;

// How far rounding to the type moves a number of this size; f16's smallest are 2^-24 apart.
double rounded(gpuio_dtype_t type, double size) {
  return type == GPUIO_DTYPE_F16 ? std::max(0x1p-11 * size, 0x1p-25) : kS * size;
}

// What the host has of one row: the results, and how far each may be off.
using Reference = std::function<void(const double* x, std::uint64_t n, double* want, double* bound)>;
using Operation =
    std::function<gpuio_error_t(gpuio_context_t, const gpuio_tensor_t& x, const gpuio_tensor_t& y)>;

// y of x's shape, or one number a row.
Result<Case> by_rows(Place& place, gpuio_dtype_t type, std::uint64_t rows, std::uint64_t n, bool whole,
                     const Operation& run, const Reference& reference) {
  const auto x = std::make_shared<const Numbers>(drawn(type, rows * n, 1));
  const Shape of_y = whole ? Shape{rows, n} : Shape{rows};
  auto on_x = place.tensor(type, {rows, n}, *x), on_y = place.tensor(type, of_y);
  if (!on_x) return fail(on_x.error());
  if (!on_y) return fail(on_y.error());
  Case c;
  c.work = static_cast<double>(bytes_of(*on_x) + bytes_of(*on_y));
  c.run = [ctx = place.context(), run, x = *on_x, y = *on_y] { return run(ctx, x, y); };
  c.check = [&place, reference, x, y = *on_y, rows, n, width = whole ? n : 1] {
    auto got = place.read(y);
    if (!got) return std::move(got).error();
    Numbers want(rows * width), bound(rows * width);
    for (std::uint64_t r = 0; r < rows; ++r)
      reference(x->data() + r * n, n, want.data() + r * width, bound.data() + r * width);
    return within(*got, want, bound);
  };
  if (Status s = beside_a_copy(place, c); !s) return fail(std::move(s));
  return c;
}

Reference softmax_of(gpuio_dtype_t type) {
  return [type](const double* x, std::uint64_t n, double* want, double* bound) {
    const double most = *std::max_element(x, x + n);
    double total = 0;
    for (std::uint64_t i = 0; i < n; ++i) total += want[i] = std::exp(x[i] - most);
    for (std::uint64_t i = 0; i < n; ++i) {
      want[i] /= total;
      bound[i] = (0x1p-21 + kS * (most - x[i])) * want[i] + rounded(type, want[i]);
    }
  };
}
Reference norm_of(gpuio_dtype_t type, bool centred) {
  return [type, centred](const double* x, std::uint64_t n, double* want, double* bound) {
    const double count = static_cast<double>(n);
    const double mean = centred ? std::accumulate(x, x + n, 0.0) / count : 0;
    double squares = 0, most = 0;
    for (std::uint64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
    for (std::uint64_t i = 0; i < n; ++i) {
      want[i] = (x[i] - mean) / std::sqrt(squares / count + kEpsilon);
      most = std::max(most, std::abs(want[i]));
    }
    for (std::uint64_t i = 0; i < n; ++i)
      bound[i] = (centred ? 0x1p-19 * most : 0x1p-20 * std::abs(want[i])) + rounded(type, std::abs(want[i]));
  };
}

// The largest of each row, exactly; of equals the lower index first.
Result<Case> top_k(Place& place, std::uint64_t rows, std::uint64_t n, std::uint64_t k) {
  const auto x = std::make_shared<const Numbers>(drawn(GPUIO_DTYPE_F32, rows * n, 1));
  auto on_x = place.tensor(GPUIO_DTYPE_F32, {rows, n}, *x), values = place.tensor(GPUIO_DTYPE_F32, {rows, k}),
       indices = place.tensor(GPUIO_DTYPE_U32, {rows, k});
  for (auto* t : {&on_x, &values, &indices})
    if (!*t) return fail(t->error());
  Case c;
  c.work = static_cast<double>(bytes_of(*on_x) + bytes_of(*values) + bytes_of(*indices));
  c.run = [ctx = place.context(), x = *on_x, v = *values, i = *indices] {
    return gpuio_top_k(ctx, &x, &v, &i, nullptr);
  };
  c.check = [&place, x, v = *values, i = *indices, rows, n, k]() -> Status {
    auto got = place.read(v), places = place.read(i);
    if (!got) return std::move(got).error();
    if (!places) return std::move(places).error();
    Numbers want, at;
    std::vector<std::uint64_t> order(n);
    for (std::uint64_t r = 0; r < rows; ++r) {
      const double* row = x->data() + r * n;
      std::iota(order.begin(), order.end(), std::uint64_t{0});
      std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
                        [&](auto a, auto b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
      for (std::uint64_t j = 0; j < k; ++j) {
        want.push_back(row[order[j]]);
        at.push_back(static_cast<double>(order[j]));
      }
    }
    const Numbers exact(want.size(), 0.0);
    if (Status s = within(*places, at, exact); !s) return std::move(s).wrap("indices");
    return within(*got, want, exact);
  };
  if (Status s = beside_a_copy(place, c); !s) return fail(std::move(s));
  return c;
}

}  // namespace

void add_rows(std::vector<Entry>& all, Size size) {
  const auto F32 = GPUIO_DTYPE_F32, F16 = GPUIO_DTYPE_F16;
  const std::uint64_t rows = size == Size::tiny ? 3 : size == Size::small ? 256 : 8192;
  const std::uint64_t n = size == Size::tiny ? 70 : size == Size::small ? 1024 : 4096;
  const auto add = [&](const char* name, gpuio_dtype_t type, std::uint64_t height, std::uint64_t width,
                       bool whole, const Operation& run, const Reference& reference) {
    all.push_back({name, fmt::format("{} {} x {}", gpuio_dtype_name(type), height, width),
                   [=](Place& place) { return by_rows(place, type, height, width, whole, run, reference); }});
  };
  const Operation softmax = [](auto ctx, const auto& x, const auto& y) {
    return gpuio_softmax(ctx, &x, &y, nullptr);
  };
  add("softmax", F32, rows, n, true, softmax, softmax_of(F32));
  add("softmax", F16, rows, n, true, softmax, softmax_of(F16));
  add(
      "layer_norm", F32, rows, n, true,
      [](auto ctx, const auto& x, const auto& y) {
        return gpuio_layer_norm(ctx, &x, nullptr, nullptr, static_cast<float>(kEpsilon), &y, nullptr);
      },
      norm_of(F32, true));
  add(
      "rms_norm", F32, rows, n, true,
      [](auto ctx, const auto& x, const auto& y) {
        return gpuio_rms_norm(ctx, &x, nullptr, static_cast<float>(kEpsilon), &y, nullptr);
      },
      norm_of(F32, false));
  const Reference sum = [](const double* x, std::uint64_t length, double* want, double* bound) {
    double sizes = 0;
    *want = 0;
    for (std::uint64_t i = 0; i < length; ++i) *want += x[i], sizes += std::abs(x[i]);
    *bound = 64 * kS * sizes + kS * std::abs(*want);
  };
  const Reference prefixes = [](const double* x, std::uint64_t length, double* want, double* bound) {
    double total = 0, sizes = 0;
    for (std::uint64_t i = 0; i < length; ++i) {
      want[i] = total += x[i];
      sizes += std::abs(x[i]);
      bound[i] = 64 * kS * sizes + kS * std::abs(total);
    }
  };
  const Operation reduce = [](auto ctx, const auto& x, const auto& y) {
    return gpuio_reduce(ctx, &x, GPUIO_REDUCE_ADD, &y, nullptr);
  };
  const Operation scan = [](auto ctx, const auto& x, const auto& y) {
    return gpuio_scan(ctx, &x, GPUIO_REDUCE_ADD, false, &y, nullptr);
  };
  add("reduce", F32, rows, n, false, reduce, sum);
  add("reduce", F32, 1, rows * n, false, reduce, sum);  // one row is divided among workgroups
  add("scan", F32, rows, n, true, scan, prefixes);
  add("scan", F32, 1, rows * n, true, scan, prefixes);
  const std::uint64_t height = size == Size::tiny ? 2 : size == Size::small ? 16 : 128;
  const std::uint64_t width = size == Size::tiny ? 70 : size == Size::small ? 4096 : 65536;
  const std::uint64_t k = size == Size::tiny ? 5 : 50;
  all.push_back({"top_k", fmt::format("f32 {} of {} x {}", k, height, width),
                 [=](Place& place) { return top_k(place, height, width, k); }});
}

}  // namespace gpuio::cli::bench
