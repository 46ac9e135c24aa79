#!/usr/bin/env python3
"""reduce_demo.py [DEVICE] [N]: the sum of N floats on a device, in two launches, beside NumPy's, with times."""
import sys
import time

import numpy as np

from gpu_runtime import GPU

with GPU(sys.argv[1] if len(sys.argv) > 1 else "auto") as gpu:
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    x = np.random.default_rng(1).random(n, np.float32)
    kernel = gpu.load_spirv("reduce.spv")
    groups = 256
    X, parts, total = gpu.buffer(x), gpu.buffer(size=groups), gpu.buffer(size=1)

    def reduce() -> None:
        gpu.dispatch(kernel, X, parts, groups=groups)  # a sum for each group
        gpu.dispatch(kernel, parts, total)  # and their sum
        gpu.wait()

    reduce()  # the first one makes everything ready
    begin = time.perf_counter()
    reduce()
    ours = time.perf_counter() - begin
    begin = time.perf_counter()
    expected = x.sum()
    theirs = time.perf_counter() - begin
    error = abs(float(total.read()[0]) - float(x.sum(dtype=np.float64))) / float(expected)
    print(f"reduce of {n} on {gpu.name}: {ours * 1e3:.3f} ms, NumPy {theirs * 1e3:.3f} ms; error {error:.1e}")
    assert error < 1e-5
