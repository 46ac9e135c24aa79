/* The loader's functions as pointers, resolved at run time: Debian ships volk as source. */
#define VOLK_IMPLEMENTATION
#include <volk.h>
