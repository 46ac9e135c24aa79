// The gpuio tool.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <csignal>
#include <functional>
#include <string>

#include "base/text.hpp"
#include "cli/bench/kernels.hpp"
#include "cli/demo.hpp"
#include "cli/doctor.hpp"
#include "cli/info.hpp"
#include "cli/kernel/commands.hpp"

namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

// A first interrupt lets what runs end cleanly; a second ends the process.
void on_interrupt(int) {
  if (interrupted.exchange(true)) std::_Exit(130);
}

void size_option(CLI::App& app, const std::string& name, std::uint64_t& value, const std::string& text) {
  app.add_option_function<std::string>(
         name,
         [&value](const std::string& written) {
           auto size = gpuio::parse_size(written);
           if (!size) throw CLI::ValidationError(size.error().message());
           value = *size;
         },
         text + " (" + gpuio::format_size(value) + ")")
      ->type_name("SIZE");
}

void run_options(CLI::App& app, gpuio::cli::DemoOptions& o) {
  app.add_option("--device", o.device, "cpu, vulkan or cuda")->capture_default_str();
  app.add_option("--mode", o.mode, "how a miss is met: wait, yield, or auto")->capture_default_str();
  size_option(app, "--cache", o.cache_bytes, "memory for pages");
  size_option(app, "--page", o.page_bytes, "bytes of a page, a power of two");
  app.add_flag("--json", o.json, "print one JSON object");
}

void kernel_commands(CLI::App& app, gpuio::cli::KernelOptions& o, int& status) {
  using namespace gpuio::cli;
  CLI::App* kernel = app.add_subcommand("kernel", "kernels that come with gpuio, and serialized ones");
  kernel->require_subcommand(1);
  const auto add = [&](const char* name, const char* text, int (*run)(const KernelOptions&), bool named) {
    CLI::App* sub = kernel->add_subcommand(name, text);
    sub->add_flag("--json", o.json, "print JSON");
    if (std::string_view(name) != "list")
      sub->add_option("--set", o.constants, "NAME=VALUE: a specialization constant")->allow_extra_args(false);
    if (named) sub->add_option("KERNEL", o.kernels, "a name that `list` shows, or a file")->required();
    sub->callback([&, run] { status = run(o); });
    return sub;
  };
  const auto forms = [&](CLI::App* sub, const char* sm) {
    sub->add_option("--sm", o.sm, sm)->check(CLI::Range(70u, 999u));
    sub->add_option("--miss", o.miss, "how its on-demand accesses are lowered: yield or wait");
  };
  add("list", "those that come with gpuio", kernel_list, false);
  CLI::App* out = add("export", "write a kernel for gpuio_kernel_load", kernel_export, false);
  out->add_option_function<std::string>(
         "KERNEL", [&](const std::string& name) { o.kernels = {name}; },
         "a name that `list` shows, or a file")
      ->required();
  out->add_option("FILE", o.file, "what to write: .spv and .ptx hold the IR too")->required();
  CLI::App* dump = add("dump", "the IR of a kernel, or what a device gets", kernel_dump, true);
  forms(dump, "PTX for this compute capability, as 90");
  dump->add_flag("--spirv", o.spirv, "SPIR-V, as text where spirv-dis is in PATH")->excludes("--sm");
  forms(add("stats", "operations, memory, and registers where ptxas is in PATH", kernel_stats, true),
        "of these registers (90)");
  CLI::App* check =
      add("check", "the verifier, and ptxas and spirv-val where they are in PATH", kernel_check, true);
  forms(check, "what ptxas assembles for (90)");
  check->add_flag("--unchecked-races", o.unchecked_races, "its author answers for races in shared memory");
}

void bench_commands(CLI::App& app, gpuio::cli::BenchOptions& o, int& status) {
  CLI::App* bench = app.add_subcommand("bench", "measure what gpuio runs on this machine");
  bench->require_subcommand(1);
  CLI::App* sub = bench->add_subcommand(
      "kernels", "every operation on tensors, checked, beside a copy or a plain loop of the host");
  sub->add_option("--device", o.device, "cpu, vulkan or cuda, or auto: the first GPU that there is")
      ->capture_default_str();
  sub->add_option("--only", o.only, "operations by name, several times or with commas")->delimiter(',');
  sub->add_option("--size", o.size, "tiny, small, large, or auto: large on a GPU, else small")
      ->capture_default_str();
  sub->add_option("--seconds", o.seconds, "of measuring, for each size of an operation")
      ->capture_default_str();
  sub->add_flag("--json", o.json, "print one JSON object");
  sub->callback([&] { status = gpuio::cli::bench_kernels(o, interrupted); });
}

}  // namespace

int main(int argc, char** argv) {
  using namespace gpuio::cli;
  CLI::App app("gpuio: GPU kernels read anything that has an address as if it were an array", "gpuio");
  app.require_subcommand(1);
  app.set_version_flag("--version", "gpuio 1.0.0");
  int status = 0;

  bool json = false;
  CLI::App* info = app.add_subcommand("info", "devices and engines: what each can do, and why not");
  info->add_flag("--json", json, "print one JSON object");
  info->callback([&] { status = run_info(json); });

  std::string path;
  CLI::App* doctor =
      app.add_subcommand("doctor", "test this machine and name the remedy for what is missing");
  doctor->add_option("PATH", path, "file or folder to test for direct IO (default: here)");
  doctor->add_flag("--json", json, "print one JSON object");
  doctor->callback([&] { status = run_doctor(path, json); });

  CLI::App* demo = app.add_subcommand("demo", "kernels that index files, checked against a plain CPU pass");
  demo->require_subcommand(1);
  DemoOptions o;
  const auto add = [&](const char* name, const char* text,
                       std::function<int(const DemoOptions&, const std::atomic<bool>&)> run) {
    CLI::App* sub = demo->add_subcommand(name, text);
    run_options(*sub, o);
    sub->callback([&, run] { status = run(o, interrupted); });
    return sub;
  };
  CLI::App* scan = add("scan", "count every byte value of a file and find a needle", demo_scan);
  scan->add_option("FILE", o.file, "what to read")->required();
  scan->add_option("--needle", o.needle, "up to eight bytes to look for")->capture_default_str();
  CLI::App* gather = add("gather", "gather random 264-byte rows of a table that is made once", demo_gather);
  o.file = "";
  gather->add_option("--table", o.file,
                     "where the table is (default: gpuio-demo-table.bin in the temporary folder)");
  size_option(*gather, "--size", o.table_bytes, "bytes of the table");
  gather->add_option("--rows", o.rows, "how many rows to gather")->capture_default_str();
  gather->preparse_callback([&](std::size_t) {
    const char* folder = std::getenv("TMPDIR");
    o.file = std::string(folder && *folder ? folder : "/tmp") + "/gpuio-demo-table.bin";
  });
  CLI::App* reduce = add("reduce", "sum a file's blocks through shared memory and barriers", demo_reduce);
  reduce->add_option("FILE", o.file, "what to read")->required();

  KernelOptions kernels;
  kernel_commands(app, kernels, status);
  BenchOptions bench;
  bench_commands(app, bench, status);

  std::signal(SIGINT, on_interrupt);
  CLI11_PARSE(app, argc, argv);
  return status;
}
