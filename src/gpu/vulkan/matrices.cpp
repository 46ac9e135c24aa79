#include "gpu/vulkan/matrices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "gpu/vulkan/core.hpp"

namespace gpuio::gpu::vulkan {
namespace {

constexpr std::uint32_t kSubgroup = 3;  // VK_SCOPE_SUBGROUP_KHR, and SPIR-V's Scope

std::string to_text(Component c) {
  switch (c) {
    case Component::f16: return "f16";
    case Component::f32: return "f32";
    case Component::i8: return "i8";
    case Component::i32: return "i32";
    case Component::u8: return "u8";
    case Component::u32: return "u32";
    case Component::bf16: return "bf16";
  }
  return fmt::format("type {}", std::uint32_t(c));
}

// What a module says of its types, constants and values, as far as products need it.
struct Declared {
  struct Matrix {
    std::uint32_t component, rows, columns;
  };
  std::map<std::uint32_t, Component> components;
  std::map<std::uint32_t, std::uint32_t> constants, types;  // id: value; id: type
  std::map<std::uint32_t, Matrix> matrices;

  void read(std::span<const std::uint32_t> i) {
    constexpr std::uint32_t kTypeInt = 21, kTypeFloat = 22, kConstant = 43, kTypeMatrix = 4456;
    switch (i[0] & 0xffff) {
      case kTypeInt:
        if (i.size() == 4 && i[2] == 8) components[i[1]] = i[3] ? Component::i8 : Component::u8;
        if (i.size() == 4 && i[2] == 32) components[i[1]] = i[3] ? Component::i32 : Component::u32;
        return;
      case kTypeFloat:
        if (i.size() == 3) components[i[1]] = i[2] == 16 ? Component::f16 : Component::f32;
        if (i.size() == 4) components[i[1]] = Component::bf16;
        return;
      case kConstant:
        if (i.size() > 3) constants[i[2]] = i[3];
        return;
      case kTypeMatrix:
        if (i.size() == 7) matrices[i[1]] = {i[2], constants[i[4]], constants[i[5]]};
        return;
      default:
        if (i.size() > 2 && matrices.contains(i[1])) types[i[2]] = i[1];
    }
  }
  const Matrix* matrix(std::uint32_t id) const {
    const auto type = types.find(id);
    return type == types.end() ? nullptr : &matrices.at(type->second);
  }
};

}  // namespace

std::string to_text(const MatrixProduct& p) {
  return fmt::format("{}x{}x{} {} {} {} {}", p.m, p.n, p.k, to_text(p.a), to_text(p.b), to_text(p.c),
                     to_text(p.result));
}

Result<std::vector<MatrixProduct>> products_of(GetMatrixProperties get, VkPhysicalDevice physical) {
  constexpr std::string_view kCall = "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR";
  std::uint32_t count = 0;
  if (Status s = vk_error(get(physical, &count, nullptr), kCall); !s) return fail(std::move(s));
  std::vector<MatrixProperties> found(count);
  if (Status s = vk_error(get(physical, &count, found.data()), kCall); !s) return fail(std::move(s));
  found.resize(std::min<std::size_t>(count, found.size()));
  std::vector<MatrixProduct> products;
  for (const MatrixProperties& p : found)
    if (p.scope == kSubgroup && !p.saturates) products.push_back({p.m, p.n, p.k, p.a, p.b, p.c, p.result});
  return products;
}

std::vector<MatrixProduct> products_of(std::span<const std::uint32_t> words) {
  constexpr std::uint32_t kHeaderWords = 5, kMultiply = 4459;
  std::vector<MatrixProduct> products;
  Declared module;
  for (std::size_t at = kHeaderWords; at < words.size();) {
    const std::size_t length = words[at] >> 16;
    if (length == 0 || length > words.size() - at) break;
    const auto i = words.subspan(at, length);
    at += length;
    module.read(i);
    if ((i[0] & 0xffff) != kMultiply || length < 6) continue;
    const auto *result = module.matrix(i[2]), *a = module.matrix(i[3]), *b = module.matrix(i[4]),
               *c = module.matrix(i[5]);
    if (!result || !a || !b || !c) continue;
    const auto of = [&](const Declared::Matrix& m) { return module.components[m.component]; };
    const MatrixProduct p{result->rows, result->columns, a->columns, of(*a), of(*b), of(*c), of(*result)};
    if (std::ranges::find(products, p) == products.end()) products.push_back(p);
  }
  return products;
}

Status check_products(std::string_view device, std::span<const MatrixProduct> wanted,
                      std::span<const MatrixProduct> there) {
  for (const MatrixProduct& w : wanted) {
    if (std::ranges::find(there, w) != there.end()) continue;
    std::string all;
    for (const MatrixProduct& t : there) all += (all.empty() ? "" : ", ") + to_text(t);
    return error(
        Code::unsupported,
        "the matrix units of {} have no product {} (MxNxK, types of A, B, C and the result), but {}: "
        "use a variant without matrix units",
        device, to_text(w), all.empty() ? "none that subgroups make" : all);
  }
  return {};
}

}  // namespace gpuio::gpu::vulkan
