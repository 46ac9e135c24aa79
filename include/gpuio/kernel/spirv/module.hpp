// A SPIR-V module under construction: sections in the order of the specification, types and constants made
// once, and instructions appended to the entry function or to helper functions. It knows SPIR-V, not the IR.
// constexpr throughout; not thread-safe. An id is what SPIR-V calls one.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include <gpuio/kernel/ir.hpp>
#include <gpuio/kernel/spirv/words.hpp>

namespace gpuio::kernel::spirv {

// How a value of an IR type is held between memory and memory. Types below 32 bits are their bits,
// zero-extended, so that no arithmetic capability below 32 bits is needed; signs are a matter of the
// instruction.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
enum class Reg : u8 { boolean, u32, u64, f32, f64 };
#pragma GCC diagnostic pop

constexpr Reg reg_of(Type t) {
  switch (t) {
    case Type::boolean: return Reg::boolean;
    case Type::f32: return Reg::f32;
    case Type::f64: return Reg::f64;
    case Type::u64:
    case Type::i64: return Reg::u64;
    default: return Reg::u32;
  }
}

class Module {
 public:
  using Words = std::initializer_list<u32>;

  // The common types come first, so that no call's argument order decides which is made when.
  constexpr Module() {
    for (const Reg r : {Reg::boolean, Reg::u32, Reg::u64, Reg::f32}) reg(r);
  }
  constexpr u32 fresh() { return bound_++; }

  // Appends to the function being written. `op` makes a value of `type`, `exact` one that must not be fused
  // or reassociated, `effect` none.
  constexpr u32 op(u32 type, Word word, Words operands) { return value(code_, type, word, operands); }
  constexpr u32 exact(u32 type, Word word, Words operands) {
    const u32 id = op(type, word, operands);
    put(annotations_, Word::Decorate, {id, kNoContraction});
    return id;
  }
  constexpr u32 glsl(u32 type, Glsl what, Words operands) {
    if (glsl_ == 0) glsl_ = fresh();
    const u32 id = fresh();
    code_.push_back(u32(5 + operands.size()) << 16 | u32(Word::ExtInst));
    code_.insert(code_.end(), {type, id, glsl_, u32(what)});
    code_.insert(code_.end(), operands.begin(), operands.end());
    put(annotations_, Word::Decorate, {id, kNoContraction});
    return id;
  }
  constexpr void effect(Word word, Words operands) { put(code_, word, operands); }
  constexpr void label(u32 id) { put(code_, Word::Label, {id}); }
  // A value of the entry function made before everything else, so that it is there everywhere.
  constexpr u32 early(u32 type, Word word, Words operands) { return value(prologue_, type, word, operands); }
  constexpr void early_effect(Word word, Words operands) { put(prologue_, word, operands); }

  constexpr void capability(Capability c) {
    for (const Capability have : capabilities_) {
      if (have == c) return;
    }
    capabilities_.push_back(c);
  }
  constexpr void extension(std::string_view name) {
    for (const std::string_view have : extensions_) {
      if (have == name) return;
    }
    extensions_.push_back(name);
  }

  // Types.
  constexpr u32 void_type() { return type(Word::TypeVoid, {}); }
  constexpr u32 reg(Reg r) {
    switch (r) {
      case Reg::boolean: return type(Word::TypeBool, {});
      case Reg::u32: return integer(32);
      case Reg::u64: return integer(64);
      case Reg::f32: return type(Word::TypeFloat, {32});
      case Reg::f64: capability(Capability::Float64); return type(Word::TypeFloat, {64});
    }
    return 0;
  }
  constexpr u32 u32_type() { return integer(32); }
  constexpr u32 u64_type() { return integer(64); }
  constexpr u32 bool_type() { return reg(Reg::boolean); }
  constexpr u32 integer(u32 bits) { return type(Word::TypeInt, {bits, 0}); }
  constexpr u32 vector(u32 element, u32 count) {
    return count == 1 ? element : type(Word::TypeVector, {element, count});
  }
  constexpr u32 pointer(Storage storage, u32 to) { return type(Word::TypePointer, {u32(storage), to}); }
  // For cooperative matrices. An integer of 8 or 16 bits that variables may have, a signed one, floats of 16.
  constexpr u32 small_integer(u32 bits) {
    capability(bits == 8 ? Capability::Int8 : Capability::Int16);
    return integer(bits);
  }
  constexpr u32 signed_integer(u32 bits) {
    if (bits == 8) capability(Capability::Int8);
    return type(Word::TypeInt, {bits, 1});
  }
  constexpr u32 float16() {
    capability(Capability::Float16);
    return type(Word::TypeFloat, {16});
  }
  constexpr u32 bfloat16() {
    if (bfloat16_ != 0) return bfloat16_;
    capability(Capability::BFloat16TypeKHR);
    capability(Capability::BFloat16CooperativeMatrixKHR);
    extension("SPV_KHR_bfloat16");
    put(globals_, Word::TypeFloat, {bfloat16_ = fresh(), 16, 0});  // the last: which encoding
    return bfloat16_;
  }
  constexpr u32 matrix(u32 component, u32 rows, u32 columns, MatrixUse use) {
    capability(Capability::CooperativeMatrixKHR);
    extension("SPV_KHR_cooperative_matrix");
    const u32 subgroup = number(3), height = number(rows), width = number(columns), as = number(u32(use));
    return type(Word::TypeCooperativeMatrixKHR, {component, subgroup, height, width, as});
  }
  // What an element looks like in a buffer.
  constexpr u32 stored(Type t) {
    if (size_of(t) == 1) {
      capability(Capability::StorageBuffer8BitAccess);
      return integer(8);
    }
    if (size_of(t) == 2) {
      capability(Capability::StorageBuffer16BitAccess);
      return integer(16);
    }
    return reg(reg_of(t));
  }

