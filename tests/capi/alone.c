// Includes one header, and nothing before it. tests/capi/CMakeLists.txt names it, the language and the
// include path.
#include GPUIO_HEADER

// One thing of the header is used, so that an empty one would not pass.
#ifdef GPUIO_GPUIO_AI_H
extern gpuio_ai_context_t gpuio_test_used;
gpuio_ai_context_t gpuio_test_used;
#elif defined(GPUIO_GPUIO_KERNEL_H)
extern gpuio_kernel_t gpuio_test_used;
gpuio_kernel_t gpuio_test_used;
#else
extern gpuio_context_t gpuio_test_used;
gpuio_context_t gpuio_test_used;
#endif
