#include "cli/kernel/shipped.hpp"

#include <gpuio/kernel/lower.hpp>
#include <gpuio/kernel/serialize.hpp>

#include <algorithm>
#include <cstring>

#include "base/platform/file.hpp"
#include "base/text.hpp"
#include "cli/demo_kernels.hpp"
#include "launch/adead/kernels.hpp"
#include "launch/constant.hpp"
#include "launch/embedded.hpp"
#include "launch/shipped.hpp"

namespace gpuio::cli {
namespace {

using namespace launch::adead;
constexpr std::uint64_t kFileBytesMax = 64 << 20;

kernel::Program matmul(u64 n) {
  return contraction({.rows = n,
                      .columns = n,
                      .depth = n,
                      .a = {.outer = n, .inner = 1},
                      .b = {.outer = n, .inner = 1},
                      .c = {.outer = n, .inner = 1}});
}

kernel::Program vecadd() {
  const std::byte code[] = {std::byte{0x10}, std::byte{0x41}, std::byte{0x22}, std::byte{0x00}};
  kernel::Program p = std::move(launch::parse_adead(code)->steps.at(0).program);
  p.name = "adead_vecadd";
  return p;
}

// The IR within a .spv or .ptx file of ours; other bytes as they are.
std::vector<kernel::u8> taken_out(std::vector<kernel::u8> bytes) {
  constexpr std::uint32_t kSpirv = 0x07230203;
  std::vector<std::uint32_t> words(bytes.size() / 4);
  if (!words.empty()) std::memcpy(words.data(), bytes.data(), words.size() * 4);
  const bool spirv = !words.empty() && words[0] == kSpirv;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<kernel::u8> found = spirv ? launch::find_embedded(words) : launch::find_embedded(text);
  return found.empty() ? std::move(bytes) : std::move(found);
}

}  // namespace

std::vector<Shipped> shipped_kernels() {
  std::vector<Shipped> all;
  all.push_back(
      {"counts the bytes of an array and finds a needle: words, counts[256], found, failed, bytes, needle, "
       "mask, length",
       kernel::copy_of(demo::scan.view())});
  all.push_back(
      {"a sum for each row of 33 words: table, rows, sums, failed, n", kernel::copy_of(demo::gather.view())});
  all.push_back({"a sum for each block of words: words, sums, failed, words_a_block",
                 kernel::copy_of(demo::reduce.view())});
  const char* const texts[] = {"c = a + b", "out[group] = the sum of the group's share of x",
                               "c = a * b, matrices whose sizes follow from the lengths"};
  for (std::size_t n = 0; const launch::ShippedKernel& k : launch::shipped_kernels())
    all.push_back({texts[n++], kernel::copy_of(k.view)});
  all.push_back({"c = a + b", vecadd()});
  all.push_back({"c = a * b, 64 x 64 matrices", matmul(64)});
  all.push_back({"copies 1024 words", copy(1024)});
  all.push_back({"fills 1024 words", fill(1024, 1)});
  all.push_back({"c = a * b, 1024 elements", binary(kernel::Op::mul, 1024)});
  all.push_back({"gelu of 1024 elements", map(Map::gelu, 1024)});
  all.push_back({"softmax of 16 rows of 64", softmax(16, 64)});
  all.push_back({"layer norm of 16 rows of 64", layer_norm(16, 64)});
  all.push_back({"16 rows of 64 out of a table of 256", embedding(16, 256, 64)});
  return all;
}

namespace {
// The bytes keep the names.
Result<Source> specialized(Source source, const std::vector<std::string>& constants) {
  for (const std::string& text : constants) {
    auto constant = launch::parse_constant(text);
    if (!constant) return fail(std::move(constant).error());
    if (Status s = launch::set_constant(source.program, *constant); !s) return fail(std::move(s));
  }
  if (constants.empty()) return source;
  Source out{kernel::serialize(source.program.view()), {}};
  out.program = kernel::deserialize(out.bytes).program;
  return out;
}
}  // namespace

Result<Source> open_kernel(const std::string& name, const std::vector<std::string>& constants) {
  std::vector<Shipped> all = shipped_kernels();
  const auto found = std::ranges::find(all, name, [](const Shipped& s) { return s.program.name; });
  if (found != all.end())
    return specialized({kernel::serialize(found->program.view()), std::move(found->program)}, constants);
  auto file = File::open(name, OpenFlags::read);
  if (!file && file.error().code() == Code::not_found) {
    std::vector<std::string_view> known;
    for (const Shipped& s : all) known.push_back(s.program.name);
    return fail(Code::not_found, "{}: neither a file nor a kernel that comes with gpuio{}", name,
                suggest(name, known));
  }
  if (!file) return fail(std::move(file).error());
  auto info = file->info();
  if (!info) return fail(std::move(info).error());
  if (info->size_bytes > kFileBytesMax)
    return fail(Code::invalid_arg, "{}: {} is more than a serialized kernel can have ({})", name,
                format_size(info->size_bytes), format_size(kFileBytesMax));
  Source source;
  source.bytes.resize(info->size_bytes);
  auto got = file->read_at(std::as_writable_bytes(std::span(source.bytes)), 0);
  if (!got) return fail(std::move(got).error());
  source.bytes.resize(*got);
  source.bytes = taken_out(std::move(source.bytes));
  kernel::Deserialized read = kernel::deserialize(source.bytes);
  if (!read.ok()) return fail(Code::invalid_arg, "{}: {}", name, kernel::message(read));
  source.program = std::move(read.program);
  return specialized(std::move(source), constants);
}

}  // namespace gpuio::cli
