#include "cli/kernel/commands.hpp"

#include <gpuio/kernel/hash.hpp>
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/serialize.hpp>
#include <gpuio/kernel/spirv.hpp>

#include <nlohmann/json.hpp>

#include "base/platform/file.hpp"
#include "cli/kernel/forms.hpp"
#include "cli/kernel/shipped.hpp"
#include "cli/kernel/text.hpp"
#include "launch/constant.hpp"
#include "launch/embedded.hpp"

namespace gpuio::cli {
namespace {

using json = nlohmann::ordered_json;
constexpr std::uint32_t kStandardSm = 90;
constexpr std::uint32_t kPortableSm = 75;  // of a file, if the kernel needs no newer: the driver compiles it

int failed(const KernelOptions& options, const Status& status) {
  if (options.json) fmt::print("{}\n", json{{"error", status.message()}}.dump());
  fmt::print(stderr, "gpuio: {}\n", status.message());
  return 1;
}

std::string hash_text(const kernel::View& k) { return fmt::format("{:016x}", kernel::canonical_hash(k)); }

json parameters(const kernel::View& k) {
  json all = json::array();
  for (const kernel::Param& p : k.params)
    all.push_back({{"kind", kind_name(p.kind)}, {"type", type_name(p.type)}, {"count", p.count}});
  return all;
}

json constants(const kernel::View& k) {
  json all = json::array();
  for (const kernel::Constant& c : k.constants)
    all.push_back({{"name", c.name},
                   {"type", type_name(c.type)},
                   {"value", launch::text_of(c.type, c.value)},
                   {"least", launch::text_of(c.type, c.least)},
                   {"most", launch::text_of(c.type, c.most)}});
  return all;
}

json described(const kernel::View& k) {
  return {{"name", k.name},
          {"workgroup", k.block},
          {"parameters", parameters(k)},
          {"constants", constants(k)},
          {"operations", k.insts.size()},
          {"shared_bytes", kernel::shared_bytes(k)},
          {"on_demand", on_demand(k)},
          {"marks", marks_of(k)},
          {"hash", hash_text(k)}};
}

// Does `body` for each kernel that was named; the first error ends it.
template <class Body>
int each(const KernelOptions& options, Body&& body) {
  json out = json::array();
  int status = 0;
  for (const std::string& name : options.kernels) {
    auto source = open_kernel(name, options.constants);
    if (!source) return failed(options, source.error());
    json j;
    if (Status s = body(source->program.view(), j, status); !s) return failed(options, s);
    out.push_back(std::move(j));
  }
  if (options.json) fmt::print("{}\n", (out.size() == 1 ? out[0] : out).dump(2));
  return status;
}

struct Numbers {
  json j;
  std::string line;
};

// Of one form: its operations, and what its texts come to.
Result<Numbers> numbers_of(const Form& form, std::uint32_t sm) {
  const kernel::View k = form.program.view();
  const auto words = kernel::emit_spirv(k);  // none where Vulkan cannot have it
  auto ptx = ptx_of(k, sm);
  if (!ptx) return fail(std::move(ptx).error());
  Numbers n;
  n.j = {
      {"operations", k.insts.size()}, {"spirv_words", words.size()}, {"ptx_bytes", ptx->size()}, {"sm", sm}};
  n.line = fmt::format("{:<6} {:>6} operations  SPIR-V {:>6} words  PTX {:>7} bytes", form.way,
                       k.insts.size(), words.size(), ptx->size());
  auto assembled = assemble(*ptx, sm);
  if (!assembled && assembled.error().code() != Code::not_found) return fail(std::move(assembled).error());
  if (assembled) {
    n.j["registers"] = assembled->registers;
    n.j["stack_bytes"] = assembled->stack_bytes;
    n.j["spill_bytes"] = assembled->spill_bytes;
    n.line += fmt::format("  sm_{}: {} registers, {} bytes spilled", sm, assembled->registers,
                          assembled->spill_bytes);
  } else {
    n.j["registers"] = nullptr;
    n.line += "  registers unknown: ptxas is not in PATH";
  }
  return n;
}

Result<std::vector<kernel::u32>> spirv_of(const kernel::View& k) {
  if (const kernel::SpirvRefusal r = kernel::spirv_refusal(k); !r.what.empty())
    return fail(Code::unsupported, "SPIR-V of kernel {}, line {}: {}", k.name, r.line, r.what);
  return kernel::emit_spirv(k);
}

// What export writes: by the name of the file SPIR-V or PTX, with the IR embedded, else the IR.
Result<std::vector<kernel::u8>> file_of(const Source& source, const std::string& file) {
  const bool spirv = file.ends_with(".spv"), ptx = file.ends_with(".ptx");
  if (!spirv && !ptx) return source.bytes;
  const kernel::View k = source.program.view();
  if (on_demand(k))
    return fail(
        Code::unsupported,
        "{}: kernel {} has on-demand arrays, which the library lowers for the cache at hand: write its "
        "IR, to a file with another ending",
        file, k.name);
  const auto bytes_of = [](const auto& text) {
    const auto* data = reinterpret_cast<const kernel::u8*>(text.data());
    return std::vector<kernel::u8>(data, data + text.size() * sizeof text[0]);
  };
  if (spirv) {
    auto words = spirv_of(k);
    if (!words) return fail(std::move(words).error());
    return bytes_of(launch::embed(*words, source.bytes));
  }
  auto text = ptx_of(k, std::max(kPortableSm, kernel::min_sm(k)));
  if (!text) return fail(std::move(text).error());
  return bytes_of(launch::embed(*text, source.bytes));
}

struct Finding {
  std::string what;  // "verifier", "yield: ptxas sm_90"
  Status status;
  bool skipped() const { return status.code() == Code::not_found; }
};

std::vector<Finding> findings_of(const kernel::View& k, const KernelOptions& options, std::uint32_t sm) {
  std::vector<Finding> all;
  const kernel::VerifyResult r = kernel::verify(k, {.races = !options.unchecked_races});
  all.push_back({"verifier", r.ok() ? Status() : error(Code::invalid_arg, "{}", kernel::message(r))});
  if (!r.ok()) return all;
  for (const char* way : {"yield", "wait"}) {
    if (!options.miss.empty() && options.miss != way) continue;
    if (!on_demand(k) && std::string_view(way) == "wait") continue;
    auto forms = forms_of(k, on_demand(k) ? way : "");
    const std::string name = on_demand(k) ? way : "plain";
    if (!forms) {
      all.push_back({name, std::move(forms).error()});
      continue;
    }
    const kernel::View form = forms->at(0).program.view();
    auto ptx = ptx_of(form, sm);
    all.push_back({fmt::format("{}: ptxas for sm_{}", name, sm), [&]() -> Status {
                     if (!ptx) return ptx.error();
                     auto assembled = assemble(*ptx, sm);
                     return assembled ? Status() : std::move(assembled).error();
                   }()});
    if (kernel::spirv_refusal(form).what.empty())
      all.push_back({name + ": spirv-val", validate(kernel::emit_spirv(form))});
  }
  return all;
}

}  // namespace

int kernel_list(const KernelOptions& options) {
  json out = json::array();
  for (const Shipped& s : shipped_kernels()) {
    const kernel::View k = s.program.view();
    json j = described(k);
    j["text"] = s.text;
    out.push_back(std::move(j));
    if (!options.json)
      fmt::print("{:<18} {:>4} operations, {:>4} lanes  {}\n", k.name, k.insts.size(), k.lanes(), s.text);
    for (const std::string& mark : marks_of(k))
      if (!options.json) fmt::print("{:<18} {}\n", "", mark);
  }
  if (options.json) fmt::print("{}\n", out.dump(2));
  return 0;
}

int kernel_export(const KernelOptions& options) {
  auto source = open_kernel(options.kernels.at(0), options.constants);
  if (!source) return failed(options, source.error());
  auto bytes = file_of(*source, options.file);
  if (!bytes) return failed(options, bytes.error());
  auto file = File::open(options.file, OpenFlags::write | OpenFlags::create | OpenFlags::truncate);
  if (!file) return failed(options, file.error());
  Status s = file->write_at(std::as_bytes(std::span(*bytes)), 0);
  if (s) s = file->close();
  if (!s) return failed(options, s);
  if (options.json) fmt::print("{}\n", json{{"file", options.file}, {"bytes", bytes->size()}}.dump(2));
  else fmt::print("{}: {} bytes\n", options.file, bytes->size());
  return 0;
}

int kernel_dump(const KernelOptions& options) {
  return each(options, [&](const kernel::View& k, json& j, int&) -> Status {
    j["name"] = k.name;
    if (!options.sm && !options.spirv) {
      if (!options.miss.empty())
        return error(Code::invalid_arg, "--miss {}: give --sm or --spirv with it", options.miss);
      j["form"] = "ir";
      j["text"] = ir_text(k);
      if (!options.json) fmt::print("{}", j["text"].get_ref<const std::string&>());
      return {};
    }
    // Both ways at once would be two texts; what `auto` takes today is one.
    auto forms = forms_of(k, options.miss.empty() && on_demand(k) ? "yield" : options.miss);
    if (!forms) return std::move(forms).error();
    const kernel::View form = forms->at(0).program.view();
    j["miss"] = forms->at(0).way;
    if (options.sm) {
      auto text = ptx_of(form, options.sm);
      if (!text) return std::move(text).error();
      j["form"] = "ptx";
      j["sm"] = options.sm;
      j["text"] = std::move(*text);
      if (!options.json) fmt::print("{}", j["text"].get_ref<const std::string&>());
      return {};
    }
    auto made = spirv_of(form);
    if (!made) return std::move(made).error();
    const auto& words = *made;
    j["form"] = "spirv";
    if (options.json) j["words"] = words;
    auto text = disassemble(words);
    if (!text && text.error().code() != Code::not_found) return std::move(text).error();
    if (text) j["text"] = *text;
    if (options.json) return {};
    if (text) fmt::print("{}", *text);
    for (std::size_t n = 0; !text && n < words.size(); ++n)
      fmt::print("{:08x}{}", words[n], n % 8 == 7 || n + 1 == words.size() ? "\n" : " ");
    return {};
  });
}

int kernel_stats(const KernelOptions& options) {
  const std::uint32_t sm = options.sm ? options.sm : kStandardSm;
  return each(options, [&](const kernel::View& k, json& j, int&) -> Status {
    j = described(k);
    auto forms = forms_of(k, options.miss);
    if (!forms) return std::move(forms).error();
    if (!options.json)
      fmt::print("{}: {} operations, {} lanes, {} parameters, {} vars, {} bytes shared, hash {}\n", k.name,
                 k.insts.size(), k.lanes(), k.params.size(), k.vars.size(), kernel::shared_bytes(k),
                 hash_text(k));
    for (const std::string& mark : marks_of(k))
      if (!options.json) fmt::print("  {}\n", mark);
    for (const Form& form : *forms) {
      auto numbers = numbers_of(form, sm);
      if (!numbers) return std::move(numbers).error();
      j["forms"][form.way] = numbers->j;
      if (!options.json) fmt::print("  {}\n", numbers->line);
    }
    return {};
  });
}

int kernel_check(const KernelOptions& options) {
  const std::uint32_t sm = options.sm ? options.sm : kStandardSm;
  return each(options, [&](const kernel::View& k, json& j, int& status) -> Status {
    if (!options.miss.empty() && options.miss != "yield" && options.miss != "wait")
      return error(Code::invalid_arg, "--miss {}: write yield or wait", options.miss);
    j["name"] = k.name;
    j["marks"] = marks_of(k);
    for (const std::string& mark : marks_of(k))
      if (!options.json) fmt::print("{}: {}\n", k.name, mark);
    bool right = true;
    for (const Finding& f : findings_of(k, options, sm)) {
      const bool bad = !f.status && !f.skipped();
      right = right && !bad;
      const char* answer = f.status ? "right" : bad ? "wrong" : "skipped";
      j["checks"].push_back({{"what", f.what}, {"answer", answer}, {"message", f.status.message()}});
      if (!options.json)
        fmt::print("{}: {}: {}{}{}\n", k.name, f.what, answer, f.status ? "" : ": ", f.status.message());
    }
    j["right"] = right;
    if (!right) status = 1;
    return {};
  });
}

}  // namespace gpuio::cli
