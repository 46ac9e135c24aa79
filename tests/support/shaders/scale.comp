#version 450
// y[i] = (negate ? -1 : 1) * factor * x[i] + bias for i < count, over any grid of any workgroup.
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const float bias = 0.5;
layout(constant_id = 2) const bool negate = false;
layout(set = 0, binding = 2) readonly buffer Input { float x[]; };
layout(set = 2, binding = 0) buffer Output { float y[]; };
layout(push_constant) uniform Push { float factor; uint count; };
void main() {
  for (uint i = gl_GlobalInvocationID.x; i < count; i += gl_NumWorkGroups.x * gl_WorkGroupSize.x)
    y[i] = (negate ? -factor : factor) * x[i] + bias;
}
