// AGPU: a list of operations on a device, each checked against the memory it uses, then made kernels.
#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <optional>

#include "launch/adead/kernels.hpp"
#include "launch/adead/parts.hpp"

namespace gpuio::launch::adead {
namespace {

using kernel::Op;
using kernel::ParamKind;
using kernel::Program;

constexpr u32 kPrefix = 0xC0DA0000, kMagic = 0x55504741;  // "AGPU"
constexpr std::size_t kStepsMax = 4096;
constexpr u64 kScratchMax = u64{1} << 36;

struct Known {
  u32 code;  // below kPrefix
  std::string_view name;
  u32 operands;
};
constexpr Known kKnown[] = {
    {0x00, "NOP", 0},    {0x01, "INIT", 0},    {0x02, "SHUTDOWN", 0},  {0x10, "ALLOC", 2},
    {0x11, "FREE", 1},   {0x12, "H2D", 3},     {0x13, "D2H", 3},       {0x14, "MEMSET", 3},
    {0x20, "MATMUL", 6}, {0x21, "ADD", 4},     {0x22, "SUB", 4},       {0x23, "MUL", 4},
    {0x24, "DIV", 4},    {0x25, "SCALE", 4},   {0x30, "RELU", 3},      {0x31, "SIGMOID", 3},
    {0x32, "TANH", 3},   {0x33, "SOFTMAX", 4}, {0x34, "GELU", 3},      {0x40, "ATTENTION", 6},
    {0x41, "MHA", 7},    {0x42, "FFN", 7},     {0x43, "LAYERNORM", 4}, {0x44, "EMBEDDING", 6},
    {0xF0, "SYNC", 0},   {0xF1, "BARRIER", 0}, {0xFFFF, "END", 0},
};

// A product that says so when it does not fit.
std::optional<u64> product(std::initializer_list<u64> factors) {
  u64 result = 1;
  for (const u64 f : factors)
    if (__builtin_mul_overflow(result, f, &result)) return std::nullopt;
  return result;
}

class Operations {
 public:
  explicit Operations(Reader reader) : reader_(reader) { module_.format = AdeadFormat::operations; }

  Result<AdeadModule> run() {
    const u64 start = reader_.offset();
    const auto magic = reader_.number(4, "the header of AGPU");
    if (!magic || *magic != kMagic)
      return fail(Code::invalid_arg, "offset {}: what should be GPU code does not begin with AGPU", start);
    auto version = reader_.number(2, "the header of AGPU"), count = reader_.number(2, "the header of AGPU");
    if (!version || !count)
      return fail(Code::invalid_arg, "offset {}: AGPU's header has 8 bytes; the file is truncated",
                  reader_.offset());
    if (*version != 1) return fail(Code::unsupported, "version {} of AGPU; version 1 is known", *version);
    bool ended = false;
    for (u32 n = 0; n < *count; ++n) {
      if (Status s = instruction(n, *count, ended); !s) return fail(std::move(s));
    }
    if (!ended)
      return fail(Code::invalid_arg, "offset {}: the last of {} instructions is not END (C0DAFFFF)",
                  reader_.offset(), *count);
    if (reader_.left())
      return fail(Code::invalid_arg,
                  "offset {}: {} bytes follow the last of {} instructions; the count is wrong or they do not "
                  "belong here",
                  reader_.offset(), reader_.left(), *count);
    arguments_first();
    return std::move(module_);
  }

 private:
  struct Register {
    u32 buffer = 0;
    u64 bytes = 0;
  };

