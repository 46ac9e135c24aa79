// Threads with names, asked-for priorities and places, and waiting on a word of memory.
//
// Thread joins when destroyed, after asking its function to stop; what the function waits on is its owner's
// to wake. The functions about "this thread" act on the caller. Errors: a refusal is a Status, never fatal:
// the caller reports it and goes on at the priority it has.
//
//   auto service = Thread::start("gpuio-service", [&](std::stop_token stop) { serve(stop); });
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/status.hpp"

namespace gpuio {

class Thread {
 public:
  Thread() = default;
  // `name` as debuggers show it, cut to the 15 bytes that Linux keeps. nomem or busy when none can be had.
  static Result<Thread> start(std::string name, std::function<void(std::stop_token)> body);

  bool joinable() const { return thread_.joinable(); }
  void request_stop() { thread_.request_stop(); }
  void join() { thread_.join(); }

 private:
  explicit Thread(std::jthread thread) : thread_(std::move(thread)) {}
  std::jthread thread_;
};

enum class ThreadPriority {
  normal,
  high,     // a larger share than other ordinary threads
  realtime  // before all ordinary threads: for a thread that serves waiting kernels and sleeps when idle
};

Status set_this_thread_priority(ThreadPriority priority);
// Runs this thread on the given processors only.
Status pin_this_thread(std::span<const int> cpus);
// The processors this thread may run on.
Result<std::vector<int>> usable_cpus();

enum class WaitResult {
  woken,    // by wake_*, by a signal or for no reason: look at the word again
  changed,  // the word did not hold `expected`
  timeout
};
inline constexpr uint64_t kWaitForeverNs = ~uint64_t{0};

// Sleeps while `word` holds `expected`, until woken or `timeout_ns` has passed; within this process. The
// check and the going to sleep are one step, so a waker that changes the word first is never missed.
WaitResult wait_on_word(const std::atomic<uint32_t>& word, uint32_t expected, uint64_t timeout_ns);
void wake_one(const std::atomic<uint32_t>& word);
void wake_all(const std::atomic<uint32_t>& word);

// Between two looks of a spin: eases the core's other thread and the memory bus.
inline void relax_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

// Before going to sleep: looks for a while at what another thread is about to say. To be woken takes some
// 5 us, and ten times as long on a processor that has gone idle, above all a virtual one; longer than that is
// no gain where the other thread waits for this very processor.
template <class Ready>
void look_a_while(const Ready& ready, uint64_t at_most_ns = 5'000) {
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + std::chrono::nanoseconds(std::min<uint64_t>(at_most_ns, 5'000));
  while (!ready() && steady_clock::now() < end) relax_cpu();
}

}  // namespace gpuio
