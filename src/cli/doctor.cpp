#include "cli/doctor.hpp"

#include <fmt/format.h>
#include <liburing.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/platform/file.hpp"
#include "base/platform/thread.hpp"
#include "base/text.hpp"
#include "cli/devices.hpp"

namespace gpuio::cli {
namespace {

using Level = Finding::Level;

std::string first_line(const char* path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

Finding kernel() {
  utsname name{};
  uname(&name);
  return {"kernel", Level::good, fmt::format("{} {} ({})", name.sysname, name.release, name.machine), ""};
}

Finding io_uring_works() {
  io_uring ring{};
  const int r = io_uring_queue_init(8, &ring, 0);
  if (r == 0) {
    io_uring_queue_exit(&ring);
    return {"io_uring", Level::good, "works", ""};
  }
  const std::string setting = first_line("/proc/sys/kernel/io_uring_disabled");
  return {"io_uring", Level::could_be_better, fmt::format("refused: {}", std::strerror(-r)),
          setting.empty() || setting == "0"
              ? "files are read by threads instead; a container's seccomp profile often forbids io_uring: "
                "allow it"
              : fmt::format(
                    "kernel.io_uring_disabled is {}: `sysctl kernel.io_uring_disabled=0`; files are read by "
                    "threads until then",
                    setting)};
}

Finding huge_pages() {
  std::ifstream in("/proc/meminfo");
  std::string line;
  std::uint64_t free = 0;
  while (std::getline(in, line)) std::sscanf(line.c_str(), "HugePages_Free: %lu", &free);
  if (free) return {"huge pages", Level::good, fmt::format("{} free", free), ""};
  return {
      "huge pages", Level::could_be_better, "none reserved",
      "pools on huge pages make 1 MiB direct reads up to 1.75 times faster: `sysctl vm.nr_hugepages=512`"};
}

Finding locked_memory() {
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) return {"locked memory", Level::good, "unlimited", ""};
  const std::string found = format_size(limit.rlim_cur);
  if (geteuid() == 0 || limit.rlim_cur >= (std::uint64_t{1} << 30))
    return {"locked memory", Level::good, geteuid() == 0 ? found + " (root is not held to it)" : found, ""};
  return {"locked memory", Level::could_be_better, found,
          "large caches cannot be pinned: raise memlock in /etc/security/limits.conf, or LimitMEMLOCK= of "
          "the service"};
}

// In a thread of its own, so that this one keeps its priority.
Finding realtime() {
  Status status;
  std::thread([&] { status = set_this_thread_priority(ThreadPriority::realtime); }).join();
  if (status.ok()) return {"real-time priority", Level::good, "allowed", ""};
  return {"real-time priority", Level::could_be_better, status.message(),
          "the thread that answers waiting kernels competes with all others: `setcap cap_sys_nice+ep` on the "
          "program, "
          "or rtprio in limits.conf"};
}

Finding direct_io(const std::string& path) {
  const std::string name = fmt::format("direct IO on {}", path);
  struct stat status{};
  if (stat(path.c_str(), &status) != 0)
    return {name, Level::missing, std::strerror(errno), "name a file or folder that exists"};
  auto file = S_ISDIR(status.st_mode) ? File::unnamed(path) : File::open(path, OpenFlags::read);
  if (!file)
    return {name, Level::missing, file.error().message(), "name one that you may read (a folder: write)"};
  auto info = file->info();
  if (!info) return {name, Level::missing, info.error().message(), "try another file system"};
  if (info->direct_offset_align == 0)
    return {name, Level::could_be_better, "the file system has none",
            "reads go through the page cache; keep large data on ext4, xfs or a block device"};
  return {name, Level::good,
          fmt::format("{}, offsets in multiples of {}, memory of {}",
                      info->direct_known ? "possible" : "probably possible", info->direct_offset_align,
                      info->direct_memory_align),
          ""};
}

Finding backend(const DeviceProbe& probe) {
  if (probe.devices.empty()) return {probe.backend, Level::could_be_better, "no device", probe.reason};
  std::string names;
  for (const auto& d : probe.devices) names += (names.empty() ? "" : ", ") + d.name + " (" + d.driver + ")";
  for (const auto& d : probe.devices)
    if (!d.kernel_io.available) return {probe.backend, Level::could_be_better, names, d.kernel_io.reason};
  return {probe.backend, Level::good, names, ""};
}

}  // namespace

std::vector<Finding> examine(const std::string& path) {
  std::vector<Finding> findings = {kernel(),     io_uring_works(), direct_io(path.empty() ? "." : path),
                                   huge_pages(), locked_memory(),  realtime()};
  for (const DeviceProbe& probe : probe_devices()) findings.push_back(backend(probe));
  return findings;
}

int run_doctor(const std::string& path, bool json) {
  const auto findings = examine(path);
  bool missing = false;
  nlohmann::json out = nlohmann::json::array();
  for (const Finding& f : findings) {
    missing |= f.level == Finding::missing;
    static const char* const kWords[] = {"ok", "could be better", "missing"};
    if (json) {
      out.push_back({{"name", f.name}, {"level", kWords[f.level]}, {"found", f.found}, {"remedy", f.remedy}});
    } else {
      static const char* const kMarks[] = {"ok", "--", "!!"};
      fmt::print("{} {:<20} {}\n", kMarks[f.level], f.name, f.found);
      if (!f.remedy.empty()) fmt::print("   {:<20} > {}\n", "", f.remedy);
    }
  }
  if (json) fmt::print("{}\n", nlohmann::json{{"findings", out}}.dump(2));
  return missing ? 1 : 0;
}

}  // namespace gpuio::cli
