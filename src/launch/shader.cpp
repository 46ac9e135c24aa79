#include "launch/shader.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "base/text.hpp"

namespace gpuio::launch {
namespace {

using kernel::Type;
using Words = std::span<const std::uint32_t>;

constexpr std::uint32_t kMagic = 0x07230203, kMagicSwapped = 0x03022307, kHeaderWords = 5;
constexpr std::uint32_t kVersionMax = 0x00010500;  // what Vulkan 1.2 takes
constexpr std::uint32_t kBoundMax = 0x3fffff;      // the specification's own limit
constexpr int kDepthMax = 16;                      // of types within each other
constexpr std::size_t kPushScalarsMax = 1024;
constexpr int kVisitsMax = 1 << 14;  // of types within types, over the whole module

// Numbers of the SPIR-V specification.
enum Op : std::uint32_t {
  kName = 5,
  kMemberName = 6,
  kMemoryModel = 14,
  kEntryPoint = 15,
  kExecutionMode = 16,
  kCapability = 17,
  kTypeBool = 20,
  kTypeInt = 21,
  kTypeFloat = 22,
  kTypeVector = 23,
  kTypeMatrix = 24,
  kTypeArray = 28,
  kTypeRuntimeArray = 29,
  kTypeStruct = 30,
  kTypePointer = 32,
  kTypeForwardPointer = 39,  // makes no id of its own
  kConstant = 43,
  kConstantComposite = 44,
  kSpecConstantTrue = 48,
  kSpecConstantFalse = 49,
  kSpecConstant = 50,
  kSpecConstantComposite = 51,
  kSpecConstantOp = 52,
  kFunction = 54,
  kVariable = 59,
  kDecorate = 71,
  kMemberDecorate = 72,
  kExecutionModeId = 331
};
enum Decoration : std::uint32_t {
  kSpecId = 1,
  kBufferBlock = 3,
  kArrayStride = 6,
  kMatrixStride = 7,
  kBuiltIn = 11,
  kBinding = 33,
  kDescriptorSet = 34,
  kOffset = 35
};
enum Storage : std::uint32_t {
  kUniformConstant = 0,
  kUniform = 2,
  kWorkgroup = 4,
  kPushConstant = 9,
  kStorageBuffer = 12,
  kPhysicalStorageBuffer = 5349
};
constexpr std::uint32_t kCompute = 5, kLocalSize = 17, kLocalSizeId = 38, kWorkgroupSize = 25;

std::uint32_t words_least(std::uint32_t op) {
  switch (op) {
    case kTypeBool:
    case kCapability:
    case kTypeStruct: return 2;
    case kName:
    case kMemoryModel:
    case kTypeFloat:
    case kTypeRuntimeArray:
    case kConstantComposite:
    case kSpecConstantTrue:
    case kSpecConstantFalse:
    case kSpecConstantComposite:
    case kExecutionMode:
    case kExecutionModeId:
    case kDecorate: return 3;
    case kEntryPoint:
    case kMemberName:
    case kTypeInt:
    case kTypeVector:
    case kTypeMatrix:
    case kTypeArray:
    case kTypePointer:
    case kConstant:
    case kSpecConstant:
    case kSpecConstantOp:
    case kVariable:
    case kMemberDecorate: return 4;
    case kFunction: return 5;
    default: return 1;
  }
}

// Text in words, the first byte lowest, ended by a zero; and how many words that takes.
std::pair<std::string, std::size_t> text_of(Words words) {
  std::string text;
  for (std::size_t w = 0; w < words.size(); ++w)
    for (int k = 0; k < 4; ++k) {
      const char c = char(words[w] >> (8 * k));
      if (c == 0) return {text, w + 1};
      text += c;
    }
  return {text, words.size()};
}

std::string_view stage_name(std::uint32_t model) {
  constexpr std::string_view kNames[] = {
      "vertex",  "tessellation control", "tessellation evaluation", "geometry", "fragment",
      "compute", "OpenCL kernel"};
  return model < std::size(kNames) ? kNames[model] : "mesh or ray";
}

struct EntryPoint {
  std::uint32_t model, id;
  std::string name;
  Words interface;
};

class Module {
 public:
  explicit Module(Words words, const ShaderOptions& options) : words_(words), options_(options) {}

