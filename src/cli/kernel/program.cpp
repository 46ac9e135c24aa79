#include "cli/kernel/program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/clock.hpp"
#include "base/platform/system_error.hpp"

extern char** environ;

namespace gpuio::cli {
namespace {

constexpr std::uint64_t kTimeoutNs = 60'000'000'000;
constexpr std::size_t kOutputMax = 64 << 20;

// Everything that comes until the other end is closed; false when time is up.
bool drain(int from, std::string& output) {
  const std::uint64_t end_ns = SteadyClock().now_ns() + kTimeoutNs;
  char piece[65536];
  for (;;) {
    const std::uint64_t now_ns = SteadyClock().now_ns();
    if (now_ns >= end_ns || output.size() > kOutputMax) return false;
    pollfd ready{from, POLLIN, 0};
    const int n = poll(&ready, 1, static_cast<int>((end_ns - now_ns) / 1'000'000 + 1));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n == 0 ? false : true;
    const ssize_t got = read(from, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    output.append(piece, static_cast<std::size_t>(got));
  }
}

}  // namespace

Result<Ran> run_program(const std::vector<std::string>& arguments) {
  const std::string& name = arguments.at(0);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail(system_error(errno, "a pipe for " + name));
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  pid_t child = -1;
  const int refused = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (refused) {
    close(ends[0]);
    if (refused == ENOENT) return fail(Code::not_found, "{} is not in PATH", name);
    return fail(system_error(refused, "running " + name));
  }
  Ran ran;
  const bool ended = drain(ends[0], ran.output);
  close(ends[0]);
  if (!ended) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) return fail(Code::timeout, "{} did not end within {} s", name, kTimeoutNs / 1'000'000'000);
  ran.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

}  // namespace gpuio::cli
