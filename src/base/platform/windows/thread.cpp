#include "base/platform/thread.hpp"

#include <windows.h>

#include <algorithm>
#include <system_error>

#include "base/platform/windows/error.hpp"

namespace gpuio {
namespace {

// Windows 10 has it, the headers of mingw-w64 do not.
void name_this_thread(const std::string& name) {
  using Describe = HRESULT(WINAPI*)(HANDLE, PCWSTR);
  static const auto describe = reinterpret_cast<Describe>(
      reinterpret_cast<void*>(::GetProcAddress(::GetModuleHandleA("kernel32"), "SetThreadDescription")));
  if (describe) (void)describe(::GetCurrentThread(), std::wstring(name.begin(), name.end()).c_str());
}

}  // namespace

Result<Thread> Thread::start(std::string name, std::function<void(std::stop_token)> body) {
  try {
    std::jthread thread([name, body = std::move(body)](std::stop_token stop) {
      name_this_thread(name);
      body(std::move(stop));
    });
    return Thread(std::move(thread));
  } catch (const std::system_error& refused) {
    return fail(system_error(refused.code().value(), "starting thread " + name));
  }
}

Status set_this_thread_priority(ThreadPriority priority) {
  const int level = priority == ThreadPriority::realtime ? THREAD_PRIORITY_TIME_CRITICAL
                    : priority == ThreadPriority::high   ? THREAD_PRIORITY_HIGHEST
                                                         : THREAD_PRIORITY_NORMAL;
  if (::SetThreadPriority(::GetCurrentThread(), level)) return {};
  return windows_error(::GetLastError(), "setting this thread's priority");
}

Status pin_this_thread(std::span<const int> cpus) {
  if (cpus.empty()) return error(Code::invalid_arg, "pinning a thread to no processor; name at least one");
  DWORD_PTR mask = 0;
  for (const int cpu : cpus) {
    if (cpu < 0 || cpu >= int(8 * sizeof mask))
      return error(Code::invalid_arg, "processor {} does not exist; numbers go from 0 to {}", cpu,
                   8 * sizeof mask - 1);
    mask |= DWORD_PTR{1} << cpu;
  }
  if (::SetThreadAffinityMask(::GetCurrentThread(), mask)) return {};
  return error(
      Code::invalid_arg,
      "some of the processors of mask {:#x} are not there or not allowed; usable_cpus() lists those that are",
      mask);
}

Result<std::vector<int>> usable_cpus() {
  DWORD_PTR process = 0, system = 0;
  if (!::GetProcessAffinityMask(::GetCurrentProcess(), &process, &system))
    return fail(windows_error(::GetLastError(), "listing the processors of this process"));
  std::vector<int> cpus;
  for (int cpu = 0; cpu < int(8 * sizeof process); ++cpu)
    if (process >> cpu & 1) cpus.push_back(cpu);
  return cpus;
}

WaitResult wait_on_word(const std::atomic<uint32_t>& word, uint32_t expected, uint64_t timeout_ns) {
  constexpr uint64_t kMillisecondNs = 1'000'000;
  if (word.load() != expected) return WaitResult::changed;
  // Rounded up: who sleeps a little longer has not been woken too early.
  const DWORD timeout_ms =
      timeout_ns == kWaitForeverNs
          ? INFINITE
          : DWORD(std::min<uint64_t>((timeout_ns + kMillisecondNs - 1) / kMillisecondNs, INFINITE - 1));
  if (::WaitOnAddress(const_cast<std::atomic<uint32_t>*>(&word), &expected, sizeof expected, timeout_ms))
    return WaitResult::woken;
  return ::GetLastError() == ERROR_TIMEOUT ? WaitResult::timeout : WaitResult::woken;
}

void wake_one(const std::atomic<uint32_t>& word) {
  ::WakeByAddressSingle(const_cast<std::atomic<uint32_t>*>(&word));
}
void wake_all(const std::atomic<uint32_t>& word) {
  ::WakeByAddressAll(const_cast<std::atomic<uint32_t>*>(&word));
}

}  // namespace gpuio