  Status instruction(u32 n, u32 count, bool& ended) {
    const u64 at = reader_.offset();
    auto code = reader_.number(4, "an instruction");
    if (!code) return std::move(code).error();
    const auto known = std::ranges::find(kKnown, *code - kPrefix, &Known::code);
    if (known == std::end(kKnown))
      return error(Code::invalid_arg, "offset {}: opcode {:08X} is none of AGPU's (docs/adead.md lists them)",
                   at, *code);
    auto operands = reader_.number(1, "the number of operands");
    if (!operands) return std::move(operands).error();
    if (*operands != known->operands)
      return error(Code::invalid_arg,
                   "offset {}: {} with {} operands; it takes {} (docs/adead.md says which)", at + 4,
                   known->name, *operands, known->operands);
    operand_.clear();
    for (u32 i = 0; i < *operands; ++i) {
      auto value = reader_.number(4, known->name);
      if (!value) return std::move(value).error();
      operand_.push_back(*value);
    }
    ended = known->code == 0xFFFF;
    if (ended && n + 1 != count)
      return error(Code::invalid_arg, "offset {}: END is instruction {} of {}; nothing may follow it", at,
                   n + 1, count);
    Status s = perform(known->code);
    if (s && module_.steps.size() > kStepsMax)
      s = error(Code::unsupported, "more than {} kernels in one program; split it", kStepsMax);
    return std::move(s).wrap(fmt::format("offset {}: {}", at, known->name));
  }

  Status perform(u32 code) {
    switch (code) {
      case 0x02: registers_.clear(); return {};
      case 0x10: return allocate(operand_[0], operand_[1]);
      case 0x11:
        if (registers_.erase(operand_[0]) == 0) return unallocated(operand_[0]);
        return {};
      case 0x12: return transfer(operand_[1], operand_[0], operand_[2], true);
      case 0x13: return transfer(operand_[0], operand_[1], operand_[2], false);
      case 0x14: return memset();
      case 0x20: return matmul();
      case 0x21: return arithmetic(Op::add);
      case 0x22: return arithmetic(Op::sub);
      case 0x23: return arithmetic(Op::mul);
      case 0x24: return arithmetic(Op::div);
      case 0x25: return element_wise(Map::scale, operand_[3], std::bit_cast<float>(operand_[2]));
      case 0x30: return element_wise(Map::relu, operand_[2]);
      case 0x31: return element_wise(Map::sigmoid, operand_[2]);
      case 0x32: return element_wise(Map::tanh, operand_[2]);
      case 0x34: return element_wise(Map::gelu, operand_[2]);
      case 0x33: return row_wise(softmax);
      case 0x43: return row_wise(layer_norm);
      case 0x40: return attention(1);
      case 0x41: return attention(operand_[6]);
      case 0x42: return feed_forward();
      case 0x44: return embed();
      default: return {};  // NOP, INIT, SYNC, BARRIER, END: kernels run in order anyway
    }
  }

  // --- Memory ---
  static Status unallocated(u32 reg) {
    return error(Code::invalid_arg, "register {} holds no memory; ALLOC it first", reg);
  }
  static Status check_bytes(u64 bytes) {
    if (bytes != 0 && bytes % 4 == 0) return {};
    return error(Code::invalid_arg, "a size of {} bytes; sizes are in bytes, a multiple of 4 above zero",
                 bytes);
  }
  // The buffer of a register that has room for so many elements.
  Result<u32> use(u32 reg, std::initializer_list<u64> elements) {
    const auto found = registers_.find(reg);
    if (found == registers_.end()) return fail(unallocated(reg));
    const auto count = product(elements);
    if (count == 0u) return fail(Code::invalid_arg, "a dimension is 0; each is at least 1");
    if (!count || *count > found->second.bytes / 4)
      return fail(Code::invalid_arg, "register {} has {} bytes and {} elements of 4 are used; ALLOC more",
                  reg, found->second.bytes,
                  count ? fmt::format("{}", *count) : std::string("more than 2^64"));
    return found->second.buffer;
  }
  u32 scratch(u64 bytes) {
    module_.buffers.push_back({.kind = ParamKind::inout, .bytes = bytes, .scratch = true});
    return u32(module_.buffers.size() - 1);
  }
  Status allocate(u32 bytes, u32 reg) {
    if (Status s = check_bytes(bytes); !s) return s;
    if (registers_.contains(reg))
      return error(Code::invalid_arg, "register {} holds memory already; FREE it first", reg);
    if ((scratch_bytes_ += bytes) > kScratchMax) return too_much();
    registers_[reg] = {scratch(bytes), bytes};
    return {};
  }
  static Status too_much() {
    return error(Code::unsupported, "the program uses more than {} bytes of memory; split it", kScratchMax);
  }

