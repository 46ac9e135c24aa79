// A kernel's IR inside the SPIR-V or PTX that was made of it, so that one file runs on every device.
//
// In SPIR-V it is the text of OpModuleProcessed instructions, in PTX a comment: drivers read past it. Pure;
// any thread. What `find` gives is not checked: read it with kernel::deserialize.
//
//   std::vector<std::uint32_t> words = embed(spirv, kernel::serialize(view));   // a .spv file
//   std::vector<std::uint8_t> ir = find_embedded(words);                        // empty: made by others
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gpuio::launch {

std::vector<std::uint32_t> embed(std::span<const std::uint32_t> spirv, std::span<const std::uint8_t> ir);
std::string embed(std::string_view ptx, std::span<const std::uint8_t> ir);

std::vector<std::uint8_t> find_embedded(std::span<const std::uint32_t> spirv);
std::vector<std::uint8_t> find_embedded(std::string_view ptx);

}  // namespace gpuio::launch
