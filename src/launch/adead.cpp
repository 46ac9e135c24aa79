#include "launch/adead.hpp"

#include <gpuio/kernel/verify.hpp>

#include <algorithm>
#include <cstring>

#include "base/text.hpp"
#include "launch/adead/parts.hpp"
#include "launch/compile.hpp"

namespace gpuio::launch {
namespace adead {
namespace {

constexpr u32 kHybridHeader = 24, kSymbolName = 32, kSymbol = kSymbolName + 4;

bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// Names are for people; one that is not text says that the lengths before it are wrong.
Status check_symbols(Reader& reader, u32 count) {
  for (u32 i = 0; i < count; ++i) {
    const u64 at = reader.offset();
    auto name = reader.take(kSymbolName, "a symbol's name");
    if (!name) return std::move(name).error();
    const auto end = std::ranges::find(*name, std::byte{0});
    const std::string_view text(reinterpret_cast<const char*>(name->data()),
                                std::size_t(end - name->begin()));
    const bool plain = std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
    if (text.empty() || !plain ||
        !std::all_of(end, name->end(), [](std::byte b) { return b == std::byte{0}; }))
      return error(Code::invalid_arg,
                   "offset {}: symbol {} is named \"{}\"; a name is 1 to 32 printable characters, then zeros",
                   at, i, printable(text));
    if (auto value = reader.number(4, "a symbol's value"); !value) return std::move(value).error();
  }
  return {};
}

Result<AdeadModule> parse_container(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  u32 fields[6] = {};  // version, flags, cpu, gpu, data, symbols
  (void)reader.take(4, "magic");
  for (u32 i = 0; i < 6; ++i) {
    auto value = reader.number(i < 2 ? 2 : 4, "the header of an AHYB container");
    if (!value) return fail(std::move(value).error());
    fields[i] = *value;
  }
  if (fields[0] != 1)
    return fail(Code::unsupported, "offset 4: version {} of the AHYB container; version 1 is known",
                fields[0]);
  const u64 total = u64{kHybridHeader} + fields[2] + fields[3] + fields[4] + u64{fields[5]} * kSymbol;
  if (total != bytes.size())
    return fail(Code::invalid_arg,
                "offset 8: the header's lengths ({} CPU, {} GPU, {} data, {} symbols) make {} bytes and the "
                "file has {}",
                fields[2], fields[3], fields[4], fields[5], total, bytes.size());
  if (fields[3] == 0)
    return fail(Code::unsupported,
                "offset 12: the container holds no GPU code; its {} bytes of CPU code are never run",
                fields[2]);
  (void)reader.take(fields[2], "CPU code");
  const u64 at = reader.offset();
  auto gpu = reader.take(fields[3], "GPU code");
  if (!gpu) return fail(std::move(gpu).error());
  (void)reader.take(fields[4], "data");
  if (Status s = check_symbols(reader, fields[5]); !s) return fail(std::move(s));
  auto module = parse_operations(Reader(*gpu, at));
  if (module) module->format = AdeadFormat::container;
  return module;
}

Result<AdeadModule> parse_registers(std::span<const std::byte> bytes, u32 count,
                                    const AdeadOptions& options) {
  if (bytes[4] != std::byte{1} || bytes[5] != std::byte{0})
    return fail(Code::unsupported,
                "offset 4: version {}, flags {} of AHYB register code; version 1, flags 0 is known",
                u32(bytes[4]), u32(bytes[5]));
  auto code = decode_registers(Reader(bytes.subspan(8), 8), count);
  if (!code) return fail(std::move(code).error());
  auto module = lower_array(*code, options);
  if (module) module->format = AdeadFormat::registers;
  return module;
}

Result<AdeadModule> parse_any(std::span<const std::byte> bytes, const AdeadOptions& options) {
  if (starts_with(bytes, "AGPU")) return parse_operations(Reader(bytes));
  if (starts_with(bytes, "AHYB")) {
    if (bytes.size() < 8)
      return fail(Code::invalid_arg, "offset 4: an AHYB header has 8 bytes and the file {}; it is truncated",
                  bytes.size());
    // The count of register code stands where a container has flags, of which none are defined.
    const u32 count = u32(bytes[6]) | u32(bytes[7]) << 8;
    return count == 0 ? parse_container(bytes) : parse_registers(bytes, count, options);
  }
  auto code = decode_accumulator(bytes);
  if (!code) return fail(std::move(code).error());
  return lower_array(*code, options);
}

}  // namespace

std::array<u32, 3> grid_of(u64 count, u32 lanes) {
  constexpr u64 kSide = 65535;  // gpu::Grid
  const u64 groups = std::max<u64>((count + lanes - 1) / lanes, 1);
  if (groups <= kSide) return {u32(groups), 1, 1};
  const u64 rows = (groups + kSide - 1) / kSide;
  if (rows <= kSide) return {u32(kSide), u32(rows), 1};
  return {u32(kSide), u32(kSide), u32(std::min((rows + kSide - 1) / kSide, kSide))};
}

}  // namespace adead

std::size_t AdeadModule::arguments() const {
  return std::size_t(std::ranges::count(buffers, false, &AdeadBuffer::scratch));
}

gpu::Grid AdeadModule::groups_for(std::uint64_t elements) const {
  const kernel::u32 lanes = steps.empty() ? adead::kLanes : steps.front().program.view().lanes();
  return {adead::grid_of(elements, lanes)};
}

Result<AdeadModule> parse_adead(std::span<const std::byte> bytes, const AdeadOptions& options) {
  auto module = adead::parse_any(bytes, options);
  if (!module) return fail(std::move(module).error().wrap("ADead-BIB program"));
  for (const AdeadStep& step : module->steps)
    if (const auto r = kernel::verify(step.program.view()); !r.ok())
      return fail(Code::general,
                  "ADead-BIB program: the kernel made of it is wrong, a mistake of gpuio's: {}",
                  kernel::message(r));
  return module;
}

Result<std::vector<std::byte>> encode_adead(
    std::span<const std::pair<std::uint8_t, std::uint8_t>> operations) {
  std::vector<std::byte> code;
  for (const auto& [op, operand] : operations) {
    if (op > 15 || operand > 15)
      return fail(Code::invalid_arg,
                  "ADead-BIB operation {}: ({}, {}); operation and operand are 0 to 15 each", code.size(), op,
                  operand);
    code.push_back(std::byte(op << 4 | operand));
  }
  return code;
}

Result<Adead> Adead::make(gpu::Device& device, const AdeadModule& module) {
  Adead out;
  out.buffers_ = module.buffers;
  out.arguments_ = module.arguments();
  for (const AdeadBuffer& b : module.buffers) {
    if (!b.scratch) continue;
    auto buffer = device.allocate(gpu::MemoryKind::device, b.bytes);
    if (!buffer) return fail(std::move(buffer).error().wrap("scratch memory of an ADead-BIB program"));
    out.scratch_.push_back(std::move(*buffer));
  }
  for (const AdeadStep& s : module.steps) {
    auto loaded = load(device, s.program.view());
    if (!loaded) return fail(std::move(loaded).error());
    out.steps_.push_back({std::move(*loaded), s.buffers, s.groups});
  }
  return out;
}

Status Adead::launch(gpu::Stream& stream, std::span<const gpu::Argument> arguments, const gpu::Grid& grid) {
  if (arguments.size() != arguments_)
    return error(Code::invalid_arg, "ADead-BIB program: {} buffers given; it takes {}", arguments.size(),
                 arguments_);
  std::vector<gpu::Argument> all;
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    if (i >= arguments_) {
      all.push_back(gpu::Argument::buffer(*scratch_[i - arguments_], 4));
      continue;
    }
    if (arguments[i].count < buffers_[i].bytes / 4)
      return error(Code::invalid_arg, "ADead-BIB program, buffer {}: {} elements given; it uses {}", i,
                   arguments[i].count, buffers_[i].bytes / 4);
    all.push_back(arguments[i]);
  }
  std::vector<gpu::Argument> mine;
  for (const Step& step : steps_) {
    mine.clear();
    for (const std::uint32_t b : step.buffers) mine.push_back(all[b]);
    const gpu::Grid groups = step.groups[0] == 0 ? grid : gpu::Grid{step.groups};
    if (Status s = stream.launch(*step.kernel, groups, mine); !s) return s;
  }
  return {};
}

}  // namespace gpuio::launch