  // Host addresses name the caller's buffers, in order of appearance; what lies there is the caller's say.
  Status transfer(u32 reg, u32 address, u32 bytes, bool to_device) {
    if (Status s = check_bytes(bytes); !s) return s;
    const auto memory = use(reg, {bytes / 4});
    if (!memory) return memory.error();
    const auto [found, fresh] = hosts_.try_emplace(address, u32(module_.buffers.size()));
    if (fresh)
      module_.buffers.push_back(
          {.kind = to_device ? ParamKind::in : ParamKind::out, .host_address = address});
    AdeadBuffer& host = module_.buffers[found->second];
    host.bytes = std::max<u64>(host.bytes, bytes);
    if (host.kind != (to_device ? ParamKind::in : ParamKind::out)) host.kind = ParamKind::inout;
    if (to_device) step(copy(bytes / 4), {found->second, *memory}, bytes / 4);
    else step(copy(bytes / 4), {*memory, found->second}, bytes / 4);
    return {};
  }
  Status memset() {
    if (Status s = check_bytes(operand_[2]); !s) return s;
    if (operand_[1] > 255)
      return error(Code::invalid_arg, "a value of {}; it is one byte, 0 to 255", operand_[1]);
    const auto memory = use(operand_[0], {operand_[2] / 4});
    if (!memory) return memory.error();
    step(fill(operand_[2] / 4, operand_[1] * 0x01010101u), {*memory}, operand_[2] / 4);
    return {};
  }

  // --- Arithmetic ---
  void step(Program program, std::vector<u32> buffers, u64 lanes) {
    module_.steps.push_back({std::move(program), std::move(buffers), grid_of(lanes, kLanes)});
  }
  static Status in_place(u32 reg) {
    return error(Code::invalid_arg, "register {} is operand and result; give the result its own", reg);
  }
  Status matmul() {
    const u64 m = operand_[3], n = operand_[4], k = operand_[5];
    const auto a = use(operand_[0], {m, k}), b = use(operand_[1], {k, n}), c = use(operand_[2], {m, n});
    for (const auto* r : {&a, &b, &c})
      if (!*r) return r->error();
    if (*c == *a || *c == *b) return in_place(operand_[2]);
    multiply({.rows = m, .columns = n, .depth = k, .a = {0, k, 1}, .b = {0, n, 1}, .c = {0, n, 1}}, *a, *b,
             *c);
    return {};
  }
  void multiply(const Contraction& shape, u32 a, u32 b, u32 c) {
    step(contraction(shape), {a, b, c}, shape.lanes());
  }
  Status arithmetic(Op op) {
    if (Status s = check_bytes(operand_[3]); !s) return s;
    const u64 count = operand_[3] / 4;
    const auto a = use(operand_[0], {count}), b = use(operand_[1], {count}), c = use(operand_[2], {count});
    for (const auto* r : {&a, &b, &c})
      if (!*r) return r->error();
    step(binary(op, count), {*a, *b, *c}, count);
    return {};
  }
  Status element_wise(Map what, u32 bytes, float factor = 1) {
    if (Status s = check_bytes(bytes); !s) return s;
    const auto from = use(operand_[0], {bytes / 4}), to = use(operand_[1], {bytes / 4});
    if (!from) return from.error();
    if (!to) return to.error();
    step(map(what, bytes / 4, factor), {*from, *to}, bytes / 4);
    return {};
  }
  Status row_wise(Program (*make)(u64, u64)) {
    const u64 rows = operand_[2], columns = operand_[3];
    const auto from = use(operand_[0], {rows, columns}), to = use(operand_[1], {rows, columns});
    if (!from) return from.error();
    if (!to) return to.error();
    step(make(rows, columns), {*from, *to}, rows);
    return {};
  }

