// Random numbers: a lane a block of four. Element i of a stream lies in block i / 4, which is the counter.

#include "ops/random.hpp"

#include "ops/native_forms.hpp"
#include "ops/ops.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

constexpr u32 kLanes = 256;

struct Halves {
  Val<u32> high, low;
};
Halves product(const Val<u32>& a, u32 b) {
  const auto all = a.as<u64>() * u64(b);
  return {(all >> 32).as<u32>(), all.as<u32>()};
}

Val<f32> uniform(const Val<u32>& bits, Dtype type) {
  const auto v = (bits >> 8).as<f32>() * 0x1p-24f;
  // Down to the type: those below f16's normal numbers have no such bits.
  const u32 kept = type == Dtype::f16 ? 0xffffe000 : type == Dtype::bf16 ? 0xffff0000 : 0xffffffff;
  return kept == 0xffffffff ? v : bitcast<f32>(bitcast<u32>(v) & kept);
}
// Two uniform numbers make two normal ones; the first is none of 0.
std::array<Val<f32>, 2> normal(const Val<u32>& a, const Val<u32>& b) {
  const auto radius = sqrt(-2.0f * log(((a >> 8) + 1u).as<f32>() * 0x1p-24f));
  const auto angle = ((b >> 8).as<f32>() * 0x1p-24f - 0.5f) * 0x1.921fb6p+2f;
  return {radius * cos(angle), radius * sin(angle)};
}

void body(Ctx k, Distribution distribution, Dtype type) {
  const bool bits = distribution == Distribution::bits;
  const auto y = Elements<f32>::out(k, bits ? Dtype::f32 : type);
  const auto words = buffer<Out<u32>>(k);
  const auto seed = scalar<u64>(k), offset = scalar<u64>(k), count = scalar<u64>(k), blocks = scalar<u64>(k);
  const auto lane = k.cta().as<u64>() * u64(kLanes) + k.tid().as<u64>();
  for (auto i : k.range(lane, blocks, k.nctas().as<u64>() * u64(kLanes))) {
    const auto block = (offset >> 2) + i;
    const auto counter = block & (~u64{0} >> 2);
    const auto zero = k.val<u32>(0);
    const Words drawn = philox({counter.as<u32>(), (counter >> 32).as<u32>(), zero, zero},
                               {seed.as<u32>(), (seed >> 32).as<u32>()});
    std::vector<Val<f32>> values;
    for (u32 w = 0; !bits && w < 4; ++w)
      if (distribution == Distribution::uniform) values.push_back(uniform(drawn[w], type));
      else if (w % 2 == 0)
        for (const auto& v : normal(drawn[w], drawn[w + 1])) values.push_back(v);
    for (u32 w = 0; w < 4; ++w) {
      const auto at = (block << 2) + u64(w) - offset;  // before the first: past the end
      GPU_IF(at < count) {
        if (bits) words[at] = drawn[w];
        else y.set(at, values[w]);
      }
    }
  }
}

}  // namespace

Words philox(const Words& counter, const Words& key) {
  Words c = counter, k = key;
  for (u32 round = 0; round < 10; ++round) {
    if (round) {
      Words next{k[0] + 0x9E3779B9u, k[1] + 0xBB67AE85u};
      k.swap(next);
    }
    const Halves a = product(c[0], 0xD2511F53), b = product(c[2], 0xCD9E8D57);
    Words next{b.high ^ c[1] ^ k[0], b.low, a.high ^ c[3] ^ k[1], a.low};
    c.swap(next);
  }
  return c;
}

Status random(const Place& place, Distribution distribution, std::uint64_t seed, std::uint64_t offset,
              const Tensor& y) {
  if (distribution == Distribution::bits) {
    if (Status s = needs_type(y, {Dtype::u32}); !s) return s;
  } else if (Status s = needs_type(y, {Dtype::f32, Dtype::f16, Dtype::bf16}); !s) {
    return s;
  }
  if (Status s = needs_dense(y); !s) return s;
  if (y.count() == 0) return {};
  const std::uint64_t blocks = (offset % 4 + y.count() + 3) / 4;
  const auto kernel = place.kernels.get(
      {Operation::random, {y.type}, {std::uint32_t(distribution)}}, "random", {kLanes, 1, 1},
      [&](Ctx k) { body(k, distribution, y.type); }, [&] { return native_random(distribution, y.type); });
  if (!kernel) return kernel.error();
  const std::array arguments{argument(y),      argument(y),         argument(seed),
                             argument(offset), argument(y.count()), argument(blocks)};
  // Drawing takes longer than writing.
  return place.plan.launch(*kernel, place.grid((blocks + kLanes - 1) / kLanes, 4 * 16 * blocks), arguments);
}

}  // namespace gpuio::ops
