// Operations on tensors: what the client's tensors may be, and what is said of those that may not.
#include "check.h"

#include <gpuio/gpuio_ops.h>
#include <math.h>

static gpuio_context_t ctx;
#define BAD(call) CHECK_CODE(GPUIO_ERROR_INVALID_ARG, call)
#define SAYS(words) CHECK(strstr(gpuio_last_error_message(), words) != NULL)

static void softmax_in_order_of_the_stream(void) {
  float *x = NULL, out[8];
  OK(gpuio_malloc_device(ctx, 1 << 12, (void**)&x));
  const float in[8] = {0, 0, 0, 0, 1, 1, 1, 1};
  const gpuio_tensor_t t = {.data = x, .rank = 2, .shape = {2, 4}};
  gpuio_stream_t stream;
  OK(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  OK(gpuio_memcpy_async(ctx, x, in, sizeof in, stream));
  OK(gpuio_softmax(ctx, &t, &t, stream));
  OK(gpuio_memcpy_async(ctx, out, x, sizeof out, stream));
  OK(gpuio_stream_synchronize(ctx, stream));
  for (int i = 0; i < 8; ++i) CHECK(fabsf(out[i] - 0.25f) < 1e-6f);
  OK(gpuio_stream_destroy(ctx, stream));
  OK(gpuio_free(ctx, x));
}

static void operations_on_rows(void) {
  float x[6] = {1, 2, 3, 4, 6, 8}, gain[3] = {1, 1, 2}, y[6], sums[2];
  const gpuio_tensor_t from = {.data = x, .rank = 2, .shape = {2, 3}},
                       to = {.data = y, .rank = 2, .shape = {2, 3}};
  const gpuio_tensor_t times = {.data = gain, .rank = 1, .shape = {3}},
                       sum = {.data = sums, .rank = 1, .shape = {2}};
  OK(gpuio_rms_norm(ctx, &from, &times, 0, &to, NULL));
  OK(gpuio_reduce(ctx, &from, GPUIO_REDUCE_MAX, &sum, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(fabsf(y[0] - 1 / sqrtf(14.0f / 3)) < 1e-6f && fabsf(y[2] - 6 / sqrtf(14.0f / 3)) < 1e-6f);
  CHECK(sums[0] == 3 && sums[1] == 8);
  OK(gpuio_layer_norm(ctx, &from, NULL, &times, 0, &to, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(fabsf(y[0] - (1 - sqrtf(1.5f))) < 1e-6f && y[1] == 1);
  OK(gpuio_scan(ctx, &from, GPUIO_REDUCE_ADD, true, &to, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(y[0] == 0 && y[2] == 3 && y[3] == 0 && y[5] == 10);
  BAD(gpuio_reduce(ctx, &from, (gpuio_reduce_t)9, &sum, NULL));
  SAYS("op = 9");
}

static void products_of_host_memory(void) {
  const float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 0, 0, 1, 1, 1}, bias[2] = {10, 20};
  float c[4] = {0, 0, 0, 0};
  const gpuio_tensor_t x = {.data = (void*)a, .rank = 2, .shape = {2, 3}},
                       y = {.data = (void*)b, .rank = 2, .shape = {3, 2}},
                       z = {.data = c, .rank = 2, .shape = {2, 2}},
                       add = {.data = (void*)bias, .rank = 1, .shape = {2}};
  const gpuio_matmul_options_t options = {.bias = &add};
  OK(gpuio_matmul(ctx, &x, &y, &z, &options, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(c[0] == 14 && c[1] == 25 && c[2] == 20 && c[3] == 31);
  BAD(gpuio_matmul(ctx, &x, &x, &z, NULL, NULL));
  SAYS("b: f32 2 x 3: its rows are to be the 3 columns of a: f32 2 x 3; b_transposed says");
  // Rows of three i4 are two bytes each.
  const uint16_t ones[3] = {0x3c00, 0x3c00, 0x3c00};
  const uint8_t pairs[4] = {0x21, 0x03, 0xff, 0x0f};
  const gpuio_tensor_t h = {.data = (void*)ones, .dtype = GPUIO_DTYPE_F16, .rank = 2, .shape = {1, 3}},
                       q = {.data = (void*)pairs, .dtype = GPUIO_DTYPE_I4, .rank = 2, .shape = {2, 3}},
                       one = {.data = c, .rank = 2, .shape = {1, 2}};
  const gpuio_matmul_options_t transposed = {.b_transposed = true};
  OK(gpuio_matmul(ctx, &h, &q, &one, &transposed, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(c[0] == 6 && c[1] == -3);
}

static void projections_and_attention(void) {
  // Two tokens of two heads of one element: the second token attends to both.
  const float x[4] = {1, 0, 0, 1}, w[4] = {1, 2, 3, 4};
  float q[4], k[4], v[4], out[4], logs[4];
  const gpuio_tensor_t of_x = {.data = (void*)x, .rank = 2, .shape = {2, 2}},
                       of_w = {.data = (void*)w, .rank = 2, .shape = {2, 2}};
  gpuio_tensor_t y[3];
  float* const data[3] = {q, k, v};
  for (int i = 0; i < 3; ++i) y[i] = (gpuio_tensor_t){.data = data[i], .rank = 2, .shape = {2, 2}};
  OK(gpuio_qkv(ctx, &of_x, &of_w, &of_w, &of_w, &y[0], &y[1], &y[2], NULL, NULL));
  for (int i = 0; i < 3; ++i)
    y[i] = (gpuio_tensor_t){.data = data[i], .rank = 4, .shape = {1, 2, 2, 1}, .stride = {4, 1, 2, 1}};
  const gpuio_tensor_t to = {.data = out, .rank = 4, .shape = {1, 2, 2, 1}},
                       sums = {.data = logs, .rank = 3, .shape = {1, 2, 2}};
  const gpuio_attention_options_t options = {.causal = true, .log_sum = &sums};
  OK(gpuio_attention(ctx, &y[0], &y[1], &y[2], &to, &options, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(q[0] == 1 && q[1] == 3 && q[2] == 2 && q[3] == 4);
  const float much = expf(4 - 2) / (1 + expf(4 - 2));  // scores 2 * 1 and 2 * 2
  CHECK(out[0] == 1 && fabsf(out[1] - (1 + much)) < 1e-5f && out[2] == 3);
  CHECK(logs[0] == 1 && fabsf(logs[1] - (2 + logf(1 + expf(2)))) < 1e-5f);
  BAD(gpuio_attention(ctx, &y[0], &of_x, &y[2], &to, NULL, NULL));
  SAYS("k: f32 2 x 2: it needs 4 dimensions");

  char chosen[64];
  const gpuio_tensor_t product = {.data = q, .rank = 2, .shape = {2, 2}};
  OK(gpuio_tune_matmul(ctx, &of_x, &of_w, &product, NULL, 1000, chosen, NULL));
  CHECK(chosen[0] != 0 && q[3] == 4);
  OK(gpuio_tune_matmul(ctx, &of_x, &of_w, &product, NULL, 1, NULL, NULL));
  BAD(gpuio_tune_matmul(ctx, &of_x, &sums, &product, NULL, 1, chosen, NULL));
  CHECK(chosen[0] == 0);
}

static void operations_that_move_and_count(void) {
  float x[8] = {3, 1, 4, 1, -5, 9, 2, 6}, values[2], scale[2], back[8];
  uint32_t places[2], counts[4] = {0}, drawn[4];
  int8_t q[8];
  const gpuio_tensor_t row = {.data = x, .rank = 1, .shape = {8}},
                       table = {.data = x, .rank = 2, .shape = {2, 4}};
  const gpuio_tensor_t top = {.data = values, .rank = 1, .shape = {2}};
  const gpuio_tensor_t where = {.data = places, .dtype = GPUIO_DTYPE_U32, .rank = 1, .shape = {2}};
  OK(gpuio_top_k(ctx, &row, &top, &where, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(values[0] == 9 && values[1] == 6 && places[0] == 5 && places[1] == 7);
  const gpuio_tensor_t rows = {.data = back, .rank = 2, .shape = {2, 4}};
  places[0] = 1, places[1] = 7;
  OK(gpuio_gather_rows(ctx, &table, &where, &rows, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(back[0] == -5 && back[3] == 6 && back[4] == 0 && back[7] == 0);
  OK(gpuio_scatter_rows(ctx, &table, &where, &rows, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(back[0] == -5 && back[4] == 3 && back[7] == 1);
  const gpuio_tensor_t small = {.data = q, .dtype = GPUIO_DTYPE_I8, .rank = 2, .shape = {2, 4}};
  const gpuio_tensor_t scales = {.data = scale, .rank = 1, .shape = {2}};
  OK(gpuio_quantize(ctx, &table, GPUIO_SCALE_ROW, &small, &scales, NULL));
  OK(gpuio_dequantize(ctx, &small, &scales, GPUIO_SCALE_ROW, &rows, NULL));
  const gpuio_tensor_t bins = {.data = counts, .dtype = GPUIO_DTYPE_U32, .rank = 1, .shape = {4}};
  OK(gpuio_histogram(ctx,
                     &(gpuio_tensor_t){.data = places, .dtype = GPUIO_DTYPE_U32, .rank = 1, .shape = {2}},
                     &bins, NULL));
  const gpuio_tensor_t bits = {.data = drawn, .dtype = GPUIO_DTYPE_U32, .rank = 1, .shape = {4}};
  OK(gpuio_random(ctx, GPUIO_RANDOM_BITS, 0, 0, &bits, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(q[2] == 127 && q[5] == 127 && fabsf(back[0] - 3) < 0.02f && back[5] == 9);
  CHECK(counts[0] == 0 && counts[1] == 1 && counts[2] == 0);
  CHECK(drawn[0] == 0x6627e8d5 && drawn[3] == 0x9b00dbd8);
  BAD(gpuio_quantize(ctx, &table, (gpuio_scale_t)3, &small, &scales, NULL));
  SAYS("scale = 3: give one from 0 to 2");
  BAD(gpuio_random(ctx, (gpuio_random_t)-1, 0, 0, &bits, NULL));
  SAYS("distribution = -1");
}

static void tensors_that_cannot_be(void) {
  float data[64];
  const gpuio_tensor_t good = {.data = data, .rank = 2, .shape = {4, 16}};
  gpuio_tensor_t t = good;
  t.rank = 5;
  BAD(gpuio_softmax(ctx, &t, &good, NULL));
  SAYS("x: rank = 5: give one from 1 to 4");
  t = good, t.dtype = (gpuio_dtype_t)77;
  BAD(gpuio_softmax(ctx, &t, &good, NULL));
  SAYS("x: dtype = 77");
  t = good, t.shape[0] = (uint64_t)1 << 40;
  BAD(gpuio_softmax(ctx, &t, &good, NULL));
  SAYS("x: shape[0] = 1099511627776: at most 2147483647");
  t = good, t.stride[0] = UINT64_MAX / 2, t.stride[1] = 1;
  BAD(gpuio_softmax(ctx, &t, &good, NULL));
  SAYS("more elements than can be addressed");
  t = good, t.stride[0] = 16, t.stride[1] = 2;
  BAD(gpuio_softmax(ctx, &t, &good, NULL));
  SAYS("x: f32 4 x 16: stride[1] = 2: the last dimension has its elements side by side");
  t = good, t.data = (char*)data + 2;
  BAD(gpuio_softmax(ctx, &t, &good, NULL));
  SAYS("not aligned to its elements of 4 bytes");
  t = good, t.data = NULL;
  BAD(gpuio_softmax(ctx, &t, &good, NULL));
  SAYS("x: f32 4 x 16: its data is NULL");
  t = good, t.shape[0] = 0, t.data = NULL;
  OK(gpuio_softmax(ctx, &t, &t, NULL));  // nothing to do

  void* block = NULL;
  OK(gpuio_malloc_device(ctx, 128, &block));
  t = good, t.data = block;
  CHECK_CODE(GPUIO_ERROR_INVALID_ADDRESS, gpuio_softmax(ctx, &t, &good, NULL));
  SAYS("x: f32 4 x 16");
  OK(gpuio_free(ctx, block));
}

int main(void) {
  gpuio_config_t config = GPUIO_CONFIG_DEFAULT;
  OK(gpuio_init(&ctx, &config));
  CHECK(strcmp(gpuio_dtype_name(GPUIO_DTYPE_BF16), "bf16") == 0);
  CHECK(strcmp(gpuio_dtype_name((gpuio_dtype_t)99), "?") == 0);
  softmax_in_order_of_the_stream();
  operations_on_rows();
  products_of_host_memory();
  projections_and_attention();
  operations_that_move_and_count();
  tensors_that_cannot_be();
  OK(gpuio_finalize(ctx));
  return check_failed;
}
