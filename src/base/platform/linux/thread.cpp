#include "base/platform/thread.hpp"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <system_error>

#include "base/platform/system_error.hpp"

namespace gpuio {
namespace {

constexpr size_t kNameMax = 15;
constexpr int kHighNice = -10;

long futex(const std::atomic<uint32_t>& word, int operation, uint32_t value, const timespec* timeout) {
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
  return ::syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, value, timeout, nullptr, 0);
}

}  // namespace

Result<Thread> Thread::start(std::string name, std::function<void(std::stop_token)> body) {
  try {
    std::jthread thread([name, body = std::move(body)](std::stop_token stop) {
      ::pthread_setname_np(::pthread_self(), name.substr(0, kNameMax).c_str());
      body(std::move(stop));
    });
    return Thread(std::move(thread));
  } catch (const std::system_error& refused) {
    return fail(system_error(refused.code().value(), "starting thread " + name));
  }
}

Status set_this_thread_priority(ThreadPriority priority) {
  const bool realtime = priority == ThreadPriority::realtime;
  sched_param param = {};
  param.sched_priority = realtime ? ::sched_get_priority_min(SCHED_FIFO) : 0;
  // Threads that this one starts begin at the ordinary priority again.
  const int policy = (realtime ? SCHED_FIFO : SCHED_OTHER) | SCHED_RESET_ON_FORK;
  if (::sched_setscheduler(0, policy, &param) != 0) {
    if (errno == EPERM && realtime)
      return error(
          Code::permission,
          "real-time priority was refused (EPERM); raise the limit (ulimit -r, RLIMIT_RTPRIO) or grant "
          "CAP_SYS_NICE");
    return system_error(errno, "setting this thread's priority");
  }
  if (realtime) return {};
  const int nice = priority == ThreadPriority::high ? kHighNice : 0;
  const auto self = static_cast<id_t>(::syscall(SYS_gettid));  // a thread's own niceness is a Linux extension
  if (::setpriority(PRIO_PROCESS, self, nice) == 0) return {};
  return error(system_error_code(errno == EACCES ? EPERM : errno),
               "niceness {} was refused ({}); raise the limit (ulimit -e, RLIMIT_NICE) or grant CAP_SYS_NICE",
               nice, strerrorname_np(errno));
}

Status pin_this_thread(std::span<const int> cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpus.empty()) return error(Code::invalid_arg, "pinning a thread to no processor; name at least one");
  std::string names;
  for (int cpu : cpus) {
    if (cpu < 0 || cpu >= CPU_SETSIZE)
      return error(Code::invalid_arg, "processor {} does not exist; numbers go from 0 to {}", cpu,
                   CPU_SETSIZE - 1);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    names += (names.empty() ? "" : ",") + std::to_string(cpu);
  }
  if (::sched_setaffinity(0, sizeof set, &set) == 0) return {};
  if (errno == EINVAL)
    return error(Code::invalid_arg,
                 "none of the processors {} is there and allowed; usable_cpus() lists those that are", names);
  return system_error(errno, "pinning a thread to processors " + names);
}

Result<std::vector<int>> usable_cpus() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0)
    return fail(system_error(errno, "listing the processors of this thread"));
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
  return cpus;
}

WaitResult wait_on_word(const std::atomic<uint32_t>& word, uint32_t expected, uint64_t timeout_ns) {
  constexpr uint64_t kSecondNs = 1'000'000'000;
  const timespec timeout = {.tv_sec = static_cast<time_t>(timeout_ns / kSecondNs),
                            .tv_nsec = static_cast<long>(timeout_ns % kSecondNs)};
  if (futex(word, FUTEX_WAIT, expected, timeout_ns == kWaitForeverNs ? nullptr : &timeout) == 0)
    return WaitResult::woken;
  if (errno == EAGAIN) return WaitResult::changed;
  return errno == ETIMEDOUT ? WaitResult::timeout : WaitResult::woken;
}

void wake_one(const std::atomic<uint32_t>& word) { futex(word, FUTEX_WAKE, 1, nullptr); }
void wake_all(const std::atomic<uint32_t>& word) { futex(word, FUTEX_WAKE, INT_MAX, nullptr); }

}  // namespace gpuio
