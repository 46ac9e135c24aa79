#!/usr/bin/env python3
"""matmul_demo.py [DEVICE] [N]: C = A B of N x N floats on a device, beside NumPy's, with times."""
import sys
import time

import numpy as np

from gpu_runtime import GPU

with GPU(sys.argv[1] if len(sys.argv) > 1 else "auto") as gpu:
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 1024
    a, b = np.random.default_rng(1).random((2, n, n), np.float32)
    kernel = gpu.load_spirv("matmul.spv")
    A, B, C = gpu.buffer(a), gpu.buffer(b), gpu.buffer(size=(n, n))
    groups = (-(-n // 32), -(-n // 32), 1)
    gpu.dispatch(kernel, A, B, C, groups=groups)  # the first one makes everything ready
    gpu.wait()
    begin = time.perf_counter()
    gpu.dispatch(kernel, A, B, C, groups=groups)
    gpu.wait()
    ours = time.perf_counter() - begin
    begin = time.perf_counter()
    expected = a @ b
    theirs = time.perf_counter() - begin
    error = np.abs(C.read() - expected).max() / expected.max()
    print(f"matmul {n}x{n} on {gpu.name}: {ours * 1e3:.2f} ms, NumPy {theirs * 1e3:.2f} ms; largest error {error:.1e}")
    assert error < 1e-4
