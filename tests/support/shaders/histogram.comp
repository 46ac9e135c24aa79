#version 450
// counts[v] += how often v % 64 occurs in the first n words; a workgroup counts in shared memory first.
layout(local_size_x = 64) in;
layout(set = 0, binding = 0) readonly buffer Words { uint words[]; };
layout(set = 0, binding = 1) buffer Counts { uint counts[64]; };
layout(set = 0, binding = 7, std140) uniform Sizes { uvec4 n; };
shared uint local[64];
void main() {
  uint t = gl_LocalInvocationID.x;
  local[t] = 0;
  barrier();
  for (uint i = gl_GlobalInvocationID.x; i < n.y; i += gl_NumWorkGroups.x * 64) atomicAdd(local[words[i] % 64], 1);
  barrier();
  atomicAdd(counts[t], local[t]);
}