  // Constants.
  constexpr u32 constant(Reg r, u64 bits) {
    const u32 of = reg(r);
    if (r == Reg::boolean) return global(of, bits & 1 ? Word::ConstantTrue : Word::ConstantFalse, {});
    if (r == Reg::u64 || r == Reg::f64) return global(of, Word::Constant, {u32(bits), u32(bits >> 32)});
    return global(of, Word::Constant, {u32(bits)});
  }
  // A specialization constant, made once for each id.
  constexpr u32 specialized(u32 spec, Reg r, u64 bits) {
    while (specialized_.size() <= spec) specialized_.push_back(0);
    u32& id = specialized_[spec];
    if (id != 0) return id;
    const u32 of = reg(r);
    if (r == Reg::boolean)
      id = value(globals_, of, bits & 1 ? Word::SpecConstantTrue : Word::SpecConstantFalse, {});
    else if (r == Reg::u64 || r == Reg::f64)
      id = value(globals_, of, Word::SpecConstant, {u32(bits), u32(bits >> 32)});
    else id = value(globals_, of, Word::SpecConstant, {u32(bits)});
    put(annotations_, Word::Decorate, {id, kSpecId, spec});
    return id;
  }
  constexpr u32 number(u32 n) { return constant(Reg::u32, n); }
  // A matrix all of whose components have these bits, of 32.
  constexpr u32 filled(u32 matrix, u32 component, u32 bits) {
    const u32 each = global(component, Word::Constant, {bits});
    return global(matrix, Word::ConstantComposite, {each});
  }
  constexpr u32 null(u32 of) { return global(of, Word::ConstantNull, {}); }

  // Variables.
  constexpr u32 local(u32 of, bool zero) {
    const u32 id = fresh(), at = pointer(Storage::Function, of);
    if (zero) {
      put(locals_, Word::Variable, {at, id, u32(Storage::Function), null(of)});
    } else {
      put(locals_, Word::Variable, {at, id, u32(Storage::Function)});
    }
    return id;
  }
  constexpr u32 variable(Storage storage, u32 of) {
    const u32 id = fresh(), at = pointer(storage, of);
    put(globals_, Word::Variable, {at, id, u32(storage)});
    interface_.push_back(id);
    return id;
  }
  constexpr u32 array(u32 element, u32 count) { return type(Word::TypeArray, {element, number(count)}); }
  constexpr u32 input(BuiltIn what, u32 of) {
    const u32 id = variable(Storage::Input, of);
    put(annotations_, Word::Decorate, {id, kBuiltIn, u32(what)});
    return early(of, Word::Load, {id});
  }
  // The push constant: one u64.
  constexpr u32 push_constant() {
    const u32 block = fresh();
    put(globals_, Word::TypeStruct, {block, u64_type()});
    put(annotations_, Word::Decorate, {block, kBlock});
    put(annotations_, Word::MemberDecorate, {block, 0, kOffset, 0});
    const u32 id = variable(Storage::PushConstant, block);
    const u32 to = pointer(Storage::PushConstant, u64_type()), first = number(0);
    return early(u64_type(), Word::Load, {early(to, Word::AccessChain, {id, first})});
  }

  // Helper functions: `begin_helper` diverts what is appended until `end_helper(result)`.
  struct Helper {
    u32 id = 0;
    u32 parameters[3]{};
    std::vector<u32> outer{};
  };
  constexpr Helper begin_helper(u32 result, u32 first, u32 second = 0, u32 third = 0) {
    Helper h{.id = fresh()};
    h.outer.swap(code_);
    const u32 of = third    ? type(Word::TypeFunction, {result, first, second, third})
                   : second ? type(Word::TypeFunction, {result, first, second})
                            : type(Word::TypeFunction, {result, first});
    put(code_, Word::Function, {result, h.id, 0, of});
    h.parameters[0] = op(first, Word::FunctionParameter, {});
    if (second) h.parameters[1] = op(second, Word::FunctionParameter, {});
    if (third) h.parameters[2] = op(third, Word::FunctionParameter, {});
    label(fresh());
    return h;
  }
  constexpr void end_helper(Helper& h, u32 result) {
    effect(Word::ReturnValue, {result});
    effect(Word::FunctionEnd, {});
    helpers_.insert(helpers_.end(), code_.begin(), code_.end());
    code_.swap(h.outer);
  }

