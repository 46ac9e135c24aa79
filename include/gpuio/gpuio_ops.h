// gpuio: operations on tensors that lie on a device: products, attention, norms, reductions, selections,
// quantization. Each is one or a few kernels in gpuio's own language, so that it runs on CUDA, on Vulkan and
// on the CPU.
//
//     gpuio_tensor_t a = {.data = da, .dtype = GPUIO_DTYPE_F16, .rank = 2, .shape = {m, k}};
//     gpuio_tensor_t b = {.data = db, .dtype = GPUIO_DTYPE_F16, .rank = 2, .shape = {k, n}};
//     gpuio_tensor_t c = {.data = dc, .dtype = GPUIO_DTYPE_F32, .rank = 2, .shape = {m, n}};
//     gpuio_matmul(ctx, &a, &b, &c, NULL, stream);   // returns before it has run
//
// The conventions of gpuio.h hold here too, and these:
//  - Memory is what kernels of the stream's device can use: from gpuio_malloc_*, adopted, a mapped array; any
//  for the
//    CPU device. It is the caller's, and stays until the stream has come past the operation. No output
//    overlaps an input, unless its comment says that it may be the same memory.
//  - Sizes are any: nothing has to be a multiple of anything. A dimension is below 2^31. Where one is 0,
//  nothing is done.
//  - Errors. INVALID_ARG names the tensor, what it is and what was needed; UNSUPPORTED a combination of types
//  that is
//    not built, and those that are. What fails on the device comes from the next wait for the stream.
//  - Arithmetic. Sums are in f32, of 8-bit integers in i32; an output is rounded once, to nearest even. The
//  error
//    that a comment states is against the same operation in f64 on the inputs as they are; u is the output
//    type's unit roundoff (2^-24 f32, 2^-11 f16, 2^-8 bf16), s is 2^-24. A NaN in what is summed is a NaN;
//    others say so.
//  - The order of sums does not depend on timing: the same call on the same device gives the same bits.
#ifndef GPUIO_GPUIO_OPS_H
#define GPUIO_GPUIO_OPS_H

#include "gpuio.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  GPUIO_DTYPE_F32 = 0,
  GPUIO_DTYPE_F16 = 1,
  GPUIO_DTYPE_BF16 = 2,
  GPUIO_DTYPE_F8E4M3 = 3,  // 4 bits of exponent, no infinities, largest 448
  GPUIO_DTYPE_F8E5M2 = 4,  // 5 bits of exponent, largest 57344
  GPUIO_DTYPE_I8 = 5,
  GPUIO_DTYPE_U8 = 6,
  GPUIO_DTYPE_I4 = 7,  // two to a byte, the first in the low half, two's complement; a row is whole bytes
  GPUIO_DTYPE_I32 = 8,
  GPUIO_DTYPE_U32 = 9,
  GPUIO_DTYPE_I64 = 10,
  GPUIO_DTYPE_U64 = 11
} gpuio_dtype_t;

#define GPUIO_TENSOR_RANK_MAX 4

typedef struct {
  void* data;  // of the first element
  gpuio_dtype_t dtype;
  int rank;                                // 1 to 4
  uint64_t shape[GPUIO_TENSOR_RANK_MAX];   // elements, outermost first
  uint64_t stride[GPUIO_TENSOR_RANK_MAX];  // elements from one index to the next; all 0: dense. The last is 1
} gpuio_tensor_t;

// "bf16"; "?" for what is none. Lives for ever.
GPUIO_API const char* gpuio_dtype_name(gpuio_dtype_t dtype);

// ---- Products

typedef struct {
  bool b_transposed;  // b is n x k: each column of the product's in one row, as weights are kept
  bool tf32;          // f32 operands are rounded to 10 bits of fraction first, as matrix units take them;
                      // ties to even, or on those units away from zero
  const gpuio_tensor_t* scale_a;  // f32, m: a row of a is what it holds times this (a token's scale)
  const gpuio_tensor_t* scale_b;  // f32, n: so for a column of the product (a channel's); of i4 n x ceil(k /
                                  // 128): one for every 128 of k
  const gpuio_tensor_t* bias;     // f32, f16 or bf16, n: added to each row
} gpuio_matmul_options_t;

