// Runs a SPIR-V compute module of gpuio's as its specification says, for what no driver at hand runs:
// cooperative matrices. It knows the instructions that the emitter writes for integers, f32 and such
// matrices, no functions and no extended instructions.
//
// A lane runs until it waits for others. A lane's share of a matrix are elements that follow each other by
// rows, unlike ir.hpp's: who takes one for the other fails. Each lane loads and stores its own share, so that
// a barrier which is missing shows. What is not initialized is garbage. Not thread-safe.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include <gpuio/kernel/semantics.hpp>
#include <gpuio/kernel/spirv/words.hpp>

namespace gpuio::test_kernels {

using namespace gpuio::kernel;

class SpirvMachine {
 public:
  explicit SpirvMachine(std::span<const u32> words) : words_(words), types_(words[3]), globals_(words[3]) {
    for (std::size_t at = 5; at < words.size(); at += words[at] >> 16) declare(at);
  }

  // One workgroup with the argument block at this address. Empty, or why it could not.
  std::string run(const void* block) {
    block_ = std::bit_cast<u64>(block);
    lanes_.clear();
    lanes_.resize(std::size_t(size_[0]) * size_[1] * size_[2]);
    for (u32 l = 0; l < lanes_.size(); ++l) begin(l);
    for (u32 round = 0; round < kRoundsMax; ++round) {
      bool all_done = true;
      for (u32 n = 0; n < lanes_.size(); ++n) {
        const u32 l = round % 2 ? u32(lanes_.size()) - 1 - n : n;
        while (!lanes_[l].waits && !lanes_[l].done && error_.empty()) step(l);
        all_done = all_done && lanes_[l].done;
      }
      if (!error_.empty() || all_done) return error_;
      if (!meet()) return "lanes wait for each other at different places";
    }
    return "it does not end";
  }

 private:
  using Word = spirv::Word;
  static constexpr u32 kRoundsMax = 10000, kShareMax = 16, kSubgroup = 32;
  using Value = std::array<u64, kShareMax>;
  struct Type {
    Word word{};
    u32 bits = 0, element = 0, count = 1, columns = 0, storage = 0;
    bool is_signed = false, brain = false;
  };
  struct Variable {
    u32 id, type, storage, initial;
  };
  struct Lane {
    std::size_t at = 0;
    bool waits = false, done = false;
    std::vector<Value> values{};
    std::vector<std::unique_ptr<u8[]>> memory{};
  };

  u32 operand(std::size_t at, u32 n) const { return words_[at + n]; }
  u32 length(std::size_t at) const { return words_[at] >> 16; }
  Word word(std::size_t at) const { return Word(words_[at] & 0xffff); }

  void declare(std::size_t at) {
    const auto o = [&](u32 n) { return operand(at, n); };
    const u32 id = length(at) > 1 ? o(1) : 0;
    switch (word(at)) {
      case Word::ExecutionMode: size_ = {o(3), o(4), o(5)}; break;
      case Word::Decorate:
        if (o(2) == spirv::kBuiltIn) builtins_[id] = spirv::BuiltIn(o(3));
        break;
      case Word::TypeBool: types_[id] = {.word = word(at), .bits = 32}; break;
      case Word::TypeInt: types_[id] = {.word = word(at), .bits = o(2), .is_signed = o(3) != 0}; break;
      case Word::TypeFloat: types_[id] = {.word = word(at), .bits = o(2), .brain = length(at) > 3}; break;
      case Word::TypeVector: types_[id] = {.word = word(at), .element = o(2), .count = o(3)}; break;
      case Word::TypeArray:
        types_[id] = {.word = word(at), .element = o(2), .count = u32(globals_[o(3)][0])};
        break;
      case Word::TypeStruct: types_[id] = {.word = word(at), .element = o(2)}; break;
      case Word::TypePointer:
        types_[id] = {.word = word(at), .bits = 64, .element = o(3), .storage = o(2)};
        break;
      case Word::TypeCooperativeMatrixKHR: {
        const u32 rows = u32(globals_[o(4)][0]), columns = u32(globals_[o(5)][0]);
        types_[id] = {.word = word(at), .element = o(2), .count = rows * columns, .columns = columns};
        break;
      }
      case Word::Constant: globals_[o(2)][0] = o(3) | (length(at) > 4 ? u64{o(4)} << 32 : 0); break;
      case Word::ConstantTrue: globals_[o(2)][0] = 1; break;
      case Word::ConstantComposite: globals_[o(2)].fill(globals_[o(3)][0]); break;
      case Word::Variable: variables_.push_back({o(2), o(1), o(3), length(at) > 4 ? o(4) : 0}); break;
      case Word::Function: entry_ = at + length(at); break;
      case Word::Label: labels_[id] = at + length(at); break;
      default: break;
    }
  }

