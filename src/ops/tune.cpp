// Measuring the ways to do a product, and remembering the fastest.

#include <bit>
#include <chrono>

#include "ops/matmul.hpp"

namespace gpuio::ops {

Choices::Kind Choices::kind_of(const Product& p) {
  const auto digits = [](std::uint64_t size) { return std::uint8_t(std::bit_width(size)); };
  const auto flags = std::uint8_t(int(p.b_transposed) | int(p.tf32) << 1 | int(p.scaled_a) << 2 |
                                  int(p.scaled_b) << 3 | int(p.biased) << 4);
  return {std::uint8_t(p.a),
          std::uint8_t(p.b),
          std::uint8_t(p.c),
          std::uint8_t(p.bias_type),
          flags,
          std::uint8_t(p.parts),
          digits(p.m),
          digits(p.columns()),
          digits(p.k),
          digits(p.batch)};
}

std::string Choices::key(const Kind& kind) const {
  return fmt::format("matmul 1, {}, {}, {}", device_.name, device_.driver, fmt::join(kind, " "));
}

std::optional<std::size_t> Choices::find(const Product& product) {
  const Kind kind = kind_of(product);
  std::scoped_lock hold(mutex_);
  const auto [entry, fresh] = known_.try_emplace(kind);
  std::optional<std::size_t>& way = entry->second;
  if (const auto kept = fresh && folder_ ? folder_->get(key(kind)) : std::nullopt) {
    const std::string_view name(reinterpret_cast<const char*>(kept->data()), kept->size());
    for (std::size_t i = 0; i < kWays.size(); ++i)  // of another version it may be no name of ours
      if (kWays[i].name == name) way = i;
  }
  // One of like sizes may have rows that begin elsewhere.
  return way && possible(device_, kWays[*way], product) ? way : std::nullopt;
}

void Choices::keep(const Product& product, std::size_t way) {
  const Kind kind = kind_of(product);
  std::scoped_lock hold(mutex_);
  known_[kind] = way;
  if (folder_) folder_->put(key(kind), std::as_bytes(std::span(kWays[way].name)));
}

Result<std::string_view> tune_matmul(Kernels& kernels, const Tensor& a, const Tensor& b, const Tensor& c,
                                     const MatmulOptions& options, std::uint64_t budget_us) {
  using Clock = std::chrono::steady_clock;
  constexpr std::uint64_t kDefaultUs = 2'000'000, kProductNs = 60'000'000'000;
  constexpr int kRounds = 8;
  const auto product = product_of(a, b, c, options);
  if (!product) return fail(product.error());
  const gpu::DeviceInfo& device = kernels.device().info();
  const std::size_t usual = way_of_size(device, *product);
  if (product->empty()) return kWays[usual].name;
  auto stream = kernels.device().stream();
  if (!stream) return fail(std::move(stream).error());
  struct Candidate {
    std::size_t way;
    Clock::duration best = Clock::duration::max();
  };
  std::vector<Candidate> candidates{{usual}};  // the first is measured whatever the budget
  for (std::size_t i = 0; i < kWays.size(); ++i)
    if (i != usual && possible(device, kWays[i], *product)) candidates.push_back({i});
  const auto end = Clock::now() + std::chrono::microseconds(budget_us == 0 ? kDefaultUs : budget_us);
  Workspace workspace;
  std::size_t best = 0;
  // In turn, so that what disturbs the machine for a while disturbs all. The first round also makes the
  // kernels, outside of what is measured.
  for (int round = 0; round < kRounds; ++round)
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      Candidate& it = candidates[i];
      if ((round > 0 || i > 0) && Clock::now() >= end) break;
      if (round > 0 && it.best > 2 * candidates[best].best) continue;
      Plan plan;
      if (Status s = launch({kernels, workspace, plan}, *product, it.way); !s) return fail(std::move(s));
      const auto begin = Clock::now();
      if (Status s = plan.run(**stream); !s) return fail(std::move(s));
      if (Status s = (*stream)->wait((*stream)->last(), kProductNs); !s) return fail(std::move(s));
      it.best = std::min(it.best, Clock::now() - begin);
      if (it.best < candidates[best].best) best = i;
    }
  kernels.choices.keep(*product, candidates[best].way);
  return kWays[candidates[best].way].name;
}

}  // namespace gpuio::ops