// c (m x n) = a (m x k) * b (k x n); of k = 0 zeros, and the bias. Rank 3: as many products as the first
// dimension of a says, with the same scales and bias; where that of b is 1, or b has rank 2, all with the
// same b. a and b: f32, f16, bf16, f8e4m3, f8e5m2, i8, both of one type; or a f16 or bf16 with b i4,
// transposed. c: f32, f16, bf16; of i8 without scales and bias also i32, exact. options may be NULL. Error:
// at most (k + 3) s of what |a| |b| with the scales and the bias sum to, and u of the result; products of f8,
// i8 and 16-bit floats are exact. On GPUs whose matrix units add products of f8 with 13 bits (sm_89) 2^-11 of
// what |a| |b| sum to.
GPUIO_API gpuio_error_t gpuio_matmul(gpuio_context_t ctx, const gpuio_tensor_t* a, const gpuio_tensor_t* b,
                                     const gpuio_tensor_t* c, const gpuio_matmul_options_t* options,
                                     gpuio_stream_t stream);

// The three projections of attention in one launch: q = x wq, k = x wk, v = x wv, all of rank 2. The weights
// are transposed (n x k); types and scales are those that gpuio_matmul takes, the same for all three, of
// which each has its scale or none has one.
typedef struct {
  const gpuio_tensor_t* scale_x;                      // as scale_a
  const gpuio_tensor_t *scale_q, *scale_k, *scale_v;  // as scale_b
} gpuio_qkv_options_t;
GPUIO_API gpuio_error_t gpuio_qkv(gpuio_context_t ctx, const gpuio_tensor_t* x, const gpuio_tensor_t* wq,
                                  const gpuio_tensor_t* wk, const gpuio_tensor_t* wv, const gpuio_tensor_t* q,
                                  const gpuio_tensor_t* k, const gpuio_tensor_t* v,
                                  const gpuio_qkv_options_t* options, gpuio_stream_t stream);

typedef struct {
  float scale;                    // of the products of q and k; 0: 1 / sqrt(d)
  bool causal;                    // query i of tq sees keys up to i + (its keys' number) - tq
  const gpuio_tensor_t* lengths;  // u32, batch: keys that count, of each sequence; NULL: tk
  const gpuio_tensor_t*
      indices;  // u32, batch x heads of k x tq x n: the keys that a query sees, in any order, none
                // twice; 0xffffffff: none. With causal or lengths, those that they allow as well
  const gpuio_tensor_t*
      log_sum;  // out, f32, batch x heads x tq: log of the sum of exp, to merge parts; may be NULL
} gpuio_attention_options_t;

// out = softmax(q k^T * scale) v, without the matrix of weights in memory. q, out: batch x heads x tq x d; k,
// v: batch x heads of k x tk x d, where heads is a multiple of heads of k (grouped queries). tq = 1 is a
// decoding step, its keys divided among workgroups. d: 1 to 256. f32, f16, bf16, all four of one type. A
// query that sees no key gives 0, and -infinity as log_sum. Keys that `causal` hides have finite v. Error,
// with A the largest |q| |k|^T * scale: (2 (d + 4) s A + 2^-19) of the largest |v|, and u of that, twice
// where matrix units (CUDA) multiply v by weights of its 16-bit type. With indices at most 32 heads of q
// share one of k, 16 where d > 128.
GPUIO_API gpuio_error_t gpuio_attention(gpuio_context_t ctx, const gpuio_tensor_t* q, const gpuio_tensor_t* k,
                                        const gpuio_tensor_t* v, const gpuio_tensor_t* out,
                                        const gpuio_attention_options_t* options, gpuio_stream_t stream);

