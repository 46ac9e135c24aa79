// A function of kernels over vectors of the host, by the interpreter.
#pragma once

#include <gtest/gtest.h>

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/interpret.hpp>

#include <cstring>
#include <tuple>

namespace gpuio::test_kernels {

using namespace gpuio::kernel;

// Runs f over vectors of inputs, a lane an element, and returns what it gave.
template <class Out_, class F, class... In_>
std::vector<Out_> map(F f, const std::vector<In_>&... in) {
  const std::size_t n = std::get<0>(std::tie(in...)).size();
  const Program p = trace_program(
      [&](Ctx k, In<In_>... x, Out<Out_> out) {
        auto i = k.global_id();
        out[i] = f(Val<In_>(x[i])...);
      },
      "map", {64, 1, 1});
  std::vector<std::vector<std::byte>> bytes;
  const auto add = [&](const auto& v) {
    const auto b = std::as_bytes(std::span(v));
    bytes.emplace_back(b.begin(), b.end());
  };
  (add(in), ...);
  std::vector<Out_> out(n);
  add(out);
  std::vector<Argument> arguments;
  for (auto& b : bytes) arguments.push_back(Argument::buffer(b));
  const Outcome o = interpret(p.view(), {u32(n / 64), 1, 1}, arguments);
  EXPECT_TRUE(o.ok()) << o.error << " at line " << o.line;
  std::memcpy(out.data(), bytes.back().data(), n * sizeof(Out_));
  return out;
}

}  // namespace gpuio::test_kernels
