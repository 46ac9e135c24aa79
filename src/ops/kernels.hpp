// What operations run: kernels traced at run time for the types and sizes at hand, made ready once a device.
//
// The bodies are lambdas in gpuio's kernel language, generic in their types. A Variant says which instance is
// meant; the first call that needs it traces and verifies it and has the device compile it, later calls find
// it (a hash and a lock; no allocation). Threading: any. Lifetime: the device outlives them, and they outlive
// what was launched. Errors: what loading says; a body that does not verify is GENERAL, a mistake of ours.
//
//   auto kernel = place.kernels.get({Operation::softmax, {x.type, y.type}, {lanes}}, "softmax", {lanes, 1,
//   1}, body); return place.plan.launch(*kernel, grid, arguments);
#pragma once

#include <gpuio/kernel.hpp>

#include <concepts>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "ops/choices.hpp"
#include "ops/plan.hpp"
#include "ops/tensor.hpp"

namespace gpuio::ops {

enum class Operation : std::uint8_t {
  matmul,
  qkv,
  attention,
  merge,
  softmax,
  layer_norm,
  rms_norm,
  reduce,
  scan,
  top_k,
  gather,
  scatter,
  quantize,
  dequantize,
  histogram,
  random
};

// Which instance of an operation's body.
struct Variant {
  Operation operation;
  std::array<Dtype, 4> types{};
  std::array<std::uint32_t, 6> sizes{};  // whatever else the body is traced for
  bool operator==(const Variant&) const = default;
};

class Kernels {
 public:
  explicit Kernels(gpu::Device& device) : choices(device.info()), device_(device) {}
  gpu::Device& device() const { return device_; }
  Choices choices;  // of what was measured

  // Whether operations run as code of the processor where they have it (native.hpp).
  bool native() const { return device_.info().native_code.available; }

  // `name` lives for ever. The body is called only where the variant is new, and so is `native`: it makes
  // what the CPU device runs instead of interpreting, if anything.
  template <class Body, class MakeNative>
    requires std::invocable<MakeNative>
  Result<const gpu::Kernel*> get(const Variant& variant, std::string_view name,
                                 std::array<std::uint32_t, 3> block, const Body& body,
                                 const MakeNative& make_native) {
    std::scoped_lock hold(mutex_);
    std::unique_ptr<gpu::Kernel>& entry = made_[variant];
    if (!entry) {
      auto made = load(kernel::trace(body, name, block), native() ? make_native() : gpu::Native{});
      if (!made) return fail(std::move(made).error());
      entry = std::move(*made);
    }
    return entry.get();
  }
  template <class Body>
  Result<const gpu::Kernel*> get(const Variant& variant, std::string_view name,
                                 std::array<std::uint32_t, 3> block, const Body& body,
                                 const gpu::Native& native_form = {}) {
    return get(variant, name, block, body, [&] { return native_form; });
  }
  std::size_t size() const {
    std::scoped_lock hold(mutex_);
    return made_.size();
  }

 private:
  struct Hash {
    std::size_t operator()(const Variant& v) const;
  };
  Result<std::unique_ptr<gpu::Kernel>> load(const kernel::Traced& traced, const gpu::Native& native);

  gpu::Device& device_;
  mutable std::mutex mutex_;
  std::unordered_map<Variant, std::unique_ptr<gpu::Kernel>, Hash> made_;
};

inline constexpr std::uint32_t kGroupsMax = 65535;  // of a grid's dimension
// So many workgroups as there is work, or as many as a grid's dimension takes: bodies go on in steps of the
// grid.
inline std::uint32_t groups_for(std::uint64_t work) {
  return std::uint32_t(std::min<std::uint64_t>(std::max<std::uint64_t>(work, 1), kGroupsMax));
}

// Where an operation goes.
struct Place {
  Kernels& kernels;
  Workspace& workspace;
  Plan& plan;
  gpu::Device& device() const { return kernels.device(); }
  Result<std::uint64_t> scratch(std::uint64_t bytes) const { return workspace.at_least(device(), bytes); }
  // Workgroups for so many items that read and write so many bytes. Of a native form, which shares items out
  // itself: as many as keep the processors busy to the end, each with enough to do.
  gpu::Grid grid(std::uint64_t items, std::uint64_t bytes) const;
};

// --- For bodies and their launches

// Arguments in the order of a body's parameters.
inline gpu::Argument argument(const Tensor& t) { return {t.address, t.extent()}; }
template <std::integral T>
gpu::Argument argument(T value) {
  return {std::uint64_t(std::make_unsigned_t<T>(value)), 0};
}
inline gpu::Argument argument(float value) { return {std::bit_cast<std::uint32_t>(value), 0}; }

}  // namespace gpuio::ops
