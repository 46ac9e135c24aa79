// The gpuio tool.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <csignal>
#include <functional>
#include <string>

#include "base/text.hpp"
#include "cli/demo.hpp"
#include "cli/doctor.hpp"
#include "cli/info.hpp"

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

  std::signal(SIGINT, on_interrupt);
  CLI11_PARSE(app, argc, argv);
  return status;
}
