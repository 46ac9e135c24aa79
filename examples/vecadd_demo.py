#!/usr/bin/env python3
"""vecadd_demo.py [DEVICE] [N]: c = a + b of N floats on a device, beside NumPy's, with times."""
import sys
import time

import numpy as np

from gpu_runtime import GPU

with GPU(sys.argv[1] if len(sys.argv) > 1 else "auto") as gpu:
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    a, b = np.random.default_rng(1).random((2, n), np.float32)
    kernel = gpu.load_spirv("vecadd.spv")
    A, B, C = gpu.buffer(a), gpu.buffer(b), gpu.buffer(size=n)
    groups = min(-(-n // 256), 65535)
    gpu.dispatch(kernel, A, B, C, groups=groups)  # the first one makes everything ready
    gpu.wait()
    begin = time.perf_counter()
    gpu.dispatch(kernel, A, B, C, groups=groups)
    gpu.wait()
    ours = time.perf_counter() - begin
    begin = time.perf_counter()
    expected = a + b
    theirs = time.perf_counter() - begin
    assert np.array_equal(C.read(), expected)
    print(f"vecadd of {n} on {gpu.name}: {ours * 1e3:.3f} ms, NumPy {theirs * 1e3:.3f} ms; equal")
