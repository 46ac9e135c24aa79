#include "support/vocabulary.hpp"

#include <gpuio/kernel/specialize.hpp>

#include <stdexcept>

namespace gpuio::test_kernels {

std::vector<Sample> vocabulary() {
  std::vector<Sample> all;
  const auto add = [&](const auto& lambda, std::string_view name, u32 lanes = 64) {
    all.push_back({trace_program(lambda, name, {lanes, 1, 1}), {kWords / lanes, 1, 1}});
  };
  const auto add_block = [&](const auto& lambda, std::string_view name, std::array<u32, 3> block) {
    all.push_back({trace_program(lambda, name, block), {1, 1, 1}});
  };
  add(functions, "functions");
  add(functions64, "functions_f64");
  add(roundings<f32>, "roundings_f32");
  add(roundings<f64>, "roundings_f64");
  add(halves<f16>, "halves_f16");
  add(halves<bf16>, "halves_bf16");
  add(pairs<f16x2>, "pairs_f16");
  add(pairs<bf16x2>, "pairs_bf16");
  add(eighths, "eighths");
  add_block(block_operations<f32>, "block_f32", {kWords, 1, 1});
  add_block(block_operations<f32>, "block_f32_cube", {5, 3, 2});
  add_block(block_operations<f64>, "block_f64", {100, 1, 1});
  add_block(block_operations<u32>, "block_u32", {7, 1, 1});
  add_block(block_operations<i32>, "block_i32", {65, 1, 1});
  add_block(block_operations<u64>, "block_u64", {8, 8, 1});
  add_block(block_operations<i64>, "block_i64", {6, 1, 1});
  add_block(block_bits, "block_bits", {50, 1, 1});
  add(subgroup_scans<f32>, "scans_f32");
  add(subgroup_scans<i64>, "scans_i64");
  add(aggregates, "aggregates");
  add(choices, "choices");
  add(specialized, "specialized");
  add(specialized, "specialized_otherwise");
  for (const auto& [name, bits] : {std::pair<const char*, u64>{"WINDOW", 8},
                                   {"SCALE", std::bit_cast<u32>(-1.75f)},
                                   {"TURNED", 1},
                                   {"BIAS", u32(-100)},
                                   {"BIG", ~u64{0}},
                                   {"SMALL", u64{1} << 40},
                                   {"THIRD", std::bit_cast<u64>(-7.0)}})
    if (specialize(all.back().program, name, bits) != Specialized::ok) throw std::logic_error(name);
  return all;
}

}  // namespace gpuio::test_kernels