  // The whole module; the entry function is what was appended.
  constexpr std::vector<u32> finish(std::string_view name, const std::array<u32, 3>& block) {
    const u32 of = void_type();
    const u32 signature = type(Word::TypeFunction, {of}), entry = fresh(), first = fresh();
    std::vector<u32> out{kMagic, kVersion15, 0, bound_, 0};
    for (const Capability c : capabilities_) put(out, Word::Capability, {u32(c)});
    for (const std::string_view e : extensions_) put_text(out, Word::Extension, {}, e, {});
    if (glsl_) put_text(out, Word::ExtInstImport, {glsl_}, "GLSL.std.450", {});
    put(out, Word::MemoryModel, {5348, 3});                           // PhysicalStorageBuffer64, Vulkan
    put_text(out, Word::EntryPoint, {5, entry}, "main", interface_);  // GLCompute
    put(out, Word::ExecutionMode, {entry, 17, block[0], block[1], block[2]});  // LocalSize
    put_text(out, Word::Name, {entry}, name, {});
    append(out, annotations_);
    append(out, globals_);
    put(out, Word::Function, {of, entry, 0, signature});
    put(out, Word::Label, {first});
    append(out, locals_);
    append(out, prologue_);
    append(out, code_);
    put(out, Word::FunctionEnd, {});
    append(out, helpers_);
    return out;
  }

 private:
  using Section = std::vector<u32>;
  // A type or constant made before: the same word, type and operands give the same id.
  struct Known {
    u32 word, type, a, b, c, d, e, id;
  };

  static constexpr void append(Section& to, const Section& what) {
    to.insert(to.end(), what.begin(), what.end());
  }
  static constexpr void put(Section& to, Word word, Words operands) {
    to.push_back(u32(1 + operands.size()) << 16 | u32(word));
    to.insert(to.end(), operands.begin(), operands.end());
  }
  static constexpr void put_text(Section& to, Word word, Words before, std::string_view text,
                                 const std::vector<u32>& after) {
    const u32 words = u32(text.size() / 4 + 1);
    to.push_back(u32(1 + before.size() + words + after.size()) << 16 | u32(word));
    to.insert(to.end(), before.begin(), before.end());
    for (u32 w = 0; w < words; ++w) {
      u32 packed = 0;
      for (u32 k = 0; k < 4 && w * 4 + k < text.size(); ++k) packed |= u32(u8(text[w * 4 + k])) << (k * 8);
      to.push_back(packed);
    }
    append(to, after);
  }
  constexpr u32 value(Section& to, u32 of, Word word, Words operands) {
    const u32 id = fresh();
    to.push_back(u32(3 + operands.size()) << 16 | u32(word));
    to.push_back(of);
    to.push_back(id);
    to.insert(to.end(), operands.begin(), operands.end());
    return id;
  }

  constexpr u32 type(Word word, Words operands) {
    if (word == Word::TypeInt && *operands.begin() == 64) capability(Capability::Int64);
    u32& id = known(word, 0, operands);
    if (id != 0) return id;
    globals_.push_back(u32(2 + operands.size()) << 16 | u32(word));
    globals_.push_back(id = fresh());
    globals_.insert(globals_.end(), operands.begin(), operands.end());
    return id;
  }
  constexpr u32 global(u32 of, Word word, Words operands) {
    u32& id = known(word, of, operands);
    return id != 0 ? id : id = value(globals_, of, word, operands);
  }
  // The id of a type or constant, 0 when it is new.
  constexpr u32& known(Word word, u32 of, Words operands) {
    u32 p[5] = {};  // as many as a matrix has
    for (u32 i = 0; const u32 w : operands) p[i++] = w;
    const u32 hash = (u32(word) * 31 + of) * 0x9e3779b1u ^ p[0] * 0x85ebca6bu ^ p[1] * 0xc2b2ae35u ^ p[2];
    auto& bucket = buckets_[(hash ^ hash >> 15) % kBuckets];
    for (Known& k : bucket) {
      if (k.word == u32(word) && k.type == of && k.a == p[0] && k.b == p[1] && k.c == p[2] && k.d == p[3] &&
          k.e == p[4])
        return k.id;
    }
    bucket.push_back({u32(word), of, p[0], p[1], p[2], p[3], p[4], 0});
    return bucket.back().id;
  }

  static constexpr u32 kBuckets = 64;
  std::vector<u32> specialized_;  // ids; 0: not used
  u32 bound_ = 1;
  u32 glsl_ = 0, bfloat16_ = 0;
  std::vector<std::string_view> extensions_;
  std::vector<Capability> capabilities_{Capability::Shader, Capability::VulkanMemoryModel,
                                        Capability::VulkanMemoryModelDeviceScope,
                                        Capability::PhysicalStorageBufferAddresses};
  std::vector<u32> interface_;
  Section annotations_, globals_, locals_, prologue_, code_, helpers_;
  std::array<std::vector<Known>, kBuckets> buckets_{};
};

}  // namespace gpuio::kernel::spirv
