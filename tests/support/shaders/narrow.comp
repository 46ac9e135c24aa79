#version 450
#extension GL_EXT_shader_explicit_arithmetic_types : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_8bit_storage : require
// Storage and arithmetic of 8 and 16 bits.
layout(local_size_x = 4) in;
layout(set = 0, binding = 0) buffer A { uint8_t a[]; };
layout(set = 0, binding = 1) buffer B { int16_t b[]; };
void main() {
  uint i = gl_GlobalInvocationID.x;
  b[i] = int16_t(a[i]) * int16_t(-2);
}