  u32 bytes(u32 type) const {
    const Type& t = types_[type];
    switch (t.word) {
      case Word::TypeVector:
      case Word::TypeArray: return bytes(t.element) * t.count;
      case Word::TypeStruct: return bytes(t.element);
      case Word::TypeCooperativeMatrixKHR: return sizeof(Value);
      default: return t.bits / 8;
    }
  }
  void begin(u32 l) {
    Lane& lane = lanes_[l];
    lane.at = entry_;
    lane.values = globals_;
    for (const Variable& v : variables_) {
      const auto storage = spirv::Storage(v.storage);
      const u32 type = types_[v.type].element, size = std::max(bytes(type), 16u);
      if (storage == spirv::Storage::Workgroup) {
        auto& memory = shared_[v.id];
        if (l == 0) memory = garbage(size);
        lane.values[v.id][0] = std::bit_cast<u64>(memory.get());
        continue;
      }
      lane.memory.push_back(garbage(size));
      u8* const memory = lane.memory.back().get();
      lane.values[v.id][0] = std::bit_cast<u64>(memory);
      if (storage == spirv::Storage::PushConstant) std::memcpy(memory, &block_, 8);
      if (storage == spirv::Storage::Input) input(l, builtins_[v.id], reinterpret_cast<u32*>(memory));
      if (v.initial) write(type, memory, globals_[v.initial]);
    }
  }
  static std::unique_ptr<u8[]> garbage(u32 size) {
    std::unique_ptr<u8[]> memory(new u8[size]);
    std::memset(memory.get(), 0xcd, size);
    return memory;
  }
  void input(u32 l, spirv::BuiltIn what, u32* to) {
    switch (what) {
      case spirv::BuiltIn::LocalInvocationId:
        to[0] = l % size_[0], to[1] = l / size_[0] % size_[1], to[2] = l / size_[0] / size_[1];
        break;
      case spirv::BuiltIn::SubgroupId: *to = l / kSubgroup; break;
      case spirv::BuiltIn::SubgroupLocalInvocationId: *to = l % kSubgroup; break;
      default: error_ = "built-in " + std::to_string(u32(what));
    }
  }

  Value read(u32 type, const u8* from) const {
    const Type& t = types_[type];
    Value v{};
    if (t.word == Word::TypeCooperativeMatrixKHR) {
      std::memcpy(&v, from, sizeof v);
      return v;
    }
    const u32 each = t.word == Word::TypeVector ? bytes(t.element) : bytes(type);
    for (u32 n = 0; n < t.count; ++n) std::memcpy(&v[n], from + n * each, each);
    return v;
  }
  void write(u32 type, u8* to, const Value& v) const {
    const Type& t = types_[type];
    if (t.word == Word::TypeCooperativeMatrixKHR) {
      std::memcpy(to, &v, sizeof v);
      return;
    }
    const u32 each = t.word == Word::TypeVector ? bytes(t.element) : bytes(type);
    for (u32 n = 0; n < t.count; ++n) std::memcpy(to + n * each, &v[n], each);
  }

  // Lanes that all wait at one place go on: those of the workgroup at its barrier, else those of a subgroup.
  bool meet() {
    bool any = false;
    const auto together = [&](u32 first, u32 count) {
      for (u32 l = first; l < first + count; ++l)
        if (!lanes_[l].waits || lanes_[l].at != lanes_[first].at) return false;
      return true;
    };
    for (u32 first = 0; first < lanes_.size(); first += kSubgroup) {
      if (!together(first, kSubgroup)) continue;
      const std::size_t at = lanes_[first].at;
      const bool product = word(at) == Word::CooperativeMatrixMulAddKHR;
      if (!product && globals_[operand(at, 1)][0] == 2) continue;
      if (product) multiply(first, at);
      go_on(first, kSubgroup);
      any = true;
    }
    if (!any && together(0, u32(lanes_.size()))) {
      go_on(0, u32(lanes_.size()));
      any = true;
    }
    return any;
  }
  void go_on(u32 first, u32 count) {
    for (u32 l = first; l < first + count; ++l) {
      lanes_[l].waits = false;
      lanes_[l].at += length(lanes_[l].at);
    }
  }

