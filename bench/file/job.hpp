// What every contender of this scenario that we write ourselves shares: the job as fio would describe it, the
// file's known content, the measuring, and the line of JSON at the end. One thread.
//
// The word at byte o of the file is o * kWord, so that any block can be checked wherever it came from: the
// first and last word of every 4 KiB are, within the timed loop.
#pragma once

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

inline constexpr std::uint64_t kWord = 0x9E3779B97F4A7C15ull;

[[noreturn]] inline void die(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(2);
}

struct Job {
  std::string file;
  bool write = false, random = false, direct = false;
  std::uint64_t block = 4096, depth = 1, size = 1ull << 30;
  double seconds = 1;

  // FILE randread|randwrite|read|write BLOCK DEPTH DIRECT SECONDS SIZE
  static Job parse(int count, char** words) {
    if (count != 8) die("use: FILE randread|randwrite|read|write BLOCK DEPTH DIRECT SECONDS SIZE");
    Job job;
    job.file = words[1];
    const std::string_view pattern = words[2];
    job.random = pattern.starts_with("rand");
    job.write = pattern.ends_with("write");
    job.block = std::strtoull(words[3], nullptr, 10);
    job.depth = std::strtoull(words[4], nullptr, 10);
    job.direct = words[5][0] == '1';
    job.seconds = std::strtod(words[6], nullptr);
    job.size = std::strtoull(words[7], nullptr, 10);
    if (job.block % 4096 || job.block == 0 || job.depth == 0 || job.size < job.block) die("not a job");
    return job;
  }

  std::uint64_t next_offset() {
    const std::uint64_t blocks = size / block;
    if (!random) return at_++ % blocks * block;
    random_ ^= random_ << 13, random_ ^= random_ >> 7, random_ ^= random_ << 17;
    return random_ % blocks * block;
  }

 private:
  std::uint64_t at_ = 0;
  std::uint64_t random_ = std::chrono::steady_clock::now().time_since_epoch().count() | 1;
};

inline void fill(std::byte* memory, std::uint64_t offset, std::uint64_t length) {
  for (std::uint64_t i = 0; i < length; i += 8) {
    const std::uint64_t word = (offset + i) * kWord;
    std::memcpy(memory + i, &word, 8);
  }
}

// As much of filling as costs nothing beside the write: what a check will look at.
inline void stamp(std::byte* memory, std::uint64_t offset, std::uint64_t length) {
  for (std::uint64_t i = 0; i < length; i += 4096)
    for (std::uint64_t at : {i, i + 4088}) {
      const std::uint64_t word = (offset + at) * kWord;
      std::memcpy(memory + at, &word, 8);
    }
}

inline void check(const std::byte* memory, std::uint64_t offset, std::uint64_t length) {
  for (std::uint64_t i = 0; i < length; i += 4096)
    for (std::uint64_t at : {i, i + 4088}) {
      std::uint64_t word;
      std::memcpy(&word, memory + at, 8);
      if (word != (offset + at) * kWord) die("wrong data at byte " + std::to_string(offset + at));
    }
}

// Buffers on huge pages, like fio's with GLIBC_TUNABLES: a large direct transfer is then a few segments, not
// hundreds.
inline std::byte* buffers(std::uint64_t bytes) {
  const std::uint64_t huge = 2 << 20, size = (bytes + huge - 1) / huge * huge;
  void* mapped = ::mmap(nullptr, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) die("no memory for buffers");
  auto* memory =
      reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(mapped) + huge - 1) / huge * huge);
  ::madvise(memory, size, MADV_HUGEPAGE);
  std::memset(memory, 1, size);
  return memory;
}

class Measure {
 public:
  explicit Measure(const Job& job) : job_(job), cpu_(cpu_s()), start_(now()) {
    latencies_ns_.reserve(1 << 22);
  }

  static std::uint64_t now() {
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  }
  bool over(std::uint64_t at) const { return at - start_ >= static_cast<std::uint64_t>(job_.seconds * 1e9); }
  void done(std::uint64_t from, std::uint64_t to) {
    ++count_;
    if (latencies_ns_.size() < latencies_ns_.capacity())
      latencies_ns_.push_back(static_cast<std::uint32_t>(to - from));
  }

  void print(const std::string& route) {
    const double wall = static_cast<double>(now() - start_) / 1e9, cpu = cpu_s() - cpu_;
    std::ranges::sort(latencies_ns_);
    const auto at = [&](double q) {
      return latencies_ns_.empty() ? 0.0
                                   : latencies_ns_[static_cast<std::size_t>(
                                         q * static_cast<double>(latencies_ns_.size() - 1))] /
                                         1e3;
    };
    std::printf(
        "{\"iops\": %.0f, \"MBps\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"cpu_us_per_io\": %.3f, "
        "\"route\": \"%s\"}\n",
        static_cast<double>(count_) / wall, static_cast<double>(count_ * job_.block) / wall / 1e6, at(0.5),
        at(0.99), cpu * 1e6 / static_cast<double>(std::max<std::uint64_t>(count_, 1)), route.c_str());
  }

 private:
  static double cpu_s() {
    rusage used;
    ::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
  }

  const Job& job_;
  double cpu_;
  std::uint64_t start_, count_ = 0;
  std::vector<std::uint32_t> latencies_ns_;
};

}  // namespace bench
