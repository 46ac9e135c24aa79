// kernel<"name", x, y, z>(lambda): traces and verifies a kernel while compiling, and keeps it in read-only
// data. trace(lambda, name, block) does the same at run time, for lambdas that capture what they specialise.
//
//   constexpr auto twice = kernel<"twice", 64>([](Ctx k, In<f32> x, Out<f32> out) {
//     out[k.global_id()] = x[k.global_id()] * 2.0f;
//   });
//   twice.view();   // the View that devices, passes and emitters take; lives as long as the program
//
// The lambda's parameters are the kernel's, in order, after the Ctx. A mistake is a compile error that names
// its kind and lines (error.hpp). Kernel is an empty type: all of it is in static storage, and its type names
// it in templates. Pure; any thread.
#pragma once

#include <stdexcept>

#include <gpuio/kernel/control.hpp>
#include <gpuio/kernel/verify.hpp>

namespace gpuio::kernel {

// A kernel's name as a template argument.
template <std::size_t N>
struct FixedString {
  char text[N]{};
  constexpr FixedString(const char (&s)[N]) {
    for (std::size_t i = 0; i < N; ++i) text[i] = s[i];
  }
  constexpr std::string_view view() const { return {text, N - 1}; }
};

// A kernel of known sizes.
template <u32 Params, u32 Arrays, u32 Vars, u32 Insts, u32 Texts = 0, u32 Constants = 0, u32 Tensors = 0>
struct FrozenKernel {
  std::string_view name;
  std::array<u32, 3> block{1, 1, 1};
  std::string_view unchecked;  // see Ctx::unchecked_races
  std::array<Param, Params> params{};
  std::array<SharedArray, Arrays> shared{};
  std::array<Type, Vars> vars{};
  std::array<Inst, Insts> insts{};
  std::array<std::string_view, Texts> texts{};
  std::array<Constant, Constants> constants{};
  std::array<TensorMap, Tensors> tensors{};
  constexpr View view() const {
    return {name,
            block,
            {params.data(), Params},
            {shared.data(), Arrays},
            {vars.data(), Vars},
            {insts.data(), Insts},
            {texts.data(), Texts},
            unchecked,
            {constants.data(), Constants},
            {tensors.data(), Tensors}};
  }
};

// A kernel traced at run time, and whether it is right.
struct Traced {
  Program program;
  VerifyResult result;
};

namespace detail {

// A parameter's handle, made from its number.
template <class H>
struct MakeParam {  // buffers
  static constexpr H make(Tracer& t) {
    return H(&t, t.build.param(H::kParam.kind, H::kParam.type, H::kParam.count));
  }
};
template <class T>
struct MakeParam<Val<T>> {
  static constexpr Val<T> make(Tracer& t) {
    const u32 p = t.build.param(ParamKind::scalar, kTypeOf<T>);
    return Val<T>(&t, t.build.argument(p));
  }
};

// The parameters of a lambda, after its Ctx.
template <class F>
struct Signature;
template <class C, class... P>
struct Signature<void (C::*)(Ctx, P...) const> {
  // Braces, because they order the making of the parameters from left to right on every compiler.
  struct Caller {
    template <class F>
    constexpr Caller(const F& f, Tracer& t, P... p) {
      f(Ctx(t), p...);
    }
  };
  template <class F>
  static constexpr void call(const F& f, Tracer& t) {
    Caller{f, t, MakeParam<P>::make(t)...};
  }
};
template <class C, class... P>
struct Signature<void (C::*)(Ctx, P...)> : Signature<void (C::*)(Ctx, P...) const> {};

template <class F>
concept Traceable = requires { &F::operator(); };

template <class F>
constexpr Traced trace(const F& f, std::string_view name, std::array<u32, 3> block) {
  static_assert(Traceable<F>, "a kernel is a lambda whose parameters have types: (Ctx k, In<f32> x, …)");
  Traced traced{.program = {.name = name, .block = block}, .result = {}};
  Tracer t(traced.program);
  Signature<decltype(&F::operator())>::call(f, t);
  t.finish();
  traced.result = t.result;
  if (traced.result.ok()) traced.result = verify(traced.program.view());
  return traced;
}

struct Shape {
  u32 params = 0, shared = 0, vars = 0, insts = 0, texts = 0, constants = 0, tensors = 0;
  VerifyResult result{};
};
template <class F>
constexpr Shape shape_of(std::string_view name, std::array<u32, 3> block) {
  const Traced t = trace(F{}, name, block);
  return {u32(t.program.params.size()),  u32(t.program.shared.size()),
          u32(t.program.vars.size()),    u32(t.program.insts.size()),
          u32(t.program.texts.size()),   u32(t.program.constants.size()),
          u32(t.program.tensors.size()), t.result};
}

template <FixedString Name, class F, u32 X, u32 Y, u32 Z>
struct Freeze {
  static constexpr auto run() {
    static_assert(std::is_default_constructible_v<F>,
                  "a kernel's lambda captures nothing; trace() takes one that does");
    constexpr Shape s = shape_of<F>(Name.view(), {X, Y, Z});
    static_assert(kernel_error<s.result.error, s.result.line, s.result.other, s.result.detail>::ok);
    FrozenKernel<s.params, s.shared, s.vars, s.insts, s.texts, s.constants, s.tensors> out;
    if constexpr (s.result.ok()) {
      Program p{.name = Name.view(), .block = {X, Y, Z}};
      Tracer t(p);
      Signature<decltype(&F::operator())>::call(F{}, t);
      t.finish();
      out.name = p.name;
      out.block = p.block;
      out.unchecked = p.unchecked;
      for (u32 i = 0; i < s.params; ++i) out.params[i] = p.params[i];
      for (u32 i = 0; i < s.shared; ++i) out.shared[i] = p.shared[i];
      for (u32 i = 0; i < s.vars; ++i) out.vars[i] = p.vars[i];
      for (u32 i = 0; i < s.insts; ++i) out.insts[i] = p.insts[i];
      for (u32 i = 0; i < s.texts; ++i) out.texts[i] = p.texts[i];
      for (u32 i = 0; i < s.constants; ++i) out.constants[i] = p.constants[i];
      for (u32 i = 0; i < s.tensors; ++i) out.tensors[i] = p.tensors[i];
    }
    return out;
  }
};
template <FixedString Name, class F, u32 X, u32 Y, u32 Z>
inline constexpr auto kFrozen = Freeze<Name, F, X, Y, Z>::run();

}  // namespace detail

// The kernel that a lambda F means. Empty.
template <FixedString Name, class F, u32 X, u32 Y, u32 Z>
struct Kernel {
  static constexpr std::array<u32, 3> kBlock{X, Y, Z};
  // The frozen kernel, in static storage.
  static constexpr const auto& frozen() { return detail::kFrozen<Name, F, X, Y, Z>; }
  static constexpr View view() { return frozen().view(); }
};

template <FixedString Name, u32 X, u32 Y = 1, u32 Z = 1, class F>
consteval auto kernel(F) {
  using K = Kernel<Name, F, X, Y, Z>;
  static_assert(K::view().block[0] == X || true);  // now, not at the first use: mistakes stop here
  return K{};
}

// Traces and verifies at run time. The lambda may capture; `name` outlives the program.
template <class F>
Traced trace(const F& lambda, std::string_view name, std::array<u32, 3> block) {
  return detail::trace(lambda, name, block);
}
// The same where a mistake is exceptional: throws std::invalid_argument with the message.
template <class F>
Program trace_program(const F& lambda, std::string_view name, std::array<u32, 3> block) {
  Traced t = detail::trace(lambda, name, block);
  if (!t.result.ok()) throw std::invalid_argument(std::string(name) + ": " + message(t.result));
  return std::move(t.program);
}

}  // namespace gpuio::kernel