  Result<Shader> reflect() {
    Status s = read();
    if (s) s = choose_entry();
    if (s) s = read_constants();
    if (s) s = read_block();
    if (s) s = read_variables();
    if (!s) return fail(std::move(s));
    return std::move(out_);
  }

 private:
  struct Def {
    std::uint32_t op = 0;
    Words words;  // the whole instruction
  };
  using Decorations = std::map<std::uint32_t, std::uint32_t>;  // with the first operand, or 0

  Status read() {
    if (words_.size() < kHeaderWords)
      return error(Code::invalid_arg, "{} words are no SPIR-V module: its header alone has {}", words_.size(),
                   kHeaderWords);
    if (words_[0] == kMagicSwapped)
      return error(Code::invalid_arg,
                   "the module is of the other byte order: it begins with {:#010x}, not {:#010x}; swap the "
                   "bytes of each word",
                   words_[0], kMagic);
    if (words_[0] != kMagic)
      return error(Code::invalid_arg, "it begins with {:#010x}, a SPIR-V module with {:#010x}", words_[0],
                   kMagic);
    if (words_[1] > kVersionMax || words_[1] < 0x00010000)
      return error(Code::unsupported,
                   "word 1: SPIR-V {}.{}; 1.0 to 1.5 run here (glslang: --target-env vulkan1.2)",
                   words_[1] >> 16 & 0xff, words_[1] >> 8 & 0xff);
    if (words_[3] == 0 || words_[3] > kBoundMax)
      return error(Code::invalid_arg, "word 3: a bound of {} ids; 1 to {} are possible", words_[3],
                   kBoundMax);
    for (std::size_t at = kHeaderWords; at < words_.size();) {
      const std::uint32_t op = words_[at] & 0xffff, count = words_[at] >> 16;
      if (count < words_least(op))
        return error(Code::invalid_arg, "word {}: an instruction {} of {} words; it has at least {}", at, op,
                     count, words_least(op));
      if (count > words_.size() - at)
        return error(Code::invalid_arg,
                     "word {}: an instruction of {} words, and the module ends after {}: it was cut off", at,
                     count, words_.size() - at);
      if (Status s = note(op, words_.subspan(at, count), at); !s) return s;
      at += count;
    }
    return {};
  }

  Status note(std::uint32_t op, Words w, std::size_t at) {
    switch (op) {
      case kCapability: out_.capabilities.push_back(w[1]); return {};
      case kMemoryModel:
        if (w[1] == 1 || w[1] == 2)
          return error(Code::unsupported,
                       "word {}: the module was made for OpenCL; compile it for Vulkan (clspv)", at);
        return {};
      case kEntryPoint: {
        auto [name, taken] = text_of(w.subspan(3));
        entries_.push_back({w[1], w[2], std::move(name), w.subspan(3 + taken)});
        return {};
      }
      case kExecutionMode:
      case kExecutionModeId: modes_.push_back(w); return {};
      case kName: names_[w[1]] = text_of(w.subspan(2)).first; return {};
      case kMemberName: member_names_[{w[1], w[2]}] = text_of(w.subspan(3)).first; return {};
      case kDecorate: decorations_[w[1]][w[2]] = w.size() > 3 ? w[3] : 0; return {};
      case kMemberDecorate: members_[{w[1], w[2]}][w[3]] = w.size() > 4 ? w[4] : 0; return {};
      case kFunction: in_functions_ = true; return {};
      default: break;
    }
    if (in_functions_) return {};
    const bool type = op >= 19 && op < kTypeForwardPointer,
               valued = (op >= 41 && op <= 52) || op == kVariable;
    if (!type && !valued) return {};
    if (w.size() < (type ? 2u : 3u))
      return error(Code::invalid_arg, "word {}: an instruction without its id", at);
    const std::uint32_t id = w[type ? 1 : 2];
    if (id == 0 || id >= words_[3])
      return error(Code::invalid_arg, "word {}: id {}; the module's bound is {}", at, id, words_[3]);
    if (!defs_.emplace(id, Def{op, w}).second)
      return error(Code::invalid_arg, "word {}: id {} is made a second time", at, id);
    if (op == kVariable) variables_.push_back(id);
    if (op >= kSpecConstantTrue && op <= kSpecConstant) constants_.push_back(id);
    return {};
  }