  // An element of a matrix from the shares of a subgroup; where it lies.
  u64& element(u32 first, u32 id, u32 type, u32 index) {
    const u32 share = types_[type].count / kSubgroup;
    return lanes_[first + index / share].values[id][index % share];
  }
  f32 number(u32 type, u64 bits) const {
    const Type& t = types_[types_[type].element];
    if (t.bits == 32) return std::bit_cast<f32>(u32(bits));
    return t.brain ? std::bit_cast<f32>(u32(bits) << 16) : f16_to_f32(u16(bits));
  }
  void multiply(u32 first, std::size_t at) {
    const u32 of = operand(at, 1), to = operand(at, 2), a = operand(at, 3), b = operand(at, 4),
              c = operand(at, 5);
    const u32 type_a = matrices_[a], type_b = matrices_[b], depth = types_[type_a].columns;
    const Type& parts = types_[types_[type_a].element];
    const bool integers = parts.word == Word::TypeInt;
    if (integers != (length(at) > 6) || (integers && (operand(at, 6) != 0xf || !parts.is_signed)))
      error_ = "signs of a product";
    for (u32 i = 0; i < 16; ++i) {
      for (u32 j = 0; j < 8; ++j) {
        const u64 before = element(first, c, of, i * 8 + j);
        u32 whole = u32(before);
        f32 sum = std::bit_cast<f32>(u32(before));
        for (u32 k = 0; k < depth; ++k) {
          const u64 x = element(first, a, type_a, i * depth + k), y = element(first, b, type_b, k * 8 + j);
          if (integers) whole += u32(i32(i8(x)) * i32(i8(y)));
          else sum = std::fma(number(type_a, x), number(type_b, y), sum);
        }
        element(first, to, of, i * 8 + j) = integers ? whole : std::bit_cast<u32>(sum);
      }
    }
    matrices_[to] = of;
  }

  // A lane's share of a matrix in memory, whose elements are apart as their own type is wide.
  template <class F>
  void each_of_share(u32 l, u32 type, u64 pointer, u32 pointed, u32 layout, u32 stride, F f) {
    const Type& t = types_[type];
    const u32 share = t.count / kSubgroup, size = bytes(t.element);
    if (bytes(pointed) != size) error_ = "a matrix in an array of other elements";
    for (u32 n = 0; n < share; ++n) {
      const u32 index = l % kSubgroup * share + n, row = index / t.columns, column = index % t.columns;
      const u32 place = layout == 0 ? row * stride + column : column * stride + row;
      f(n, reinterpret_cast<u8*>(pointer) + u64(place) * size, size);
    }
  }

  static u64 cut(u64 v, u32 bits) { return bits >= 64 ? v : v & ((u64{1} << bits) - 1); }
  static i64 extend(u64 v, u32 bits) { return i64(v << (64 - bits)) >> (64 - bits); }

  void step(u32 l) {
    Lane& lane = lanes_[l];
    const std::size_t at = lane.at;
    const auto o = [&](u32 n) { return operand(at, n); };
    const auto v = [&](u32 n) { return lane.values[o(n)][0]; };
    switch (word(at)) {
      case Word::Variable:
      case Word::SelectionMerge:
      case Word::LoopMerge: break;
      case Word::Label: break;
      case Word::Branch: lane.at = labels_.at(o(1)); return;
      case Word::BranchConditional: lane.at = labels_.at(v(1) ? o(2) : o(3)); return;
      case Word::Return: lane.done = true; return;
      case Word::ControlBarrier:
      case Word::CooperativeMatrixMulAddKHR: lane.waits = true; return;
      case Word::Store: {
        const u32 type = types_[type_of(o(1))].element;
        write(type, reinterpret_cast<u8*>(v(1)), lane.values[o(2)]);
        break;
      }
      case Word::CooperativeMatrixStoreKHR: {
        const Value& m = lane.values[o(2)];
        each_of_share(l, matrices_[o(2)], v(1), types_[type_of(o(1))].element, u32(v(3)), u32(v(4)),
                      [&](u32 n, u8* to, u32 size) { std::memcpy(to, &m[n], size); });
        break;
      }
      default: lane.values[o(2)] = compute(l, at); result_types_[o(2)] = o(1);
    }
    lane.at += length(at);
  }
  u32 type_of(u32 id) const {
    const auto found = result_types_.find(id);
    if (found != result_types_.end()) return found->second;
    for (const Variable& v : variables_)
      if (v.id == id) return v.type;
    return 0;
  }