// ---- Rows: the last dimension, whatever the others are. f32, f16, bf16; y of x's type or f32; y may be x.

// Error: 2^-21 + s (the row's largest - x) of each result, and u. A row of -infinities is one of NaNs, as
// elsewhere.
GPUIO_API gpuio_error_t gpuio_softmax(gpuio_context_t ctx, const gpuio_tensor_t* x, const gpuio_tensor_t* y,
                                      gpuio_stream_t stream);
// (x - mean) / sqrt(variance + epsilon) * gain + bias; gain and bias: f32 or x's type, of the row's length,
// or NULL. The variance is of the differences from the mean, in a second pass. Error: 2^-19 of the row's
// largest |result| without bias, s of what the bias is added to, and u; where sums of squares stay in f32's
// range.
GPUIO_API gpuio_error_t gpuio_layer_norm(gpuio_context_t ctx, const gpuio_tensor_t* x,
                                         const gpuio_tensor_t* gain, const gpuio_tensor_t* bias,
                                         float epsilon, const gpuio_tensor_t* y, gpuio_stream_t stream);
// x / sqrt(mean of squares + epsilon) * gain. Error: 2^-20 of each result, and u; where sums of squares stay
// in f32's range.
GPUIO_API gpuio_error_t gpuio_rms_norm(gpuio_context_t ctx, const gpuio_tensor_t* x,
                                       const gpuio_tensor_t* gain, float epsilon, const gpuio_tensor_t* y,
                                       gpuio_stream_t stream);

typedef enum {
  GPUIO_REDUCE_ADD = 0,
  GPUIO_REDUCE_MIN = 1,
  GPUIO_REDUCE_MAX = 2,
  GPUIO_REDUCE_MUL = 3
} gpuio_reduce_t;

// y: x's shape without its last dimension (rank 1 gives one element), without gaps. Floats, and i32 u32 i64
// u64, which wrap; y of x's type, or f32 for 16-bit floats. MIN and MAX pass over NaNs. Of no elements: 0, 1,
// or the type's largest or smallest (of floats the infinities). Long rows are divided among workgroups; the
// order follows from the shape alone. Error of ADD: 64 s * sum |x|, and u; of MUL: s a factor.
GPUIO_API gpuio_error_t gpuio_reduce(gpuio_context_t ctx, const gpuio_tensor_t* x, gpuio_reduce_t op,
                                     const gpuio_tensor_t* y, gpuio_stream_t stream);
// y[i] = x[0] op ... op x[i], or to x[i - 1] if exclusive. y: x's shape, may be x. Types, order and error as
// gpuio_reduce; ADD only of floats.
GPUIO_API gpuio_error_t gpuio_scan(gpuio_context_t ctx, const gpuio_tensor_t* x, gpuio_reduce_t op,
                                   bool exclusive, const gpuio_tensor_t* y, gpuio_stream_t stream);
// The largest of each row, descending, and where they were; of equals the lower index is first, NaNs last.
// The last dimension of values and indices (u32) is how many, at most 4096 and the row's length; values may
// be NULL. f32, f16, bf16, i32, u32. Exact, and the same on every device.
GPUIO_API gpuio_error_t gpuio_top_k(gpuio_context_t ctx, const gpuio_tensor_t* x,
                                    const gpuio_tensor_t* values, const gpuio_tensor_t* indices,
                                    gpuio_stream_t stream);

// ---- Moving rows. x, y: rank 2, of any one type but i4; indices: u32 or u64, rank 1

// y[i] = x[indices[i]]; zeros where x has no such row.
GPUIO_API gpuio_error_t gpuio_gather_rows(gpuio_context_t ctx, const gpuio_tensor_t* x,
                                          const gpuio_tensor_t* indices, const gpuio_tensor_t* y,
                                          gpuio_stream_t stream);