  Status choose_entry() {
    std::string all;
    const EntryPoint* found = nullptr;
    std::size_t matching = 0;
    for (const EntryPoint& e : entries_) {
      all += fmt::format("{}'{}' ({})", all.empty() ? "" : ", ", printable(e.name), stage_name(e.model));
      if (e.model != kCompute || (!options_.entry.empty() && e.name != options_.entry)) continue;
      found = &e;
      ++matching;
    }
    if (entries_.empty()) return error(Code::invalid_arg, "the module has no entry point");
    if (matching == 0 && options_.entry.empty())
      return error(Code::unsupported, "no entry point is for compute: there is {}", all);
    if (matching == 0)
      return error(Code::not_found, "no compute entry point '{}': there is {}", printable(options_.entry),
                   all);
    if (matching > 1)
      return error(Code::invalid_arg, "several entry points are for compute: name one of {}", all);
    entry_ = found;
    out_.entry = found->name;
    return {};
  }

  const Def* def(std::uint32_t id) const {
    const auto found = defs_.find(id);
    return found == defs_.end() ? nullptr : &found->second;
  }
  std::optional<std::uint32_t> decoration(std::uint32_t id, std::uint32_t which) const {
    const auto found = decorations_.find(id);
    if (found == decorations_.end() || !found->second.contains(which)) return std::nullopt;
    return found->second.at(which);
  }
  std::optional<std::uint32_t> decoration(std::uint32_t id, std::uint32_t member, std::uint32_t which) const {
    const auto found = members_.find({id, member});
    if (found == members_.end() || !found->second.contains(which)) return std::nullopt;
    return found->second.at(which);
  }
  std::string name(std::uint32_t id) const {
    const auto found = names_.find(id);
    return found == names_.end() ? std::string() : printable(found->second);
  }
  // For messages.
  std::string called(std::uint32_t id) const {
    const std::string n = name(id);
    return n.empty() ? fmt::format("id {}", id) : fmt::format("'{}'", n);
  }

  Type scalar(std::uint32_t id) const {
    const Def* const d = def(id);
    if (d == nullptr) return Type::none;
    if (d->op == kTypeBool) return Type::boolean;
    if (d->op == kTypeInt) {
      const bool sign = d->words[3] != 0;
      switch (d->words[2]) {
        case 8: return sign ? Type::i8 : Type::u8;
        case 16: return sign ? Type::i16 : Type::u16;
        case 32: return sign ? Type::i32 : Type::u32;
        case 64: return sign ? Type::i64 : Type::u64;
        default: return Type::none;
      }
    }
    if (d->op == kTypeFloat) {
      switch (d->words[2]) {
        case 16: return Type::f16;
        case 32: return Type::f32;
        case 64: return Type::f64;
        default: return Type::none;
      }
    }
    return Type::none;
  }

  Status read_constants();
  Status read_block();
  Status read_variables();
  Status read_buffer(std::uint32_t id, std::uint32_t storage, std::uint32_t pointee);
  Status read_push(std::uint32_t id, std::uint32_t pointee);
  Status flatten(std::uint32_t type, std::uint32_t offset, std::uint32_t matrix_stride,
                 const std::string& label, int depth);
  // What an integer constant holds, given the specialization; nothing where it takes arithmetic to know.
  std::optional<std::uint64_t> value(std::uint32_t id) const;
  // Of workgroup memory; nothing where it cannot be told.
  std::optional<std::uint64_t> size_of(std::uint32_t type, int depth = 0) const;

