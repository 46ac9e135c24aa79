// Random kernels until the time is over: the verifier takes each, and the interpreter, the CPU device, the
// test's Vulkan driver and a CUDA GPU where there is one leave the same bytes. `./dev fuzz [SECONDS]` runs
// it; one second of it is a test.
//
//   conformance_kernel_fuzz [--seconds S] [--seed FIRST] [--count N]
//
// A disagreement prints what repeats it and ends with 1. Kernels run in a child process, since nobody can
// leave a driver's compiler: one that takes longer than a minute for a kernel is named, and the next child
// goes on behind it.
#include <gpuio/kernel/verify.hpp>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "gpu/cpu/cpu.hpp"
#include "gpu/cuda/cuda.hpp"
#include "support/run_on_device.hpp"
#include "support/vulkan_driver.hpp"

namespace gpuio {
namespace {

using namespace kernel;
using Clock = std::chrono::steady_clock;

// What the child tells its parent, in memory that they share.
struct Progress {
  std::atomic<u64> seed{0}, kernels{0}, instructions{0};
  std::atomic<bool> in_vulkan{false}, vulkan{false}, cuda{false};
};

struct Fuzz {
  Progress& told;
  std::unique_ptr<gpu::Device> cpu{}, vulkan{}, cuda{};

  // Every choice is the seed's. What devices may do their own way stays out: lavapipe rounds fma twice and
  // its threads may flush subnormal floats; what lanes of a subgroup see is asked for on both of its sizes.
  static RandomOptions options_of(u64 seed) {
    Random random{seed ^ 0xf022};
    RandomOptions o;
    o.statements = 8 + u32(random.below(56));
    const std::array<u32, 3> blocks[] = {{8, 1, 1}, {8, 2, 1}, {4, 2, 2}, {32, 1, 1}, {13, 1, 1}, {64, 1, 1}};
    o.block = blocks[random.below(std::size(blocks))];
    o.groups = 1 + u32(random.below(4));
    o.barriers = random.chance(80);
    o.subgroups = random.chance(70);
    o.divergent_subgroups = random.chance(60);
    o.atomics = random.chance(80);
    o.wide = random.chance(85);
    o.floats = random.chance(85);
    o.f64 = random.chance(60);
    o.small = random.chance(80);
    o.vectors = random.chance(80);
    o.fma = o.subnormal = false;
    o.pairs = seed % 2 == 0;
    return o;
  }

  bool compare(gpu::Device& device, const char* name, u64 seed, const Program& p,
               const RandomOptions& options) {
    const RandomData input = random_contents(p.view(), seed);
    RandomData want = input, got = input;
    const Outcome o =
        interpret(p.view(), options.grid(), want.arguments(), {.subgroup_size = device.info().subgroup_size});
    if (!o.ok()) return differs(seed, fmt::format("the interpreter: {} at line {}", o.error, o.line));
    if (const Status s = test_kernels::run_on(device, p.view(), options.grid(), got); !s)
      return differs(seed, fmt::format("{}: {}", name, s.message()));
    for (std::size_t b = 0; b < want.bytes.size(); ++b)
      for (std::size_t i = 0; i < want.bytes[b].size(); ++i)
        if (got.bytes[b][i] != want.bytes[b][i])
          return differs(seed, fmt::format("{}: parameter {}, byte {}: {:#04x}, the interpreter has {:#04x}",
                                           name, b, i, u8(got.bytes[b][i]), u8(want.bytes[b][i])));
    return true;
  }

  bool one(u64 seed) {
    const RandomOptions options = options_of(seed);
    const Program p = random_program(seed, options);
    // Indices are in range for this grid only: in a branch that only a larger one takes the verifier may see
    // further.
    if (const VerifyResult r = verify(p.view()); !r.ok()) {
      if (r.error == Err::index_out_of_range) return true;
      return differs(seed, fmt::format("the verifier: {}", message(r)));
    }
    ++told.kernels;
    told.instructions += p.insts.size();
    if (!compare(*cpu, "cpu", seed, p, options)) return false;
    told.in_vulkan = true;
    if (vulkan && !compare(*vulkan, "vulkan", seed, p, options)) return false;
    told.in_vulkan = false;
    if (cuda && !compare(*cuda, "cuda", seed, p, options)) return false;
    for (const std::string& text : test_vulkan::Messages::all().texts) return differs(seed, text);
    return true;
  }

