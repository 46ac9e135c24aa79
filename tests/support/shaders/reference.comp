#version 450
#extension GL_EXT_buffer_reference : require
// A buffer by its address.
layout(local_size_x = 1) in;
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Words { uint w[]; };
layout(push_constant) uniform Push { Words words; uint n; };
void main() { words.w[gl_GlobalInvocationID.x] = n + gl_GlobalInvocationID.x; }