  // softmax(q k^T / sqrt(width)) v, for each head on its own columns.
  Status attention(u64 heads) {
    const u64 length = operand_[4], dim = operand_[5];
    if (heads == 0 || dim % heads != 0)
      return error(Code::invalid_arg, "{} heads of {} columns; the heads divide the columns", heads, dim);
    u32 in[4] = {};
    for (u32 i = 0; i < 4; ++i) {
      const auto memory = use(operand_[i], {length, dim});
      if (!memory) return memory.error();
      in[i] = *memory;
    }
    if (in[3] == in[2]) return in_place(operand_[3]);
    const u64 width = dim / heads;
    const auto count = product({heads, length, length, 4});
    if (!count || *count > kScratchMax || (scratch_bytes_ += *count) > kScratchMax) return too_much();
    const u32 scores = scratch(*count);
    const Contraction::Strides rows{width, dim, 1}, columns{width, 1, dim},
        square{length * length, length, 1};
    multiply({.batches = heads,
              .rows = length,
              .columns = length,
              .depth = width,
              .a = rows,
              .b = columns,
              .c = square,
              .scale = 1 / std::sqrt(float(width))},
             in[0], in[1], scores);
    step(softmax(heads * length, length), {scores, scores}, heads * length);
    multiply({.batches = heads,
              .rows = length,
              .columns = width,
              .depth = length,
              .a = square,
              .b = rows,
              .c = rows},
             scores, in[2], in[3]);
    return {};
  }

  // relu(x w1) w2
  Status feed_forward() {
    const u64 length = operand_[4], dim = operand_[5], hidden = operand_[6];
    const auto x = use(operand_[0], {length, dim}), w1 = use(operand_[1], {dim, hidden}),
               w2 = use(operand_[2], {hidden, dim}), out = use(operand_[3], {length, dim});
    for (const auto* r : {&x, &w1, &w2, &out})
      if (!*r) return r->error();
    if (*out == *w2) return in_place(operand_[3]);
    const auto count = product({length, hidden, 4});
    if (!count || *count > kScratchMax || (scratch_bytes_ += *count) > kScratchMax) return too_much();
    const u32 between = scratch(*count);
    multiply({.rows = length,
              .columns = hidden,
              .depth = dim,
              .a = {0, dim, 1},
              .b = {0, hidden, 1},
              .c = {0, hidden, 1},
              .relu = true},
             *x, *w1, between);
    multiply({.rows = length,
              .columns = dim,
              .depth = hidden,
              .a = {0, hidden, 1},
              .b = {0, dim, 1},
              .c = {0, dim, 1}},
             between, *w2, *out);
    return {};
  }
  Status embed() {
    const u64 count = operand_[3], vocabulary = operand_[4], width = operand_[5];
    const auto ids = use(operand_[0], {count}), table = use(operand_[1], {vocabulary, width}),
               to = use(operand_[2], {count, width});
    for (const auto* r : {&ids, &table, &to})
      if (!*r) return r->error();
    if (*to == *ids || *to == *table) return in_place(operand_[2]);
    step(embedding(count, vocabulary, width), {*ids, *table, *to}, count * width);
    return {};
  }

  // Buffers were numbered as they came; the caller's go first.
  void arguments_first() {
    std::vector<u32> place(module_.buffers.size());
    std::vector<AdeadBuffer> sorted;
    for (const bool scratch : {false, true})
      for (u32 i = 0; i < place.size(); ++i) {
        if (module_.buffers[i].scratch != scratch) continue;
        place[i] = u32(sorted.size());
        sorted.push_back(module_.buffers[i]);
      }
    module_.buffers = std::move(sorted);
    for (AdeadStep& s : module_.steps)
      for (u32& b : s.buffers) b = place[b];
  }

  Reader reader_;
  AdeadModule module_;
  std::vector<u32> operand_;
  std::map<u32, Register> registers_;
  std::map<u32, u32> hosts_;  // address -> buffer
  u64 scratch_bytes_ = 0;
};

}  // namespace

Result<AdeadModule> parse_operations(Reader reader) { return Operations(reader).run(); }

}  // namespace gpuio::launch::adead