// y[indices[i]] = x[i]; what y does not have is left out. No index twice: which row stays is not said.
GPUIO_API gpuio_error_t gpuio_scatter_rows(gpuio_context_t ctx, const gpuio_tensor_t* x,
                                           const gpuio_tensor_t* indices, const gpuio_tensor_t* y,
                                           gpuio_stream_t stream);

// ---- Numbers of fewer bits. x: f32, f16, bf16, rank 2, rows x columns; q: i8, i4, f8e4m3, f8e5m2, of x's
// shape

typedef enum {
  GPUIO_SCALE_ROW = 0,     // scales: rows (a token's, or a channel's of transposed weights)
  GPUIO_SCALE_COLUMN = 1,  // scales: columns
  GPUIO_SCALE_GROUP = 2    // scales: rows x ceil(columns / 128), as gpuio_matmul takes them with i4
} gpuio_scale_t;

// out, scales (f32): the largest |x| of what shares it, over the type's largest (127, 7, 448, 57344); 1 where
// that is 0 in f32. q = x / scale, to the nearest, ties to even. A NaN among floats of 8 bits is a NaN, among
// integers 0; it counts for no scale.
GPUIO_API gpuio_error_t gpuio_quantize(gpuio_context_t ctx, const gpuio_tensor_t* x, gpuio_scale_t scale,
                                       const gpuio_tensor_t* q, const gpuio_tensor_t* scales,
                                       gpuio_stream_t stream);
// x = q * scale, rounded to x's type.
GPUIO_API gpuio_error_t gpuio_dequantize(gpuio_context_t ctx, const gpuio_tensor_t* q,
                                         const gpuio_tensor_t* scales, gpuio_scale_t scale,
                                         const gpuio_tensor_t* x, gpuio_stream_t stream);

// ---- Counting and drawing

// counts[v] += how often v occurs in x: u8, i32, u32, any shape. counts: u32 or u64, rank 1; what is outside
// it is not counted. Not cleared first.
GPUIO_API gpuio_error_t gpuio_histogram(gpuio_context_t ctx, const gpuio_tensor_t* x,
                                        const gpuio_tensor_t* counts, gpuio_stream_t stream);

typedef enum {
  GPUIO_RANDOM_BITS = 0,     // u32
  GPUIO_RANDOM_UNIFORM = 1,  // f32, f16, bf16: in [0, 1), multiples of 2^-24 rounded down to the type
  GPUIO_RANDOM_NORMAL = 2    // f32, f16, bf16: mean 0, variance 1 (Box and Muller)
} gpuio_random_t;

// y has no gaps. Element i is a function of seed and offset + i alone: Philox 4x32 with ten rounds (Salmon
// and others, 2011), four elements a block. The same bits on every device for BITS and UNIFORM.
GPUIO_API gpuio_error_t gpuio_random(gpuio_context_t ctx, gpuio_random_t distribution, uint64_t seed,
                                     uint64_t offset, const gpuio_tensor_t* y, gpuio_stream_t stream);

// ---- Tuning

// Runs the ways that there are to do this product on the stream's device, in turn, on the tensors given,
// whose c is written, and keeps the fastest for products of these types, flags and about these sizes (as many
// binary digits): for this process, and in the folder of compiled kernels (kernel_cache.folder) for later
// ones, by device and driver. Blocks, for what was given to the stream, then for `budget_us` and one product
// at most; 0: 2 s. `chosen`, out, may be NULL: its name.
GPUIO_API gpuio_error_t gpuio_tune_matmul(gpuio_context_t ctx, const gpuio_tensor_t* a,
                                          const gpuio_tensor_t* b, const gpuio_tensor_t* c,
                                          const gpuio_matmul_options_t* options, uint64_t budget_us,
                                          char chosen[64], gpuio_stream_t stream);

#ifdef __cplusplus
}
#endif

#endif  // GPUIO_GPUIO_OPS_H
