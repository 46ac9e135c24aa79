// Operations on tensors of a device: include/gpuio/gpuio_ops.h says what each computes, takes and refuses.
//
// A call checks its tensors, picks the kernels for their types and sizes, and plans their launches.
// Threading: any; a Plan is its caller's. Errors: INVALID_ARG, UNSUPPORTED as tensor.hpp words them.
//
//   Plan plan;
//   if (Status s = softmax({kernels, workspace, plan}, x, y); !s) return s;
//   return plan.run(*stream);
#pragma once

#include "ops/kernels.hpp"

namespace gpuio::ops {

// Rows: norm.cpp
Status softmax(const Place& place, const Tensor& x, const Tensor& y);

}  // namespace gpuio::ops
