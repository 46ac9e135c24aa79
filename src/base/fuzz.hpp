// One file, two ways to fuzz: a seeded loop that every test run affords, and libFuzzer when there is time.
//
// A target takes any bytes and answers what is wrong: empty when its property holds. The loop starts from a
// corpus and mutates; what it finds comes back with the input, and the same seed finds it again. A canary, a
// target with a planted mistake, proves that the loop can find one. For tests only; one thread.
//
//   std::string check(std::span<const uint8_t> input);   // the property
//   GPUIO_FUZZ(Uri, check, planted_check, {"file:///a", "mem://gpu/0?numa=1"})
//
// makes the tests UriFuzz.HoldsOnMutatedInput and UriFuzz.CanaryIsFound; compiled with clang's
// -fsanitize=fuzzer -DGPUIO_LIBFUZZER it makes LLVMFuzzerTestOneInput instead. GPUIO_FUZZ_SEED and
// GPUIO_FUZZ_RUNS in the environment replay and prolong the loop.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gpuio::fuzz {

using Bytes = std::vector<uint8_t>;
using Target = std::string (*)(std::span<const uint8_t>);

inline std::string_view as_text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::string as_hex(std::span<const uint8_t> bytes) {
  std::string text;
  char pair[3];
  for (uint8_t byte : bytes) {
    std::snprintf(pair, sizeof pair, "%02x", byte);
    text += pair;
  }
  return text;
}

// One to eight small changes, some of them with a part of another input of the corpus.
inline Bytes mutate(Bytes input, const std::vector<Bytes>& corpus, std::mt19937_64& random) {
  constexpr uint8_t kTelling[] = {0,   1,   0x7f, 0x80, 0xff, '%', '/',  ':',
                                  '?', '&', '=',  '[',  ']',  '"', '\n', '-'};
  constexpr size_t kBytesMax = 4096;
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (size_t changes = 1 + below(8); changes > 0; --changes) {
    const size_t at = below(input.size() + 1);
    const auto here = input.begin() + static_cast<ptrdiff_t>(at);
    const size_t run = std::min(1 + below(8), input.size() - at);
    const auto there = here + static_cast<ptrdiff_t>(run);
    switch (below(7)) {
      case 0:
        if (run) *here ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 1:
        if (run) *here = static_cast<uint8_t>(random());
        break;
      case 2:
        if (run) *here = kTelling[below(std::size(kTelling))];
        break;
      case 3: input.insert(here, kTelling[below(std::size(kTelling))]); break;
      case 4: input.erase(here, there); break;
      case 5: {
        const Bytes copy(here, there);
        input.insert(input.begin() + static_cast<ptrdiff_t>(below(input.size() + 1)), copy.begin(),
                     copy.end());
        break;
      }
      default: {
        const Bytes& other = corpus[below(corpus.size())];
        if (other.empty()) break;
        const size_t from = below(other.size()), length = 1 + below(other.size() - from);
        input.insert(here, other.begin() + static_cast<ptrdiff_t>(from),
                     other.begin() + static_cast<ptrdiff_t>(from + length));
      }
    }
  }
  if (input.size() > kBytesMax) input.resize(kBytesMax);
  return input;
}

struct Finding {
  Bytes input;
  std::string wrong;
};

// The corpus as it stands, then `runs` mutations of it.
inline std::optional<Finding> run(Target target, const std::vector<Bytes>& corpus, uint64_t seed,
                                  uint64_t runs) {
  for (const Bytes& input : corpus)
    if (auto wrong = target(input); !wrong.empty()) return Finding{input, wrong};
  std::mt19937_64 random(seed);
  for (uint64_t i = 0; i < runs; ++i) {
    Bytes input = mutate(corpus[random() % corpus.size()], corpus, random);
    if (auto wrong = target(input); !wrong.empty()) return Finding{std::move(input), wrong};
  }
  return std::nullopt;
}

inline uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 0) : otherwise;
}

inline std::vector<Bytes> corpus_of(std::initializer_list<std::string_view> texts) {
  std::vector<Bytes> corpus;
  for (std::string_view text : texts) corpus.emplace_back(text.begin(), text.end());
  return corpus;
}

inline constexpr uint64_t kRunsDefault = 20'000;

}  // namespace gpuio::fuzz

#ifdef GPUIO_LIBFUZZER
#define GPUIO_FUZZ(name, check, planted, ...)                               \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    (void)planted;                                                          \
    if (auto wrong = check(std::span(data, size)); !wrong.empty()) {        \
      std::fprintf(stderr, "%s: %s\n", #name, wrong.c_str());               \
      std::abort();                                                         \
    }                                                                       \
    return 0;                                                               \
  }
#else
#include <gtest/gtest.h>
#define GPUIO_FUZZ(name, check, planted, ...)                                                                \
  TEST(name##Fuzz, HoldsOnMutatedInput) {                                                                    \
    const uint64_t seed = gpuio::fuzz::from_environment("GPUIO_FUZZ_SEED", std::random_device{}());          \
    const uint64_t runs = gpuio::fuzz::from_environment("GPUIO_FUZZ_RUNS", gpuio::fuzz::kRunsDefault);       \
    std::printf("GPUIO_FUZZ_SEED=%llu GPUIO_FUZZ_RUNS=%llu\n", static_cast<unsigned long long>(seed),        \
                static_cast<unsigned long long>(runs));                                                      \
    const auto found = gpuio::fuzz::run(check, gpuio::fuzz::corpus_of(__VA_ARGS__), seed, runs);             \
    if (found)                                                                                               \
      FAIL() << found->wrong << "\ninput (hex): " << gpuio::fuzz::as_hex(found->input) << "\nseed " << seed; \
  }                                                                                                          \
  TEST(name##Fuzz, CanaryIsFound) {                                                                          \
    EXPECT_TRUE(                                                                                             \
        gpuio::fuzz::run(planted, gpuio::fuzz::corpus_of(__VA_ARGS__), 1, gpuio::fuzz::kRunsDefault))        \
        << "the planted mistake was not found: the loop is blind";                                           \
  }
#endif
