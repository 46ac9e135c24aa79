// Step 5: flash attention, and the same kernel where keys and values are files.
#include "tutorial.hpp"

#include <cstdlib>
#include <string>

using namespace gpuio::kernel;

constexpr u32 kDim = 32;    // of a query, a key and a value
constexpr u32 kLanes = 64;  // queries a workgroup: one a lane
constexpr u32 kKeys = 32;   // a tile of keys

// out = softmax(q keys^T * scale) values, without the matrix of weights: what was summed so far is scaled
// down whenever a larger product turns up.
template <class Array>
constexpr auto attention_body = [](Ctx k, In<f32> q, Array keys, Array values, Out<f32> out, Val<u32> queries,
                                   Val<u32> n, Val<f32> scale) {
  auto t = k.tid();
  auto query =
      min(k.global_id(), queries - 1);  // lanes past the end do the last one again: barriers want all
  auto tile_k = k.shared<f32, kKeys * kDim>();
  auto tile_v = k.shared<f32, kKeys * kDim>();
  auto sum = k.array<f32, kDim>();
  auto most = k.var(-std::numeric_limits<f32>::infinity());
  auto weight = k.var(0.0f);

  for (auto first : k.range(0, n, kKeys)) {
    auto here = min(n - first, kKeys);
    for (auto i : k.range(t, here * kDim, kLanes)) {
      tile_k[i] = keys[first * kDim + i];
      tile_v[i] = values[first * kDim + i];
    }
    k.barrier();
    for (auto j : k.range(0u, here)) {
      auto product = k.var(0.0f);
      for (u32 d = 0; d < kDim; ++d) product += q[query * kDim + d] * tile_k[j * kDim + d];
      auto top = max(most, product * scale);
      auto keep = exp(most - top), mass = exp(product * scale - top);
      most = top;
      weight = weight * keep + mass;
      for (u32 d = 0; d < kDim; ++d) sum[d] = sum[d] * keep + mass * tile_v[j * kDim + d];
    }
    k.barrier();
  }
  GPU_IF(k.global_id() < queries) {
    for (u32 d = 0; d < kDim; ++d) out[query * kDim + d] = sum[d] / weight;
  }
};
constexpr auto attention = kernel<"attention", kLanes>(attention_body<In<f32>>);
constexpr auto attention_of_files = kernel<"attention_of_files", kLanes>(attention_body<OnDemand<f32>>);

std::vector<double> by_hand(const gpuio::Memory<f32>& q, const std::vector<f32>& keys,
                            const std::vector<f32>& values, double scale) {
  std::vector<double> out(q.size());
  for (std::size_t i = 0; i < q.size() / kDim; ++i) {
    double total = 0;
    for (std::size_t j = 0; j < keys.size() / kDim; ++j) {
      double product = 0;
      for (u32 d = 0; d < kDim; ++d) product += double(q[i * kDim + d]) * keys[j * kDim + d];
      const double weight = std::exp(product * scale);
      total += weight;
      for (u32 d = 0; d < kDim; ++d) out[i * kDim + d] += weight * values[j * kDim + d];
    }
    for (u32 d = 0; d < kDim; ++d) out[i * kDim + d] /= total;
  }
  return out;
}

// A file of its own for as long as the program runs.
struct File {
  std::string path = "/tmp/gpuio-tutorial-XXXXXX";
  explicit File(const std::vector<f32>& numbers) {
    std::FILE* const f = fdopen(mkstemp(path.data()), "wb");
    if (!f || std::fwrite(numbers.data(), 4, numbers.size(), f) != numbers.size() || std::fclose(f))
      throw gpuio::Error(GPUIO_ERROR_IO, path + ": cannot be written");
  }
  ~File() { std::remove(path.c_str()); }
};

int main(int count, char** words) {
  return tutorial::run([&] {
    const gpuio::Context& context = tutorial::context(count, words);
    const u32 queries = 100, n = 1'500;
    const f32 scale = 0.5f;
    gpuio::Memory<f32> q(context, queries * kDim), k(context, n * kDim), v(context, n * kDim),
        out(context, q.size());
    std::vector<f32> keys(n * kDim), values(n * kDim);
    tutorial::fill(q, 7);
    tutorial::fill(keys, 8);
    tutorial::fill(values, 9);
    const auto want = by_hand(q, keys, values, scale);
    const u32 groups = (queries + kLanes - 1) / kLanes;

    k.upload(keys);
    v.upload(values);
    gpuio::run(context, attention, groups, q, k, v, out, queries, n, scale);
    int failed = tutorial::check("attention", out, want, 1e-5);

    const File key_file(keys), value_file(values);
    gpuio::Array<f32> key_array(context, key_file.path), value_array(context, value_file.path);
    const gpuio::Report report =
        gpuio::run(context, attention_of_files, groups, q, key_array, value_array, out, queries, n, scale);
    std::printf("%s for %llu pages of the files\n", report.way().c_str(), (unsigned long long)report.pages);
    return failed + tutorial::check("attention over files", out, want, 1e-5);
  });
}
