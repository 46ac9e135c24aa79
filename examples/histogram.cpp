// Counts the bytes of a file that may be larger than memory, on whatever device there is: histogram FILE
#include <gpuio/gpuio.hpp>
#include <gpuio/kernel.hpp>

#include <cstdio>

using namespace gpuio::kernel;

// counts[v] += how often byte v occurs in the file; checked for types, barriers and races while compiling.
constexpr auto histogram =
    kernel<"histogram", 128>([](Ctx k, OnDemand<u8> file, InOut<u64, 256> counts, Val<u64> bytes) {
      auto local = k.shared<u32, 256>();
      for (auto i : k.range(k.tid(), 256, 128)) local[i] = 0u;
      k.barrier();
      auto stride = k.nctas().as<u64>() * 128;
      for (auto i : k.range(k.global_id().as<u64>(), bytes, stride)) local.atomic_add(file[i], 1u);
      k.barrier();
      for (auto i : k.range(k.tid(), 256, 128)) counts.atomic_add(i, local[i].as<u64>());
    });

int main(int, char** argv) try {
  gpuio::Array<u8> file(argv[1]);
  gpuio::Memory<u64> counts(256);
  gpuio::Report report = gpuio::run(histogram, 64, file, counts, file.size());
  for (u32 v = 0; v < 256; ++v)
    if (counts[v]) std::printf("%02x %llu\n", v, static_cast<unsigned long long>(counts[v]));
  std::fprintf(stderr, "%s: %llu pages, %.3f s\n", report.way().c_str(),
               static_cast<unsigned long long>(report.pages), report.seconds);
} catch (const gpuio::Error& e) {
  std::fprintf(stderr, "histogram: %s\n", e.what());
  return 1;
}
