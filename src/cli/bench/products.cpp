// Products and attention: beside a plain loop of the host in f32, over as many rows as it does in a moment.
#include <algorithm>
#include <cmath>

#include "cli/bench/place.hpp"

namespace gpuio::cli::bench {
namespace {

constexpr double kS = 0x1p-24;              // gpuio_ops.h: what bounds are stated in
constexpr double kPlainOperations = 2e7;    // of the plain loop, once
constexpr std::uint64_t kRowsChecked = 64;  // evenly from all: the first and the last are among them

// Those rows of so many that are held to the host.
std::vector<std::uint64_t> sample(std::uint64_t rows) {
  const std::uint64_t n = std::min(rows, kRowsChecked);
  std::vector<std::uint64_t> chosen;
  for (std::uint64_t i = 0; i < n; ++i) chosen.push_back(n == 1 ? 0 : i * (rows - 1) / (n - 1));
  return chosen;
}

struct Product {
  gpuio_dtype_t type, out;
  std::uint64_t m, n, k;
  bool b_transposed;
};

// Some of the rows of a product, in f64, against what the device has.
struct Checked {
  Product p;
  std::shared_ptr<const Numbers> a, b;
  double at(std::uint64_t i, std::uint64_t j, double& sum_of_sizes) const {
    double sum = 0;
    for (std::uint64_t l = 0; l < p.k; ++l) {
      const double term = (*a)[i * p.k + l] * (*b)[p.b_transposed ? j * p.k + l : l * p.n + j];
      sum += term;
      sum_of_sizes += std::abs(term);
    }
    return sum;
  }
  Status operator()(const Numbers& c) const {
    const double u = p.out == GPUIO_DTYPE_F32 ? kS : p.out == GPUIO_DTYPE_F16 ? 0x1p-11 : 0;
    Numbers got, want, bound;
    const std::uint64_t step = std::max<std::uint64_t>(p.n / 64, 1);  // of columns
    for (const std::uint64_t i : sample(p.m))
      for (std::uint64_t j = i % step; j < p.n; j += step) {
        double sizes = 0;
        want.push_back(at(i, j, sizes));
        got.push_back(c[i * p.n + j]);
        const double summed = p.out == GPUIO_DTYPE_I32 ? 0 : static_cast<double>(p.k + 3) * kS * sizes;
        bound.push_back(summed + u * std::abs(want.back()));
      }
    return within(got, want, bound);
  }
};

// c += a * b by rows, in f32, as the compiler of this program makes it.
void plain_loop(Case& c, const Product& p, const Numbers& a, const Numbers& b) {
  const double a_row = 2 * static_cast<double>(p.n) * static_cast<double>(p.k);
  const auto rows = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(kPlainOperations / a_row), 1, p.m);
  std::vector<float> x(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(rows * p.k)), w(p.k * p.n);
  for (std::uint64_t l = 0; l < p.k; ++l)
    for (std::uint64_t j = 0; j < p.n; ++j)
      w[l * p.n + j] = static_cast<float>(b[p.b_transposed ? j * p.k + l : l * p.n + j]);
  c.peer = "plain loop";
  c.peer_work = a_row * static_cast<double>(rows);
  c.peer_run = [x = std::move(x), w = std::move(w), y = std::vector<float>(rows * p.n), p, rows]() mutable {
    std::ranges::fill(y, 0.0f);
    for (std::uint64_t i = 0; i < rows; ++i)
      for (std::uint64_t l = 0; l < p.k; ++l) {
        const float factor = x[i * p.k + l];
        const float* from = w.data() + l * p.n;
        float* to = y.data() + i * p.n;
        for (std::uint64_t j = 0; j < p.n; ++j) to[j] += factor * from[j];
      }
    return GPUIO_SUCCESS;
  };
}

Result<Case> matmul(Place& place, const Product& p) {
  const Shape of_b = p.b_transposed ? Shape{p.n, p.k} : Shape{p.k, p.n};
  const auto a = std::make_shared<const Numbers>(drawn(p.type, p.m * p.k, 1));
  const auto b = std::make_shared<const Numbers>(drawn(p.type, p.n * p.k, 2));
  auto on_a = place.tensor(p.type, {p.m, p.k}, *a), on_b = place.tensor(p.type, of_b, *b);
  auto on_c = place.tensor(p.out, {p.m, p.n});
  for (auto* t : {&on_a, &on_b, &on_c})
    if (!*t) return fail(t->error());
  Case c;
  c.arithmetic = true;
  c.work = 2 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
  c.run = [ctx = place.context(), x = *on_a, w = *on_b, y = *on_c, p] {
    const gpuio_matmul_options_t options{p.b_transposed, false, nullptr, nullptr, nullptr};
    return gpuio_matmul(ctx, &x, &w, &y, &options, nullptr);
  };
  c.check = [&place, y = *on_c, host = Checked{p, a, b}] {
    auto got = place.read(y);
    return got ? host(*got) : std::move(got).error();
  };
  plain_loop(c, p, *a, *b);
  return c;
}

Result<Case> qkv(Place& place, std::uint64_t rows, std::uint64_t n) {
  const Product p{GPUIO_DTYPE_F32, GPUIO_DTYPE_F32, rows, n, n, true};
  const auto x = std::make_shared<const Numbers>(drawn(p.type, rows * n, 1));
  auto on_x = place.tensor(p.type, {rows, n}, *x);
  if (!on_x) return fail(on_x.error());
  std::vector<std::shared_ptr<const Numbers>> weights;
  std::vector<gpuio_tensor_t> in, out;
  for (unsigned i = 0; i < 3; ++i) {
    weights.push_back(std::make_shared<const Numbers>(drawn(p.type, n * n, 2 + i)));
    auto w = place.tensor(p.type, {n, n}, *weights.back()), y = place.tensor(p.out, {rows, n});
    if (!w) return fail(w.error());
    if (!y) return fail(y.error());
    in.push_back(*w);
    out.push_back(*y);
  }
  Case c;
  c.arithmetic = true;
  c.work = 6 * static_cast<double>(rows) * static_cast<double>(n) * static_cast<double>(n);
  c.run = [ctx = place.context(), x = *on_x, in, out] {
    return gpuio_qkv(ctx, &x, &in[0], &in[1], &in[2], &out[0], &out[1], &out[2], nullptr, nullptr);
  };
  c.check = [&place, p, x, weights, out]() -> Status {
    for (std::size_t i = 0; i < 3; ++i) {
      auto got = place.read(out[i]);
      if (!got) return std::move(got).error();
      if (Status s = Checked{p, x, weights[i]}(*got); !s)
        return std::move(s).wrap(std::string_view("qkv").substr(i, 1));
    }
    return {};
  };
  plain_loop(c, p, *x, *weights[0]);
  return c;
}

struct Heads {
  gpuio_dtype_t type;
  std::uint64_t heads, queries, keys, depth;
  bool causal;
  std::uint64_t seen(std::uint64_t query) const { return causal ? keys - queries + query + 1 : keys; }
};

// One query's result in f64 (or as the plain loop does it, in f32), and the largest logit's size.
template <class T>
struct Query {
  const Heads& h;
  const std::vector<T>&q, &k, &v;
  std::vector<T> logits = std::vector<T>(h.keys);
  double size = 0;
  void operator()(std::uint64_t row, std::vector<T>& out) {
    const std::uint64_t d = h.depth, head = row / h.queries, seen = h.seen(row % h.queries);
    const T* of_q = q.data() + row * d;
    const T scale = T(1) / std::sqrt(T(d));
    T most = -std::numeric_limits<T>::infinity(), total = 0;
    size = 0;
    for (std::uint64_t j = 0; j < seen; ++j) {
      const T* of_k = k.data() + (head * h.keys + j) * d;
      T sum = 0, sizes = 0;
      for (std::uint64_t e = 0; e < d; ++e) sum += of_q[e] * of_k[e];
      if constexpr (sizeof(T) == 8) {
        for (std::uint64_t e = 0; e < d; ++e) sizes += std::abs(of_q[e] * of_k[e]);
        size = std::max(size, static_cast<double>(sizes * scale));
      }
      logits[j] = sum * scale;
      most = std::max(most, logits[j]);
    }
    std::ranges::fill(out, T(0));
    for (std::uint64_t j = 0; j < seen; ++j) {
      const T weight = std::exp(logits[j] - most);
      const T* of_v = v.data() + (head * h.keys + j) * d;
      total += weight;
      for (std::uint64_t e = 0; e < d; ++e) out[e] += weight * of_v[e];
    }
    for (T& e : out) e /= total;
  }
};

Result<Case> attention(Place& place, const Heads& h) {
  const Shape of_q{1, h.heads, h.queries, h.depth}, of_k{1, h.heads, h.keys, h.depth};
  const auto q = std::make_shared<const Numbers>(drawn(h.type, count_of(of_q), 1));
  const auto k = std::make_shared<const Numbers>(drawn(h.type, count_of(of_k), 2));
  const auto v = std::make_shared<const Numbers>(drawn(h.type, count_of(of_k), 3));
  auto on_q = place.tensor(h.type, of_q, *q), on_k = place.tensor(h.type, of_k, *k),
       on_v = place.tensor(h.type, of_k, *v), on_out = place.tensor(h.type, of_q);
  for (auto* t : {&on_q, &on_k, &on_v, &on_out})
    if (!*t) return fail(t->error());
  double pairs = 0;
  for (std::uint64_t i = 0; i < h.queries; ++i) pairs += static_cast<double>(h.seen(i));
  Case c;
  c.arithmetic = true;
  c.work = 4 * pairs * static_cast<double>(h.heads * h.depth);
  c.run = [ctx = place.context(), q = *on_q, k = *on_k, v = *on_v, out = *on_out, causal = h.causal] {
    gpuio_attention_options_t options{};
    options.causal = causal;
    return gpuio_attention(ctx, &q, &k, &v, &out, &options, nullptr);
  };
  c.check = [&place, h, q, k, v, out = *on_out] {
    auto got = place.read(out);
    if (!got) return std::move(got).error();
    double most = 0;
    for (const double e : *v) most = std::max(most, std::abs(e));
    Query<double> query{h, *q, *k, *v};
    Numbers one(h.depth), have, want, bound;
    for (const std::uint64_t row : sample(h.heads * h.queries)) {
      query(row, one);
      const double u = h.type == GPUIO_DTYPE_F32 ? kS : 0x1p-11;
      const double far = 2 * static_cast<double>(h.depth + 4) * kS * query.size + 0x1p-19;
      want.insert(want.end(), one.begin(), one.end());
      bound.insert(bound.end(), h.depth, (far + u) * most);
      have.insert(have.end(), got->begin() + static_cast<std::ptrdiff_t>(row * h.depth),
                  got->begin() + static_cast<std::ptrdiff_t>((row + 1) * h.depth));
    }
    return within(have, want, bound);
  };
  const double a_row = c.work / static_cast<double>(h.heads * h.queries);  // on average
  const auto rows =
      std::clamp<std::uint64_t>(static_cast<std::uint64_t>(kPlainOperations / a_row), 1, h.heads * h.queries);
  for (std::uint64_t row = 0; row < rows; ++row)
    c.peer_work += 4 * static_cast<double>(h.seen(row % h.queries) * h.depth);
  c.peer = "plain loop";
  const auto narrow = [](const Numbers& all) { return std::vector<float>(all.begin(), all.end()); };
  c.peer_run = [h, rows, q = narrow(*q), k = narrow(*k), v = narrow(*v),
                out = std::vector<float>(h.depth)]() mutable {
    Query<float> query{h, q, k, v};
    for (std::uint64_t row = 0; row < rows; ++row) query(row, out);
    return GPUIO_SUCCESS;
  };
  return c;
}

}  // namespace

