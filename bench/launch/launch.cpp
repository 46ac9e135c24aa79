// What gpuio adds to the launch of a kernel that is loaded already: launch and wait through a stream, minus
// the same by hand. On Vulkan by hand means the driver's calls; on the CPU it means handing a job to a thread
// that sleeps.
#include <gpuio/kernel.hpp>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/clock.hpp"
#include "bench/launch/driver.hpp"
#include "bench/report.hpp"
#include "gpu/cpu/cpu.hpp"
#include "launch/compile.hpp"

namespace gpuio::bench {
namespace {

constexpr auto nothing = kernel::kernel<"nothing", 32>([](kernel::Ctx) {});

// Microseconds of one, the median of many: others use this machine too.
double median_us(std::uint32_t times, auto one) {
  std::vector<double> us;
  for (std::uint32_t i = 0; i < times; ++i) {
    const std::uint64_t from = SteadyClock().now_ns();
    one();
    us.push_back(double(SteadyClock().now_ns() - from) / 1e3);
  }
  std::ranges::nth_element(us, us.begin() + std::ptrdiff_t(us.size() / 2));
  return us[us.size() / 2];
}

// A thread that runs one job at a time and sleeps between them.
class Worker {
 public:
  void run() {
    std::unique_lock hold(lock_);
    ++asked_;
    changed_.notify_all();
    changed_.wait(hold, [&] { return done_ == asked_; });
  }
  ~Worker() {
    {
      const std::lock_guard hold(lock_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

 private:
  void work() {
    std::unique_lock hold(lock_);
    for (;;) {
      changed_.wait(hold, [&] { return stopping_ || done_ != asked_; });
      if (stopping_) return;
      done_ = asked_;
      changed_.notify_all();
    }
  }
  std::mutex lock_;
  std::condition_variable changed_;
  std::uint64_t asked_ = 0, done_ = 0;
  bool stopping_ = false;
  std::thread thread_{[this] { work(); }};  // last: it uses the rest
};

void measure(Report& report, const std::string& name, gpu::Device& device,
             const std::function<void(const gpu::Kernel&)>& by_hand) {
  auto loaded = launch::load(device, nothing.view());
  if (!loaded) die(loaded.error().message());
  auto stream = device.stream();
  if (!stream) die(stream.error().message());
  const auto ours = [&] {
    if (Status s = (*stream)->launch(**loaded, {}, {}); !s) die(s.message());
    if (Status s = (*stream)->wait((*stream)->last(), 10'000'000'000); !s) die(s.message());
  };
  const std::uint32_t times = report.smoke() ? 20 : 400;
  Case& whole = report.add(name + ": launch and wait", "us", Better::less);
  whole.sample(report, {{"ours", [&] { return median_us(times, ours); }},
                        {"by hand", [&] { return median_us(times, [&] { by_hand(**loaded); }); }}});
  Case& added = report.add(name + ": what gpuio adds", "us", Better::less);
  added.limit(10);
  for (std::size_t i = 0; i < whole.samples("ours").size(); ++i)
    added.add("ours", whole.samples("ours")[i] - whole.samples("by hand")[i]);
}

int run(int count, char** words) {
  Report report(count, words);
  auto cpu = gpu::cpu::open({});
  if (!cpu) die(cpu.error().message());
  Worker worker;
  measure(report, "cpu", **cpu, [&](const gpu::Kernel&) { worker.run(); });
  if (auto vulkan = open_vulkan())
    measure(report, vulkan->device->info().name, *vulkan->device, vulkan->launch_and_wait);
  else report.not_measured("vulkan", vulkan.error().message());
  return report.print();
}

}  // namespace
}  // namespace gpuio::bench

int main(int count, char** words) { return gpuio::bench::run(count, words); }
