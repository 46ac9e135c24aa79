/* A client in C11, as a stranger would write it against the installed library: client FILE reads a byte of
 * it. */
#include <gpuio/gpuio.h>
#include <stdio.h>

int main(int argc, char** argv) {
  gpuio_context_t ctx;
  gpuio_config_t config = GPUIO_CONFIG_DEFAULT;
  gpuio_proxy_t file;
  int devices;
  unsigned char byte;
  if (argc != 2) return 2;
  if (gpuio_init(&ctx, &config) != GPUIO_SUCCESS || gpuio_get_device_count(ctx, &devices) != GPUIO_SUCCESS ||
      gpuio_proxy_create(ctx, argv[1], 0, &file) != GPUIO_SUCCESS ||
      gpuio_proxy_read(ctx, file, 1, &byte, 1) != GPUIO_SUCCESS || gpuio_finalize(ctx) != GPUIO_SUCCESS) {
    puts(gpuio_last_error_message());
    return 1;
  }
  printf("gpuio %s: %c\n", gpuio_get_version_string(), byte);
  return 0;
}