  Value compute(u32 l, std::size_t at) {
    Lane& lane = lanes_[l];
    const auto o = [&](u32 n) { return operand(at, n); };
    const auto v = [&](u32 n) { return lane.values[o(n)][0]; };
    const Type& t = types_[o(1)];
    const auto one = [](u64 bits) { return Value{bits}; };
    const auto real = [&](u32 n) { return std::bit_cast<f32>(u32(v(n))); };
    switch (word(at)) {
      case Word::Load:
        if (t.word == Word::TypeCooperativeMatrixKHR) matrices_[o(2)] = o(1);
        return read(o(1), reinterpret_cast<const u8*>(v(3)));
      case Word::CooperativeMatrixLoadKHR: {
        Value m{};
        matrices_[o(2)] = o(1);
        each_of_share(l, o(1), v(3), types_[type_of(o(3))].element, u32(v(4)), u32(v(5)),
                      [&](u32 n, const u8* from, u32 size) { std::memcpy(&m[n], from, size); });
        return m;
      }
      case Word::AccessChain: return one(v(3) + v(4) * bytes(t.element));
      case Word::CompositeExtract: return one(lane.values[o(3)][o(4)]);
      case Word::CompositeConstruct: {
        Value made{};
        for (u32 n = 0; n < t.count; ++n) made[n] = v(3 + n);
        return made;
      }
      case Word::UConvert:
      case Word::ConvertUToPtr:
      case Word::Bitcast: return one(cut(v(3), t.bits));
      case Word::IAdd: return one(cut(v(3) + v(4), t.bits));
      case Word::ISub: return one(cut(v(3) - v(4), t.bits));
      case Word::IMul: return one(cut(v(3) * v(4), t.bits));
      case Word::UDiv: return one(v(3) / v(4));
      case Word::BitwiseAnd: return one(v(3) & v(4));
      case Word::BitwiseOr: return one(v(3) | v(4));
      case Word::ShiftLeftLogical: return one(cut(v(3) << v(4), t.bits));
      case Word::ShiftRightLogical: return one(v(3) >> v(4));
      case Word::LogicalAnd: return one(v(3) & v(4));
      case Word::LogicalOr: return one(v(3) | v(4));
      case Word::LogicalNot: return one(!v(3));
      case Word::Select: return v(3) ? lane.values[o(4)] : lane.values[o(5)];
      case Word::IEqual: return one(v(3) == v(4));
      case Word::INotEqual: return one(v(3) != v(4));
      case Word::UGreaterThan: return one(v(3) > v(4));
      case Word::UGreaterThanEqual: return one(v(3) >= v(4));
      case Word::ULessThan: return one(v(3) < v(4));
      case Word::ULessThanEqual: return one(v(3) <= v(4));
      case Word::ConvertUToF: return one(std::bit_cast<u32>(f32(v(3))));
      case Word::FAdd: return one(std::bit_cast<u32>(real(3) + real(4)));
      case Word::FMul: return one(std::bit_cast<u32>(real(3) * real(4)));
      default: error_ = "instruction " + std::to_string(u32(word(at))); return {};
    }
  }

  std::span<const u32> words_;
  std::vector<Type> types_;
  std::vector<Value> globals_;  // constants
  std::vector<Variable> variables_;
  std::map<u32, spirv::BuiltIn> builtins_;
  std::map<u32, std::size_t> labels_;
  std::map<u32, u32> result_types_, matrices_;  // by id: type
  std::map<u32, std::unique_ptr<u8[]>> shared_;
  std::array<u32, 3> size_{};
  std::size_t entry_ = 0;
  u64 block_ = 0;
  std::vector<Lane> lanes_;
  std::string error_;
};

}  // namespace gpuio::test_kernels
