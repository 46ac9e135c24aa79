// `gpuio info`: the devices and engines of this build, what each can do and why not.
#pragma once

namespace gpuio::cli {

int run_info(bool json);

}  // namespace gpuio::cli