void add_products(std::vector<Entry>& all, Size size) {
  const auto product = [&](const Product& p) {
    all.push_back({"matmul",
                   fmt::format("{} {} x {} x {}{}", gpuio_dtype_name(p.type), p.m, p.n, p.k,
                               p.b_transposed ? " transposed" : ""),
                   [p](Place& place) { return matmul(place, p); }});
  };
  const auto F32 = GPUIO_DTYPE_F32, F16 = GPUIO_DTYPE_F16, I8 = GPUIO_DTYPE_I8, I32 = GPUIO_DTYPE_I32;
  const std::uint64_t side = size == Size::tiny ? 33 : size == Size::small ? 512 : 4096;
  if (size != Size::tiny) product({F32, F32, side / 4, side / 4, side / 4, false});
  product({F32, F32, side, side, side, false});
  product({F16, F16, side, side, side, true});
  product({I8, I32, side, side, side, true});
  product({F16, F32, 1, side, side, true});  // a token of a decoder
  const std::uint64_t rows = size == Size::tiny ? 5 : size == Size::small ? 64 : 512;
  all.push_back({"qkv", fmt::format("f32 {} x {} x 3 {}", rows, side, side),
                 [=](Place& place) { return qkv(place, rows, side); }});
  const auto heads = [&](const Heads& h) {
    all.push_back({"attention",
                   fmt::format("{} {} heads {} x {} x {}{}", gpuio_dtype_name(h.type), h.heads, h.queries,
                               h.keys, h.depth, h.causal ? " causal" : ""),
                   [h](Place& place) { return attention(place, h); }});
  };
  if (size == Size::tiny) {
    heads({F32, 2, 5, 9, 16, true});
    heads({F16, 2, 1, 33, 16, false});
  } else if (size == Size::small) {
    heads({F32, 4, 128, 128, 64, true});
    heads({F16, 8, 1, 1024, 64, false});
  } else {
    heads({F16, 32, 2048, 2048, 128, true});
    heads({F16, 32, 1, 16384, 128, false});
  }
}

}  // namespace gpuio::cli::bench
