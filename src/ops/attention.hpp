// Attention: how the work is divided, and the bodies of its kernels.
//
// A tile has rows (queries, of all the heads that share keys) and goes over its keys, some at a time, with
// the largest score so far and what is summed relative to it (after M. Milakov and N. Gimelshein, 2018, and
// T. Dao and others, FlashAttention, 2022). Where there are too few tiles for the device their keys are
// divided, and a second kernel merges the parts. Pure; any thread.
#pragma once

#include "ops/ops.hpp"

namespace gpuio::ops {

// What the body is traced for.
struct AttentionSpec {
  Dtype type = Dtype::f32;
  bool causal = false, lengths = false, sparse = false, log_sum = false;
  bool parts = false;       // the keys are divided
  std::uint32_t width = 1;  // elements that a load takes
  // A lane has `own` rows, one in `lane_rows`, and one key, or four columns, in `lane_keys`.
  std::uint32_t depth, lane_rows, own, lane_keys, keys;
  // On matrix units the head's depth is this, a multiple of 16, and else 0. A subgroup has 16 rows and a
  // lane, as fragments have them, 2 of these and in every 8 keys or columns 2.
  std::uint32_t units = 0;
  std::uint32_t rows() const { return lane_rows * own; }
  std::uint32_t lanes() const { return lane_rows * lane_keys; }
};
// Of a head's depth (d, up to a power of two) and the rows that share its keys; in 32 KiB of shared memory.
AttentionSpec attention_spec(std::uint32_t d, std::uint64_t rows);
// On matrix units: d a multiple of 16; in 48 KiB.
AttentionSpec units_attention_spec(std::uint32_t d);
// Whether they can: a device that has them, rows of 16-bit floats that async copies take, no lists of keys,
// and more rows than a subgroup would mostly leave empty.
bool units_can(const gpu::DeviceInfo& device, const Tensor& q, const Tensor& k, const Tensor& v,
               const AttentionOptions& o);
// attention(), by units if so.
Status attention_by(const Place& place, bool units, const Tensor& q, const Tensor& k, const Tensor& v,
                    const Tensor& out, const AttentionOptions& o);

// Arguments of the kernels. Of strides: of batch, head, token.
namespace attention_slots {
enum Slot : std::uint32_t {
  kQ,
  kK,
  kV,
  kOut,
  kLengths,
  kIndices,
  kLogSum,
  kScratch,
  kTq,
  kTk,
  kD,
  kSharedHeads,
  kGroup,
  kBlocks,
  kParts,
  kChunk,
  kPicks,
  kTotal,
  kScale,
  kQStrides,
  kKStrides = kQStrides + 3,
  kVStrides = kKStrides + 3,
  kOutStrides = kVStrides + 3
};
}
namespace merge_slots {
enum Slot : std::uint32_t { kPart, kOut, kLogs, kRows, kHeads, kTq, kD, kParts, kStrides };
}

void trace_attention(kernel::Ctx k, const AttentionSpec& spec);
void trace_merge(kernel::Ctx k, Dtype type, bool log_sum);
inline constexpr std::uint32_t kMergeLanes = 64;
// As code of the processor: how its tiles are, where about so many in a batch's head are wanted, and the
// code.
AttentionSpec native_attention_spec(std::uint32_t d, std::uint64_t rows, std::uint64_t tiles_wanted);
gpu::Native native_attention(const AttentionSpec& spec);
gpu::Native native_merge(Dtype type, bool log_sum);
inline constexpr std::uint32_t kNativeKeys = 64;
// Of each part of a row: its largest score, its sum, and d sums of v.
inline constexpr std::uint32_t kPartHead = 2;

}  // namespace gpuio::ops