  const Words words_;
  const ShaderOptions& options_;
  mutable int visits_ = 0;
  Shader out_;
  bool in_functions_ = false;
  const EntryPoint* entry_ = nullptr;
  std::vector<EntryPoint> entries_;
  std::vector<Words> modes_;
  std::unordered_map<std::uint32_t, Def> defs_;
  std::unordered_map<std::uint32_t, std::string> names_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::string> member_names_;
  std::unordered_map<std::uint32_t, Decorations> decorations_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, Decorations> members_;
  std::vector<std::uint32_t> variables_, constants_;
};

Status Module::read_constants() {
  std::string known;
  for (const ConstantValue& n : options_.constants) {
    const std::string wanted = n.name.empty() ? fmt::format("{}", n.id) : printable(n.name);
    bool found = false;
    known.clear();
    for (const std::uint32_t id : constants_) {
      const auto spec = decoration(id, kSpecId);
      if (!spec) continue;
      const auto named = names_.find(id);
      const std::string_view name = named == names_.end() ? std::string_view() : named->second;
      known += fmt::format("{}{}", known.empty() ? "" : ", ", *spec);
      if (!name.empty()) known += fmt::format(" ({})", printable(name));
      if (n.name.empty() ? *spec != n.id : name != n.name) continue;
      found = true;
      const Type type = scalar(def(id)->words[1]);
      const auto bits = convert(n.value, type);
      if (!bits)
        return error(Code::invalid_arg, "specialization constant {} is {}, which {} is not", wanted,
                     type_name(type), text_of(n.value));
      const std::uint32_t size = type == Type::boolean ? 4 : kernel::size_of(type);
      out_.constants.push_back({*spec, size, *bits});
    }
    if (!found)
      return error(Code::not_found, "the module has no specialization constant {}; it has {}", wanted,
                   known.empty() ? "none" : known);
  }
  return {};
}

std::optional<std::uint64_t> Module::value(std::uint32_t id) const {
  const Def* const d = def(id);
  if (d == nullptr) return std::nullopt;
  if (d->op >= kSpecConstantTrue && d->op <= kSpecConstant) {
    if (const auto spec = decoration(id, kSpecId)) {
      const auto given = std::ranges::find(out_.constants, *spec, &gpu::ShaderConstant::id);
      if (given != out_.constants.end()) return given->bits;
    }
  }
  if (d->op != kConstant && d->op != kSpecConstant) return std::nullopt;
  std::uint64_t v = d->words[3];
  if (d->words.size() > 4) v |= std::uint64_t{d->words[4]} << 32;
  return v;
}

Status Module::read_block() {
  std::array<std::optional<std::uint64_t>, 3> block;
  const auto from_ids = [&](Words ids) {
    for (std::size_t i = 0; i < 3; ++i) block[i] = value(ids[i]);
  };
  bool said = false;
  for (const Words w : modes_) {
    if (w[1] != entry_->id || (w[2] != kLocalSize && w[2] != kLocalSizeId)) continue;
    if (w.size() < 6)
      return error(Code::invalid_arg, "the workgroup size of '{}' has {} numbers; it has three",
                   printable(entry_->name), w.size() - 3);
    said = true;
    if (w[2] == kLocalSizeId) from_ids(w.subspan(3));
    else
      for (std::size_t i = 0; i < 3; ++i) block[i] = w[3 + i];
  }
  // A constant that is decorated as the workgroup's size wins over the mode.
  for (const auto& [id, d] : defs_) {
    if ((d.op != kConstantComposite && d.op != kSpecConstantComposite) ||
        decoration(id, kBuiltIn) != std::optional(kWorkgroupSize))
      continue;
    if (d.words.size() < 6)
      return error(Code::invalid_arg, "the workgroup size {} has {} numbers; it has three", called(id),
                   d.words.size() - 3);
    said = true;
    from_ids(d.words.subspan(3));
  }
  if (!said)
    return error(Code::invalid_arg,
                 "entry point '{}' does not say how many lanes a workgroup has (LocalSize)",
                 printable(entry_->name));
  for (std::size_t i = 0; i < 3; ++i) {
    if (!block[i])
      return error(Code::unsupported,
                   "number {} of the workgroup size is computed from constants; give it as one constant", i);
    if (*block[i] == 0 || *block[i] > 0xffffffff)
      return error(Code::invalid_arg, "number {} of the workgroup size is {}", i, *block[i]);
    out_.block[i] = std::uint32_t(*block[i]);
  }
  return {};
}

std::optional<std::uint64_t> Module::size_of(std::uint32_t type, int depth) const {
  const Def* const d = def(type);
  if (d == nullptr || depth > kDepthMax || ++visits_ > kVisitsMax) return std::nullopt;
  if (const Type s = scalar(type); s != Type::none) return s == Type::boolean ? 4 : kernel::size_of(s);
  std::uint64_t total = 0;
  if (d->op == kTypeStruct) {
    for (const std::uint32_t member : d->words.subspan(2)) {
      const auto size = size_of(member, depth + 1);
      if (!size) return std::nullopt;
      total += *size;
    }
    return total;
  }
  if (d->op != kTypeVector && d->op != kTypeMatrix && d->op != kTypeArray) return std::nullopt;
  const auto element = size_of(d->words[2], depth + 1);
  const auto count = d->op == kTypeArray ? value(d->words[3]) : std::optional<std::uint64_t>(d->words[3]);
  if (!element || !count || __builtin_mul_overflow(*element, *count, &total)) return std::nullopt;
  return total;
}

Status Module::read_variables() {
  // From 1.4 on an entry point lists what it uses; before, all of the module's are taken.
  const bool listed = words_[1] >= 0x00010400;
  for (const std::uint32_t id : variables_) {
    const Words w = def(id)->words;
    const std::uint32_t storage = w[3];
    if (listed && !std::ranges::count(entry_->interface, id)) continue;
    if (storage != kUniform && storage != kStorageBuffer && storage != kPushConstant &&
        storage != kUniformConstant && storage != kWorkgroup)
      continue;
    const Def* const pointer = def(w[1]);
    if (pointer == nullptr || pointer->op != kTypePointer)
      return error(Code::invalid_arg, "variable {} has type {}, which is no pointer", called(id), w[1]);
    const std::uint32_t pointee = pointer->words[3];
    Status s;
    if (storage == kWorkgroup) {
      std::uint64_t sum = 0;
      if (__builtin_add_overflow(out_.shared_bytes, size_of(pointee).value_or(0), &sum)) sum = ~0ull;
      out_.shared_bytes = sum;
    } else if (storage == kPushConstant) {
      s = read_push(id, pointee);
    } else {
      s = read_buffer(id, storage, pointee);
    }
    if (!s) return s;
  }
  // Two variables may be views of one buffer.
  std::vector<std::size_t> order(out_.bindings.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto place = [&](std::size_t i) {
    return std::tuple(out_.bindings[i].set, out_.bindings[i].binding, i);
  };
  std::ranges::sort(order, {}, place);
  std::vector<gpu::ShaderBinding> bindings;
  std::vector<std::string> names;
  for (const std::size_t i : order) {
    const gpu::ShaderBinding& b = out_.bindings[i];
    if (!bindings.empty() && bindings.back().set == b.set && bindings.back().binding == b.binding) {
      if (bindings.back().uniform != b.uniform)
        return error(Code::invalid_arg, "set {}, binding {} is a storage buffer and a uniform buffer", b.set,
                     b.binding);
      continue;
    }
    bindings.push_back(b);
    names.push_back(out_.names[i]);
  }
  out_.bindings = std::move(bindings);
  out_.names = std::move(names);
  return {};
}

Status Module::read_buffer(std::uint32_t id, std::uint32_t storage, std::uint32_t pointee) {
  const auto set = decoration(id, kDescriptorSet), binding = decoration(id, kBinding);
  const std::string at = set && binding ? fmt::format("set {}, binding {} ({})", *set, *binding, called(id))
                                        : fmt::format("variable {}", called(id));
  const Def* const type = def(pointee);
  if (type == nullptr) return error(Code::invalid_arg, "{}: its type {} is nowhere made", at, pointee);
  if (type->op == kTypeArray || type->op == kTypeRuntimeArray)
    return error(Code::unsupported, "{} is an array of resources; give each buffer a binding of its own", at);
  if (storage == kUniformConstant || type->op != kTypeStruct)
    return error(Code::unsupported, "{} is an image or sampler; only buffers are bound here", at);
  if (!set || !binding)
    return error(Code::invalid_arg,
                 "buffer {} has no {}: say layout(set = …, binding = …) in its declaration", called(id),
                 set ? "binding" : "descriptor set");
  const bool uniform = storage == kUniform && !decoration(pointee, kBufferBlock);
  out_.bindings.push_back({*set, *binding, uniform});
  const std::string own = name(id);
  out_.names.push_back(own.empty() ? name(pointee) : own);
  return {};
}

Status Module::read_push(std::uint32_t id, std::uint32_t pointee) {
  const Def* const type = def(pointee);
  if (type == nullptr || type->op != kTypeStruct)
    return error(Code::invalid_arg, "push constant {} is no structure", called(id));
  if (!out_.push.empty()) return error(Code::invalid_arg, "push constant {} is a second one", called(id));
  if (Status s = flatten(pointee, 0, 0, "", 0); !s)
    return std::move(s).wrap(fmt::format("push constant {}", called(id)));
  std::ranges::sort(out_.push, {}, &PushScalar::offset);
  for (const PushScalar& p : out_.push)
    out_.push_bytes = std::max(out_.push_bytes, p.offset + kernel::size_of(p.type));
  return {};
}

// Adds the scalars of a type that begins at `offset`.
Status Module::flatten(std::uint32_t type, std::uint32_t offset, std::uint32_t matrix_stride,
                       const std::string& label, int depth) {
  constexpr std::uint64_t kPushMax = 1 << 16;
  if (depth > kDepthMax) return error(Code::invalid_arg, "types within each other {} deep", depth);
  if (out_.push.size() >= kPushScalarsMax || offset >= kPushMax || ++visits_ > kVisitsMax)
    return error(Code::invalid_arg, "more than {} scalars or {} bytes; use a buffer", kPushScalarsMax,
                 kPushMax);
  const Def* const d = def(type);
  if (const Type s = scalar(type); s != Type::none && s != Type::boolean) {
    out_.push.push_back({label, s, offset, false});
    return {};
  }
  if (d == nullptr) return error(Code::invalid_arg, "type {} is nowhere made", type);
  if (d->op == kTypePointer && d->words[2] == kPhysicalStorageBuffer) {
    out_.push.push_back({label, Type::u64, offset, true});
    return {};
  }
  if (d->op == kTypeStruct) {
    const Words members = d->words.subspan(2);
    for (std::uint32_t m = 0; m < members.size(); ++m) {
      const auto at = decoration(type, m, kOffset);
      const auto known = member_names_.find({type, m});
      const std::string own = known == member_names_.end() ? std::string() : printable(known->second);
      if (!at || *at >= kPushMax)
        return error(Code::invalid_arg, "member {} '{}' has no offset below {}", m, own, kPushMax);
      if (Status s = flatten(members[m], offset + *at, decoration(type, m, kMatrixStride).value_or(0), own,
                             depth + 1);
          !s)
        return s;
    }
    return {};
  }
  if (d->op != kTypeVector && d->op != kTypeMatrix && d->op != kTypeArray)
    return error(Code::unsupported, "a member '{}' that is no number, vector, matrix, array or structure",
                 label);
  const auto count = d->op == kTypeArray ? value(d->words[3]) : std::optional<std::uint64_t>(d->words[3]);
  std::uint64_t stride = kernel::size_of(scalar(d->words[2]));
  if (d->op == kTypeMatrix) stride = matrix_stride;
  if (d->op == kTypeArray) stride = decoration(type, kArrayStride).value_or(0);
  if (!count || stride == 0 || stride > kPushMax || *count > kPushMax || *count * stride > kPushMax)
    return error(Code::invalid_arg, "the size of member '{}' is unknown or beyond {} bytes", label, kPushMax);
  for (std::uint64_t i = 0; i < *count; ++i)
    if (Status s = flatten(d->words[2], offset + std::uint32_t(i * stride), matrix_stride, label, depth + 1);
        !s)
      return s;
  return {};
}

}  // namespace

Result<std::vector<std::uint32_t>> spirv_words(std::span<const std::byte> bytes) {
  if (bytes.size() % 4 != 0 || bytes.size() < 4 * kHeaderWords)
    return fail(Code::invalid_arg,
                "{} bytes are no SPIR-V module: it has whole words of 4 bytes, {} in its header; was it cut "
                "off?",
                bytes.size(), kHeaderWords);
  std::vector<std::uint32_t> words(bytes.size() / 4);
  std::memcpy(words.data(), bytes.data(), bytes.size());
  return words;
}

Result<Shader> reflect_spirv(Words words, const ShaderOptions& options) {
  auto shader = Module(words, options).reflect();
  if (!shader) return fail(std::move(shader).error().wrap("SPIR-V module"));
  return shader;
}

}  // namespace gpuio::launch
