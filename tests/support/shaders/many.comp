#version 450
layout(local_size_x = 1) in;
layout(set = 0, binding = 0) buffer Words { uint w[]; } many[4];
void main() { many[1].w[0] = 1; }
