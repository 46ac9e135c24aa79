// GPUIO_CONFIG_DEFAULT in the forms that clients write, and what the fields become.
#include <gpuio/gpuio.h>
#include <stdio.h>

static const gpuio_config_t kStatic = GPUIO_CONFIG_DEFAULT;

int main(void) {
  gpuio_config_t config = GPUIO_CONFIG_DEFAULT;
  const gpuio_config_t* both[] = {&config, &kStatic};
  for (int i = 0; i < 2; ++i) {
    const gpuio_config_t* c = both[i];
    if (c->api_version != GPUIO_VERSION_MAJOR || c->flags != 0 || c->max_gpus != -1 ||
        c->memory_pool_size != 0 || c->log_level != GPUIO_LOG_INFO || c->config_file || c->numa_node != -1 ||
        c->numa_strict || !c->enable_security || c->credentials_path) {
      printf("GPUIO_CONFIG_DEFAULT is not the default configuration\n");
      return 1;
    }
  }
  return 0;
}
