#version 450
// What arrives of push constants of every shape.
layout(local_size_x = 1) in;
layout(set = 0, binding = 0) buffer Output { float y[]; };
struct Pair { int a; float b; };
layout(push_constant) uniform Push { vec3 v; float w; mat2 m; Pair pairs[2]; } push;
void main() {
  y[0] = push.v.x; y[1] = push.v.y; y[2] = push.v.z; y[3] = push.w;
  y[4] = push.m[0][0]; y[5] = push.m[0][1]; y[6] = push.m[1][0]; y[7] = push.m[1][1];
  for (int i = 0; i < 2; ++i) { y[8 + 2 * i] = float(push.pairs[i].a); y[9 + 2 * i] = push.pairs[i].b; }
}