  static bool differs(u64 seed, std::string_view what) {
    fmt::print(stderr, "{}\nagain: conformance_kernel_fuzz --seed {} --count 1\n", what, seed);
    return false;
  }
};

constexpr int kKernelSeconds = 60;

// The child: from told.seed on.
template <class GoOn>
int run_seeds(Progress& told, u64 most, const GoOn& go_on) {
  Fuzz fuzz{told};
  auto cpu = gpu::cpu::open({});
  if (!cpu) {
    fmt::print(stderr, "{}\n", cpu.error().message());
    return 1;
  }
  fuzz.cpu = std::move(*cpu);
  auto vulkan = test_vulkan::open({});
  if (vulkan) fuzz.vulkan = std::move(*vulkan);
  else if (std::getenv("GPUIO_TEST_VULKAN_REQUIRED"))
    return fmt::print(stderr, "{}\n", vulkan.error().message()), 1;
  else fmt::print("without Vulkan: {}\n", vulkan.error().message());
  auto cuda = gpu::cuda::open({});
  if (cuda) fuzz.cuda = std::move(*cuda);
  else fmt::print("without CUDA: {}\n", cuda.error().message());
  told.vulkan = fuzz.vulkan != nullptr;
  told.cuda = fuzz.cuda != nullptr;
  auto last = Clock::now();
  while (go_on() && told.kernels < most) {
    if (!fuzz.one(told.seed)) return 1;
    ++told.seed;
    if (Clock::now() - last > std::chrono::seconds(60)) {
      last = Clock::now();
      fmt::print("{} kernels\n", told.kernels.load());
      std::fflush(stdout);
    }
  }
  return 0;
}

// Until the child has ended: true; or is too long at one kernel, and was ended: false.
bool watch(pid_t child, const Progress& told, int& status) {
  u64 seed = told.seed;
  auto since = Clock::now();
  while (::waitpid(child, &status, WNOHANG) == 0) {
    ::usleep(10'000);
    if (told.seed != seed) seed = told.seed, since = Clock::now();
    if (Clock::now() - since < std::chrono::seconds(kKernelSeconds)) continue;
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    return false;
  }
  return true;
}

int run(int count, char** words) {
  double seconds = 1;
  u64 seed = 1, most = ~u64{0};
  for (int i = 1; i < count; i += 2) {
    const std::string_view word = words[i];
    char* end = nullptr;
    const char* const value = i + 1 < count ? words[i + 1] : "";
    const double number = std::strtod(value, &end);
    if (end == value || *end != 0 || number < 0 ||
        (word != "--seconds" && word != "--seed" && word != "--count")) {
      fmt::print(stderr, "{} {}: give --seconds S, --seed FIRST or --count N, with a number\n", word, value);
      return 2;
    }
    if (word == "--seconds") seconds = number;
    else if (word == "--seed") seed = u64(number);
    else most = u64(number);
  }
  void* const shared =
      ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return std::perror("mmap"), 1;
  Progress& told = *new (shared) Progress;
  told.seed = seed;
  const auto start = Clock::now();
  const auto spent = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  u64 left_out = 0;
  while (spent() < seconds && told.kernels < most) {
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child < 0) return std::perror("fork"), 1;
    if (child == 0) return run_seeds(told, most, [&] { return spent() < seconds; });
    int status = 0;
    if (watch(child, told, status)) {
      if (WIFEXITED(status) && WEXITSTATUS(status) != 0) return WEXITSTATUS(status);
      if (!WIFEXITED(status)) {
        fmt::print(stderr, "ended by signal {}\nagain: conformance_kernel_fuzz --seed {} --count 1\n",
                   WTERMSIG(status), told.seed.load());
        return 1;
      }
      break;
    }
    fmt::print("seed {}: not done in {} s{}\n", told.seed.load(), kKernelSeconds,
               told.in_vulkan ? ", in the Vulkan driver: left out" : "");
    if (!told.in_vulkan || ++left_out > 3 + told.kernels / 1000) return 1;
    ++told.seed;
    told.in_vulkan = false;
  }
  fmt::print(
      "seeds {} to {}: {} kernels of {} instructions, {:.0f} s, interpreter, cpu{}{}: no disagreement{}\n",
      seed, told.seed - 1, told.kernels.load(), told.instructions.load(), spent(),
      told.vulkan ? ", vulkan" : "", told.cuda ? ", cuda" : "",
      left_out ? fmt::format(", {} left out", left_out) : "");
  return 0;
}

}  // namespace
}  // namespace gpuio

int main(int count, char** words) { return gpuio::run(count, words); }
